import gc
import itertools
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models._files import sealed
from tfrs_models.serving import Ranker, contract, export
from tfrs_models.serving.contract import ContractError
from tfrs_models.serving.contract_json import from_json, to_json
from tfrs_models.serving.vocabularies import line_numbers


class Weighted(tf.Module):
    """A vocabulary, weights and two signatures."""

    def __init__(self, weights=(1.0, 2.0, 3.0), words=("ann", "bob", "cem")):
        super().__init__()
        self.lines = line_numbers(words, name="user_id")
        self.weights = tf.Variable(weights)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "user_id")])
    def weigh(self, user_id):
        rows = tf.maximum(self.lines.lookup(user_id), 0)
        return {"weight": tf.gather(self.weights, rows)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "k")])
    def top(self, k):
        scores, rows = tf.math.top_k(self.weights, k)
        return {"score": scores[None], "row": rows[None]}

    @property
    def signatures(self):
        return {"serving_default": self.weigh, "top": self.top}

    @property
    def samples(self):
        return {
            "serving_default": {"user_id": ["cem", "ann", "bob"]},
            "top": [{"k": 1}, {"k": 3}],
        }


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return export(Weighted(), tmp_path_factory.mktemp("export"))


@pytest.fixture
def version(original, tmp_path):
    return shutil.copytree(original, tmp_path / "1")


def complaints(version):
    with pytest.raises(ContractError) as caught:
        contract.verify(version)
    assert str(version) in str(caught.value)
    return caught.value.problems


def rewrite(version, change):
    path = version / "assets.extra" / "contract.json"
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(sealed(values)))  # as an exporter that says this


def take(version, name, other):
    """A part of another export in place of the version's own."""
    if (version / name).is_dir():
        shutil.rmtree(version / name)
        shutil.copytree(other / name, version / name)
    else:
        shutil.copy(other / name, version / name)


def test_what_was_exported_holds_wherever_it_lies(version):
    assert contract.verify(version) == contract.verify(version.parent)


class Shapes(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def rows(self, x):
        return {"y": x[:, 0], "z": x}

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x")])
    def scalar_out(self, x):
        return {"y": x[:, 0], "mean": tf.reduce_mean(x)}

    @tf.function(input_signature=[tf.TensorSpec([3, 2], tf.float32, "x")])
    def fixed(self, x):
        return {"y": tf.repeat(x, tf.cast(x[0, 0], tf.int32) + 1, axis=0)}


def test_only_batches_on_both_sides_are_batchable(tmp_path):
    module = Shapes()
    names = ("rows", "scalar_out", "fixed")
    path = export(module, tmp_path, signatures={n: getattr(module, n) for n in names})
    signatures = contract.read(path)["signatures"]
    assert [signatures[name]["batchable"] for name in names] == [True, False, False]


def test_the_contract_says_names_types_files_and_answers(original):
    values = contract.read(original)
    signature = values["signatures"]["serving_default"]
    assert signature["inputs"] == {"user_id": {"dtype": "string", "shape": [None]}}
    assert signature["outputs"] == {"weight": {"dtype": "float32", "shape": [None]}}
    assert signature["batchable"]
    assert not values["signatures"]["top"]["batchable"]  # its k is a scalar
    assert {"assets/user_id.txt", "saved_model.pb"} <= values["files"].keys()
    assert values["libraries"]["tensorflow"] == tf.__version__
    samples = contract.samples_of(values)
    assert [name for name, _, _ in samples] == ["serving_default", "top", "top"]
    np.testing.assert_array_equal(samples[0][2]["weight"], np.float32([3, 1, 2]))


def test_a_changed_vocabulary_is_named_with_what_it_does(version):
    path = version / "assets" / "user_id.txt"
    path.write_text("bob\nann\ncem\n")
    file, answer = complaints(version)
    assert "vocabulary or other asset assets/user_id.txt changed" in file
    assert "signature `serving_default`, sample 0: output `weight` differs" in answer
    assert "[1]: 2.0 instead of 1.0" in answer


def test_changed_weights_are_named_with_what_they_do(version, tmp_path):
    other = export(Weighted([1.0, 2.5, 3.0]), tmp_path / "other")
    take(version, "variables", other)
    lines = "\n".join(complaints(version))
    assert "variables/variables.data-00000-of-00001 changed" in lines
    assert "output `weight` differs in 1 of 3 places, first at [2]: 2.5" in lines
    assert "signature `top`, sample 2: output `score` differs" in lines


def test_a_changed_signature_is_named(version):
    def change(values):
        values["signatures"]["serving_default"]["inputs"]["user_id"]["dtype"] = "int64"
        values["signatures"]["top"]["outputs"]["more"] = {"dtype": "bool", "shape": []}
        values["signatures"]["gone"] = {"inputs": {}, "outputs": {}}

    rewrite(version, change)
    assert complaints(version) == [
        "signature `serving_default`, input `user_id`: string [None] instead of "
        "int64 [None]",
        "signature `top`, output `more`: nothing instead of bool []",
        "signature `gone` is missing",
    ]


def test_a_sample_that_is_refused_now_is_named(version):
    def change(values):
        values["samples"][1]["inputs"]["k"]["values"] = [4]  # of three

    rewrite(version, change)
    [line] = complaints(version)
    assert line.startswith("signature `top`, sample 1: ")
    assert "input must have at least k columns" in line


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("assets/user_id.txt", "asset assets/user_id.txt is missing"),
        ("saved_model.pb", "file saved_model.pb is missing"),
        ("variables/variables.index", "file variables/variables.index is missing"),
        ("assets.extra/contract.json", "assets.extra/contract.json is missing"),
    ],
)
def test_a_missing_file_is_named(version, name, words):
    (version / name).unlink()
    assert words in complaints(version)[0]


