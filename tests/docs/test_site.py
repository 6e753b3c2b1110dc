"""Parts of the documentation site that need neither Sphinx nor TensorFlow."""

import importlib.util
import re
from pathlib import Path

import pytest

EXTENSIONS = Path(__file__).parents[2] / "docs/extensions"


def extension(name):
    spec = importlib.util.spec_from_file_location(name, EXTENSIONS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RESULTS = """\
# Measured

## kites

Commit `abc123-dirty`, Python 3.11.7, numpy 2.4.6; 2 cores.

| kite | height |
| --- | --- |
| red | 7 |

### In a storm

Heights with much wind,
in metres:

| kite | height |
| --- | --- |
| blue | 11 |

Command: `python -m pipelines.benchmarks.kites --wind 9`, twice.

## swings

Written by hand.

| swing |
| --- |
| left |
"""


def test_tables_of_a_section_come_with_their_headings_commit_and_command():
    kites = extension("results").sections(RESULTS)["kites"]
    assert [table.heading for table in kites.tables] == ["", "In a storm"]
    assert [table.lead for table in kites.tables] == [
        "",
        "Heights with much wind,\nin metres:",
    ]
    assert kites.tables[1].text.splitlines()[-1] == "| blue | 11 |"
    assert kites.commit == "`abc123-dirty`"
    assert kites.command == "`python -m pipelines.benchmarks.kites --wind 9`"


def test_a_section_without_a_stamp_has_tables_all_the_same():
    tables, section = extension("results").select(RESULTS, "swings", None)
    assert len(tables) == 1
    assert (section.commit, section.command) == ("", "")


def test_one_table_is_chosen_by_its_number():
    tables, _ = extension("results").select(RESULTS, "kites", 2)
    assert "blue" in tables[0].text
    assert "red" not in tables[0].text


def test_tables_below_a_heading_are_counted_by_themselves():
    tables, _ = extension("results").select(RESULTS, "kites", 1, "storm")
    assert "blue" in tables[0].text
    with pytest.raises(ValueError, match=r"In a storm.*Got 'calm'"):
        extension("results").select(RESULTS, "kites", 1, "calm")


@pytest.mark.parametrize(
    ("name", "number", "words"),
    [("kite", None, "'kites', 'swings'"), ("kites", 3, "2 tables of 'kites'")],
)
def test_an_unknown_section_or_table_is_an_error(name, number, words):
    with pytest.raises(ValueError, match=words):
        extension("results").select(RESULTS, name, number)


def test_dead_links_anchors_and_assets_from_elsewhere_are_found(tmp_path):
    (tmp_path / "api").mkdir()
    (tmp_path / "index.html").write_text(
        '<h1 id="top">x</h1><a href="api/layers.html#IVF">a</a>'
        '<a href="api/layers.html#gone">b</a><a href="lost.html">c</a>'
        '<a href="https://example.org/x">d</a><a href="#nowhere">e</a>'
        '<script src="https://example.org/y.js"></script>'
    )
    (tmp_path / "api/layers.html").write_text(
        '<p id="IVF">x</p><a href="../index.html#top">up</a><img src="gone.png">'
    )
    complaints, hosts = extension("check_links").check(tmp_path)
    assert sorted(complaints) == [
        "api/layers.html links to gone.png: there is no such file",
        "index.html links to #nowhere: no such anchor",
        "index.html links to api/layers.html#gone: no such anchor",
        "index.html links to lost.html: there is no such file",
        "index.html loads https://example.org/y.js from elsewhere",
    ]
    assert hosts == {"example.org": 2}


def test_an_empty_folder_is_no_site(tmp_path):
    assert extension("check_links").check(tmp_path)[0]


def test_flags_of_a_configuration_and_its_bases_are_listed():
    source = '''
class Base:
    seed: int = 42
    """Seed of the kites."""

class Config(Base):
    line_length: float
    """Length of the line,
    in metres."""
    _private = 1
'''
    flags = extension("flags").flags(source, "Config")
    assert flags == [
        ("--line-length", "", "Length of the line, in metres."),
        ("--seed", "42", "Seed of the kites."),
    ]
    assert "| `--seed` | `42` |" in extension("flags").table(flags)
    with pytest.raises(ValueError, match="'Base', 'Config'"):
        extension("flags").flags(source, "Kite")


README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
MEASURED = (Path(__file__).parents[2] / "pipelines/benchmarks/RESULTS.md").read_text(
    encoding="utf-8"
)


def test_the_readme_fits_on_a_screen_or_two():
    assert len(README.splitlines()) <= 200


def test_figures_of_the_readme_are_in_the_section_that_they_link_to():
    found = re.findall(r"\[([^]]+)\]\(pipelines/benchmarks/RESULTS\.md#(\w+)\)", README)
    assert found
    for text, name in found:
        section = re.search(rf"(?ms)^## {name}$.*?(?=^## |\Z)", MEASURED)
        assert section, f"RESULTS.md has no section {name}"
        for figure in re.findall(r"\d[\d,]*\.\d+|\d+,\d{3}", text):
            assert figure in section[0], f"{name} has no {figure}"


def test_links_of_the_readme_lead_to_files():
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", README):
        assert (Path(__file__).parents[2] / link).exists(), link
