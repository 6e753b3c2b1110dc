"""What holds of every loss of labels and scores; each has a row."""

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests import oracles
from tests.losses import definitions
from tfrs_models import losses

BATCH, LIST_SIZE = 6, 7


def hinge(margin):
    return lambda m: max(0.0, margin - m)


# name -> (ours, the definition, whether the labels are a teacher's scores)
CASES = {
    "list_mle": (losses.list_mle_loss, definitions.list_mle, False),
    "listwise_softmax": (
        losses.listwise_softmax_loss,
        definitions.listwise_softmax,
        False,
    ),
}
for temperature in (0.1, 0.7):
    for ours, definition in (
        (losses.approx_ndcg_loss, definitions.approx_ndcg),
        (losses.smooth_ap_loss, definitions.smooth_ap),
    ):
        CASES[f"{definition.__name__}, {temperature}"] = (
            functools.partial(ours, temperature=temperature),
            functools.partial(definition, temperature=temperature),
            False,
        )
for positive, pairs, weights in itertools.product(
    ("graded", "binary"), ("mean", "sum"), (None, "label_difference", "delta_ndcg")
):
    options = {"positive": positive, "pairs": pairs, "weights": weights}
    CASES[f"logistic, {positive}, {pairs}, {weights}"] = (
        functools.partial(losses.pairwise_logistic_loss, **options),
        functools.partial(definitions.pairwise, **options),
        False,
    )
    CASES[f"hinge, {positive}, {pairs}, {weights}"] = (
        functools.partial(losses.pairwise_hinge_loss, margin=0.6, **options),
        functools.partial(definitions.pairwise, penalty=hinge(0.6), **options),
        False,
    )
for k, pairs in ((None, "mean"), (2, "sum"), (3, "mean"), (99, "sum")):
    CASES[f"pairwise_distillation, {k}, {pairs}"] = (
        functools.partial(losses.pairwise_distillation_loss, k=k, pairs=pairs),
        functools.partial(definitions.pairwise_distillation, k=k, pairs=pairs),
        True,
    )
for temperature in (1.0, 2.5):
    CASES[f"listwise_distillation, {temperature}"] = (
        functools.partial(losses.listwise_distillation_loss, temperature=temperature),
        functools.partial(definitions.listwise_distillation, temperature=temperature),
        True,
    )
every_loss = pytest.mark.parametrize("case", CASES)
# What is traced or cast knows no options but the penalty and the weights: the others
# take turns.
TURNS = {
    f"{penalty}, {('graded', 'binary')[turn % 2]}, {('mean', 'sum')[turn // 2 % 2]}, "
    f"{weights}"
    for turn, (penalty, weights) in enumerate(
        itertools.product(
            ("logistic", "hinge"), (None, "label_difference", "delta_ndcg")
        )
    )
}
every_kind = pytest.mark.parametrize(
    "case",
    [
        case
        for case in CASES
        if case in TURNS or not case.startswith(("logistic", "hinge"))
    ],
)


