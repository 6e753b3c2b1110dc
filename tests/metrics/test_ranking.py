import itertools
import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models import losses, metrics

LIST_SIZE = 6
TIES = ["expected", "pessimistic", "optimistic"]


def dcg(labels, k):
    places = enumerate(labels[:k], start=1)
    return sum((2**y - 1) / math.log2(place + 1) for place, y in places)


def ndcg(labels, k):
    best = dcg(sorted(labels, reverse=True), k)
    return dcg(labels, k) / best if best else 0.0


def reciprocal_rank(labels, k):
    return next((1 / i for i, y in enumerate(labels[:k], start=1) if y > 0), 0.0)


def average_precision(labels, k):
    hits = [i for i, y in enumerate(labels, start=1) if y > 0]
    values = [n / i for n, i in enumerate(hits, start=1) if k is None or i <= k]
    number = len(hits) if k is None else min(len(hits), k)
    return sum(values) / number if hits else 0.0


def recall(labels, k):
    number = sum(y > 0 for y in labels)
    return sum(y > 0 for y in labels[:k]) / number if number else 0.0


def precision(labels, k):
    return sum(y > 0 for y in labels[:k]) / k


METRICS = {
    "ndcg": ndcg,
    "reciprocal_rank": reciprocal_rank,
    "average_precision": average_precision,
    "recall": recall,
    "precision": precision,
}
CLASSES = {
    "ndcg": metrics.NDCG,
    "reciprocal_rank": metrics.MeanReciprocalRank,
    "average_precision": metrics.MeanAveragePrecision,
    "recall": metrics.RecallAtK,
    "precision": metrics.PrecisionAtK,
}
CASES = [
    (name, k)
    for name in METRICS
    for k in (None, 1, 2, 4, 9)
    if k or name not in ("recall", "precision")
]
every_case = pytest.mark.parametrize(("name", "k"), CASES)


def orders(labels, scores):
    """The labels in each order that descending scores allow, repeats and all."""
    for order in itertools.permutations(range(len(labels))):
        ranked = [scores[i] for i in order]
        if ranked == sorted(ranked, reverse=True):
            yield [labels[i] for i in order]


def oracle(name, labels, scores, k, ties):
    """The mean, or the extreme, over all orders of the ties."""
    items = [(y, s) for y, s in zip(labels, scores, strict=True) if y != -1]
    labels, scores = [y for y, _ in items], [s for _, s in items]
    values = [METRICS[name](found, k) for found in orders(labels, scores)]
    chosen = {"expected": np.mean, "pessimistic": min, "optimistic": max}
    return chosen[ties](values)


