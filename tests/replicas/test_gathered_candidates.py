"""Two replicas that share their candidates are one replica with twice the rows."""

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import layers, tasks

WIDTH, EXTRA, NUM_ITEMS = 3, 2, 9


def shares(sizes, ids="int64"):
    """What every replica gets: rows, candidates, ids, probabilities, masks."""
    rng = np.random.default_rng(11)
    parts = []
    for size in sizes:
        num = size + EXTRA
        parts.append(
            {
                "queries": rng.normal(size=(size, WIDTH)).astype("float32"),
                "candidates": rng.normal(size=(num, WIDTH)).astype("float32"),
                "ids": rng.integers(NUM_ITEMS, size=num).astype(ids),
                "probability": rng.uniform(0.05, 0.5, size=num).astype("float32"),
                "mask": rng.uniform(size=(size, num)) < 0.7,
                "known": rng.integers(NUM_ITEMS, size=(size, 2)).astype(ids),
                "weights": rng.uniform(0.5, 2, size=size).astype("float32"),
            }
        )
    return parts


def joined(parts):
    """The same as one batch: all positives first, then the extra candidates."""
    sizes = [len(part["queries"]) for part in parts]
    one = {
        name: np.concatenate([part[name] for part in parts])
        for name in ("queries", "known", "weights")
    }
    for name in ("candidates", "ids", "probability"):
        columns = [part[name] for part in parts]
        own = [c[:n] for c, n in zip(columns, sizes, strict=True)]
        extra = [c[n:] for c, n in zip(columns, sizes, strict=True)]
        one[name] = np.concatenate([*own, *extra])
    mask = np.ones((sum(sizes), sum(sizes) + EXTRA * len(sizes)), bool)
    start = 0
    for place, (part, size) in enumerate(zip(parts, sizes, strict=True)):
        rows, extra = slice(start, start + size), sum(sizes) + EXTRA * place
        mask[rows, rows] = part["mask"][:, :size]
        mask[rows, extra : extra + EXTRA] = part["mask"][:, size:]
        start += size
    return one | {"mask": mask}


def step(task, share):
    names = "queries", "candidates", "ids", "probability", "mask", "known", "weights"
    queries, candidates, ids, probability, mask, known, weights = map(share.get, names)
    with tf.GradientTape() as tape:
        tape.watch([queries, candidates])
        loss = task(
            queries,
            candidates,
            candidate_ids=ids,
            candidate_sampling_probability=probability,
            score_mask=mask,
            known_positives=known,
            sample_weight=weights,
            training=True,
        )
    return loss, *tape.gradient(loss, [queries, candidates])


def make(correction, queue):
    return tasks.Retrieval(
        temperature=0.5,
        correction=correction,
        remove_accidental_hits=True,
        num_hard_negatives=4,
        gather_candidates=True,
        num_items=NUM_ITEMS,
        queue=layers.CandidateQueue(6, WIDTH) if queue else None,
    )


@pytest.mark.parametrize(
    ("sizes", "correction", "queue", "ids"),
    [
        ((4, 4), None, False, "int32"),
        ((5, 2), "logq", True, "str"),
        ((3, 0), "logq", False, "int64"),
        ((4, 2), "corrected_logq", True, "int64"),
    ],
)
def test_losses_and_gradients_are_those_of_one_replica(
    strategy, sizes, correction, queue, ids
):
    parts = shares(sizes, ids)
    one = {name: tf.constant(value) for name, value in joined(parts).items()}
    alone = make(correction, queue)
    with strategy.scope():
        task = make(correction, queue)

    @tf.function
    def run(values):
        return strategy.run(step, args=(task, values))

    values = strategy.experimental_distribute_values_from_function(
        lambda context: {
            name: tf.constant(value)
            for name, value in parts[context.replica_id_in_sync_group].items()
        }
    )
    for _ in range(2 if queue else 1):  # the second step reads what the first put in
        expected = step(alone, one)
        losses, *slopes = map(strategy.experimental_local_results, run(values))
        np.testing.assert_allclose(sum(losses), expected[0], rtol=1e-5)
        np.testing.assert_allclose(np.concatenate(slopes[0]), expected[1], atol=1e-5)
        own = [s[:n] for s, n in zip(slopes[1], sizes, strict=True)]
        extra = [s[n:] for s, n in zip(slopes[1], sizes, strict=True)]
        np.testing.assert_allclose(
            np.concatenate([*own, *extra]), expected[2], atol=1e-5
        )
    if queue:
        for one_part, two_part in zip(alone.queue(None), task.queue(None), strict=True):
            np.testing.assert_array_equal(one_part, two_part)


def test_without_gathering_replicas_do_not_see_each_other(strategy):
    parts = shares((4, 4))
    task = tasks.Retrieval()
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(
            parts[context.replica_id_in_sync_group]["candidates"]
        )
    )
    losses = strategy.run(lambda c: task(c[:4], c), args=(values,))
    for part, loss in zip(
        parts, strategy.experimental_local_results(losses), strict=True
    ):
        expected = task(part["candidates"][:4], part["candidates"])
        np.testing.assert_allclose(loss, expected, rtol=1e-5)
