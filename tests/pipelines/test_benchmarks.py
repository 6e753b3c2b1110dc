"""Benchmarks run, and their own arithmetic is right; what they measure is no test."""

import dataclasses
import importlib

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines.benchmarks import (
    cold_start,
    deep_hash,
    protocols,
    results,
    sequences_report,
    timing,
)
from pipelines.benchmarks.__main__ import NAMES
from pipelines.benchmarks.baselines.plain_sasrec import PlainSASRec
from pipelines.benchmarks.planted_tastes import make_clicks
from pipelines.benchmarks.protocols import Case

QUICK = ("interactions", "live_index", "live_trends")


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in NAMES
        if name
        not in (
            "yardstick",
            "cascade",
            "trends",
        )  # whole pipelines: have tests elsewhere
    ],
)
def test_a_benchmark_runs_and_returns_finite_figures(name):
    module = importlib.import_module(f"pipelines.benchmarks.{name}")
    measured = module.main(module.SMOKE)
    assert measured
    assert np.isfinite(list(measured.values())).all()


def test_a_plain_sasrec_compares_with_one_item_that_the_user_has_not():
    items = tm.towers.FeatureTower([tm.data.Feature("item_id", "id", 5)], 4)
    model = PlainSASRec(items, seq_len=3)
    features = {
        "history": tf.constant([[1, 2, 0], [3, 1, 4]], tf.int64),
        "item_id": tf.constant([[2, 0, 0], [0, 4, 2]], tf.int64),
        "known_items": tf.ragged.constant([[1, 2, 3, 5], [1, 2, 3, 4, 5]], tf.int64),
    }
    table = items({"item_id": np.arange(6)}).numpy()
    queries = model.query_tower(features, return_sequences=True).numpy()

    def loss(query, item, label):
        return np.log(1 + np.exp(-label * query @ table[item]))

    positive = (
        loss(queries[0, 0], 2, 1)
        + loss(queries[1, 1], 4, 1)
        + loss(queries[1, 2], 2, 1)
    )
    found = {round(float(model.compute_loss(features)), 4) for _ in range(50)}
    with_negative = positive + loss(queries[0, 0], 4, -1)  # the only one left to draw
    assert found == {round(float(v) / 3, 4) for v in (positive, with_negative)}


def test_gaps_are_seconds_since_the_users_row_before():
    data = protocols.invented_times().measure
    rows = data.splits["test"]
    for row, gap in enumerate(sequences_report.gaps(data)):
        user = rows["user_id"][row]
        of_user = data.splits["train"]["user_id"] == user
        before = max(data.splits["train"]["timestamp"][of_user])
        assert gap == rows["timestamp"][row] - before


def test_measuring_uses_the_test_rows_that_were_not_chosen_on():
    """The last row of a user is test in both, the one before only in the choosing."""
    choose, measure = protocols.latest_small()[1:]

    def rows(data, split):
        names = data.vocabularies
        part = data.splits[split]
        users = names["user_id"][part["user_id"] - 1]
        items = names["item_id"][part["item_id"] - 1]
        return set(zip(users, items, strict=True))

    assert rows(measure, "test") == rows(choose, "test")
    earlier = rows(choose, "train") | rows(choose, "validation")
    assert rows(measure, "train") == earlier


def test_only_what_is_random_takes_a_turn_for_every_seed():
    def make(data, split, seed):
        return data, split, seed

    assert list(Case(make).turns("data", seeds=3)) == [("data", "test", 0)]
    turns = list(Case(make, is_random=True).turns("data", seeds=3))
    assert turns == [("data", "test", seed) for seed in range(3)]


def test_a_spread_is_over_seeds_and_an_interval_over_rows():
    same_rows = np.array([[0.0] * 40, [1.0] * 40])
    assert results.with_spread(same_rows) == "0.5000 ± 0.7071 [0.500, 0.500]"
    same_seeds = np.array([[0.0, 1.0] * 20] * 2)
    cell = results.with_spread(same_seeds)
    assert cell.startswith("0.5000 ± 0.0000 [0.3")
    assert results.with_spread(same_seeds[:1]) == cell.replace(" ± 0.0000", "")
    one_user = results.with_spread(same_seeds, np.zeros(40))
    assert one_user == "0.5000 ± 0.0000 [0.500, 0.500]"


