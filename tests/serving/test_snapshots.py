"""Snapshots of live modules: what comes back answers and goes on as what was saved."""

import json
import threading

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from tests.serving.conftest import START, histories

RNG = np.random.default_rng(7)
ROWS = RNG.normal(size=(30, 4)).astype("float32")
NAMES = np.array([f"i{n}" for n in range(30)])
KINDS = {"kind": np.resize(["a", "b", "c"], 30)}
QUERIES = RNG.normal(size=(6, 4)).astype("float32")
IVF = {"block_size": 4, "num_partitions": 5, "num_probes": 3}
NOW = START + 10**6
UPSERT = RNG.normal(size=(3, 4)).astype("float32")


def make_index(kind, **options):
    options |= IVF if kind == "IVF" else {}
    index = getattr(tm.layers, kind)(k=5, capacity=40, **options)
    return index.index(ROWS, NAMES, attributes=KINDS)


def change(index, step):
    some = {"kind": np.array(["b", "a", "a"])}
    index.upsert(UPSERT * (1 + step), ["i3", f"n{step}", "i9"], attributes=some)
    index.remove([f"i{20 + step}"])


def assert_same_index(one, other):
    for arguments in (
        {},
        {"k": 9, "exclusions": [["i3", "n0"]] * 6},
        {"filters": {"kind": [["a"]] * 6}},
        {"allowed": [["i9", "n0", "i20"]] * 6},
    ):
        for a, b in zip(
            one(QUERIES, **arguments), other(QUERIES, **arguments), strict=True
        ):
            np.testing.assert_array_equal(a, b)
    assert one.staleness == other.staleness
    assert one.num_candidates == other.num_candidates


@pytest.mark.parametrize("measure", ["dot_product", "cosine"])
@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_an_index_comes_back_and_goes_on_alike(kind, measure, tmp_path):
    index = make_index(kind, distance_measure=measure)
    change(index, 0)
    folder = tm.serving.save_snapshot(index, tmp_path, sequence=41)
    restored = tm.serving.load_snapshot(tmp_path)
    assert (restored.sequence, restored.folder) == (41, folder)
    again = restored.module
    assert type(again) is type(index)
    assert again.staleness == index.staleness > 0
    assert_same_index(index, again)
    for step in (1, 2):  # the same slots are taken, too
        change(index, step)
        change(again, step)
        assert_same_index(index, again)
    for module in (index, again):
        with pytest.raises(ValueError, match="`capacity` is 40"):
            module.add(
                ROWS[:20],
                [f"m{n}" for n in range(20)],
                attributes={"kind": KINDS["kind"][:20]},
            )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_back(dtype, tmp_path):
    index = tm.layers.BruteForce(k=5).index(tf.cast(ROWS, dtype), np.arange(30))
    tm.serving.save_snapshot(index, tmp_path)
    again = tm.serving.load_snapshot(tmp_path).module
    assert again.contents()[1].dtype == dtype
    np.testing.assert_array_equal(again(QUERIES)[0], index(QUERIES)[0])


def test_staleness_is_saved_with_an_index_of_keras(tmp_path):
    index = make_index("IVF")
    change(index, 0)
    index(QUERIES)
    index.save(tmp_path / "index.keras")
    again = tf.keras.models.load_model(tmp_path / "index.keras")
    assert again.staleness == index.staleness > 0