def test_files_that_were_added_are_named(version):
    (version / "assets.extra" / "added.bin").touch()
    (version / "assets" / "more").mkdir()
    (version / "assets" / "more" / "words.txt").touch()
    (version / "linked").symlink_to(version.parent)
    assert complaints(version) == [
        "the file assets.extra/added.bin was added",
        "the file assets/more/words.txt was added",
        "the file linked was added",
    ]


def test_files_outside_of_the_version_are_not_even_read(version):
    outside = version.parent / "secret"
    outside.write_bytes(b"")
    digest = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    for name in ("../secret", "assets/../../secret", str(outside), "./assets/x"):
        rewrite(
            version, lambda values, name=name: values["files"].update({name: digest})
        )
        assert (
            f"names a file outside of the version: {name!r}" in complaints(version)[-1]
        )


def test_a_folder_of_a_version_may_be_a_link(version):
    (version / "assets").rename(version.parent / "shared")
    (version / "assets").symlink_to(version.parent / "shared")
    contract.verify(version)


def test_a_signature_that_was_not_promised_is_named(version):
    rewrite(version, lambda values: values["signatures"].pop("top"))
    rewrite(version, lambda values: values.update(samples=values["samples"][:1]))
    assert complaints(version) == ["signature `top` is there but not promised"]


def edit(*path, value=None, remove=False):
    """Sets, or removes, what is at a path of the contract."""

    def change(values):
        *parents, last = path
        for key in parents:
            values = values[key]
        if remove:
            del values[last]
        else:
            values[last] = value

    return change