def inputs(case, seed=3):
    """Labels with padding and ties, scores, and a mask that leaves one list empty."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(BATCH, LIST_SIZE)).astype("float32")
    labels = rng.integers(0, 4, size=(BATCH, LIST_SIZE)).astype("float32")
    labels[rng.random(labels.shape) < 0.15] = -1
    labels[4] = [0, 1, 1, 0, 0, 1, 0]
    if CASES[case][2]:
        labels = rng.normal(size=labels.shape).astype("float32")
    mask = rng.random(labels.shape) < 0.8
    mask[2] = False
    mask[3] = np.arange(LIST_SIZE) == 1
    return labels, scores, mask


def run(case, labels, scores, mask=None):
    """Losses, and the gradient of their weighted sum by the scores."""
    scores = tf.convert_to_tensor(scores)
    weight = tf.range(1.0, scores.shape[0] + 1)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        values = CASES[case][0](labels, scores, mask=mask)
        total = tf.reduce_sum(tf.cast(weight, values.dtype) * values)
    return values.numpy(), tape.gradient(total, scores).numpy()


@every_loss
def test_a_loss_is_its_definition(case):
    for seed in range(3):
        labels, scores, mask = inputs(case, seed)
        if seed == 2:  # ties
            scores = np.round(scores)
            labels = np.round(labels)
        for masked in (mask, None):
            values, _ = run(case, labels, scores, masked)
            expected = [
                CASES[case][1](*row)
                for row in zip(
                    labels,
                    scores,
                    mask if masked is not None else [None] * BATCH,
                    strict=True,
                )
            ]
            assert values.shape == (BATCH,)
            np.testing.assert_allclose(values, expected, rtol=2e-5, atol=1e-6)


@every_loss
def test_its_gradient_is_that_of_the_definition(case):
    labels, scores, mask = inputs(case)
    _, slope = run(case, labels, scores.astype("float64"), mask)
    definition = CASES[case][1]

    def total(values):
        rows = zip(labels, values, mask, scores, strict=True)
        out = 0.0
        for i, (label, value, valid, before) in enumerate(rows):
            weights = {"frozen": before} if "delta_ndcg" in case else {}
            out += (i + 1) * definition(label, value, valid, **weights)
        return out

    expected = oracles.gradient(total, scores)
    np.testing.assert_allclose(slope, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(slope[~mask], 0)


@every_loss
def test_masked_places_may_hold_anything(case):
    labels, scores, mask = inputs(case)
    expected = run(case, labels, scores, mask)
    for garbage in (np.nan, np.inf, -7.0):
        other = np.where(mask, labels, garbage), np.where(mask, scores, garbage)
        values, slope = run(case, *(x.astype("float32") for x in other), mask)
        np.testing.assert_allclose(values, expected[0], rtol=1e-6)
        np.testing.assert_allclose(slope, expected[1], rtol=1e-5, atol=1e-7)


@every_loss
def test_padding_is_as_if_it_were_not_there(case):
    labels, scores, mask = inputs(case)
    lists = [
        [x[row][mask[row]][None] for x in (labels, scores)] for row in range(BATCH)
    ]
    alone = [run(case, *one)[0][0] for one in lists]
    np.testing.assert_allclose(run(case, labels, scores, mask)[0], alone, rtol=1e-5)


@every_loss
def test_nothing_to_compare_is_no_loss(case):
    for size in (0, 1):
        for label in (0.0, 1.0, 3.0):
            labels = np.full((2, size), label, "float32")
            values, slope = run(case, labels, np.full((2, size), 2.0, "float32"))
            np.testing.assert_allclose(values, [0, 0], atol=1e-6)
            np.testing.assert_allclose(slope, 0, atol=1e-6)
    values, _ = run(case, np.zeros((0, 4), "float32"), np.zeros((0, 4), "float32"))
    assert values.shape == (0,)
    labels, scores, _ = inputs(case)
    values, slope = run(case, labels, scores, np.zeros(labels.shape, bool))
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(slope, 0)


@every_loss
def test_equal_labels_beside_padding_are_nothing_to_compare(case):
    """Padding is neither a worse nor a better item, whether by label or by mask."""
    scores = np.array([[0.3, 0.9, 2.0, -1.0], [-0.4, 5.0, 0.1, 0.2]], "float32")
    one = np.array([[True, False, False, False], [False, False, True, False]])
    two = one | one[::-1]
    masked, padded = [], []
    for label in (0.0, 2.0):
        # To a softmax over the list two equal labels are a distribution to learn.
        for mask in (one,) if "listwise" in case else (one, two):
            for padding in (3.0, 0.0, label):
                masked.append((np.where(mask, label, padding), scores, mask))
            if not CASES[case][2]:
                padded.append((np.where(mask, label, -1.0), scores))
    for lists in (masked, padded):
        if lists:  # all of them in one batch: every list has a loss of its own
            labels, *others = (
                np.concatenate(part) for part in zip(*lists, strict=True)
            )
            values, slope = run(case, labels.astype("float32"), *others)
            np.testing.assert_allclose(values, 0, atol=1e-6)
            np.testing.assert_allclose(slope, 0, atol=1e-6)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][2]])
def test_the_teacher_gets_no_gradient(case):
    teacher, student, mask = inputs(case)
    teacher = tf.Variable(teacher)
    for given in (mask, None):
        with tf.GradientTape() as tape:
            values = CASES[case][0](teacher, student, mask=given)
        assert tape.gradient(values, teacher) is None


@every_loss
def test_the_gradient_of_a_scaled_loss_is_scaled(case):
    labels, scores, mask = inputs(case)
    scores = tf.constant(scores)

    def slope(scale):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            loss = scale * tf.reduce_sum(CASES[case][0](labels, scores, mask=mask))
        return tape.gradient(loss, scores)

    np.testing.assert_allclose(slope(1000.0), 1000 * slope(1.0), rtol=1e-5, atol=1e-6)


@every_loss
def test_gradients_are_finite_whatever_the_scores(case):
    labels, scores, _ = inputs(case)
    for extreme in (np.zeros_like(scores), 1e4 * np.sign(scores), 1e4 * scores):
        values, slope = run(case, labels, extreme)
        assert np.isfinite(values).all()
        assert np.isfinite(slope).all()
        assert (values >= -1e-5).all()


@every_loss
def test_the_order_of_a_list_does_not_matter(case):
    labels, scores, mask = inputs(case)
    scores[0] = np.round(scores[0])  # ties
    order = np.random.default_rng(5).permutation(LIST_SIZE)
    values, slope = run(case, labels, scores, mask)
    again, slope_again = run(case, labels[:, order], scores[:, order], mask[:, order])
    np.testing.assert_allclose(again, values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(slope_again[1:], slope[1:, order], rtol=1e-4, atol=1e-5)


@every_kind
def test_graph_and_eager_agree_for_any_shape(case):
    labels, scores, mask = inputs(case)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None]),
            tf.TensorSpec([None, None]),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def graph(labels, scores, mask):
        with tf.GradientTape() as tape:
            tape.watch(scores)
            values = CASES[case][0](labels, scores, mask=mask)
        return values, tape.gradient(values, scores)

    for rows, columns in ((BATCH, LIST_SIZE), (1, 3), (2, 0)):
        part = [x[:rows, :columns] for x in (labels, scores, mask)]
        values, slope = graph(*part)
        np.testing.assert_allclose(values, run(case, *part)[0], rtol=1e-5, atol=1e-7)
        scale = np.arange(1, rows + 1)[:, None]
        np.testing.assert_allclose(
            slope * scale, run(case, *part)[1], rtol=1e-5, atol=1e-6
        )


@every_kind
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(case, dtype):
    labels, scores, mask = inputs(case)
    rounded = tf.cast(scores, dtype)
    if CASES[case][2]:
        labels = tf.cast(tf.cast(labels, dtype), tf.float32)
    values, slope = run(case, tf.cast(labels, dtype), rounded, mask)
    expected = run(case, labels, tf.cast(rounded, tf.float32), mask)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        tf.cast(slope, tf.float32), expected[1], rtol=0.02, atol=1e-3
    )


@every_loss
def test_a_better_item_that_moves_up_lowers_the_loss(case):
    labels = np.array([[3.0, 0.0, 1.0, 2.0]], "float32")
    wrong = np.array([[-0.3, 0.4, 0.1, 0.2]], "float32")
    right = np.array([[0.4, -0.3, 0.1, 0.2]], "float32")
    assert run(case, labels, right)[0][0] < run(case, labels, wrong)[0][0]


@every_kind
def test_following_the_gradient_finds_the_order(case):
    """From several starts at once, in one graph; a wrong order would remain in any."""
    starts = [[-0.1, 0.2, 0.0, 0.1], [0.0, 0.0, 0.0, 0.0], [-0.3, 0.1, -0.2, 0.3]]
    labels = np.array([[2.0, 0.0, 1.0, 0.0]] * len(starts), "float32")

    @tf.function
    def descend(scores):
        for _ in tf.range(300):
            with tf.GradientTape() as tape:
                tape.watch(scores)
                values = CASES[case][0](labels, scores)
            scores -= 0.1 * tape.gradient(values, scores)
        return scores

    for scores in descend(tf.constant(starts)).numpy():
        if "smooth_ap" in case or "binary" in case:
            assert scores[[0, 2]].min() > scores[[1, 3]].max()
        elif "pairwise_distillation, 2" not in case:
            assert scores[0] > scores[2] > scores[[1, 3]].max()


@every_loss
def test_shapes_that_differ_are_named(case):
    ours, _, of_teacher = CASES[case]
    name = "teacher_scores" if of_teacher else "labels"
    with pytest.raises(ValueError, match=rf"`{name}` must have the shape of the sc"):
        ours(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match=r"must be \[batch, list_size\]. Got .*\(3,\)"):
        ours(np.zeros(3), np.zeros(3))
    with pytest.raises(ValueError, match=r"`mask` must have the shape"):
        ours(np.zeros((2, 3)), np.zeros((2, 3)), mask=np.ones((2, 2), bool))
    with pytest.raises(ValueError, match=r"`mask` must be bool. Got float"):
        ours(np.zeros((2, 3)), np.zeros((2, 3)), mask=np.ones((2, 3)))
    if not of_teacher:
        for wrong in (-2.0, -0.5, np.nan):
            with pytest.raises(
                tf.errors.InvalidArgumentError, match="`labels` must be 0 or more, or"
            ):
                ours(np.array([[1.0, wrong]]), np.zeros((1, 2)))


def test_the_worked_values_of_the_logistic_loss():
    scores = [[2, 0, 1]]
    mean = losses.pairwise_logistic_loss([[1, 0, 0]], scores)
    total = losses.pairwise_logistic_loss([[1, 0, 0]], scores, pairs="sum")
    padded = losses.pairwise_logistic_loss([[1, 0, -1]], scores)
    np.testing.assert_allclose(mean, [0.220095], atol=1e-6)
    np.testing.assert_allclose(total, [0.440190], atol=1e-6)
    np.testing.assert_allclose(padded, [0.126928], atol=1e-6)


@pytest.mark.parametrize(
    "loss", [losses.pairwise_logistic_loss, losses.pairwise_hinge_loss]
)
@pytest.mark.parametrize("weights", [None, "label_difference", "delta_ndcg"])
def test_binary_is_graded_where_labels_are(loss, weights):
    rng = np.random.default_rng(8)
    labels = rng.integers(-1, 2, size=(5, 9))
    scores = rng.normal(size=(5, 9)).astype("float32")
    graded, binary = (
        loss(labels, scores, positive=positive, weights=weights)
        for positive in ("graded", "binary")
    )
    np.testing.assert_allclose(binary, graded, rtol=1e-6)
    labels[0, :3] = [3, 0, 2]
    assert float(loss(labels, scores, positive="binary")[0]) != pytest.approx(
        float(loss(labels, scores)[0])
    )


def test_a_model_that_scores_everything_alike_still_has_lambda_gradients():
    labels = np.array([[0.0, 2.0, 1.0]], "float32")
    _, slope = run("logistic, graded, mean, delta_ndcg", labels, np.zeros((1, 3), "f"))
    assert slope[0, 1] < slope[0, 2] < slope[0, 0]


def test_a_pair_is_as_exact_as_float32():
    margins = np.linspace(-30, 30, 1201).astype("float32")
    scores = tf.constant(np.stack([margins, np.zeros_like(margins)], axis=1))
    with tf.GradientTape() as tape:
        tape.watch(scores)
        values = losses.pairwise_logistic_loss(np.tile([1, 0], (1201, 1)), scores)
    exact = margins.astype("float64")
    np.testing.assert_allclose(values, np.logaddexp(0, -exact), rtol=1e-6)
    slope = tape.gradient(values, scores)[:, 0]
    np.testing.assert_allclose(slope, -1 / (1 + np.exp(exact)), rtol=1e-6)


def test_labels_may_be_large():
    labels = np.array([[500.0, 499.0, 0.0]], "float32")
    for case in ("approx_ndcg, 0.1", "logistic, graded, mean, delta_ndcg"):
        values, slope = run(case, labels, np.array([[0.1, 0.3, 0.2]], "float32"))
        assert np.isfinite(values).all()
        assert np.isfinite(slope).all()
        assert values > 0


def test_the_smooth_losses_approach_the_metrics_that_they_smooth():
    labels = np.array([[0.0, 2.0, 1.0, 0.0]], "float32")
    scores = np.array([[0.9, 0.5, 0.1, 0.3]], "float32")
    ndcg = (3 / np.log2(3) + 1 / np.log2(5)) / (3 + 1 / np.log2(3))
    ap = (1 / 2 + 2 / 4) / 2
    close = {"temperature": 0.001}
    np.testing.assert_allclose(
        losses.approx_ndcg_loss(labels, scores, **close), [1 - ndcg], rtol=1e-5
    )
    np.testing.assert_allclose(
        losses.smooth_ap_loss(labels, scores, **close), [1 - ap], rtol=1e-5
    )


@pytest.mark.parametrize(
    "function",
    [
        losses.pairwise_logistic_loss,
        losses.pairwise_hinge_loss,
        losses.pairwise_distillation_loss,
    ],
)
def test_a_second_derivative_is_refused(function):
    scores = tf.constant([[0.3, 0.1, 2.0]])
    with tf.GradientTape() as outer:
        outer.watch(scores)
        with tf.GradientTape() as inner:
            inner.watch(scores)
            values = function([[1, 0, 0]], scores)
        slope = inner.gradient(values, scores)
    with pytest.raises(LookupError, match="once, not twice"):
        outer.gradient(slope, scores)


@pytest.mark.parametrize(
    ("function", "options", "words"),
    [
        ("pairwise_logistic", {"positive": "soft"}, "`positive` must be one of"),
        ("pairwise_logistic", {"pairs": "max"}, "`pairs` must be one of"),
        ("pairwise_hinge", {"weights": "ndcg"}, "`weights` must be one of"),
        ("sampled_pairwise", {"penalty": "l2"}, "`penalty` must be one of"),
        ("approx_ndcg", {"temperature": 0.0}, "`temperature` must be above 0. Got 0"),
        ("smooth_ap", {"temperature": -1.0}, "`temperature` must be above 0"),
        ("smooth_ap", {"temperature": np.inf}, "must be finite and above 0. Got inf"),
        ("pairwise_distillation", {"k": 0}, "`k` must be None or at least 1. Got 0"),
        ("pairwise_distillation", {"pairs": "all"}, "`pairs` must be one of"),
        ("listwise_distillation", {"temperature": 0.0}, "`temperature` must be"),
    ],
)
def test_wrong_options_are_named(function, options, words):
    name = "".join(part.capitalize() for part in function.split("_"))
    name = name.replace("Ndcg", "NDCG").replace("SmoothAp", "SmoothAP")
    with pytest.raises(ValueError, match=words):
        getattr(losses, f"{name}Loss")(**options)
    with pytest.raises(ValueError, match=words):
        getattr(losses, f"{function}_loss")([[1, 0]], [[0.1, 0.2]], **options)


@pytest.mark.parametrize("penalty", ["logistic", "hinge"])
def test_sampled_pairs_average_to_all_pairs(penalty):
    labels = np.array([[0, 2, 0, 1, -1, 0], [1, 0, 0, 0, 0, 0]], "float32")
    scores = np.array([[0.4, 0.1, -0.7, 0.8, 9, 0], [2, 0, 1, -1, 3, 0.5]], "float32")
    draw = tf.function(
        lambda seed: losses.sampled_pairwise_loss(
            labels, scores, penalty=penalty, margin=0.5, seed=seed
        )
    )
    drawn = np.stack([draw(seed) for seed in tf.range(1500)])
    chosen = hinge(0.5) if penalty == "hinge" else lambda m: definitions.softplus(-m)
    for row in range(2):
        single = {
            chosen(float(si - sj))
            for yi, si in zip(labels[row], scores[row], strict=True)
            for yj, sj in zip(labels[row], scores[row], strict=True)
            if yi > 0 and yj == 0
        }
        found = np.unique(drawn[:, row].round(4))
        np.testing.assert_allclose(
            found, np.unique(np.round(sorted(single), 4)), atol=2e-4
        )
    expected = [
        definitions.pairwise(y, s, positive="binary", penalty=chosen)
        for y, s in zip(labels, scores, strict=True)
    ]
    np.testing.assert_allclose(drawn.mean(axis=0), expected, rtol=0.06)


def test_a_seed_draws_the_same_pairs_and_none_draws_anew():
    rng = np.random.default_rng(2)
    labels = rng.integers(0, 2, size=(20, 30))
    scores = rng.normal(size=(20, 30)).astype("float32")

    def draw(**options):
        return losses.sampled_pairwise_loss(labels, scores, **options).numpy()

    np.testing.assert_array_equal(draw(seed=4), draw(seed=4))
    assert (draw(seed=4) != draw(seed=5)).any()
    assert (draw() != draw()).any()
    tf.random.set_seed(1)
    first = draw()
    tf.random.set_seed(1)
    np.testing.assert_array_equal(draw(), first)


def test_a_list_without_both_kinds_has_no_sampled_pair():
    labels = [[0, 0, 0], [1, 2, 1], [1, -1, -1], [-1, -1, -1]]
    scores = tf.constant([[1e4, -1e4, 0.0]] * 4)
    with tf.GradientTape() as tape:
        tape.watch(scores)
        values = losses.sampled_pairwise_loss(labels, scores)
    np.testing.assert_array_equal(values, 0)
    np.testing.assert_array_equal(tape.gradient(values, scores), 0)
    assert losses.sampled_pairwise_loss(np.zeros((2, 0)), np.zeros((2, 0))).shape == 2


KERAS_LOSSES = [
    value
    for value in vars(losses).values()
    if isinstance(value, type) and issubclass(value, tf.keras.losses.Loss)
]


@pytest.mark.parametrize("cls", KERAS_LOSSES)
@pytest.mark.parametrize("way", ["keyword", "dict", "call"])
def test_a_keras_loss_takes_a_mask(cls, way):
    """A teacher may score -1, which is no padding."""
    labels = np.array([[1.0, 0, 1, 0], [0, 0, 1, 0]], "float32")
    if "Distillation" in cls.__name__:
        labels = np.array([[1.0, -1, 2, -1], [-1, 3, 1, -2]], "float32")
    scores = np.array([[0.3, 0.2, 0.9, 0.1], [0.5, 0.4, -0.2, 0.9]], "float32")
    mask = np.array([[True, True, False, False], [False, True, True, False]])
    loss = cls(reduction="none")
    rows = [[x[i : i + 1, mask[i]] for x in (labels, scores)] for i in range(2)]
    alone = [float(loss(*row)[0]) for row in rows]
    if way == "keyword":
        values = loss(labels, scores, mask=tf.constant(mask))
    else:
        given = {"labels": labels, "mask": mask}
        values = loss(given, scores) if way == "dict" else loss.call(given, scores)
    np.testing.assert_allclose(values, alone, rtol=1e-5)
    assert (np.array(alone) > 0).all()


@pytest.mark.parametrize("cls", KERAS_LOSSES)
def test_a_dict_of_something_else_and_two_masks_are_refused(cls):
    labels, scores, mask = np.ones([1, 2]), np.zeros([1, 2]), np.ones([1, 2], bool)
    with pytest.raises(ValueError, match=r"`labels` and `mask`. Got a dict of \['y'\]"):
        cls()({"y": labels}, scores)
    with pytest.raises(ValueError, match="`mask` must be given once"):
        cls()({"labels": labels, "mask": mask}, scores, mask=mask)


def test_a_keras_loss_reduces_its_function():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, size=(4, 6))
    scores = rng.normal(size=(4, 6)).astype("float32")
    weight = np.array([1.0, 0.0, 2.0, 0.5], "float32")
    pairs = {
        losses.PairwiseHingeLoss(margin=0.3): (losses.pairwise_hinge_loss, 0.3),
        losses.ListMLELoss(): (losses.list_mle_loss, None),
    }
    for loss, (function, margin) in pairs.items():
        options = {} if margin is None else {"margin": margin}
        values = function(labels, scores, **options).numpy()
        assert float(loss(labels, scores)) == pytest.approx(values.mean(), rel=1e-5)
        assert float(loss(labels, scores, sample_weight=weight)) == pytest.approx(
            (weight * values).sum() / 4, rel=1e-5
        )
