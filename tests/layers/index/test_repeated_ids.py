"""Catalogues that hold an id more than once, as those of upstream's tutorials do."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(70, 4)).astype("float32")
QUERIES = RNG.normal(size=(3, 4)).astype("float32")
NUMBERS = np.array([*range(64), 3, 9, 3, 20, 3, 9])  # 3 ids repeat, one four times
KINDS = ["BruteForce", "ScaNN", "IVF"]


def names(dtype):
    return NUMBERS if dtype == "int" else np.array([f"item {i}" for i in NUMBERS])


def build(kind, ids, **options):
    if kind == "ScaNN":
        options |= {
            "num_leaves": 1, "num_leaves_to_search": 1, "num_reordering_candidates": 70
        }  # fmt: skip
    if kind == "IVF":
        options |= {"block_size": 8, "num_probes": 100}
    index = getattr(layers, kind)(k=70, duplicates="warn", **options)
    with pytest.warns(
        UserWarning, match=r"3 of 64 ids repeat, ('item )?\d.*unique\(\)"
    ):
        return index.index(CANDIDATES, ids)


@pytest.mark.parametrize("dtype", ["int", "str"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_copy_is_answered_excluded_and_allowed(kind, dtype):
    ids = names(dtype)
    index = build(kind, ids)
    order = np.argsort(-QUERIES @ CANDIDATES.T)
    for row, answer in enumerate(index(QUERIES)[1].numpy()):
        np.testing.assert_array_equal(answer.astype(ids.dtype), ids[order[row]])
    out = ids[[3, 9, 20]]
    exclusions = np.stack([out] * 3)
    scores, answers = index.query_with_exclusions(QUERIES, exclusions)
    for row in range(3):
        kept = order[row][~np.isin(ids[order[row]], out)]
        answer = answers[row].numpy()[: len(kept)].astype(ids.dtype)
        np.testing.assert_array_equal(answer, ids[kept])
        assert np.isneginf(scores[row, len(kept) :]).all()
        among = order[row][np.isin(ids[order[row]], out)]
        some = index(QUERIES[row : row + 1], k=9, allowed=out[None])[1][0].numpy()
        np.testing.assert_array_equal(some.astype(ids.dtype), ids[among])


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_changes_touch_every_copy(kind):
    index = build(kind, NUMBERS)
    index.remove([9])
    assert index.num_candidates == 67
    assert 9 not in index(QUERIES, k=67)[1].numpy()
    index.upsert(100 * QUERIES[:1], [3])
    assert index.num_candidates == 64
    answer = index(QUERIES[:1], k=64)[1][0].numpy().tolist()
    assert answer[0] == 3
    assert answer.count(3) == 1


def test_what_is_like_an_item_is_not_its_copy():
    index = build("BruteForce", NUMBERS)
    answer = index.similar(tf.constant([3]), k=66)[1][0].numpy()
    assert 3 not in answer
    assert -1 not in answer


def test_an_index_with_copies_comes_back_from_its_config_and_weights():
    index = build("BruteForce", NUMBERS)
    again = layers.BruteForce.from_config(index.get_config())
    again.set_weights(index.get_weights())
    answer = again(QUERIES, exclusions=[[3]] * 3, k=66)[1].numpy()
    assert 3 not in answer
    assert (answer == 9).sum(axis=1).tolist() == [3, 3, 3]


@pytest.mark.parametrize("kind", ["BruteForce", "IVF"])
def test_our_own_data_has_no_copies(kind):
    index = getattr(layers, kind)(duplicates="error")
    with pytest.raises(ValueError, match=r"`identifiers` must be unique.*3 of 64"):
        index.index(CANDIDATES, NUMBERS)


def test_a_rule_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"`duplicates` must be one of.*'drop'"):
        layers.BruteForce(duplicates="drop")


@pytest.mark.parametrize("filler", ["", -1])
def test_candidates_that_only_fill_a_catalogue_are_taken_with_a_warning(filler):
    kind = "U4" if filler == "" else "int64"
    ids = np.array([*range(40), *[filler] * 30]).astype(kind)
    with pytest.warns(UserWarning, match=f"1 of 41 ids repeat, {filler!r} is one"):
        index = layers.BruteForce(k=70).index(CANDIDATES, ids)
    order = np.argsort(-QUERIES @ CANDIDATES.T)
    np.testing.assert_array_equal(index(QUERIES)[1].numpy().astype(kind), ids[order])
    with pytest.raises(ValueError, match="must not be -1, an empty string"):
        layers.BruteForce(duplicates="error").index(CANDIDATES, ids)
    with pytest.raises(ValueError, match="must not be -1, an empty string"):
        layers.BruteForce().index(CANDIDATES[:41], ids[:41])
