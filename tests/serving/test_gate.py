"""Two versions on the same queries, beside loops and by the doors they come in."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.metrics.bootstrap import Interval, bootstrap_interval
from tfrs_models.serving import export, gate
from tfrs_models.serving.comparison import Change, Comparison
from tfrs_models.serving.contract import ContractError
from tfrs_models.serving.gate import (
    hit_rate,
    ndcg,
    overlap,
    rank_biased_overlap,
    ranked_ids,
)

NUM_ITEMS, K = 30, 4
TABLE = np.random.default_rng(0).normal(size=(200, NUM_ITEMS)).astype("float32")
LOOSE = gate.Rules(
    minimum_queries=1,
    minimum_overlap=0.0,
    maximum_fall=1.0,
    minimum_shown=0.0,
    maximum_unanswered=1.0,
    maximum_latency=1e9,
)


class Scored(tf.Module):
    """Sorts the items of a user by a table of scores."""

    def __init__(self, table):
        super().__init__()
        self.table = tf.Variable(table)
        self.names = tf.Variable([f"i{n}" for n in range(NUM_ITEMS)])

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32, "user"),
            tf.TensorSpec([None], tf.int32, "k"),
        ]
    )
    def answer(self, user, k):
        tf.debugging.assert_positive(k, "`k` must be positive.")
        scores, rows = tf.math.top_k(tf.gather(self.table, user), tf.reduce_max(k))
        names = tf.gather(self.names, rows)
        return {
            "item_id": tf.where(tf.math.is_inf(scores), "", names),
            "score": scores,
        }

    @property
    def signatures(self):
        return {"serving_default": self.answer}

    @property
    def samples(self):
        return {"serving_default": {"user": [3, 4], "k": [K, K]}}


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return export(Scored(TABLE), tmp_path_factory.mktemp("old"))


@pytest.fixture(scope="module")
def new(tmp_path_factory):
    noise = np.random.default_rng(1).normal(size=TABLE.shape)
    table = (TABLE + 0.4 * noise).astype("float32")
    table[7] = -np.inf  # this user gets nothing
    return export(Scored(table), tmp_path_factory.mktemp("new"))


def requests(rows=200, size=50):
    users = np.arange(rows, dtype=np.int32)
    return [
        {"user": users[i : i + size], "k": np.full(len(users[i : i + size]), K)}
        for i in range(0, rows, size)
    ]


def best(path):
    """The answers to all users, by sorting."""
    answers = []
    for scores in tf.saved_model.load(str(path)).table.numpy():
        order = sorted(range(NUM_ITEMS), key=(-scores).__getitem__)[:K]
        answers.append([f"i{n}" for n in order if np.isfinite(scores[n])])
    return answers


def test_figures_are_those_of_loops(old, new):
    rng = np.random.default_rng(2)
    relevant = [
        [f"i{n}" for n in rng.choice(NUM_ITEMS, rng.integers(0, 4), replace=False)]
        for _ in range(200)
    ]
    found = gate.compare(
        old, new, requests(), relevant=relevant, num_items=NUM_ITEMS, rules=LOOSE
    )
    assert (found.k, found.num_queries) == (K, 200)
    answers = {path: best(path) for path in (old, new)}
    shared = [len({*a} & {*b}) / K for a, b in zip(*answers.values(), strict=True)]
    assert found.overlap.mean == pytest.approx(np.mean(shared))
    assert found.overlap.low < found.overlap.mean < found.overlap.high
    assert found.shown == tuple(
        len({n for a in rows for n in a}) for rows in answers.values()
    )
    assert found.answered == pytest.approx((1, 199 / 200))
    judged = [user for user in range(200) if relevant[user]]
    for name, metric in (("hit_rate", hit), ("ndcg", gain)):
        change = found.metrics[f"{name}_at_{K}"]
        values = {
            path: [metric(answers[path][user], relevant[user]) for user in judged]
            for path in (old, new)
        }
        assert change.old == pytest.approx(np.mean(values[old]))
        assert change.new == pytest.approx(np.mean(values[new]))
        assert change.difference.mean == pytest.approx(change.new - change.old)
        assert change.difference.low < change.difference.mean < change.difference.high
    assert found.latency_ratio > 0
    assert found.promote
    assert found.exit_code == 0
    assert str(found).endswith("PROMOTE")
    assert f"{found.shown[0]} (" in str(found)


def hit(answer, relevant):
    return 1.0 if any(item in relevant for item in answer) else 0.0


def gain(answer, relevant):
    got = sum(1 / math.log2(p + 2) for p, item in enumerate(answer) if item in relevant)
    return got / sum(1 / math.log2(p + 2) for p in range(min(len(relevant), K)))


def test_a_version_is_not_told_from_itself(old):
    found = gate.compare(
        old,
        old,
        requests(),
        relevant=[["i3"]] * 200,
        rules=dataclasses.replace(gate.Rules(), maximum_latency=1e9),
    )
    assert found.overlap == found.rank_biased_overlap == (1, 1, 1)
    assert found.metrics["ndcg_at_4"].difference == (0, 0, 0)
    assert found.shown[0] == found.shown[1]
    assert found.promote


def test_whole_users_are_drawn_where_rows_are_of_users(old, new):
    groups = np.repeat([1, 2], 100)
    relevant = [best_of(TABLE[user]) if user < 100 else ["none"] for user in range(200)]
    found, alone = (
        gate.compare(
            old,
            new,
            requests(),
            relevant=relevant,
            groups=given,
            rules=LOOSE,
            repeats=1,
        )
        for given in (groups, None)
    )
    for one, other in (
        (found.overlap, alone.overlap),
        (found.rank_biased_overlap, alone.rank_biased_overlap),
        *(
            (found.metrics[name].difference, alone.metrics[name].difference)
            for name in alone.metrics
        ),
    ):
        assert one.mean == other.mean
        assert one[1:] != other[1:]
    # Of two users one loses and one has nothing to lose: both or none may be drawn.
    fall = found.metrics[f"ndcg_at_{K}"].difference
    assert fall.low == pytest.approx(2 * fall.mean)
    assert fall.high == 0


def test_clients_loaded_models_and_ids_by_number_are_compared(old):
    class Client:
        def predict(self, inputs, *, signature):
            assert signature == "serving_default"
            rows = np.argsort(-TABLE[inputs["user"]])[:, :K]
            return {"rows": np.char.add("i", rows.astype(str)).astype(object)}

    loaded = tf.saved_model.load(str(old))
    same = gate.compare(loaded, old, requests(), k=2, rules=LOOSE)
    assert same.overlap.mean == 1
    with pytest.raises(ValueError, match="must have ids, .* Got item_id or id of"):
        gate.compare(old, Client(), requests())
    both = gate.compare(Client(), Client(), requests(), ids="rows", rules=LOOSE)
    assert both.overlap.mean == 1
    assert both.k == K
    nobody = [{"user": np.zeros(0, "int32")}]
    with pytest.raises(ValueError, match="`queries` must have at least one row"):
        gate.compare(Client(), Client(), nobody, ids="rows")


class Recorded:
    """A client of its own table that notes what it is sent."""

    def __init__(self, name, log, table=TABLE):
        self.name, self.log, self.table = name, log, table

    def predict(self, inputs, *, signature):
        self.log.append((self.name, signature, len(inputs["user"])))
        rows = np.argsort(-self.table[inputs["user"]])[:, :K]
        points = np.ones(rows.shape)
        points[:, 2] = -np.inf
        return {"id": rows, "points": points}


def test_each_version_is_timed_as_often_and_the_first_one_changes():
    log = []
    queries = [{"user": np.arange(rows)} for rows in (3, 5)]
    found = gate.compare(
        Recorded("old", log),
        Recorded("new", log),
        queries,
        k=3,
        num_items=60,
        signature="rank",
        scores="points",
        repeats=3,
        rules=LOOSE,
    )
    assert {signature for _, signature, _ in log} == {"rank"}
    answers, timed = log[:4], log[4:]
    assert [(name, rows) for name, _, rows in answers] == [
        ("old", 3),
        ("old", 5),
        ("new", 3),
        ("new", 5),
    ]
    turns = [timed[i : i + 4] for i in range(0, 12, 4)]
    assert all([rows for *_, rows in turn] == [3, 3, 5, 5] for turn in turns)
    firsts = [turn[0][0] for turn in turns]
    assert firsts[0] == firsts[2] != firsts[1]
    assert all({turn[0][0], turn[1][0]} == {"old", "new"} for turn in turns)
    assert found.answered == pytest.approx((2 / 3, 2 / 3))  # of a `-inf` each
    assert found.num_queries == 8
    assert f"{found.shown[0] / 60:.1%}" in str(found)


def test_versions_that_answer_other_rows_are_an_error():
    class Short(Recorded):
        def predict(self, inputs, *, signature):
            answer = super().predict(inputs, signature=signature)
            return {name: rows[:-1] for name, rows in answer.items()}

    queries = [{"user": np.arange(rows)} for rows in (3, 5)]
    for old, new in ((Short, Recorded), (Recorded, Short)):
        with pytest.raises(ValueError, match="one row for each .*Got 2 and 3|3 and 2"):
            gate.compare(old("old", []), new("new", []), queries)


def test_metrics_of_groups_leave_out_the_rows_that_they_leave_out():
    users = np.arange(60)
    worse = TABLE + np.random.default_rng(5).normal(size=TABLE.shape)
    order = np.argsort(-TABLE, axis=1)
    relevant = [[] if n % 3 == 0 else [int(order[n, n % 7])] for n in users]
    groups = np.where(users % 3 == 0, users % 2, 2 + users % 5)
    found = gate.compare(
        Recorded("old", []),
        Recorded("new", [], worse),
        [{"user": users[:41]}, {"user": users[41:]}],
        relevant=relevant,
        groups=groups,
        ids="id",
        repeats=1,
        rules=LOOSE,
    )
    change = found.metrics[f"hit_rate_at_{K}"]
    rows = [n for n in users if relevant[n]]
    old = [float(relevant[n][0] in np.argsort(-TABLE[n])[:K]) for n in rows]
    new = [float(relevant[n][0] in np.argsort(-worse[n])[:K]) for n in rows]
    assert (change.old, change.new) == pytest.approx((np.mean(old), np.mean(new)))
    assert len(set(np.subtract(new, old))) == 3  # win, tie and loss
    expected = bootstrap_interval(np.subtract(new, old), groups[rows])
    assert change.difference == pytest.approx(expected)


def test_relevant_items_that_the_query_excludes_are_left_out_and_counted():
    class Client:
        """Answers with the items "a" to "c" that a row does not exclude."""

        def predict(self, inputs, **_):
            rows = [
                [name for name in "abc" if name not in own]
                for own in inputs["exclusions"]
            ]
            return {"item_id": np.array([[*row, "", "", ""][:3] for row in rows])}

    queries = [
        {"user": [0, 1], "exclusions": [["a", ""], ["b", "c"]]},
        {"user": [2], "exclusions": [["c"]]},
    ]
    found = gate.compare(
        Client(),
        Client(),
        queries,
        relevant=[["a", "c"], ["c"], ["a"]],  # rows 0 and 1 exclude "a" and "c"
        k=1,
        rules=LOOSE,
        repeats=1,
    )
    assert found.hidden == 2
    assert "2 relevant items are excluded and left out" in str(found)
    # Row 0 answers "b" for "c", row 1 has none left, row 2 answers "a": one of two.
    assert found.metrics["hit_rate_at_1"].old == 0.5
    with pytest.raises(ValueError, match="not only items that its query excludes"):
        gate.compare(Client(), Client(), queries[1:], relevant=[["c"]], repeats=1)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"minimum_queries": 201}, "200 queries are too few: at least 201"),
        ({"minimum_overlap": 0.99}, "the answers share 0"),
        ({"maximum_fall": 0.0}, "hit_rate_at_4 may have fallen by 0"),
        ({"minimum_shown": 1.5}, "30 different items are shown, not 30: at least 1.5"),
        (
            {"maximum_unanswered": 0.004},
            "0.9950 of the places have an item, not 1.0000",
        ),
        ({"maximum_latency": 0.0}, "times as long: at most 0"),
    ],
)
def test_each_rule_refuses_with_its_reason(old, new, rules, words):
    rules = dataclasses.replace(LOOSE, **rules)
    relevant = [best_of(TABLE[user]) for user in range(200)]
    found = gate.compare(old, new, requests(), relevant=relevant, rules=rules)
    assert not found.promote
    assert found.exit_code == 1
    assert words in found.reasons[0]
    assert f"REFUSE\n- {found.reasons[0]}" in str(found)


def best_of(scores):
    return [f"i{np.argmax(scores)}"]


def test_a_fall_within_the_interval_alone_is_refused():
    """Half of the queries lose, half win: the mean stays, but nobody knows."""
    rows = [Change(0.5, 0.5, Interval(0.0, -0.2, 0.2))]
    made = dict.fromkeys(["metric"], rows[0])
    found = Comparison(
        k=1,
        num_queries=9,
        overlap=Interval(1, 1, 1),
        rank_biased_overlap=Interval(1, 1, 1),
        shown=(1, 1),
        num_items=None,
        answered=(1, 1),
        metrics=made,
        seconds=(1, 1),
        latency_ratio=1,
        rules=dataclasses.replace(LOOSE, maximum_fall=0.1),
    )
    assert found.reasons == (
        "metric may have fallen by 0.2000: at most 0.1 (the lower end of the interval "
        "counts)",
    )


def test_a_version_that_broke_its_contract_is_not_compared(old, tmp_path):
    export(Scored(TABLE), tmp_path)
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"drift")
    with pytest.raises(ContractError, match="broke its contract"):
        gate.compare(old, tmp_path, requests())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"queries": []}, "`queries` must hold at least one request"),
        ({"queries": {"user": [1], "k": [2]}}, "`queries` must be a list.*Got dict"),
        ({"queries": "user"}, "`queries` must be requests.*Got str in place 0"),
        ({"queries": [[1, 2]]}, "`queries` must be requests.*Got list in place 0"),
        ({"queries": [*requests(), None]}, "Got NoneType in place 4"),
        (
            {"queries": [{"user": [[1], [2, 3]], "k": [2, 2]}]},
            "The input `user` of `queries` must be int32",
        ),
        ({"queries": [{"user": None, "k": [2]}]}, "`user` of `queries` must be int32"),
        (
            {"queries": [{"user": [2**40], "k": [2]}]},
            "`user` of `queries` must be int32",
        ),
        ({"queries": [{"user": [1.7], "k": [2]}]}, "`user` of `queries` must be int32"),
        ({"k": 2.5}, "`k` must be at least 1, or None. Got 2.5"),
        ({"repeats": 1.5}, "`repeats` must be at least 1. Got 1.5"),
        ({"old": None}, "`old` and `new` must be folders.*Got NoneType"),
        ({"new": 7}, "`old` and `new` must be folders.*Got int"),
        ({"relevant": ["i1"] * 200}, "a list of ids for each row.*Got 'i1' for row 0"),
        ({"relevant": [["i1"]] * 199 + [None]}, "Got None for row 199"),
        ({"relevant": [[["i1"]]] * 200}, r"Got \[\['i1'\]\] for row 0"),
        ({"groups": [[1, 2]] * 200}, r"`groups` must be one value.*\(200, 2\)"),
        ({"k": 0}, "`k` must be at least 1, or None. Got 0"),
        ({"repeats": 0}, "`repeats` must be at least 1"),
        ({"signature": "rank"}, "`signature` must be one of .*serving_default"),
        ({"queries": [{"user": [1]}]}, r"must have the inputs of .*\['k', 'user'\]"),
        (
            {"queries": [{"user": ["ann"], "k": [2]}]},
            "The input `user` of `queries` must be int32",
        ),
        (
            {"queries": [{"user": [[1]], "k": [2]}]},
            "The input `user` of `queries` must have the shape",
        ),
        ({"relevant": [["i1"]]}, "`relevant` must have an entry for each of the 200"),
        ({"groups": [1, 2]}, "`groups` must have an entry for each of the 200"),
        ({"relevant": [[]] * 200}, "`relevant` must name an item of at least one row"),
        ({"ids": "title"}, "`ids` names the output. Got title of the outputs"),
    ],
)
def test_what_cannot_be_compared_is_an_error(old, changes, words):
    arguments = {"old": old, "new": old, "queries": requests()} | changes
    with pytest.raises(ValueError, match=words):
        gate.compare(**arguments)


def test_a_query_that_a_version_refuses_is_its_error(old):
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be positive"):
        gate.compare(old, old, [{"user": [3], "k": [0]}])


def test_places_without_an_item_are_left_out():
    ids = np.array([[b"b", b"", b"a"], [b"c", b"d", b"e"]], object)
    scores = np.float32([[3, 2, 1], [5, -np.inf, -np.inf]])
    assert ranked_ids(ids, scores) == [["b", "a"], ["c"]]
    assert ranked_ids(ids, k=1) == [["b"], ["c"]]
    assert ranked_ids(np.array([[4, -1, 0]])) == [[4, 0]]


def test_overlap_is_of_the_longer_list():
    assert overlap([1, 2, 3], [3, 1]) == pytest.approx(2 / 3)
    assert overlap([], []) == 1
    assert overlap([], [1]) == 0


@pytest.mark.parametrize(
    ("first", "second"), [([1, 2, 3], [3, 1, 2]), ([1, 2], [1, 9]), ([5], [6])]
)
def test_rank_biased_overlap_is_a_series_that_goes_on(first, second):
    value, agreement = 0.0, 0.0
    for d in range(1, 2000):
        if d <= len(first):
            agreement = len({*first[:d]} & {*second[:d]}) / d
        value += 0.1 * 0.9 ** (d - 1) * agreement
    assert rank_biased_overlap(first, second) == pytest.approx(value)
    assert rank_biased_overlap([], []) == 1


def test_metrics_count_the_first_places_only():
    assert hit_rate(["a", "b"], ["b"], k=1) == 0
    assert hit_rate(["a", "b"], ["b"], k=2) == 1
    assert ndcg(["a", "b"], ["b"], k=2) == pytest.approx(1 / math.log2(3))
    assert ndcg(["b", "a"], ["b", "z"], k=2) == pytest.approx(
        1 / (1 + 1 / math.log2(3))
    )
    assert ndcg([], ["b"], k=2) == 0
