"""Settings of an index by a recall that was measured, beside loops over all scores."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers
from tfrs_models.metrics.bootstrap import Interval
from tfrs_models.serving import tuning, tuning_measures
from tfrs_models.serving.tuning_result import Setting, Tuning

# They are too small for an approximate index, and `tune` says so.
pytestmark = pytest.mark.filterwarnings("ignore:Exact search is faster")

RNG = np.random.default_rng(0)
CENTRES = RNG.normal(size=(40, 6))
K = 5


def draw(number, seed):
    rng = np.random.default_rng(seed)
    rows = CENTRES[rng.integers(40, size=number)] + 0.5 * rng.normal(size=(number, 6))
    return rows.astype("float32")


CANDIDATES = draw(900, 1)
QUERIES = draw(120, 2)
NAMES = np.array([f"i{n}" for n in range(900)])


def ivf(**options):
    return layers.IVF(block_size=8, num_partitions=60, num_probes=3, **options)


@pytest.fixture(scope="module")
def index():
    return ivf().index(CANDIDATES, NAMES)


class Doubled(tf.keras.Model):
    def call(self, features):
        return 2 * features["raw"]


def recall_by_loops(index, queries):
    found = index(queries, k=K)[1].numpy()
    shares = []
    for row, query in enumerate(queries):
        scores = sorted(((float(c @ query), n) for n, c in enumerate(CANDIDATES)))
        best = {f"i{n}".encode() for _, n in scores[-K:]}
        shares.append(len(best & set(found[row])) / K)
    return np.mean(shares)


def quick(*args, **kwargs):
    return tuning.tune(*args, k=K, repeats=1, batch_size=8, **kwargs)


@pytest.fixture(scope="module", params=[0.8, 1.0])
def tuned(request):
    """A target, and an index that is tuned to it, with the result."""
    index = ivf().index(CANDIDATES, NAMES)
    return request.param, index, quick(index, QUERIES, recall_target=request.param)


def test_the_index_is_set_to_a_recall_that_loops_confirm(tuned):
    target, index, result = tuned
    assert result.reached
    assert index.num_probes == result.chosen.values["num_probes"]
    assert result.chosen.recall.low >= target
    assert result.num_queries == (60, 60)
    both = (result.chosen.recall.mean + result.confirmed.mean) / 2
    assert recall_by_loops(index, QUERIES) == pytest.approx(both, abs=1e-6)
    cheaper = [s for s in result.curve if s.single < result.chosen.single]
    assert all(s.recall.low < target for s in cheaper)


def test_more_probes_find_more_and_the_table_shows_the_choice(tuned):
    target, _, result = tuned
    order = sorted(result.curve, key=lambda s: s.values["num_probes"])
    probes = [s.values["num_probes"] for s in order]
    recalls = [s.recall.mean for s in order]
    assert len(probes) == len(set(probes)) <= 16
    assert recalls == sorted(recalls)
    if target == 1:  # the clock says how many others are timed
        assert recalls[-1] == 1
    text = str(result)
    assert re.search(rf"^> +{result.chosen} ", text, re.MULTILINE)
    assert "exact search" in text
    assert f"target {target:g}" in text
    assert ("NOT REACHED" in text) != result.reached


def test_tuning_does_not_make_later_searches_copy_the_embeddings(tuned):
    index = tuned[1]
    reads = [index._embeddings.read_value() for _ in range(2)]
    assert len({np.asarray(memoryview(read)).ctypes.data for read in reads}) == 1


def test_a_target_that_no_setting_reaches_is_said_and_the_best_is_set():
    index = layers.ScaNN(num_leaves=4, num_leaves_to_search=1).index(CANDIDATES, NAMES)
    with pytest.warns(UserWarning, match="No setting reaches a recall@5 of 1 on these"):
        result = tuning.tune(
            index,
            QUERIES,
            recall_target=1.0,
            k=K,
            candidates=CANDIDATES,
            identifiers=NAMES,
            repeats=1,
        )
    assert not result.reached
    assert index.num_leaves_to_search == result.chosen.values["num_leaves_to_search"]
    assert result.chosen.recall.mean == max(s.recall.mean for s in result.curve)
    assert "NOT REACHED" in str(result)


def test_the_choice_is_confirmed_on_queries_that_it_was_not_made_by(monkeypatch):
    index, seen, answers = ivf().index(CANDIDATES, NAMES), [], tuning_measures.answers

    def good_on_one_half(search, queries, **arguments):
        scores, ids = answers(search, queries, **arguments)
        rows = queries.numpy()
        is_new = not any(np.array_equal(half, rows) for half in seen)  # asked exactly
        seen.append(rows)
        is_first = np.array_equal(seen[0], rows)
        if not (is_new or is_first):
            ids = np.full_like(ids, b"another")
            scores = np.full_like(scores, -1e9)
        return scores, ids

    monkeypatch.setattr(tuning_measures, "answers", good_on_one_half)
    every_probe = [[{"num_probes": 60}]]
    monkeypatch.setattr(tuning, "grids", lambda *_: every_probe)
    with pytest.warns(UserWarning, match="No setting reaches a recall@5 of 0.8"):
        result = quick(index, QUERIES, recall_target=0.8)
    assert result.chosen.recall.mean == 1
    assert result.confirmed.mean == 0
    assert not result.reached
    choosing, confirming = ({row.tobytes() for row in s} for s in (seen[0], seen[-1]))
    assert not choosing & confirming
    assert choosing | confirming == {row.tobytes() for row in QUERIES}


def test_the_seed_splits_the_queries(monkeypatch):
    index, answers = ivf().index(CANDIDATES, NAMES), tuning_measures.answers
    halves = []

    def watched(search, queries, **arguments):
        seen.append({row.tobytes() for row in queries.numpy()})
        return answers(search, queries, **arguments)

    monkeypatch.setattr(tuning_measures, "answers", watched)
    monkeypatch.setattr(tuning, "grids", lambda *_: [[{"num_probes": 60}]])
    for seed in (1, 1, 2):
        seen = []
        quick(index, QUERIES[:41], recall_target=0.5, seed=seed)
        halves.append(seen[0])
        assert len(seen[0]) == 21  # of 41 queries
    assert halves[0] == halves[1] != halves[2]


def test_a_batch_that_is_not_full_counts():
    index = layers.BruteForce().index(CANDIDATES)
    search = tuning_measures.graph_of(index, QUERIES, 3)
    scores, ids = tuning_measures.answers(search, QUERIES[:23], batch_size=8)
    expected = QUERIES[:23] @ CANDIDATES.T
    np.testing.assert_array_equal(ids, np.argsort(-expected, axis=1)[:, :3])
    assert scores.shape == (23, 3)


@pytest.mark.parametrize("repeats", [1, 4])
def test_every_search_is_timed_with_the_same_queries_in_turns(repeats, monkeypatch):
    log, clock = [], [0.0]

    def search(name, single, batch):
        def run(queries):
            size = len(queries)
            log.append((name, queries.numpy().tobytes(), size))
            clock[0] += (single if size == 1 else batch) * (100 if first() else 1)
            return (queries, None)

        return run

    def first():
        return len(log) <= 2 * 11  # the turn that does not count

    monkeypatch.setattr("time.perf_counter", lambda: clock[0])
    times = tuning_measures.latencies(
        [search("a", 1.0, 5.0), search("b", 2.0, 3.0)],
        tf.constant(QUERIES[:30]),
        batch_size=8,
        repeats=repeats,
    )
    assert times == [(1.0, 5.0), (2.0, 3.0)]
    assert len(log) == (1 + repeats) * 2 * 11
    own = {name: [entry[1:] for entry in log if entry[0] == name] for name in "ab"}
    assert own["a"] == own["b"]
    assert len({rows for rows, size in own["a"] if size == 8}) == 1 + repeats


@pytest.mark.parametrize("for_batches", [False, True])
def test_cheap_is_cheap_for_what_is_served(for_batches, monkeypatch):
    def slow_ones(searches, *_, **__):  # few probes are slow for one query only
        number = len(searches)
        return [(float(number - i), float(i + 1)) for i in range(number)]

    monkeypatch.setattr(tuning_measures, "latencies", slow_ones)
    probes = (20, 40, 60)
    monkeypatch.setattr(
        tuning, "grids", lambda *_: [[{"num_probes": n}] for n in probes]
    )
    monkeypatch.setattr("time.perf_counter", lambda: 0.0)  # no setting beats another
    index = ivf().index(CANDIDATES, NAMES)
    result = quick(index, QUERIES, recall_target=0.5, for_batches=for_batches)
    costs = [s.batch if for_batches else s.single for s in result.curve]
    assert result.chosen is result.curve[int(np.argmin(costs))]
    assert index.num_probes == result.chosen.values["num_probes"]
    other = [s.single if for_batches else s.batch for s in result.curve]
    assert result.chosen is not result.curve[int(np.argmin(other))]


@pytest.mark.parametrize(("seconds", "is_slow"), [(2.0, True), (1.0, False)])
def test_a_grid_goes_on_while_it_is_no_slower_than_exact_search(
    seconds, is_slow, monkeypatch
):
    calls, clock = [], [0.0]

    def now():
        calls.append(1)
        if len(calls) % 2 == 0:  # the end of exact search, or of a setting
            clock[0] += 1.0 if len(calls) == 2 else seconds
        return clock[0]

    monkeypatch.setattr("time.perf_counter", now)
    monkeypatch.setattr(
        tuning_measures, "latencies", lambda some, *_, **__: [(1.0, 1.0)] * len(some)
    )
    grid = [{"num_probes": probes} for probes in (8, 20, 60)]
    monkeypatch.setattr(tuning, "grids", lambda *_: [grid])
    result = quick(ivf().index(CANDIDATES, NAMES), QUERIES, recall_target=0.3)
    assert result.curve[0].recall.low >= 0.3
    assert (len(result.curve) == 1) == is_slow


def test_scann_is_set_by_leaves_and_reordering():
    index = layers.ScaNN(num_leaves=4, num_reordering_candidates=10).index(CANDIDATES)
    exact = layers.BruteForce().index(CANDIDATES)
    result = tuning.tune(
        index, QUERIES, recall_target=0.9, k=K, exact=exact, repeats=1, for_batches=True
    )
    assert result.reached
    assert result.chosen.values == {
        "num_leaves_to_search": index.num_leaves_to_search,
        "num_reordering_candidates": index.num_reordering_candidates,
    }
    enough = [s for s in result.curve if s.recall.low >= 0.9]
    assert result.chosen.batch == min(s.batch for s in enough)


def test_features_of_a_query_model_and_cosines_are_tuned_too():
    index = ivf(query_model=Doubled(), distance_measure="cosine").index(
        CANDIDATES, NAMES
    )
    result = tuning.tune(
        index, {"raw": QUERIES}, recall_target=0.9, k=K, repeats=1, batch_size=8
    )
    assert result.reached
    unit = CANDIDATES / np.linalg.norm(CANDIDATES, axis=1, keepdims=True)
    best = np.argsort(-QUERIES @ unit.T)[:, :K]
    found = index({"raw": QUERIES}, k=K)[1].numpy()
    hits = [
        np.isin(a, NAMES[b].astype("S")).mean()
        for a, b in zip(found, best, strict=True)
    ]
    assert np.mean(hits) >= 0.9


def test_candidates_that_tie_with_the_last_place_are_as_good():
    exact = np.float32([[3, 2, 2]]), np.array([[7, 1, 2]])
    found = np.float32([[3, 2, 2]]), np.array([[7, 4, 2]])
    worse = np.float32([[3, 2, 1]]), np.array([[7, 2, 9]])
    assert tuning_measures.recalls(found, exact) == pytest.approx([1.0])
    assert tuning_measures.recalls(worse, exact) == pytest.approx([2 / 3])


def setting(probes, recall, single, batch):
    return Setting({"num_probes": probes}, Interval(*recall), single, batch)


def made(**changes):
    curve = (
        setting(4, (0.8, 0.7, 0.9), 1e-3, 2e-3),
        setting(8, (0.9, 0.8, 1.0), 2e-3, 1e-3),
        setting(16, (0.9, 0.8, 1.0), 3e-3, 4e-3),
    )
    values = {
        "curve": curve,
        "chosen": curve[1],
        "reached": True,
        "confirmed": Interval(0.9, 0.8, 1.0),
        "exact": Setting({}, Interval(1.0, 1.0, 1.0), 4e-3, 5e-3),
        "recall_target": 0.8,
        "k": 5,
        "batch_size": 64,
        "for_batches": False,
        "num_queries": (60, 60),
    }
    return Tuning(**values | changes)


def test_the_table_leaves_out_what_takes_longer_and_finds_no_more():
    assert [s.values["num_probes"] for s in made().front] == [4, 8]
    assert [s.values["num_probes"] for s in made(for_batches=True).front] == [8]
    assert made().warnings == ()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"reached": False}, "No setting reaches a recall@5 of 0.8"),
        (
            {"exact": Setting({}, Interval(1.0, 1.0, 1.0), 1e-3, 5e-3)},
            "Exact search is faster for one query: 1 ms, where `num_probes=8` needs 2",
        ),
        (
            {"exact": Setting({}, Interval(1.0, 1.0, 1.0), 4e-3, 1e-4)},
            "Exact search is faster for a batch of 64",
        ),
    ],
)
def test_what_is_wrong_stands_below_the_table(changes, words):
    (line,) = made(**changes).warnings
    assert words in line
    assert line in str(made(**changes))


def test_the_curve_is_drawn_into_a_file_or_on_axes(tmp_path):
    from matplotlib.figure import Figure

    axes = made().plot(tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    assert axes.get_ylabel() == "recall@5"
    own = Figure().subplots()
    assert made().plot(own) is own
    assert len(own.lines) == len(axes.lines) > 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"queries": QUERIES[:39]}, "`queries` must be at least 40"),
        ({"k": 901}, "`k` must be from 1 to the number of candidates, 900. Got 901"),
        ({"k": 0}, "`k` must be from 1 to"),
        ({"recall_target": 0.0}, r"`recall_target` must be in \(0, 1\]. Got 0.0"),
        ({"recall_target": 1.01}, "`recall_target` must be in"),
        ({"exact": ivf().index(CANDIDATES)}, "`exact` must be an exact index"),
        (
            {"exact": layers.BruteForce().index(CANDIDATES[:9])},
            "`exact` must hold the candidates of the index. Got 9 of 900",
        ),
        (
            {"index": layers.BruteForce().index(CANDIDATES)},
            "`index` must be approximate: .* nothing to tune. Got BruteForce",
        ),
        ({"index": ivf()}, "`index` must be filled"),
        (
            {"index": layers.ScaNN(num_leaves=2).index(CANDIDATES)},
            "`exact` must be .* or `candidates` must be given",
        ),
    ],
)
def test_what_cannot_be_tuned_is_an_error(index, changes, words):
    arguments = {"index": index, "queries": QUERIES, "k": K} | changes
    with pytest.raises(ValueError, match=words):
        tuning.tune(**arguments)


def test_a_query_without_a_number_is_an_error_and_leaves_the_index_as_it_was():
    index = ivf().index(CANDIDATES)
    queries = QUERIES.copy()
    queries[7, 2] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="`queries` must be fini"):
        tuning.tune(index, queries, k=K)
    assert index.num_probes == 3