def inputs(batch=12, seed=0):
    """Graded labels with padding, and scores with many ties."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 4, size=(batch, LIST_SIZE))
    labels = np.where(rng.random(labels.shape) < 0.4, np.minimum(labels, 0), labels)
    scores = rng.integers(0, 3, size=labels.shape).astype("float32") / 2
    labels[0], scores[1], labels[2] = [0, 2, 1, 0, 3, 1], 0.5, -1
    labels[3] = np.minimum(labels[3], 0)
    scores[4] = rng.normal(size=LIST_SIZE)
    return labels, scores


@every_case
@pytest.mark.parametrize("ties", TIES)
def test_a_metric_is_that_of_all_orders_of_its_ties(name, k, ties):
    labels, scores = inputs()
    values = getattr(metrics, name)(labels, scores, k=k, ties=ties)
    expected = [
        oracle(name, *row, k, ties)
        for row in zip(labels.tolist(), scores.tolist(), strict=True)
    ]
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, expected, rtol=1e-6, atol=1e-7)


@every_case
def test_masked_items_do_not_count(name, k):
    labels, scores = inputs()
    metric = getattr(metrics, name)
    mask = labels != -1
    garbage = np.where(mask, labels, 3), np.where(mask, scores, np.inf)
    np.testing.assert_array_equal(
        metric(*garbage, k=k, mask=mask), metric(labels, scores, k=k)
    )


@every_case
def test_graph_and_half_precision_agree_with_eager(name, k):
    labels, scores = inputs()
    metric = getattr(metrics, name)
    graph = tf.function(
        lambda y, s: metric(y, s, k=k),
        input_signature=[tf.TensorSpec([None, None]), tf.TensorSpec([None, None])],
    )
    for rows, columns in ((12, LIST_SIZE), (1, 1), (3, 0), (0, 4)):
        part = labels[:rows, :columns].astype("float32"), scores[:rows, :columns]
        values = metric(*part, k=k)
        assert values.shape == (rows,)
        np.testing.assert_allclose(graph(*part), values, rtol=1e-6)
        half = [tf.cast(x, tf.bfloat16) for x in part]
        if rows < 4:  # without scores that halves round
            np.testing.assert_allclose(metric(*half, k=k), values, rtol=1e-6)


@every_case
def test_a_long_tie_is_exact(name, k):
    """One relevant item, everything alike: each place is as likely as any other."""
    size = 1000
    labels = np.zeros((1, size))
    labels[0, 700] = 1
    place = np.arange(1, size + 1)
    of_place = {
        "ndcg": 1 / np.log2(place + 1),
        "recall": np.ones(size),
        "precision": np.ones(size) / (k or 1),
    }.get(name, 1 / place)
    expected = of_place[:k].sum() / size
    value = getattr(metrics, name)(labels, np.zeros((1, size)), k=k)
    np.testing.assert_allclose(value, [expected], rtol=1e-5)


@every_case
def test_half_of_a_long_tie_is_relevant(name, k):
    """Against draws: closed forms of many relevant items stay stable."""
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    drawn = [METRICS[name](rng.permutation(labels).tolist(), k) for _ in range(2000)]
    value = getattr(metrics, name)(labels[None], np.zeros((1, 400)), k=k)
    error = 5 * np.std(drawn) / len(drawn) ** 0.5
    np.testing.assert_allclose(value, [np.mean(drawn)], atol=error)


@every_case
def test_the_mean_is_over_lists_with_a_relevant_item(name, k):
    labels, scores = inputs()
    weight = np.linspace(0.5, 2, len(labels)).astype("float32")
    has = (labels > 0).any(axis=1)
    assert 0 < has.sum() < len(labels)
    values = getattr(metrics, name)(labels, scores, k=k).numpy()
    metric = CLASSES[name](k)
    assert float(metric.result()) == 0
    for part in (slice(0, 5), slice(5, 12)):  # the last batch is of another size
        metric.update_state(labels[part], scores[part])
    assert float(metric.result()) == pytest.approx(values[has].mean(), rel=1e-5)
    metric.reset_state()
    metric.update_state(labels, scores, sample_weight=weight)
    expected = (weight * values)[has].sum() / weight[has].sum()
    assert float(metric.result()) == pytest.approx(expected, rel=1e-5)
    metric.reset_state()
    mask = np.arange(LIST_SIZE) < 4
    metric.update_state(labels, scores, mask=np.tile(mask, (len(labels), 1)))
    again = CLASSES[name](k)
    again.update_state(labels[:, mask], scores[:, mask])
    assert float(metric.result()) == pytest.approx(float(again.result()))


def test_lists_come_as_keras_and_keras_rs_have_them():
    labels, scores = inputs()
    lengths = np.arange(len(labels)) % LIST_SIZE + 1
    inside = np.arange(LIST_SIZE) < lengths[:, None]
    labels = np.where(labels < 0, 0, labels)
    expected = metrics.NDCG(3)
    expected.update_state(labels, scores, mask=inside)
    expected = float(expected.result())
    ragged = [tf.RaggedTensor.from_tensor(v, lengths) for v in (labels, scores)]
    for call in (
        {"y_true": np.where(inside, labels, -1), "y_pred": scores},
        {"labels": ragged[0], "scores": ragged[1]},
        {"labels": {"labels": labels, "mask": inside}, "scores": scores},
    ):
        metric = metrics.NDCG(3)
        metric.update_state(**call)
        assert float(metric.result()) == pytest.approx(expected, rel=1e-6)
    loss = losses.ListwiseSoftmaxLoss(reduction="none")
    dense = loss(np.where(inside, labels, -1), scores)
    np.testing.assert_allclose(loss(*ragged), dense, rtol=1e-6)
    as_dict = loss({"labels": labels, "mask": inside}, scores)
    np.testing.assert_allclose(as_dict, dense, rtol=1e-6)


def test_lists_that_do_not_fit_are_named():
    lists = np.ones([2, 3], "float32")
    ragged = tf.RaggedTensor.from_tensor(lists, [2, 3])
    other = tf.RaggedTensor.from_tensor(lists, [3, 2])
    metric = metrics.NDCG()
    for call, message in (
        ({"labels": lists}, "`scores` must be given, once.*Got none"),
        ({"y_true": lists, "labels": lists}, "`labels` must be given, once.*both"),
        (
            {"labels": lists, "scores": lists, "sample_weight": lists},
            r"`sample_weight` must be \[batch\].*\(2, 3\)",
        ),
        (
            {"labels": ragged, "scores": lists},
            "(?s)must both be ragged.*RaggedTensor and ",
        ),
        ({"labels": {"mask": lists}, "scores": lists}, r"dict of \['mask'\]"),
        (
            {"labels": {"labels": lists, "mask": [[True], [False]]}, "scores": lists},
            r"`mask` must have the shape of the scores.*\(2, 1\) and \(2, 3\)",
        ),
        (
            {"labels": {"labels": ragged, "mask": ragged}, "scores": ragged},
            "`mask` has no meaning beside ragged `labels`",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            metric.update_state(**call)
    for call, message in (
        ((lists, lists, [1.0, 2, 3]), "`sample_weight` must have one weight for each"),
        ((ragged, other), "ragged lists of the same lengths"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            metric.update_state(*call)


def test_names_say_k():
    assert metrics.NDCG().name == "ndcg"
    assert metrics.NDCG(10).name == "ndcg_at_10"
    assert metrics.MeanReciprocalRank(name="mine").name == "mine"
    assert metrics.RecallAtK(5).name == "recall_at_5"


def test_a_model_reports_them():
    model = tf.keras.Sequential([tf.keras.layers.Dense(4)])
    model.compile(loss="mse", metrics=[metrics.NDCG(2), metrics.RecallAtK(2)])
    labels = np.array([[1.0, 0, 0, 2], [0, 0, 0, 0], [0, 1, 0, 0]], "float32")
    features = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")
    found = model.evaluate(features, labels, batch_size=2, return_dict=True, verbose=0)
    scores = model.predict(features, verbose=0)
    expected = metrics.ndcg(labels, scores, k=2).numpy()[[0, 2]].mean()
    assert found["ndcg_at_2"] == pytest.approx(expected, rel=1e-5)


def test_replicas_add_up(strategy):
    labels, scores = inputs()
    with strategy.scope():
        metric = metrics.MeanAveragePrecision(3)
    data = tf.data.Dataset.from_tensor_slices((labels, scores)).batch(12)

    @tf.function
    def update(*batch):
        metric.update_state(*batch)

    for batch in strategy.experimental_distribute_dataset(data):
        strategy.run(update, args=batch)
    whole = metrics.MeanAveragePrecision(3)
    whole.update_state(labels, scores)
    assert float(metric.result()) == pytest.approx(float(whole.result()), rel=1e-5)


def test_wrong_arguments_are_named():
    with pytest.raises(ValueError, match="`k` must be at least 1. Got 0"):
        metrics.NDCG(0)
    with pytest.raises(ValueError, match="`k` must be a whole number from 1. Got 2.5"):
        metrics.NDCG(2.5)
    with pytest.raises(ValueError, match="`ties` must be one of .* Got 'random'"):
        metrics.RecallAtK(3, ties="random")
    with pytest.raises(ValueError, match="`k` must be at least 1. Got -2"):
        metrics.recall([[1]], [[0.5]], k=-2)
    with pytest.raises(ValueError, match="`labels` must have the shape of the scores"):
        metrics.ndcg([[1, 0]], [[0.5]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="exactly -1 for padding"):
        metrics.ndcg([[1, -3]], [[0.5, 0.1]])


@pytest.mark.parametrize("ties", TIES)
def test_an_item_with_the_lowest_score_of_all_stands_before_padding(ties):
    lowest = -np.inf
    padded = metrics.ndcg([[-1.0, 0, 1, 0]], [[0.0, 1, lowest, 2]], ties=ties)
    plain = metrics.ndcg([[0.0, 1, 0]], [[1.0, lowest, 2]], ties=ties)
    np.testing.assert_allclose(padded, plain)
    found = metrics.recall([[-1.0, -1, 1]], [[0.0, 0, lowest]], k=1, ties=ties)
    np.testing.assert_allclose(found, [1])


def test_scores_that_are_nan_are_refused():
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="`scores` must not be NaN"
    ):
        metrics.ndcg([[1.0, 0, 0]], [[np.nan] * 3])