SPEC = ("signatures", "serving_default", "inputs", "user_id")
INPUT = ("samples", 0, "inputs", "user_id")
OUTPUT = ("samples", 0, "outputs", "weight")
EDITS = {
    **{
        f"no {key}": edit(key, remove=True) for key in ("signatures", "files", "server")
    },
    **{f"no {key}": edit(key, remove=True) for key in ("libraries", "samples")},
    **{
        f"{key} is {value!r}": edit(key, value=value)
        for key in ("signatures", "files", "server", "samples")
        for value in (None, 3, "text", [1])
    },
    "a file above": edit("files", "../../etc/passwd", value="0" * 64),
    "a file above in the middle": edit("files", "assets/../../x", value="0" * 64),
    "a file of the root": edit("files", "/etc/passwd", value="0" * 64),
    "a file of Windows": edit("files", "C:\\x", value="0" * 64),
    "a file above of Windows": edit("files", "..\\x", value="0" * 64),
    "a file without a name": edit("files", "", value="0" * 64),
    "a file with a NUL": edit("files", "a\0b", value="0" * 64),
    "a name too long for a file": edit("files", "a" * 5000, value="0" * 64),
    "a folder": edit("files", "assets", value="0" * 64),
    "no digest": edit("files", "saved_model.pb", value=None),
    "half a digest": edit("files", "saved_model.pb", value="abc"),
    "no needs": edit("server", "needs", remove=True),
    "needs of numbers": edit("server", "needs", value=[1]),
    "a signature of nothing": edit("signatures", "top", value=None),
    "no outputs": edit("signatures", "top", "outputs", remove=True),
    "batchable perhaps": edit("signatures", "top", "batchable", value="perhaps"),
    "an unknown dtype": edit(*SPEC, "dtype", value="zz"),
    "a dtype by number": edit(*SPEC, "dtype", value=1),
    "a dtype in a list": edit(*SPEC, "dtype", value=["string"]),
    "no shape": edit(*SPEC, "shape", remove=True),
    "a shape of text": edit(*SPEC, "shape", value="abc"),
    "a shape below 0": edit(*SPEC, "shape", value=[-1]),
    "an input of nothing": edit(*SPEC, value=None),
    "a sample of nothing": edit("samples", 0, value=None),
    "a sample of no signature": edit("samples", 0, "signature", value=7),
    "a sample of another signature": edit("samples", 0, "signature", value="top"),
    "a sample of an unknown signature": edit("samples", 0, "signature", value="gone"),
    "a sample without inputs": edit("samples", 0, "inputs", value={}),
    "one more input": edit("samples", 1, "inputs", "more", value={}),
    "no values": edit(*INPUT, "values", remove=True),
    "values of another number": edit(*INPUT, "shape", value=[77]),
    "values without end": edit(*INPUT, "shape", value=[10**12, 10**12]),
    "an open shape": edit(*INPUT, "shape", value=[None]),
    "another rank": edit(*INPUT, "shape", value=[3, 1]),
    "numbers for text": edit(*INPUT, "values", value=[1, 2, 3]),
    "no base64": edit(*INPUT, "values", value=[{"b64": "?"}] * 3),
    "text for a number": edit(*OUTPUT, "values", value=["a", "b", "c"]),
    "booleans for numbers": edit(*OUTPUT, "values", value=[True, False, True]),
    "lists for numbers": edit(*OUTPUT, "values", value=[[1.0], [2.0], [3.0]]),
    "another kind of number": edit(*OUTPUT, "dtype", value="float64"),
    "too large a number": edit(*OUTPUT, "values", value=[1e300, 1.0, 2.0]),
    "half a whole number": edit("samples", 1, "inputs", "k", "values", value=[1.5]),
    "beyond int32": edit("samples", 1, "inputs", "k", "values", value=[2**31]),
    "a resource": edit("samples", 1, "inputs", "k", "dtype", value="resource"),
}


@pytest.mark.parametrize("change", EDITS.values(), ids=EDITS)
def test_a_contract_that_export_did_not_write_breaks_it(version, change):
    rewrite(version, change)
    assert complaints(version)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b'"text"',
        b"12",
        b"{}",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"1" * 5000,
        b'{"files": Infinity}',
    ],
)
def test_a_file_that_is_no_contract_breaks_it(version, content):
    (version / "assets.extra" / "contract.json").write_bytes(content)
    assert len(complaints(version)) == 1
    with pytest.raises(ContractError):
        contract.read(version)


