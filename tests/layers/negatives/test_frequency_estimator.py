import numpy as np
import pytest
import tensorflow as tf

import tfrs_models
from tfrs_models.layers import FrequencyEstimator

MANY = 100_003  # buckets: the few ids of a test do not collide in all hashes


def rates(batches, asked, alpha):
    """The definition of "rate", step by step, for ids without a hash."""
    rate, examples, answers = {}, 0, []
    for step, batch in enumerate(batches, start=1):
        examples += len(batch)
        for name in set(rate) | set(batch):
            share = sum(other == name for other in batch) / len(batch)
            rate[name] = (1 - alpha) * rate.get(name, 0.0) + alpha * share
        began = 1 - (1 - alpha) ** step
        answers.append(
            [max(rate.get(name, 0.0) / began, 1 / (examples + 1)) for name in asked]
        )
    return answers


def gaps(batches, asked, alpha):
    """The definition of "gap", step by step, for ids without a hash."""
    gap, weight, last, answers = {}, {}, {}, []
    for step, batch in enumerate(batches, start=1):
        for name in set(batch):
            passed = step - last.get(name, 0)
            gap[name] = (1 - alpha) * gap.get(name, 0.0) + alpha * passed
            weight[name] = (1 - alpha) * weight.get(name, 0.0) + alpha
            last[name] = step
        answers.append(
            [
                min(weight[name] / gap[name], 1) if name in gap else 1 / (step + 1)
                for name in asked
            ]
        )
    return answers


ORACLES = {"rate": rates, "gap": gaps}
modes = pytest.mark.parametrize("mode", ORACLES)


def stream(num_batches, *, num_ids=30, seed=0):
    """Batches of all sizes from one on, with popular and rare ids."""
    rng = np.random.default_rng(seed)
    chances = rng.dirichlet(np.full(num_ids, 0.3))
    return [
        rng.choice(num_ids, size=rng.integers(1, 20), p=chances) + 2**53
        for _ in range(num_batches)
    ]


def names_of(batches):
    return sorted({name for batch in batches for name in batch.tolist()})


@modes
@pytest.mark.parametrize("alpha", [0.03, 0.4])
@pytest.mark.parametrize("text", [False, True])
def test_every_step_is_that_of_the_definition(mode, alpha, text):
    batches = stream(60)
    if text:
        batches = [np.array([f"item {name}" for name in batch]) for batch in batches]
    asked = [*names_of(batches), "never seen" if text else -7]
    layer = FrequencyEstimator(MANY, 3, alpha, mode=mode)
    expected = ORACLES[mode](batches, asked, alpha)
    for batch, answers in zip(batches, expected, strict=True):
        counted = layer(tf.constant(batch), training=True)
        np.testing.assert_allclose(layer(tf.constant(asked)), answers, rtol=2e-5)
        own = [answers[asked.index(name)] for name in batch.tolist()]
        np.testing.assert_allclose(counted, own, rtol=2e-5)


@modes
def test_asking_counts_nothing(mode):
    layer = FrequencyEstimator(MANY, 2, 0.1, mode=mode)
    layer(tf.constant([5, 5, 6]), training=True)
    before = layer.get_weights()
    layer(tf.constant([5, 8, 8, 8]))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_first_batches_give_the_shares_of_what_was_seen():
    rng = np.random.default_rng(3)
    layer = FrequencyEstimator(MANY, 2, 1e-4)
    seen = rng.integers(6, size=(20, 50))
    for batch in seen:
        layer(tf.constant(batch), training=True)
    shares = np.bincount(seen.reshape(-1), minlength=6) / seen.size
    np.testing.assert_allclose(layer(tf.range(6)), shares, rtol=1e-2)


@modes
def test_before_the_first_batch_nothing_is_corrected_and_then_the_unseen_is_rare(mode):
    layer = FrequencyEstimator(MANY, 2, 0.1, mode=mode)
    assert float(layer(tf.constant([1]))[0]) == 1.0
    for step in range(1, 4):
        layer(tf.zeros([5], tf.int64), training=True)
        counted = 5 * step if mode == "rate" else step
        assert float(layer(tf.constant([1]))[0]) == pytest.approx(1 / (counted + 1))


