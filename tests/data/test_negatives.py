import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.data import mixed_negatives

NUM_ITEMS = 12
IDS = 100 * np.arange(NUM_ITEMS + 1)
GENRES = np.arange(2 * (NUM_ITEMS + 1)).reshape(-1, 2)
ITEMS = {"item_id": IDS, "genres": GENRES}
SHARES = np.array([0, 4, 3, 2, 1] + [0] * 8) / 10


def batches(rows=20, batch=8):
    rows = {"item_id": IDS[1 + np.arange(rows) % NUM_ITEMS], "age": np.ones(rows)}
    return tf.data.Dataset.from_tensor_slices(rows).batch(batch)


def draws(dataset):
    """Item ids of every batch, `[num_batches, per_batch]`."""
    return np.array([b["extra_candidates"]["item_id"].numpy() for b in dataset])


def test_the_batch_stays_and_the_drawn_items_come_with_all_their_features():
    dataset = mixed_negatives(batches(), ITEMS, 5, candidate_probabilities=SHARES)
    assert dataset.cardinality() == batches().cardinality()
    for batch, plain in zip(dataset, batches(), strict=True):
        extra = batch.pop("extra_candidates")
        assert batch.keys() == plain.keys()
        for name, value in plain.items():
            np.testing.assert_array_equal(batch[name], value)
        assert extra.keys() == {*ITEMS, "candidate_sampling_probability"}
        rows = extra["item_id"].numpy() // 100
        assert rows.shape == (5,)
        np.testing.assert_array_equal(extra["genres"], GENRES[rows])
        expected = np.where(SHARES > 0, SHARES, 0.1)[rows]  # the rarest has 0.1
        np.testing.assert_allclose(extra["candidate_sampling_probability"], expected)


def test_without_shares_there_is_no_probability():
    batch = next(iter(mixed_negatives(batches(), ITEMS, 5)))
    assert batch["extra_candidates"].keys() == ITEMS.keys()


@pytest.mark.parametrize("seed", [3, 4])
def test_every_item_but_the_unknown_is_drawn_equally_often(seed):
    dataset = mixed_negatives(batches(1500, 5), ITEMS, 40, seed=seed)  # 12,000 draws
    counts = np.bincount(draws(dataset).reshape(-1) // 100, minlength=NUM_ITEMS + 1)
    assert counts[0] == 0
    chi_square = ((counts[1:] - 1000) ** 2 / 1000).sum()
    assert chi_square < 31.3  # exceeded once in a thousand, 11 degrees of freedom
    assert chi_square > 1.5  # and not by turns


def test_draws_of_neighbouring_batches_and_places_are_independent():
    found = draws(mixed_negatives(batches(9000, 3), ITEMS, 4, seed=5)) // 100
    pairs = {
        "places": (found[:, 0], found[:, 1]),
        "batches": (found[:-1, 0], found[1:, 0]),
    }
    for one, other in pairs.values():
        assert np.mean(one == other) == pytest.approx(1 / NUM_ITEMS, abs=0.02)
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.07


def test_a_draw_is_with_replacement():
    found = draws(mixed_negatives(batches(), ITEMS, 50, seed=0))
    assert found.shape == (3, 50)  # more than there are items


def test_a_seed_repeats_the_same_epochs_and_each_epoch_is_another():
    first, again, other = (
        mixed_negatives(batches(), ITEMS, 9, seed=seed) for seed in (1, 1, 2)
    )
    epochs = [draws(first) for _ in range(3)]
    for epoch in epochs:
        np.testing.assert_array_equal(draws(again), epoch)
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])
    assert not np.array_equal(draws(other), epochs[0])


def test_without_a_seed_the_global_one_decides():
    found = []
    for seed in (7, 7, 8):
        tf.random.set_seed(seed)
        found.append(draws(mixed_negatives(batches(), ITEMS, 9)))
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_ids_may_be_text():
    names = np.array(["?", "a", "b"])
    rows = tf.data.Dataset.from_tensor_slices({"item_id": names[1:]}).batch(2)
    batch = next(iter(mixed_negatives(rows, {"item_id": names}, 30)))
    assert set(batch["extra_candidates"]["item_id"].numpy()) == {b"a", b"b"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"per_batch": 0}, "`per_batch` must be at least 1. Got 0"),
        ({"items": {}}, "`items` must hold columns.*Got no column"),
        ({"items": {"item_id": IDS[:1]}}, "`items` .*Got {'item_id': 1}"),
        ({"items": ITEMS | {"genres": GENRES[1:]}}, "one length.*'genres': 12"),
        ({"items": {"item_id": IDS.astype("int32")}}, "`item_id`.*int64. Got int32"),
        (
            {"candidate_probabilities": SHARES[1:]},
            r"`candidate_probabilities` .* 13 rows .*Got shape \(12,\)",
        ),
        ({"dataset": tf.data.Dataset.range(3)}, "`dataset` .*Got TensorSpec"),
        (
            {"dataset": mixed_negatives(batches(), ITEMS, 2)},
            "must not have the feature `extra_candidates`",
        ),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        mixed_negatives(
            **{"dataset": batches(), "items": ITEMS, "per_batch": 3, **arguments}
        )