@pytest.fixture(scope="module")
def make(dated):
    """A function that makes the same live recommender, with trends and filters."""
    tf.keras.utils.set_random_seed(0)
    table = tm.data.trend_table(dated, "serving", half_lives_days=[0.5, 8.0])
    items = tm.towers.FeatureTower(dated.item_features, 4)
    items = tm.towers.FeatureLookup(items, dated.items)
    model = tm.models.NextItem(
        tm.towers.RecencyPooling(items, 4, dropout=0.0),
        num_trends=table.num_trends,
        trend_table=table,
    )
    model({"history": tf.constant([[1]]), "item_id": [1], "timestamp": [START]})
    bias = model.query_tower.trainable_weights[-1]
    bias.assign([0.4, 0.9, -0.2, 0.1])
    size = dated.num_items
    rows = items({"item_id": tf.range(1, size + 1)}).numpy()

    def make_it(query_model=model.query_tower):
        trends = tm.serving.LiveTrends.of(table, NOW)
        columns = trends.columns(np.arange(1, size + 1))
        index = tm.layers.IVF(capacity=size + 5, block_size=4, num_probes=99).index(
            np.concatenate([rows, columns], axis=1),
            np.arange(1, size + 1),
            attributes={"kind": np.resize(["short", "long"], size)},
        )
        return tm.serving.Recommender(
            query_model,
            index,
            user_ids=dated.vocabularies["user_id"],
            user_features=histories(dated),
            item_ids=dated.vocabularies["item_id"],
            titles=dated.titles,
            known_items=dated.known_items("test"),
            candidate_probabilities=dated.popularity("test"),
            exclude_seen=False,
            item_tower=items,
            explain=True,
            trends=trends,
            attribute_values={"kind": ["short", "long"]},
        )

    return make_it


def update(module, number):
    """The update with a number, of a log."""
    kinds = {"kind": np.array(["long"])}
    if number % 3 == 0:
        rows = np.full([1, 4], 0.1 + number, "float32")
        title = [f"New {number}"]
        module.upsert_items(
            [f"new {number}"], embeddings=rows, titles=title, attributes=kinds
        )
    elif number % 3 == 1:
        module.remove_items([f"i{number}"])
    else:
        ids = ["i0", "i0", "i2"]
        module.update_trends(ids, NOW + 3600 * number)


def answers(module):
    """Answers of every kind, as text."""
    users, yes = tf.constant(["u1", "u3", "nobody"]), tf.constant([True] * 3)
    asked = [{}, {"filters": {"kind": tf.constant([["long"]] * 3)}}]
    lists = tf.constant([["i2", "new 0", "i5"]] * 3)
    asked += [{"exclusions": lists}, {"allowed": lists}]
    found = [module.find(users, 8, yes, **lists) for lists in asked]  # not traced
    found += [module.find(users, 8, ~yes)]
    texts = [module.name(one.items)["title"].numpy().tolist() for one in found]
    scores = [one.scores.numpy().tolist() for one in found]
    named = module.ask(["u1", "u2"], k=5)
    return json.dumps([scores, named, str(texts)], sort_keys=True, default=float)


def test_a_recommender_comes_back_and_replays_what_came_after(make, tmp_path):
    module = make()
    for number in range(6):
        update(module, number)
    tm.serving.save_snapshot(module, tmp_path, sequence=5)
    before = answers(module)
    for number in range(6, 9):  # lost in a crash
        update(module, number)
    restored = tm.serving.load_snapshot(tmp_path)
    again = restored.module
    assert answers(again) == before != answers(module)
    assert again.trends.time == NOW + 3600 * 5
    assert again.index.staleness == pytest.approx(module.index.staleness, abs=1)
    assert again.num_items == module.num_items - 1
    for number in range(restored.sequence + 1, 9):
        update(again, number)
    assert answers(again) == answers(module)
    assert again.index.staleness == module.index.staleness
    new = {"features": {}, "attributes": {"kind": np.array(["short"])}}
    for live in (module, again):
        live.upsert_items(["of features"], **new)
    assert answers(again) == answers(module)
    signatures = {"serving_default": again.recommend}
    exported = tm.serving.export(again, tmp_path / "export", signatures=signatures)
    assert not tf.saved_model.load(str(exported)).exclude_seen


def test_layers_are_given_where_keras_cannot_make_them(make, tmp_path):
    width = make().index.embedding_dim
    weights = tf.Variable(tf.ones([width]))
    tower = tf.keras.layers.Lambda(
        lambda users: tf.cast(users["history"][:, :1], tf.float32) * weights
    )
    module = make(tower)
    tm.serving.save_snapshot(module, tmp_path)
    with pytest.raises(ValueError, match="`query_model` must be given"):
        tm.serving.load_snapshot(tmp_path)
    again = tm.serving.load_snapshot(tmp_path, query_model=tower).module
    assert again.ask("u1") == module.ask("u1")
    weights.assign(2 * weights)
    with pytest.raises(ValueError, match="`query_model` must be that of the snap"):
        tm.serving.load_snapshot(tmp_path, query_model=tower)