def test_an_id_long_gone_is_no_rarer_than_one_in_all_that_was_counted():
    layer = FrequencyEstimator(MANY, 2, 0.5)
    layer(tf.constant([1, 2]), training=True)
    for _ in range(300):  # 2^-300 is no float32
        layer(tf.constant([2, 2]), training=True)
    gone, there = layer(tf.constant([1, 2])).numpy()
    assert gone == pytest.approx(1 / 603)
    assert there == pytest.approx(1.0)
    assert there <= 1.0


@pytest.mark.parametrize("alpha", [0.01, 0.1])
def test_rounding_makes_no_probability_above_one(alpha):
    layer = FrequencyEstimator(MANY, 1, alpha)
    only = tf.zeros([5], tf.int64)
    found = [float(layer(only, training=True)[0]) for _ in range(60)]
    assert max(found) <= 1.0
    np.testing.assert_allclose(found, 1.0, rtol=1e-5)


def test_ids_that_share_a_bucket_are_counted_together():
    layer = FrequencyEstimator(1, 2, 0.1)
    for batch in ([1, 2, 2, 3], [7, 8], [4, 4, 4]):
        counted = layer(tf.constant(batch), training=True)
        np.testing.assert_allclose(counted, 1.0, rtol=1e-5)


@modes
def test_crowded_buckets_only_raise_the_estimate_and_more_hashes_lower_it(mode):
    batches = stream(80, num_ids=60, seed=2)
    asked = names_of(batches)
    expected = np.array(ORACLES[mode](batches, asked, 0.1)[-1])
    errors = []
    for num_hashes in (1, 4):
        layer = FrequencyEstimator(70, num_hashes, 0.1, mode=mode)
        for batch in batches:
            layer(tf.constant(batch), training=True)
        found = layer(tf.constant(asked)).numpy()
        assert (found >= expected * (1 - 1e-4)).all() or mode == "gap"
        errors.append(np.abs(np.log(found / expected)).mean())
    assert errors[1] < errors[0] / 2


def zipf(num_items):
    weights = 1 / np.arange(1, num_items + 1)
    return weights / weights.sum()


def test_popular_items_are_known_before_and_after_a_drift():
    rng = np.random.default_rng(1)
    layer = FrequencyEstimator(20_000, 4, 0.01)
    count = tf.function(lambda ids: layer(ids, training=True))
    items = np.arange(2000)
    chances = zipf(2000)
    errors = []
    for _ in range(2):
        top = items[:10]
        if errors:  # what was popular a batch ago still is
            count(tf.constant(rng.choice(items, size=1024, p=chances)))
            assert np.abs(layer(tf.constant(top)) / chances[:10] - 1).max() > 0.5
        for _ in range(800):
            count(tf.constant(rng.choice(items, size=1024, p=chances)))
        errors.append(np.abs(layer(tf.constant(top)) / chances[:10] - 1))
        total = float(tf.reduce_sum(layer(tf.constant(items))))
        assert total == pytest.approx(1, abs=0.03)
        items = items[::-1]
    # The standard deviation of the tenth, sqrt(alpha / 2 / (1024 p)), is 2%.
    assert np.max(errors) < 0.08
    assert np.mean(errors) < 0.025


def test_the_gap_saturates_for_what_is_in_every_batch_and_the_rate_does_not():
    rng = np.random.default_rng(4)
    chances = zipf(500)
    rate, gap = (FrequencyEstimator(10_000, 3, 0.05, mode=mode) for mode in ORACLES)
    for _ in range(150):
        batch = tf.constant(rng.choice(500, size=256, p=chances))
        rate(batch, training=True), gap(batch, training=True)
    np.testing.assert_allclose(gap(tf.range(5)), 1)
    np.testing.assert_allclose(rate(tf.range(5)), chances[:5], rtol=0.25)