def test_a_folder_in_the_place_of_the_contract_breaks_it(version):
    path = version / "assets.extra" / "contract.json"
    path.unlink()
    path.mkdir()
    assert "contract.json is missing or no JSON" in complaints(version)[0]


def nodes(value, path=()):
    yield path
    entries = {dict: dict.items, list: enumerate}.get(type(value), lambda _: ())
    for key, entry in entries(value):
        yield from nodes(entry, (*path, key))


def test_whatever_is_put_anywhere_is_a_contract_or_breaks_it(version):
    path = version / "assets.extra" / "contract.json"
    rewrite(version, edit("server", "ops", value=["Add"]))
    text = path.read_text()
    junks = itertools.cycle([None, True, -1, 2.5, "x", [None], {"a": 1}])
    refused = 0
    for *parents, last in [node for node in nodes(json.loads(text)) if node]:
        for junk in itertools.islice(junks, 3):
            values = json.loads(text)
            edit(*parents, last, value=junk)(values)
            path.write_text(json.dumps(values))
            try:
                contract.samples_of(contract.read(version))
            except ContractError:
                refused += 1
    assert refused > 150


def test_a_folder_without_versions_has_no_contract(tmp_path):
    assert "contract.json is missing" in complaints(tmp_path)[0]


def test_an_export_that_does_not_answer_as_the_module_is_not_published(
    tmp_path, monkeypatch
):
    save = tf.saved_model.save

    def save_other(module, path, **arguments):
        module.weights.assign([9.0, 9.0, 9.0])
        save(module, path, **arguments)
        module.weights.assign([1.0, 2.0, 3.0])

    monkeypatch.setattr(tf.saved_model, "save", save_other)
    with pytest.raises(ContractError, match="output `weight` differs in 3 of 3"):
        export(Weighted(), tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "values",
    [
        np.float32([[0.1, np.nan], [-np.inf, 1e-45]]),
        np.array([b"a", "ü".encode(), b"\xff\x00"], object),
        np.array(2**63 - 1),
        np.array([True, False]),
        np.float16([0.1]),
        np.zeros([0, 3], "int32"),
    ],
)
def test_arrays_come_back_from_json_bit_for_bit(values):
    back = from_json(json.loads(json.dumps(to_json(values), allow_nan=False)))
    assert back.dtype == values.dtype
    assert back.shape == values.shape
    assert back.tolist() == values.tolist() or back.tobytes() == values.tobytes()


def test_the_files_of_vocabularies_go_with_their_module(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    module = Weighted()
    export(module, tmp_path / "export")
    assert len(list((tmp_path / "temporary").glob("*/user_id.txt"))) == 1
    del module
    gc.collect()
    assert list((tmp_path / "temporary").iterdir()) == []
    contract.verify(tmp_path / "export")


class ByHeart(tf.keras.Model):
    def rank(self, features):
        return {"score": tf.cast(features["user_id"], tf.float32)}


def test_a_ranker_is_sampled_with_its_own_rows(tmp_path):
    features = {"user_id": np.array([2, 0, 9]), "age": np.float32([3, 4, 5])}
    ranker = Ranker(ByHeart(), features, vocabularies={"user_id": ["ann", "bob"]})
    values = contract.verify(export(ranker, tmp_path))
    (_, one, _), (_, several, answer) = contract.samples_of(values)
    assert one["user_id"].tolist() == [b"bob"]
    assert several["user_id"].tolist() == [b"bob", b"", b""]  # 9 is no string
    np.testing.assert_array_equal(answer["score"], [2, 0, 0])


def test_a_ranker_of_specs_is_sampled_with_a_blank_row(tmp_path):
    features = {"user_id": tf.TensorSpec([None], tf.int64)}
    path = export(Ranker(ByHeart(), features), tmp_path)
    [(_, inputs, _)] = contract.samples_of(contract.read(path))
    assert inputs == {"user_id": [0]}