def test_only_whole_snapshots_are_loaded(tmp_path):
    index = make_index("BruteForce")
    tm.serving.save_snapshot(index, tmp_path, sequence=1)
    change(index, 0)
    newest = tm.serving.save_snapshot(index, tmp_path, sequence=2)
    arrays = newest / "arrays.npz"
    content = bytearray(arrays.read_bytes())
    content[len(content) // 2] ^= 1
    arrays.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"2 is not as it .*1 is whole.*updates after 1"
    ):
        tm.serving.load_snapshot(tmp_path)
    with pytest.warns(UserWarning, match="1 is used in its place"):
        restored = tm.serving.load_snapshot(tmp_path, fall_back=True)
    assert restored.sequence == 1
    assert restored.module.staleness == 0
    for name in ("arrays.npz", "snapshot.json"):
        (tmp_path / "1" / name).write_bytes(b"")
        with pytest.raises(ValueError, match="No snapshot of .* is whole"):
            tm.serving.load_snapshot(tmp_path)
        with pytest.raises(ValueError, match="No snapshot of .* is whole"):
            tm.serving.load_snapshot(tmp_path / "1", fall_back=True)


def test_a_snapshot_of_another_format_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr("tfrs_models.serving.snapshots._FORMAT", 9)
        tm.serving.save_snapshot(make_index("BruteForce"), tmp_path)
    with pytest.raises(ValueError, match=r"format 9, of another version.*reads 1"):
        tm.serving.load_snapshot(tmp_path)


def test_what_cannot_be_saved_or_loaded_is_named(tmp_path):
    with pytest.raises(
        ValueError, match="`module` must be a `Recommender`.*Got Module"
    ):
        tm.serving.save_snapshot(tf.Module(), tmp_path)
    with pytest.raises(ValueError, match="must hold an index that is filled"):
        tm.serving.save_snapshot(tm.layers.BruteForce(), tmp_path)
    with pytest.raises(ValueError, match="`directory` must have a snapshot"):
        tm.serving.load_snapshot(tmp_path)


def test_a_save_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    index = make_index("BruteForce")
    tm.serving.save_snapshot(index, tmp_path, sequence=1)

    def fill_the_disk(*_, **__):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(np, "savez", fill_the_disk)
        with pytest.raises(OSError, match="No space"):
            tm.serving.save_snapshot(index, tmp_path, sequence=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1"]
    for sequence in range(2, 6):
        tm.serving.save_snapshot(index, tmp_path, sequence=sequence, keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["4", "5"]
    assert tm.serving.load_snapshot(tmp_path).sequence == 5


def test_a_snapshot_is_of_one_moment_while_a_thread_updates(tmp_path):
    index = make_index("IVF")
    states = [index.contents()[1].numpy().sum()]
    for factor in (1, 2, 3):
        index.upsert(factor * ROWS, NAMES, attributes=KINDS)
        states.append(index.contents()[1].numpy().sum())
    done = threading.Event()

    def keep_updating():
        while not done.is_set():
            for factor in (1, 2, 3):
                index.upsert(factor * ROWS, NAMES, attributes=KINDS)

    thread = threading.Thread(target=keep_updating)
    thread.start()
    for _ in range(6):
        tm.serving.save_snapshot(index, tmp_path, keep=6)
    done.set()
    thread.join()
    for folder in sorted(tmp_path.iterdir()):
        again = tm.serving.load_snapshot(folder).module
        total = again.contents()[1].numpy().sum()
        assert np.isclose(total, states, rtol=1e-4).any()
        np.testing.assert_array_equal(
            np.sort(again.contents()[0]), np.sort(NAMES.astype(bytes))
        )
