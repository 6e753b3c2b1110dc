import threading

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm


def ask(function, users, *, k=4, exclude_seen=False):
    answer = function(
        user_id=tf.constant(users),
        k=tf.broadcast_to(tf.constant(k), [len(users)]),
        exclude_seen=tf.broadcast_to(tf.constant(exclude_seen), [len(users)]),
    )
    return {name: value.numpy() for name, value in answer.items()}


def scores_of(recommender, interactions, user):
    """Every item's score for a user, by a product in NumPy."""
    row = list(interactions.vocabularies["user_id"]).index(user) + 1
    features = {
        name: tf.constant(values[row : row + 1])
        for name, values in interactions.users.items()
    }
    query = recommender.query_model(features).numpy()[0]
    return recommender.index.contents()[1].numpy() @ query


def test_the_answer_is_the_best_scored_items(recommender, interactions):
    user = str(interactions.vocabularies["user_id"][2])
    scores = scores_of(recommender, interactions, user)
    best = np.argsort(-scores)[:4]
    answer = ask(recommender.recommend, [user])
    names = [item.decode() for item in answer["item_id"][0]]
    assert names == list(interactions.vocabularies["item_id"][best])
    np.testing.assert_allclose(answer["score"][0], scores[best], atol=1e-6)
    titles = [title.decode() for title in answer["title"][0]]
    assert titles == list(interactions.titles[best + 1])


def test_seen_items_are_left_out_and_missing_places_are_empty(
    recommender, interactions
):
    users = [str(user) for user in interactions.vocabularies["user_id"]]
    answer = ask(
        recommender.recommend, users, k=interactions.num_items, exclude_seen=True
    )
    known = interactions.known_items("serving").to_list()[1:]
    for row, seen in enumerate(known):
        names = [item.decode() for item in answer["item_id"][row]]
        seen_names = set(interactions.vocabularies["item_id"][np.array(seen) - 1])
        rest = set(interactions.vocabularies["item_id"]) - seen_names
        assert set(names[: len(rest)]) == rest
        assert names[len(rest) :] == [""] * len(seen)
        assert [t.decode() for t in answer["title"][row][len(rest) :]] == [""] * len(
            seen
        )


def test_an_unknown_user_gets_the_most_popular_items_and_is_told(
    recommender, interactions
):
    known = str(interactions.vocabularies["user_id"][0])
    answer = ask(recommender.recommend, ["nobody", known, ""], k=3)
    assert answer["known_user"].tolist() == [False, True, False]
    share = interactions.candidate_probabilities[1:]
    for row in (0, 2):
        np.testing.assert_allclose(answer["score"][row], np.sort(share)[::-1][:3])


def test_the_saved_model_answers_as_the_module_does(recommender, exported):
    loaded = tf.saved_model.load(str(exported)).signatures["serving_default"]
    users = ["u3", "nobody", "u0"]
    for exclude_seen in (False, True):
        expected = ask(recommender.recommend, users, exclude_seen=exclude_seen)
        answer = ask(loaded, users, exclude_seen=exclude_seen)
        assert answer.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_array_equal(answer[name], value)


def test_the_saved_model_says_what_requests_should_exclude(recommender, exported):
    loaded = tf.saved_model.load(str(exported))
    assert bool(loaded.exclude_seen) is bool(recommender.exclude_seen) is False


def test_the_saved_model_survives_a_move(recommender, exported, tmp_path):
    moved = exported.parent.rename(tmp_path / "elsewhere") / exported.name
    loaded = tf.saved_model.load(str(moved))
    moved.parent.rename(exported.parent)
    answer = ask(loaded.signatures["serving_default"], ["u1"])
    expected = ask(recommender.recommend, ["u1"])
    np.testing.assert_array_equal(answer["item_id"], expected["item_id"])


@pytest.mark.parametrize("k", [0, -1, 1000])
def test_a_k_beyond_the_catalogue_is_refused(recommender, k):
    with pytest.raises(tf.errors.InvalidArgumentError, match="`k` must be from 1 to"):
        ask(recommender.recommend, ["u1"], k=k)


def passing(interactions, *, excluded=(), kinds=(), allowed=None):
    """Ids of the items that a row may get."""
    own = np.resize(["short", "long", "long"], interactions.num_items)
    return {
        str(item)
        for item, kind in zip(interactions.vocabularies["item_id"], own, strict=True)
        if item not in excluded
        and (not kinds or kind in kinds)
        and (allowed is None or item in allowed)
    }