def test_new_items_are_measured_apart_from_the_others(monkeypatch):
    # One case: which rows are measured is the same in all of them.
    reference = {cold_start.REFERENCE: cold_start.CASES[cold_start.REFERENCE]}
    monkeypatch.setattr(cold_start, "CASES", reference)
    data = protocols.invented_times(split="new_items").measure
    draw = cold_start.measure("invented", cold_start.SMOKE, seed=0)
    items = data.splits["test"]["item_id"]
    trained = set(data.splits["train"]["item_id"])
    assert draw.is_cold.tolist() == [item not in trained for item in items]
    assert len(draw.users) == len(items)
    users = data.splits["test"]["user_id"]
    names = data.vocabularies["user_id"][users[users > 0] - 1].tolist()
    assert draw.users[users > 0].tolist() == names
    unknown = draw.users[users == 0].tolist()
    assert len(set(unknown)) == len(unknown)
    assert not set(unknown) & set(names)


def test_embeddings_of_similar_texts_are_near_each_other():
    data = protocols.invented_times().measure
    titles = [f"{a} {b}" for a in ("red", "salt", "moon") for b in ("door", "sea")] * 9
    data = dataclasses.replace(
        data, titles=np.array(["unknown", *titles[: len(data.titles) - 1]])
    )
    vectors = cold_start.hashed_texts(data)
    assert vectors.shape[0] == data.num_items + 1
    assert not vectors[0].any()
    unit = vectors[1:] / np.linalg.norm(vectors[1:], axis=1, keepdims=True)
    same, near, far = (unit[0] @ unit[n] for n in (6, 1, 3))  # red: door, sea; salt sea
    assert same == pytest.approx(1, abs=1e-4)
    assert 0.9 > near > far + 0.1


def test_bytes_counted_without_a_tower_are_those_of_the_tower():
    def make():
        return tm.towers.DeepHash(8, num_hashes=16)

    tower = make()
    total, trained = deep_hash.bytes_of(make)
    assert total == sum(weight.numpy().nbytes for weight in tower.weights)
    assert trained == sum(w.numpy().nbytes for w in tower.trainable_weights)
    table, _ = deep_hash.bytes_of(lambda: tm.towers.UserId(10**11, 8))  # 3.2 TB
    assert table == 10**11 * 8 * 4


def test_planted_clicks_are_of_known_users_and_follow_their_logits():
    clicks = make_clicks(200, rows=3000, test_rows=4000, taste_dim=3, seed=0)
    train, test = clicks.train["user_number"], clicks.test["user_number"]
    assert set(test) <= set(train)
    ids = dict(zip(train, clicks.train["user_id"], strict=True))
    assert [ids[user] for user in test] == clicks.test["user_id"].tolist()
    counts = np.bincount(train)[test]
    parts = [counts[clicks.test_slices == part] for part in ("head", "torso", "tail")]
    assert parts[0].min() >= parts[1].max() >= parts[1].min() >= parts[2].max()
    planted = clicks.judge(clicks.test_logits)["all"]
    chance = 1 / (1 + np.exp(-clicks.test_logits))
    rate = np.where(clicks.test["label"], chance, 1 - chance)
    assert planted[1] == pytest.approx(-np.log(rate).mean())
    assert planted[0] > 0.7 > clicks.judge(np.zeros(len(test)))["all"][0] == 0.5


def test_a_ratio_compares_the_runs_of_one_turn():
    assert timing.ratio([4.0, 90.0, 6.0], [2.0, 30.0, 1.0]) == (3.0, 2.0, 6.0)


def test_cases_take_turns():
    order = []
    cases = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
    seconds = timing.interleave(cases, repeats=2, warm_up=False)
    assert order == ["a", "b", "a", "b"]
    assert [len(values) for values in seconds.values()] == [2, 2]


def test_a_section_is_replaced_and_the_others_stay(tmp_path):
    path = tmp_path / "RESULTS.md"
    results.write_section("zebra", "### inner\n\nold", path=path)
    results.write_section("ant", "other", path=path)
    results.write_section("zebra", "new", path=path)
    text = path.read_text()
    assert text.index("## ant") < text.index("## zebra")
    assert "new" in text
    assert "old" not in text
    assert text.count("# Measured") == 1
