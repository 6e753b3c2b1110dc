"""Exports in a program without Python: the loader and the operations of a server."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import native
from pipelines.native.__main__ import Config, main
from tests.serving.exports import EXPORTS
from tfrs_models._files import SEAL, sealed
from tfrs_models.serving import contract, export
from tfrs_models.serving.contract_checks import differences

QUERIES = 2000


@pytest.fixture(scope="session")
def program():
    if reason := native.missing_tools():
        pytest.skip(reason)
    return native.compile_program()


@pytest.fixture(scope="module", params=EXPORTS.values(), ids=EXPORTS)
def exported(request, tmp_path_factory):
    """A row of the table, and its version."""
    row = request.param(request)
    rng = np.random.default_rng(2)
    path = export(
        row.module,
        tmp_path_factory.mktemp("export"),
        signatures={"serving_default": row.method},
        samples={"serving_default": [row.draw(rng, 1), row.draw(rng, 5)]},
    )
    return row, path


# What is of the program alone is shown with the first row of the table.
with_one_export = pytest.mark.parametrize(
    "exported", [EXPORTS["recommender"]], ids=["recommender"], indirect=True
)


def run(program, path, questions, tmp_path, **flags):
    """What the program found, and its answers."""
    native.write_questions(tmp_path / "questions", questions)
    answers = tmp_path / "answers"
    found = native.run(program, path, tmp_path / "questions", answers=answers, **flags)
    return found, native.read_answers(answers)


def question(inputs, expected=None):
    return native.Question("serving_default", inputs, expected)


def test_its_signatures_and_samples_are_those_of_the_contract(
    program, exported, tmp_path
):
    promised = contract.read(exported[1])
    samples = [native.Question(*sample) for sample in contract.samples_of(promised)]
    assert samples
    found, _ = run(program, exported[1], samples, tmp_path)
    assert found.problems == {}
    assert found.answered == len(samples)
    assert found.signatures == {
        name: {side: signature[side] for side in ("inputs", "outputs")}
        for name, signature in promised["signatures"].items()
    }


def test_it_answers_thousands_of_queries_as_python_does(program, exported, tmp_path):
    row, path = exported
    rng = np.random.default_rng(3)
    batches, total = [], 0
    while total < QUERIES:
        size = int(rng.choice([1, 2, 7, 32]))
        batches.append(row.draw(rng, size))
        total += size
    found, answers = run(program, path, map(question, batches), tmp_path)
    assert found.problems == {}
    served = contract.Signature("serving_default", row.method)
    for batch, answer in zip(batches, answers, strict=True):
        assert differences(served(served.checked(batch)), answer) == []


def test_a_request_that_it_cannot_answer_gets_an_error_and_the_next_an_answer(
    program, exported, tmp_path
):
    row, path = exported
    good = row.draw(np.random.default_rng(4), 2)
    questions = [question(good)]
    for changes, _ in row.refused.values():
        changed = {**good, **changes}
        questions.append(question({k: v for k, v in changed.items() if v is not None}))
    questions += [native.Question("nothing", good), question(good)]
    found, answers = run(program, path, questions, tmp_path)
    assert sorted(found.problems) == list(range(1, len(questions) - 1))
    assert found.answered == 2
    assert differences(answers[0], answers[-1]) == []
    words = [words for _, words in row.refused.values()]
    for number, part in enumerate([*words, "There is no signature `nothing`."], 1):
        assert part in answers[number], answers[number]
        assert part in found.problems[number]


def test_the_command_holds_an_export_to_its_contract(program, exported, capsys):
    found = main(Config(exported[1].parent, queries=100))
    assert program.is_file()
    assert found["latency"]["answered"] == 100
    assert "answered as promised\n100 queries: p50" in capsys.readouterr().out


@with_one_export
def test_the_command_says_what_differs(program, exported, tmp_path):
    assert program.is_file()
    version = shutil.copytree(exported[1], tmp_path / "1")
    path = version / "assets.extra" / "contract.json"
    promised = json.loads(path.read_text())
    promised["signatures"]["serving_default"]["inputs"] = {}
    score = promised["samples"][0]["outputs"]["score"]
    score["values"] = [value + 1 for value in score["values"]]
    del promised[SEAL]
    path.write_text(json.dumps(sealed(promised)))
    with pytest.raises(
        SystemExit, match="sample 0: output `score` differs(.|\n)*signature `serving_d"
    ):
        main(Config(version))


@pytest.mark.parametrize("text", [None, "no JSON"])
def test_the_command_needs_a_contract(text, tmp_path):
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "saved_model.pb").touch()
    if text:
        (tmp_path / "assets.extra" / "contract.json").write_text(text)
    with pytest.raises(SystemExit, match="contract.json is missing or no JSON"):
        main(Config(tmp_path))


class Scored(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None, 3], tf.float32, "query")])
    def search(self, query):
        scores, rows = tf.math.top_k(query, 3)
        return {"score": scores, "row": rows}


SCORED = {"query": np.float32([[2, 1, 2], [7, 9, 8]])}
TRUE = {
    "score": np.float32([[2, 2, 1], [9, 8, 7]]),
    "row": np.int32([[0, 2, 1], [1, 2, 0]]),
}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({}, None),
        ({"row": np.int32([[2, 0, 1], [1, 2, 0]])}, None),  # two scores are 2
        ({"score": TRUE["score"] * np.float32(1.00005)}, None),
        ({"score": TRUE["score"] + 1}, "output `score` differs in 6 of 6 places"),
        (
            {"row": np.int32([[0, 2, 1], [2, 1, 0]])},
            "output `row` differs in 2 of 6 places",
        ),
        ({"row": TRUE["row"].astype("int64")}, "output `row` is Tensor<type: int32"),
        ({"more": np.int32(0)}, "output `more` is missing"),
    ],
)
def test_it_finds_what_differs_from_what_is_expected(
    program, changes, problem, tmp_path
):
    module = Scored()
    path = export(module, tmp_path / "m", signatures={"serving_default": module.search})
    found, _ = run(program, path, [question(SCORED, {**TRUE, **changes})], tmp_path)
    if problem is None:
        assert found.problems == {}
    else:
        assert problem in found.problems[0]


def test_a_model_that_needs_scann_answers_nothing_as_the_preflight_said(
    program, tmp_path
):
    pytest.importorskip("scann")
    rng = np.random.default_rng(5)
    index = tm.layers.ScaNN(num_leaves=4).index(
        rng.normal(size=(40, 3)).astype("float32")
    )
    module = tf.Module()
    module.index = index
    module.search = tf.function(
        lambda query: {"score": index(query, k=2)[0]},
        input_signature=[tf.TensorSpec([None, 3], tf.float32, "query")],
    )
    signatures = {"serving_default": module.search}
    path = export(module, tmp_path / "m", signatures=signatures, allow_custom_ops=True)
    custom_ops = contract.read(path)["server"]["custom_ops"]
    found, _ = run(
        program, path, [question({"query": np.zeros([1, 3], "float32")})], tmp_path
    )
    # It loads, for functions are made when they are called: without the preflight a
    # server would call this version available.
    assert found.answered == 0
    assert any(
        f"Op type not registered '{op}'" in found.problems[0] for op in custom_ops
    )


def test_a_model_that_calls_python_fails_as_the_preflight_said(program, tmp_path):
    def call_python(x):
        return {"y": tf.numpy_function(np.negative, [x], tf.float32)}

    module = tf.Module()
    module.f = tf.function(
        call_python, input_signature=[tf.TensorSpec([None], tf.float32, "x")]
    )
    signatures = {"serving_default": module.f}
    path = export(module, tmp_path / "m", signatures=signatures, allow_custom_ops=True)
    found, _ = run(program, path, [question({"x": np.float32([1])})], tmp_path)
    assert "PyFunc" in found.problems[0]


@with_one_export
def test_it_measures_queries_one_after_the_other(program, exported, tmp_path):
    row, path = exported
    rng = np.random.default_rng(6)
    file = tmp_path / "latencies"
    questions = [question(row.draw(rng, 1)) for _ in range(50)]
    found, _ = run(
        program, path, questions, tmp_path, queries=3000, clients=2, latencies=file
    )
    latency, seconds = found.latency, np.fromfile(file)
    assert latency.offered == latency.answered == len(seconds) == 3000
    assert latency.errors == latency.abandoned == 0
    assert np.all((seconds > 0) & (seconds <= latency.max))
    np.testing.assert_allclose(latency.p50, np.quantile(seconds, 0.5), rtol=0.05)
    assert np.quantile(seconds, 0.98) <= latency.p99 <= np.quantile(seconds, 0.995)


@with_one_export
def test_it_measures_queries_as_they_arrive(program, exported, tmp_path):
    row, path = exported
    questions = [question(row.draw(np.random.default_rng(7), 1))]
    flags = {"rate": 400.0, "seconds": 1.0, "clients": 2}
    runs = [
        run(program, path, questions, tmp_path, seed=seed, **flags)[0].latency
        for seed in (1, 1, 2)
    ]
    assert runs[0].offered == runs[1].offered != runs[2].offered
    for latency in runs:
        assert abs(latency.offered - 400) < 5 * 20  # Poisson: the root of 400 is 20
        assert latency.answered + latency.abandoned == latency.offered
        assert 0 < latency.p50 <= latency.p99 <= latency.max


@with_one_export
def test_a_rate_above_what_the_model_takes_shows_in_the_latencies(
    program, exported, tmp_path
):
    row, path = exported
    questions = [question(row.draw(np.random.default_rng(8), 32))]
    found, _ = run(program, path, questions, tmp_path, rate=60_000.0, seconds=0.5)
    # Latency counts from when a query was due, so it grows with the queue.
    assert found.latency.p99 > 0.2 or found.latency.abandoned


@with_one_export
@pytest.mark.parametrize("content", [None, b"no records at all, but text " * 3])
def test_what_it_cannot_read_ends_it_with_a_message(
    program, exported, content, tmp_path
):
    if content is not None:
        (tmp_path / "questions").write_bytes(content)
    with pytest.raises(native.ProgramError, match=r"cannot be run: .*\w+"):
        native.run(program, exported[1], tmp_path / "questions")


def test_a_folder_without_a_model_ends_it_with_a_message(program, tmp_path):
    with pytest.raises(native.ProgramError, match="Could not find SavedModel"):
        run(program, tmp_path, [], tmp_path)


def test_the_program_is_compiled_once_for_a_source_and_a_tensorflow(
    program, tmp_path, monkeypatch
):
    assert native.compile_program() == program
    monkeypatch.setattr(tf, "__version__", "0")
    (tmp_path / "bin").mkdir()
    compiler = tmp_path / "bin" / "g++"
    compiler.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("PATH", f"{compiler.parent}:/bin")
    with pytest.raises(native.ProgramError, match="no space left"):
        native.compile_program(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(native.ProgramError, match="there is no g"):
        native.compile_program(tmp_path)