def test_lists_hold_for_known_and_unknown_users(recommender, interactions):
    items = [str(item) for item in interactions.vocabularies["item_id"]]
    users = ["u1", "nobody", "u2", "nobody"]
    excluded = [items[:4], items[2:7], ["unheard of"], []]
    kinds = [["short"], ["long"], [], ["long", "short"]]
    allowed = [items, items[3:9], items[:2], []]
    everything = interactions.num_items
    for among in (False, True):
        request = {
            "user_id": tf.constant(users),
            "k": tf.constant([everything] * 4),
            "exclude_seen": tf.constant([False] * 4),
            "exclusions": tf.ragged.constant(excluded).to_tensor(""),
            "filters": {"kind": tf.ragged.constant(kinds).to_tensor("")},
        }
        if among:
            request["allowed"] = tf.ragged.constant(
                allowed, ragged_rank=1, dtype=tf.string
            ).to_tensor("")
            answer = recommender.recommend_among(**request)
        else:
            answer = recommender.recommend_filtered(**request)
        for row in range(4):
            names = [item.decode() for item in answer["item_id"].numpy()[row] if item]
            assert len(names) == len(set(names))
            assert {*names} == passing(
                interactions,
                excluded=excluded[row],
                kinds=kinds[row],
                allowed=allowed[row] if among else None,
            )
        assert answer["known_user"].numpy().tolist() == [True, False, True, False]


def test_every_row_has_its_own_k_and_leaves_out_what_it_says(recommender):
    users, ks = ["u0", "u1", "nobody", "u1"], [1, 4, 2, 3]
    seen = [True, False, True, True]
    answer = recommender.recommend(
        user_id=tf.constant(users), k=tf.constant(ks), exclude_seen=tf.constant(seen)
    )
    assert answer["item_id"].shape == (4, 4)
    for row, user in enumerate(users):
        alone = ask(recommender.recommend, [user], k=ks[row], exclude_seen=seen[row])
        assert answer["item_id"].numpy()[row, : ks[row]].tolist() == [
            *alone["item_id"][0]
        ]
        assert not any(answer["item_id"].numpy()[row, ks[row] :])
        assert np.isneginf(answer["score"].numpy()[row, ks[row] :]).all()


def test_what_is_seen_and_what_is_excluded_are_both_left_out(recommender, interactions):
    items = [str(item) for item in interactions.vocabularies["item_id"]]
    users = ["u1", "nobody", "u2"]
    order = list(interactions.vocabularies["user_id"])
    known = interactions.known_items("serving").to_list()
    excluded = [items[:3], items[:3], [items[-1]]]
    answer = recommender.recommend_filtered(
        user_id=tf.constant(users),
        k=tf.constant([len(items)] * 3),
        exclude_seen=tf.constant([True, True, False]),
        exclusions=tf.ragged.constant(excluded).to_tensor(""),
        filters={"kind": tf.constant([[""]] * 3)},
    )
    seen = {items[row - 1] for row in known[order.index("u1") + 1]}
    assert seen - {*items[:3]}
    for row, left_out in enumerate([seen | {*items[:3]}, {*items[:3]}, {items[-1]}]):
        names = [item.decode() for item in answer["item_id"].numpy()[row] if item]
        assert sorted(names) == sorted({*items} - left_out)


def remade(recommender, interactions, index=None, **changes):
    values = {
        "user_ids": interactions.vocabularies["user_id"],
        "user_features": interactions.users,
        "item_ids": interactions.vocabularies["item_id"],
        "titles": interactions.titles,
        "known_items": interactions.known_items("serving"),
        "candidate_probabilities": interactions.candidate_probabilities,
    }
    return type(recommender)(
        recommender.query_model, index or recommender.index, **values | changes
    )


@pytest.mark.parametrize(
    "argument", ["titles", "known_items", "candidate_probabilities", "user_features"]
)
def test_values_for_other_users_or_items_are_named(recommender, interactions, argument):
    value = {
        "titles": interactions.titles[1:],
        "known_items": interactions.known_items("serving")[1:],
        "candidate_probabilities": interactions.candidate_probabilities[1:],
        "user_features": {k: v[1:] for k, v in interactions.users.items()},
    }[argument]
    with pytest.raises(ValueError, match=f"`{argument}.*must have .* rows"):
        remade(recommender, interactions, **{argument: value})


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_changes_of_the_index_reach_everybody(
    recommender, interactions, kind, tmp_path
):
    size = interactions.num_items
    index = getattr(tm.layers, kind)(capacity=2 * size).index(
        recommender.index.contents()[1],
        np.arange(1, size + 1),
        attributes={"kind": np.resize(["short", "long"], size)},
    )
    module = remade(recommender, interactions, index)
    users = ["u1", "nobody"]
    first = ask(module.recommend, users, k=size)["item_id"]
    gone = int(np.argmax(interactions.candidate_probabilities[1:])) + 1
    name = str(interactions.vocabularies["item_id"][gone - 1]).encode()
    assert all(name in row for row in first)
    index.remove([gone])
    served = {"serving_default": module.recommend}
    path = tm.serving.export(module, tmp_path, signatures=served)
    for answer in (
        ask(module.recommend, users, k=size),
        ask(
            tf.saved_model.load(str(path)).signatures["serving_default"],
            users,
            k=size,
        ),
    ):
        for row in answer["item_id"]:
            assert name not in row
            assert {*row} == {*first[0], b""} - {name}
    # Another corpus, of other shapes, in the same index.
    index.index(np.eye(4, dtype="float32")[:3], np.arange(1, 4), attributes={})
    again = ask(module.recommend, ["nobody"], k=size)["item_id"][0]
    known = {str(item).encode() for item in interactions.vocabularies["item_id"][:3]}
    assert {*again} == known | {b""}


