"""The summed loss of several labels, what is not observed, and what tasks weigh."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfrs_models.tasks import MultiTask

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=2, size=(50, 3)).astype("float32")
LABELS = RNG.integers(-1, 2, size=(50, 3)).astype("float32")
WEIGHT = RNG.uniform(size=50).astype("float32")


def bce(label, logit):
    p = 1 / (1 + math.exp(-float(logit)))
    return -math.log(p if label == 1 else 1 - p)


def totals(labels=LABELS, logits=LOGITS, weight=None):
    """Summed loss and weight of the observed labels of each task."""
    weight = np.ones(len(labels)) if weight is None else weight
    loss, mass = [0.0] * labels.shape[1], [0.0] * labels.shape[1]
    for row, w in enumerate(weight):
        for task, label in enumerate(labels[row]):
            if label in (0, 1):
                loss[task] += w * bce(label, logits[row, task])
                mass[task] += w
    return loss, mass


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("unobserved", [-1, np.nan])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_the_loss_is_the_sum_over_rows_and_tasks_of_what_was_observed(
    weight, unobserved, dtype
):
    labels = np.where(LABELS == -1, unobserved, LABELS)
    logits = LOGITS.astype(dtype)
    loss = MultiTask(3)(labels, logits, sample_weight=weight)
    assert loss.dtype == tf.float32
    expected = sum(totals(logits=logits, weight=weight)[0])
    assert float(loss) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("dtype", ["int32", "int64", "int8"])
def test_labels_may_be_integers(dtype):
    expected = MultiTask(3)(LABELS, LOGITS)
    assert float(MultiTask(3)(LABELS.astype(dtype), LOGITS)) == float(expected)


@pytest.mark.parametrize(
    "weights", [(0.5, 0.0, 3.0), {"buy": 3.0, "click": 0.5, "like": 0.0}]
)
def test_fixed_weights_go_by_order_or_by_name(weights):
    task = MultiTask(["click", "like", "buy"], task_weights=weights)
    loss, _ = totals()
    expected = 0.5 * loss[0] + 3 * loss[2]
    assert float(task(LABELS, LOGITS)) == pytest.approx(expected, rel=1e-5)
    assert task.weights_by_task() == {"click": 0.5, "like": 0.0, "buy": 3.0}


def test_learned_weights_are_kendalls():
    task = MultiTask(3, task_weights="uncertainty")
    s = np.array([0.3, -1.2, 2.0])
    task.set_weights([s, *task.get_weights()[1:]])
    loss, mass = totals(weight=WEIGHT)
    expected = sum(
        math.exp(-a) * b + a / 2 * m for a, b, m in zip(s, loss, mass, strict=True)
    )
    found = float(task(LABELS, LOGITS, sample_weight=WEIGHT))
    assert found == pytest.approx(expected, rel=1e-5)
    assert list(task.weights_by_task().values()) == pytest.approx(np.exp(-s))


def test_the_noisier_task_learns_the_smaller_weight():
    task = MultiTask(2, task_weights="uncertainty")
    labels = RNG.integers(2, size=(400, 2)).astype("float32")
    clear = (2 * labels[:, 0] - 1) * 2  # right and sure
    noise = RNG.normal(scale=2, size=400)
    logits = np.stack([clear, noise], axis=1).astype("float32")
    optimizer = tf.keras.optimizers.SGD(0.001)
    for _ in range(50):
        with tf.GradientTape() as tape:
            loss = task(labels, logits)
        optimizer.minimize(loss, task.trainable_variables, tape=tape)
    weights = task.weights_by_task()
    assert weights["task_0"] > 2 > 1 > weights["task_1"]


@pytest.mark.parametrize("task_weights", [None, "uncertainty", (2.0, 2.0, 2.0)])
def test_a_task_that_nobody_observed_costs_nothing(task_weights):
    labels = LABELS.copy()
    labels[:, 1] = -1
    logits = tf.Variable(LOGITS)
    task = MultiTask(3, task_weights=task_weights)
    with tf.GradientTape() as tape:
        loss = task(labels, logits)
    gradient = tape.gradient(loss, logits).numpy()
    np.testing.assert_array_equal(gradient[:, 1], 0)
    assert np.abs(gradient[:, 0]).max() > 0
    alone = MultiTask(3, task_weights=task_weights)(np.full([50, 3], -1.0), LOGITS)
    assert float(alone) == 0


def figures(task):
    return {metric.name: float(metric.result()) for metric in task.metrics}


def auc(labels, scores, weight):
    """Share of the weighted pairs of a positive and a negative in order."""
    above = pairs = 0.0
    for y, a, v in zip(labels, scores, weight, strict=True):
        for z, b, w in zip(labels, scores, weight, strict=True):
            if y == 1 and z == 0:
                above += v * w * ((a > b) + (a == b) / 2)
                pairs += v * w
    return above / pairs


@pytest.mark.parametrize("shift", [0.0, -12.0])  # even odds, and one in 160,000
def test_every_task_reports_the_figures_of_the_whole_epoch(shift):
    task = MultiTask(["click", "like", "buy"])
    logits = LOGITS + np.float32(shift)
    for rows in np.split(np.arange(50), [20]):
        task(LABELS[rows], logits[rows], sample_weight=WEIGHT[rows])
    found = figures(task)
    loss, mass = totals(logits=logits, weight=WEIGHT)
    for place, name in enumerate(["click", "like", "buy"]):
        seen = LABELS[:, place] >= 0
        expected = auc(LABELS[seen, place], logits[seen, place], WEIGHT[seen])
        assert found[f"{name}/auc"] == pytest.approx(expected, abs=0.005)
        assert found[f"{name}/log_loss"] == pytest.approx(
            loss[place] / mass[place], rel=1e-4
        )
        probabilities = 1 / (1 + np.exp(-logits[seen, place].astype("float64")))
        bins = np.minimum((probabilities * 20).astype(int), 19)
        gap = [
            abs(
                np.sum(
                    (WEIGHT[seen] * (probabilities - LABELS[seen, place]))[bins == b]
                )
            )
            for b in range(20)
        ]
        assert found[f"{name}/calibration_error"] == pytest.approx(
            sum(gap) / mass[place], abs=1e-5
        )


@pytest.mark.parametrize("kept", [0.0, 1.0])
def test_the_auc_of_one_class_is_no_number_and_says_so(kept):
    labels = np.stack([np.where(LABELS[:, 0] == kept, kept, -1), LABELS[:, 1]], axis=1)
    task = MultiTask(["one", "both"])
    warnings = {m.name: m.warning() for m in task.metrics if hasattr(m, "warning")}
    assert warnings == {"one/auc": None, "both/auc": None}  # nothing was seen
    task(labels, LOGITS[:, :2])
    found = figures(task)
    assert math.isnan(found["one/auc"])
    assert 0 < found["both/auc"] < 1
    warnings = {m.name: m.warning() for m in task.metrics if hasattr(m, "warning")}
    assert f"`one/auc` is NaN: all labels are {kept:.0f}" in warnings["one/auc"]
    assert f"of {np.sum(LABELS[:, 0] == kept)})" in warnings["one/auc"]
    assert warnings["both/auc"] is None


@pytest.mark.parametrize("mixed_policy", ["mixed_bfloat16"], indirect=True)
@pytest.mark.usefixtures("mixed_policy")
def test_figures_are_as_fine_in_mixed_precision():
    task = MultiTask(3)
    task(LABELS, LOGITS.astype("float32"))
    seen = LABELS[:, 0] >= 0
    expected = auc(LABELS[seen, 0], LOGITS[seen, 0], np.ones(seen.sum()))
    assert figures(task)["task_0/auc"] == pytest.approx(expected, abs=0.005)


def test_metrics_can_be_left_out():
    task = MultiTask(3)
    task(LABELS, LOGITS, compute_metrics=False)
    found = figures(task)
    assert all(map(math.isnan, [found.pop(f"task_{t}/auc") for t in range(3)]))
    assert set(found.values()) == {0.0}


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("label", [2.0, 0.5, -2.0, np.inf])
def test_labels_that_are_none_are_refused_by_task(label, graph):
    task = MultiTask(["click", "like", "buy"])
    labels = LABELS.copy()
    labels[3, 1] = label
    call = tf.function(task) if graph else task
    with pytest.raises(tf.errors.InvalidArgumentError, match="task `like` must be 0"):
        call(tf.constant(labels), tf.constant(LOGITS))


@pytest.mark.parametrize(
    ("labels", "logits", "message"),
    [
        (LABELS[:, :2], LOGITS, r"`labels` must be \[batch, 3\].*\(50, 2\)"),
        (LABELS, LOGITS[:, :1], r"`logits` must be \[batch, 3\].*\(50, 1\)"),
        (LABELS[:, 0], LOGITS, r"`labels` must be \[batch, 3\].*\(50,\)"),
    ],
)
def test_shapes_that_do_not_fit_are_named(labels, logits, message):
    with pytest.raises(ValueError, match=message):
        MultiTask(3)(labels, logits)


@pytest.mark.parametrize(
    ("tasks", "weights", "message"),
    [
        (0, None, "`tasks` must be at least one name"),
        (["a", "a"], None, r"`tasks` must be .* each once. Got \['a', 'a'\]"),
        (["a", "b"], [1.0], "`task_weights` must have one value for each of the 2"),
        (["a", "b"], {"a": 1.0, "c": 1.0}, r"`task_weights` must name.*\['a', 'c'\]"),
        (["a", "b"], [1.0, -1.0], "`task_weights` must not be negative"),
        (["a", "b"], "learned", "`task_weights` must have one value"),
    ],
)
def test_wrong_arguments_are_named(tasks, weights, message):
    with pytest.raises(ValueError, match=message):
        MultiTask(tasks, task_weights=weights)