@modes
def test_batches_of_all_sizes_share_one_graph_and_agree_with_eager(mode):
    eager, graph = (FrequencyEstimator(MANY, 3, 0.1, mode=mode) for _ in range(2))
    spec = [tf.TensorSpec([None], tf.int64)]
    count = tf.function(lambda ids: graph(ids, training=True), input_signature=spec)
    for batch in [*stream(10), np.zeros(0, np.int64)]:
        np.testing.assert_allclose(
            count(tf.constant(batch)),
            eager(tf.constant(batch), training=True),
            rtol=1e-6,
        )
    assert count.experimental_get_tracing_count() == 1


@modes
def test_an_empty_batch_is_no_step(mode):
    layer = FrequencyEstimator(MANY, 2, 0.2, mode=mode)
    layer(tf.constant([1, 2, 2]), training=True)
    before = layer(tf.range(4)).numpy()
    assert layer(tf.zeros([0], tf.int64), training=True).shape == [0]
    np.testing.assert_array_equal(layer(tf.range(4)), before)


@modes
@pytest.mark.parametrize("suffix", ["", ".h5"])
def test_the_counts_are_saved_with_the_model(mode, suffix, tmp_path):
    batches = stream(12)
    first, second = (Counting(FrequencyEstimator(500, 2, 0.1, mode=mode)) for _ in "12")
    for model in (first, second):
        model.compile("sgd")
        model({"item_id": tf.constant(batches[0])})
    for batch in batches[:6]:
        first.layer(tf.constant(batch), training=True)
    first.save_weights(str(tmp_path / f"weights{suffix}"))
    second.load_weights(str(tmp_path / f"weights{suffix}"))
    for batch in batches[6:]:  # and goes on from there
        np.testing.assert_array_equal(
            first.layer(tf.constant(batch), training=True),
            second.layer(tf.constant(batch), training=True),
        )


class Counting(tfrs_models.Model):
    """Learns nothing, counts everything."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer
        self.dense = tf.keras.layers.Dense(1)

    def call(self, features):
        return self.dense(tf.cast(features["item_id"], tf.float32)[:, None])

    def compute_loss(self, features, training=False):
        probability = self.layer(features["item_id"], training=training)
        return tf.reduce_sum(tf.square(self(features))) + tf.reduce_sum(probability)


@modes
def test_fit_counts_and_evaluate_does_not(mode):
    ids = np.random.default_rng(5).zipf(1.5, size=70) % 11
    dataset = tf.data.Dataset.from_tensor_slices({"item_id": ids}).batch(16)
    model = Counting(FrequencyEstimator(MANY, 2, 0.1, mode=mode))
    model.compile(tf.keras.optimizers.SGD(1e-4))
    model.fit(dataset, validation_data=dataset, epochs=2, verbose=0)
    batches = [batch["item_id"].numpy() for batch in dataset] * 2
    expected = ORACLES[mode](batches, list(range(12)), 0.1)[-1]
    np.testing.assert_allclose(model.layer(tf.range(12)), expected, rtol=1e-4)


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
def test_mixed_precision_changes_nothing(mixed_policy):
    del mixed_policy
    batches = stream(20)
    asked = names_of(batches)
    layer = FrequencyEstimator(MANY, 3, 0.01)
    for batch in batches:
        layer(tf.constant(batch), training=True)
    found = layer(tf.constant(asked))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, rates(batches, asked, 0.01)[-1], rtol=2e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_buckets": 0}, "`num_buckets` must be at least 1. Got 0"),
        ({"num_hashes": -2}, "`num_hashes` must be at least 1. Got -2"),
        ({"alpha": 0.0}, "`alpha` must be above 0 and below 1. Got 0.0"),
        ({"alpha": 1.0}, "`alpha` must be above 0 and below 1. Got 1.0"),
        ({"mode": "both"}, "`mode` must be one of .*'rate', 'gap'.* Got 'both'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        FrequencyEstimator(**{"num_buckets": 5, **arguments})


def test_ids_that_are_numbers_with_a_point_are_refused():
    with pytest.raises(ValueError, match="`ids` must be integers or strings"):
        FrequencyEstimator(5)(tf.constant([0.5]))