def test_an_added_item_has_no_title_and_fails_nobody(recommender, interactions):
    size = interactions.num_items
    rows = recommender.index.contents()[1].numpy()
    index = tm.layers.BruteForce(capacity=2 * size).index(rows, np.arange(1, size + 1))
    module = remade(recommender, interactions, index)
    user = "u1"
    row = list(interactions.vocabularies["user_id"]).index(user) + 1
    features = {
        name: tf.constant(values[row : row + 1])
        for name, values in interactions.users.items()
    }
    query = recommender.query_model(features).numpy()
    before = ask(module.recommend, [user], k=3)["item_id"][0].tolist()
    index.add(100 * query, [size + 5])
    answer = ask(module.recommend, [user, "nobody"], k=4)
    assert answer["item_id"][0].tolist() == [b"", *before]
    assert answer["title"][0, 0] == b""
    index.remove(index.contents()[0])
    answer = ask(module.recommend, [user, "nobody"], k=4)
    assert not answer["item_id"].any()
    assert np.isneginf(answer["score"]).all()


def test_an_index_of_fewer_slots_than_k_still_answers(recommender, interactions):
    rows = np.random.default_rng(0).normal(size=(200, 4)).astype("float32")
    index = tm.layers.BruteForce().index(rows, np.arange(1, 201))
    names = [f"n{i}" for i in range(200)]
    module = remade(
        recommender,
        interactions,
        index,
        item_ids=names,
        titles=["", *names],
        candidate_probabilities=np.arange(201) / 201,
    )
    assert len(set(ask(module.recommend, ["nobody"], k=150)["item_id"][0])) == 150
    index.index(rows[:70], np.arange(1, 71))  # 128 slots
    for user in ("nobody", "u1"):
        found = ask(module.recommend, [user], k=150)["item_id"][0]
        assert {*found} == {name.encode() for name in names[:70]} | {b""}
    # A cascade gives the number when it is made: it may be above what is left.
    several = module.find(tf.constant(["nobody", "u1"]), 150, tf.constant([False] * 2))
    for row in several.items.numpy():
        assert sorted(row) == [0] * 80 + list(range(1, 71))


def test_an_update_between_known_and_unknown_users_is_not_seen(
    recommender, interactions, monkeypatch
):
    size = interactions.num_items
    rows = np.random.default_rng(0).normal(size=(size, 4)).astype("float32")
    index = tm.layers.BruteForce().index(rows, np.arange(1, size + 1))
    module = remade(recommender, interactions, index)
    largest, numbers = index.largest, set(range(1, size + 1))

    def after_an_update(*args, **kwargs):
        index.remove([1, 2])
        return largest(*args, **kwargs)

    monkeypatch.setattr(index, "largest", after_an_update)
    found = module.find(tf.constant(["u1", "nobody"]), size, tf.constant([False] * 2))
    assert [{*row} for row in found.items.numpy()] == [numbers, numbers]
    later = module.find(tf.constant(["u1"]), size, tf.constant([False])).items.numpy()
    assert {*later[0]} == numbers - {1, 2} | {0}


def test_rows_of_known_and_unknown_users_are_of_one_state(recommender, interactions):
    size = interactions.num_items
    rng = np.random.default_rng(0)
    corpora = [rng.normal(size=(size, 4)).astype("float32") for _ in range(2)]
    ids = np.arange(1, size + 1)
    few = ids[::2]
    index = tm.layers.BruteForce(capacity=2 * size).index(corpora[0], ids)
    module = remade(recommender, interactions, index)

    def answer():
        found = ask(module.recommend, ["u1", "nobody", "u2"], k=size)
        return str(found["item_id"].tolist()), found["score"].tobytes()

    changes = [
        lambda: index.upsert(corpora[1], ids),
        lambda: index.remove(few),
        lambda: index.add(corpora[0][::2], few),
        lambda: index.upsert(corpora[0], ids),
    ]
    states = {answer()}
    for change in changes:
        change()
        states.add(answer())
    assert len(states) == 4
    torn, done = [], threading.Event()

    def keep_asking():
        while not done.is_set():
            if answer() not in states:
                torn.append(1)

    threads = [threading.Thread(target=keep_asking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(8):
        for change in changes:
            change()
    done.set()
    for thread in threads:
        thread.join()
    assert not torn
