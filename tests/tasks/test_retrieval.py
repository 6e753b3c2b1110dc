import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import oracles
from tfrs_models import metrics, tasks

BATCH, NUM_CANDIDATES, WIDTH = 5, 8, 3


@pytest.fixture
def inputs():
    """Five queries, eight candidates: three are further negatives; ids repeat."""
    rng = np.random.default_rng(17)
    return {
        "queries": rng.normal(size=(BATCH, WIDTH)).astype("float32"),
        "heads": rng.normal(size=(BATCH, 4, WIDTH)).astype("float32"),
        "candidates": rng.normal(size=(NUM_CANDIDATES, WIDTH)).astype("float32"),
        "weights": rng.uniform(0.1, 2, size=BATCH).astype("float32"),
        "probability": rng.dirichlet(np.ones(NUM_CANDIDATES)).astype("float32"),
        "ids": np.array([7, 3, 7, 9, 3, 7, 4, 9]),
        "mask": rng.uniform(size=(BATCH, NUM_CANDIDATES)) < 0.7,
        "known": [[4, 9], [], [3, 3, 100], [9], [7, 4, 3]],
    }


def ragged(rows, dtype="int64"):
    flat = np.array([i for row in rows for i in row]).astype(dtype)
    return tf.RaggedTensor.from_row_lengths(flat, [len(row) for row in rows])


# name: (constructor arguments, names of call arguments, names for the oracle)
CASES = {
    "plain": ({}, [], {}),
    "weights": ({}, ["weights"], {}),
    "temperature": ({"temperature": 0.07}, ["weights"], {"temperature": 0.07}),
    "logq": ({"temperature": 0.5}, ["probability"], {"temperature": 0.5}),
    "accidental hits": (
        {"remove_accidental_hits": True},
        ["ids", "weights"],
        {"remove_hits": True},
    ),
    "score mask": ({}, ["mask"], {}),
    "known positives": ({}, ["ids", "known"], {}),
    "hard negatives": ({"num_hard_negatives": 2}, [], {"num_hard": 2}),
    "more hard negatives than there are": (
        {"num_hard_negatives": 50},
        ["mask"],
        {"num_hard": 50},
    ),
    "hard negatives switched off": ({"num_hard_negatives": 0}, [], {}),
    "all": (
        {
            "temperature": 0.3,
            "remove_accidental_hits": True,
            "num_hard_negatives": 3,
        },
        ["weights", "probability", "ids", "mask", "known"],
        {"temperature": 0.3, "remove_hits": True, "num_hard": 3},
    ),
}
ARGUMENTS = {
    "weights": "sample_weight",
    "probability": "candidate_sampling_probability",
    "ids": "candidate_ids",
    "mask": "score_mask",
    "known": "known_positives",
}


def arguments(inputs, names):
    values = {name: inputs[name] for name in names}
    if "known" in values:
        values["known"] = ragged(values["known"])
    return {ARGUMENTS[name]: as_tensor(value) for name, value in values.items()}


def as_tensor(value):
    return value if isinstance(value, tf.RaggedTensor) else tf.constant(value)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("with_loss", [False, True])
def test_the_gradient_of_a_scaled_loss_is_scaled(inputs, case, with_loss):
    """As a loss-scaling optimizer and a sum of weighted losses need it."""
    options, names, _ = CASES[case]
    loss = tf.keras.losses.CategoricalCrossentropy(from_logits=True, reduction="sum")
    task = tasks.Retrieval(loss=loss if with_loss else None, **options)
    sides = [tf.constant(inputs[name]) for name in ("queries", "candidates")]

    def slopes(scale):
        with tf.GradientTape() as tape:
            tape.watch(sides)
            value = scale * task(*sides, **arguments(inputs, names))
        return tape.gradient(value, sides)

    for scaled, slope in zip(slopes(1000.0), slopes(1.0), strict=True):
        np.testing.assert_allclose(scaled, 1000 * slope, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("queries", ["queries", "heads"])
@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_what_loops_compute(inputs, case, queries):
    constructor, names, options = CASES[case]
    loss = tasks.Retrieval(**constructor)(
        inputs[queries], inputs["candidates"], **arguments(inputs, names)
    )
    options = options | {name: inputs[name] for name in names}
    expected = oracles.retrieval_loss(inputs[queries], inputs["candidates"], **options)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


@pytest.mark.parametrize("queries", ["queries", "heads"])
@pytest.mark.parametrize("case", CASES)
def test_the_gradient_is_that_of_the_loops(inputs, case, queries):
    constructor, names, options = CASES[case]
    task = tasks.Retrieval(**constructor)
    options = options | {name: inputs[name] for name in names}
    sides = [tf.constant(inputs[queries]), tf.constant(inputs["candidates"])]
    with tf.GradientTape() as tape:
        tape.watch(sides)
        loss = task(*sides, **arguments(inputs, names))
    of_queries, of_candidates = tape.gradient(loss, sides)
    np.testing.assert_allclose(
        of_queries,
        oracles.gradient(
            lambda q: oracles.retrieval_loss(q, inputs["candidates"], **options),
            inputs[queries],
        ),
        atol=2e-4,
    )
    np.testing.assert_allclose(
        of_candidates,
        oracles.gradient(
            lambda c: oracles.retrieval_loss(inputs[queries], c, **options),
            inputs["candidates"],
        ),
        atol=2e-4,
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), extra=st.integers(0, 4), batch=st.integers(1, 5))
def test_the_order_of_the_other_candidates_does_not_matter(seed, extra, batch):
    rng = np.random.default_rng(seed)
    queries = rng.normal(size=(batch, 2)).astype("float32")
    candidates = rng.normal(size=(batch + extra, 2)).astype("float32")
    ids, probability = rng.integers(3, size=len(candidates)), np.linspace(0.1, 0.9, 9)
    probability = probability[: len(candidates)].astype("float32")
    rows = rng.permutation(batch)
    columns = np.concatenate([rows, batch + rng.permutation(extra)]).astype(int)
    task = tasks.Retrieval(remove_accidental_hits=True, num_hard_negatives=2)
    loss = task(
        queries,
        candidates,
        candidate_ids=tf.constant(ids),
        candidate_sampling_probability=tf.constant(probability),
    )
    shuffled = task(
        queries[rows],
        candidates[columns],
        candidate_ids=tf.constant(ids[columns]),
        candidate_sampling_probability=tf.constant(probability[columns]),
    )
    np.testing.assert_allclose(loss, shuffled, rtol=1e-4, atol=1e-5)


def test_no_correction_ignores_the_probabilities(inputs):
    call = arguments(inputs, ["probability"])
    sides = inputs["queries"], inputs["candidates"]
    plain = tasks.Retrieval()(*sides)
    np.testing.assert_array_equal(
        tasks.Retrieval(correction=None)(*sides, **call), plain
    )
    assert abs(tasks.Retrieval()(*sides, **call) - plain) > 0.1


def test_a_constant_factor_of_the_probabilities_does_not_matter(inputs):
    sides = inputs["queries"], inputs["candidates"]
    task, probability = tasks.Retrieval(), inputs["probability"]
    np.testing.assert_allclose(
        task(*sides, candidate_sampling_probability=tf.constant(probability)),
        task(*sides, candidate_sampling_probability=tf.constant(probability * 1e-9)),
        rtol=1e-5,
    )


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_embeddings_of_any_float_dtype_give_float32_losses(inputs, dtype):
    call = arguments(inputs, ["probability", "ids"])
    task = tasks.Retrieval(temperature=0.05, remove_accidental_hits=True)
    sides = [tf.cast(inputs[name], dtype) for name in ("queries", "candidates")]
    loss = task(*sides, **call)
    assert loss.dtype == tf.float32
    # The rounding of the inputs is all that is lost.
    rounded = [tf.cast(side, tf.float32) for side in sides]
    np.testing.assert_allclose(loss, task(*rounded, **call), rtol=1e-6)


def test_scores_beyond_the_range_of_float16_stay_finite():
    embeddings = tf.constant(np.eye(3) * 250, tf.float16)  # scores of 62,500 / T
    loss = tasks.Retrieval(temperature=0.1)(embeddings, embeddings)
    np.testing.assert_allclose(loss, 0, atol=1e-6)


@pytest.mark.usefixtures("mixed_policy")
@pytest.mark.parametrize(
    "mixed_policy", ["mixed_float16", "mixed_bfloat16"], indirect=True
)
def test_a_policy_of_mixed_precision_does_not_touch_the_scores(inputs):
    sides = inputs["queries"], inputs["candidates"]
    call = arguments(inputs, ["probability", "ids", "weights"])
    loss = tasks.Retrieval(temperature=0.05, remove_accidental_hits=True)(
        *sides, **call
    )
    options = {name: inputs[name] for name in ("probability", "ids", "weights")}
    expected = oracles.retrieval_loss(
        *sides, temperature=0.05, remove_hits=True, **options
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_the_temperature_may_be_learnt(inputs):
    temperature = tf.Variable(0.4)
    task = tasks.Retrieval(temperature=temperature)
    with tf.GradientTape() as tape:
        loss = task(inputs["queries"], inputs["candidates"])
    slope = oracles.gradient(
        lambda t: oracles.retrieval_loss(
            inputs["queries"], inputs["candidates"], temperature=t[0]
        ),
        [0.4],
    )
    np.testing.assert_allclose(tape.gradient(loss, temperature), slope[0], rtol=1e-3)
    assert [v.ref() for v in task.trainable_variables] == [temperature.ref()]


@pytest.mark.parametrize("masked", ["mask", "known", "hits"])
def test_a_masked_candidate_gets_no_gradient(inputs, masked):
    task = tasks.Retrieval(remove_accidental_hits=masked == "hits")
    candidates = tf.constant(inputs["candidates"])
    mask = np.ones([BATCH, NUM_CANDIDATES], bool)
    mask[:, 6] = False  # the only item with the id 4
    call = {
        "mask": {"score_mask": tf.constant(mask)},
        "known": {
            "candidate_ids": tf.constant(inputs["ids"]),
            "known_positives": tf.fill([BATCH, 1], np.int64(4)),
        },
        "hits": {"candidate_ids": tf.constant([4, 4, 4, 4, 4, 1, 4, 2])},
    }[masked]
    with tf.GradientTape() as tape:
        tape.watch(candidates)
        loss = task(inputs["queries"], candidates, **call)
    gradient = tape.gradient(loss, candidates).numpy()
    np.testing.assert_array_equal(gradient[6], 0)
    assert np.abs(gradient[7]).sum() > 0


def test_known_positives_may_be_dense_text_and_repeat():
    rng = np.random.default_rng(0)
    queries, candidates = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    ids = np.array(["a", "b", "c"])
    known = [["b", "b"], ["a", "c"], ["", "zz"]]
    loss = tasks.Retrieval()(
        tf.constant(queries, tf.float32),
        tf.constant(candidates, tf.float32),
        candidate_ids=tf.constant(ids),
        known_positives=tf.constant(known),
    )
    expected = oracles.retrieval_loss(queries, candidates, ids=ids, known=known)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_a_row_without_negatives_loses_nothing(inputs):
    loss = tasks.Retrieval()(
        inputs["queries"][:1],
        inputs["candidates"][:1],
    )
    assert float(loss) == 0
    mask = tf.zeros([BATCH, NUM_CANDIDATES], tf.bool)
    loss = tasks.Retrieval()(inputs["queries"], inputs["candidates"], score_mask=mask)
    assert float(loss) == 0


@pytest.mark.parametrize(
    "loss",
    [
        tf.keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2),
        tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=tf.keras.losses.Reduction.SUM
        ),
    ],
)
def test_a_loss_of_ones_own_sees_labels_and_logits(inputs, loss):
    sides = inputs["queries"], inputs["candidates"]
    weights = tf.constant(inputs["weights"])
    expected = loss(tf.eye(BATCH, NUM_CANDIDATES), sides[0] @ sides[1].T, weights)
    np.testing.assert_allclose(
        tasks.Retrieval(loss=loss)(*sides, sample_weight=weights), expected, rtol=1e-5
    )


SMOOTHED = tf.keras.losses.CategoricalCrossentropy(
    from_logits=True,
    label_smoothing=0.3,
    reduction=tf.keras.losses.Reduction.SUM,
)


@pytest.mark.parametrize("num_hard", [None, 4])
@pytest.mark.parametrize("case", ["ids", "mask", "known"])
def test_labels_are_smoothed_over_the_candidates_that_count(inputs, case, num_hard):
    task = tasks.Retrieval(
        loss=SMOOTHED,
        remove_accidental_hits=case == "ids",
        num_hard_negatives=num_hard,
    )
    names = {"ids": ["ids"], "mask": ["mask"], "known": ["ids", "known"]}[case]
    call = arguments(inputs, ["weights", *names])
    loss = task(inputs["queries"], inputs["candidates"], **call)
    scores = inputs["queries"].astype("float64") @ inputs["candidates"].T
    ids, expected = inputs["ids"], 0.0
    for row in range(BATCH):
        others = [
            column
            for column in range(NUM_CANDIDATES)
            if column != row
            and not (case == "ids" and ids[column] == ids[row])
            and not (case == "mask" and not inputs["mask"][row, column])
            and not (case == "known" and ids[column] in inputs["known"][row])
        ]
        others = sorted(others, key=lambda column: -scores[row, column])[:num_hard]
        counted = scores[row, [row, *others]]
        log = counted - np.log(np.exp(counted).sum())
        expected -= inputs["weights"][row] * (0.7 * log[0] + 0.3 * log.mean())
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def smoothed_by_hand(labels, logits, sample_weight=None):
    del sample_weight
    labels = 0.9 * labels + 0.1 / tf.cast(tf.shape(labels)[1], tf.float32)
    return tf.nn.softmax_cross_entropy_with_logits(labels, logits)


@pytest.mark.parametrize(
    "loss",
    [
        tf.keras.losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.1),
        tf.keras.losses.CategoricalFocalCrossentropy(label_smoothing=0.1),
        tf.keras.losses.MeanSquaredError(),
        tf.keras.losses.MeanAbsoluteError(),
        smoothed_by_hand,
    ],
)
def test_a_loss_in_which_masked_candidates_count_is_refused_by_name(inputs, loss):
    name = getattr(loss, "__name__", type(loss).__name__)
    sides = inputs["queries"], inputs["candidates"]
    tasks.Retrieval(loss=loss)(*sides)  # nothing is masked
    for graph in (False, True):
        task = tasks.Retrieval(loss=loss)
        call = tf.function(task) if graph else task
        with pytest.raises(ValueError, match=f"`loss` must leave.*\n?.*`{name}`"):
            call(*sides, score_mask=tf.constant(inputs["mask"]))


def test_the_config_round_trips_with_a_loss_and_metrics_inside(inputs):
    task = tasks.Retrieval(
        loss=tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, label_smoothing=0.3
        ),
        batch_metrics=[tf.keras.metrics.TopKCategoricalAccuracy(k=2, name="batch_2")],
        loss_metrics=[tf.keras.metrics.Mean("mean_loss")],
        temperature=0.25,
        num_hard_negatives=4,
        remove_accidental_hits=True,
        probability_floor=1e-4,
        name="my_task",
    )
    config = tf.keras.utils.serialize_keras_object(task)
    copy = tf.keras.utils.deserialize_keras_object(config)
    assert copy.get_config() == task.get_config()
    call = arguments(inputs, ["ids", "weights", "probability"])
    sides = inputs["queries"], inputs["candidates"]
    np.testing.assert_array_equal(copy(*sides, **call), task(*sides, **call))
    assert [m.name for m in copy.metrics] == [m.name for m in task.metrics]


def test_metrics_of_the_batch_and_of_the_loss_are_updated(inputs):
    hits = tf.keras.metrics.TopKCategoricalAccuracy(k=1, name="hits")
    mean = tf.keras.metrics.Mean("mean")
    task = tasks.Retrieval(batch_metrics=[hits], loss_metrics=[mean])
    sides, weights = (inputs["queries"], inputs["candidates"]), inputs["weights"]
    first = task(*sides)
    second = task(*sides, sample_weight=weights, compute_batch_metrics=False)
    scores = inputs["queries"] @ inputs["candidates"].T
    expected = np.argmax(scores, axis=1) == np.arange(BATCH)
    np.testing.assert_allclose(hits.result(), expected.mean())
    np.testing.assert_allclose(mean.result(), (first + second) / 2)
    hits.reset_state()
    task(*sides, sample_weight=weights)
    np.testing.assert_allclose(hits.result(), np.average(expected, weights=weights))


def test_metric_weights_are_separate_from_loss_weights(inputs):
    hits = tf.keras.metrics.TopKCategoricalAccuracy(k=1, name="hits")
    corpus = metrics.FactorizedTopK(
        tf.data.Dataset.from_tensor_slices(inputs["candidates"]).batch(3), ks=[1]
    )
    task = tasks.Retrieval(metrics=corpus, batch_metrics=[hits])
    metric_weight = np.float32([1, 0, 2, 0, 1])
    loss = task(
        inputs["queries"],
        inputs["candidates"],
        sample_weight=tf.constant(inputs["weights"]),
        candidate_ids=tf.range(NUM_CANDIDATES),
        metric_weight=tf.constant(metric_weight),
    )
    expected = oracles.retrieval_loss(
        inputs["queries"], inputs["candidates"], weights=inputs["weights"]
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    scores = inputs["queries"] @ inputs["candidates"].T
    hit = np.argmax(scores, axis=1) == np.arange(BATCH)
    accuracy = np.average(hit, weights=metric_weight)
    np.testing.assert_allclose(hits.result(), accuracy)
    np.testing.assert_allclose(corpus.result(), [accuracy])


def corpus_metric(inputs, **options):
    corpus = tf.data.Dataset.from_tensor_slices(
        (np.arange(NUM_CANDIDATES) * 10, inputs["candidates"])
    )
    return metrics.FactorizedTopK(corpus.batch(3), ks=[1, 3], **options)


def corpus_hits(scores, excluded):
    above, tied, _ = oracles.ranks(scores, range(BATCH), excluded)
    return [
        np.mean(
            [
                oracles.expected("hits", a, t, k=k)
                for a, t in zip(above, tied, strict=True)
            ]
        )
        for k in (1, 3)
    ]


@pytest.mark.parametrize("queries", ["queries", "heads"])
def test_corpus_metrics_leave_known_positives_out(inputs, queries):
    metric = corpus_metric(inputs)
    known = [[10, 20], [70], [20, 30, 40], [], [0]]  # row 2 knows its own positive
    tasks.Retrieval(metrics=metric)(
        inputs[queries],
        inputs["candidates"],
        candidate_ids=tf.range(NUM_CANDIDATES) * 10,
        known_positives=ragged(known),
    )
    scores = oracles.scores(inputs[queries], inputs["candidates"])
    excluded = [[i // 10 for i in row] for row in known]
    np.testing.assert_allclose(metric.result(), corpus_hits(scores, excluded))


def test_corpus_metrics_may_exclude_by_a_table_of_users(inputs):
    table = [[10, 20], [70], [20, 30], []]
    users = [3, 0, 0, 1, 2]
    metric = corpus_metric(inputs, exclude=ragged(table))
    tasks.Retrieval(metrics=metric)(
        inputs["queries"],
        inputs["candidates"],
        candidate_ids=tf.range(NUM_CANDIDATES) * 10,
        query_ids=tf.constant(users),
    )
    scores = oracles.scores(inputs["queries"], inputs["candidates"])
    excluded = [[i // 10 for i in table[user]] for user in users]
    np.testing.assert_allclose(metric.result(), corpus_hits(scores, excluded))


def test_corpus_metrics_can_be_skipped(inputs):
    metric = corpus_metric(inputs)
    tasks.Retrieval(metrics=metric)(
        inputs["queries"], inputs["candidates"], compute_metrics=False
    )
    assert [float(value) for value in metric.result()] == [0, 0]


def test_known_positives_need_a_metric_that_can_leave_them_out(inputs):
    class Plain(metrics.FactorizedTopK.__mro__[1]):  # upstream's base class
        def update_state(
            self, query_embeddings, true_candidate_embeddings, true_candidate_ids=None
        ):
            raise NotImplementedError

    task = tasks.Retrieval(metrics=Plain())
    with pytest.raises(ValueError, match=r"Known positives.*FactorizedTopK"):
        task(
            inputs["queries"],
            inputs["candidates"],
            candidate_ids=tf.range(NUM_CANDIDATES),
            known_positives=tf.zeros([BATCH, 1], tf.int32),
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0}, r"`temperature` must be above 0. Got 0"),
        ({"temperature": np.float32(-1)}, r"`temperature` must be above 0. Got -1"),
        ({"temperature": float("nan")}, r"`temperature` must be above 0. Got nan"),
        ({"temperature": "0.1"}, r"`temperature` must be a number"),
        ({"temperature": np.inf}, r"`temperature` must be finite"),
        ({"num_hard_negatives": 2.5}, r"`num_hard_negatives` must be .*Got 2.5"),
        ({"num_hard_negatives": True}, r"`num_hard_negatives` must be .*Got True"),
        ({"remove_accidental_hits": "no"}, r"`remove_accidental_hits` must be True or"),
        ({"gather_candidates": "yes"}, r"`gather_candidates` must be True or False"),
        ({"num_items": 2.5}, r"`num_items` must be a whole number from 1"),
        ({"block_size": True}, r"`block_size` must be 'auto' or"),
        ({"loss": "mse"}, r"`loss` must be a Keras loss, .*Got 'mse'"),
        ({"correction": "log"}, r"`correction` must be .*Got 'log'"),
        ({"probability_floor": 0.0}, r"`probability_floor` must be .*Got 0"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        tasks.Retrieval(**arguments)


@pytest.mark.parametrize(
    ("queries", "candidates", "arguments", "message"),
    [
        ((5, 3), (8, 4), {}, r"same width.*3.*4"),
        ((3,), (8, 3), {}, r"`query_embeddings` must be"),
        ((5, 0), (8, 0), {}, r"`query_embeddings` must have a width of at least 1"),
        ((5, 3), (8, 2, 3), {}, r"`candidate_embeddings`"),
        ((5, 3), (4, 3), {}, r"`candidate_embeddings`.*4 candidates for 5 queries"),
        (
            (5, 3),
            (8, 3),
            {"candidate_ids": tf.range(5)},
            r"`candidate_ids` must have one value for each of the 8.*Got 5",
        ),
        (
            (5, 3),
            (8, 3),
            {"candidate_sampling_probability": tf.fill([5], 0.1)},
            r"`candidate_sampling_probability` must have one.*8.*Got 5",
        ),
    ],
)
def test_shapes_that_do_not_fit_are_named(queries, candidates, arguments, message):
    with pytest.raises(ValueError, match=message):
        tasks.Retrieval()(tf.ones(queries), tf.ones(candidates), **arguments)


@pytest.mark.parametrize(
    "arguments", [{"known_positives": tf.zeros([5, 1], tf.int32)}, {}]
)
def test_ids_are_asked_for(inputs, arguments):
    task = tasks.Retrieval(remove_accidental_hits=not arguments)
    with pytest.raises(ValueError, match="`candidate_ids` must be given"):
        task(inputs["queries"], inputs["candidates"], **arguments)


def test_columns_of_ids_weights_and_probabilities_are_taken_flat(inputs):
    names = ["ids", "weights", "probability"]
    flat = arguments(inputs, names)
    columns = {name: value[:, None] for name, value in flat.items()}
    task = tasks.Retrieval(remove_accidental_hits=True)
    sides = inputs["queries"], inputs["candidates"]
    np.testing.assert_array_equal(task(*sides, **columns), task(*sides, **flat))


@pytest.mark.parametrize("wrong", [np.nan, 1.25, -0.1])
def test_a_wrong_probability_names_its_position_and_item(inputs, wrong):
    probability = inputs["probability"].copy()
    probability[6] = wrong
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        tasks.Retrieval()(
            inputs["queries"],
            inputs["candidates"],
            candidate_sampling_probability=tf.constant(probability),
            candidate_ids=tf.constant([f"item {i}" for i in range(NUM_CANDIDATES)]),
        )
    message = str(error.value)
    assert "`candidate_sampling_probability`" in message
    assert "item 6" in message
    assert "6" in message.split("position")[1]


def test_a_probability_floor_takes_upstreams_clipping(inputs):
    probability = inputs["probability"].copy()
    probability[[2, 6]] = 0, 1e-9
    loss = tasks.Retrieval(probability_floor=1e-6)(
        inputs["queries"],
        inputs["candidates"],
        candidate_sampling_probability=tf.constant(probability),
    )
    expected = oracles.retrieval_loss(
        inputs["queries"],
        inputs["candidates"],
        probability=np.maximum(probability, 1e-6),
    )
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_graph_and_eager_agree_for_batches_of_every_size(inputs):
    metric, other = corpus_metric(inputs), corpus_metric(inputs)
    options = {"temperature": 0.3, "remove_accidental_hits": True}
    eager = tasks.Retrieval(metrics=metric, **options)
    graph = tasks.Retrieval(metrics=other, **options)
    traces = []

    @tf.function(reduce_retracing=True)
    def call(queries, candidates, ids):
        traces.append(1)
        return graph(queries, candidates, candidate_ids=ids)

    for batch in (5, 1, 3, 2, 4):
        sides = [tf.constant(inputs[n][:batch]) for n in ("queries", "candidates")]
        ids = tf.constant(inputs["ids"][:batch] * 10)
        np.testing.assert_allclose(
            call(*sides, ids), eager(*sides, candidate_ids=ids), rtol=1e-5
        )
    np.testing.assert_allclose(metric.result(), other.result())
    assert len(traces) <= 3


def test_a_validation_with_items_that_training_never_showed_goes_on(inputs):
    sides = inputs["queries"], inputs["candidates"]
    probability = np.array(inputs["probability"])
    probability[3] = 0
    with pytest.warns(
        UserWarning, match=r"1 of 8 candidates.*`probability_floor=1e-06`"
    ):
        loss = tasks.Retrieval()(*sides, candidate_sampling_probability=probability)
    probability[3] = 1e-6
    expected = tasks.Retrieval()(*sides, candidate_sampling_probability=probability)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


def written_for_upstream(base):
    """A subclass as public repositories have it, with a `call` of its own."""

    class Own(base):
        def call(self, queries, candidates, candidate_ids=None, sample_weight=None):
            scores = tf.matmul(queries, candidates, transpose_b=True)
            labels = tf.eye(tf.shape(scores)[0], tf.shape(scores)[1])
            if self._temperature is not None:
                scores /= self._temperature
            if self._remove_accidental_hits:
                remove = tfrs.layers.loss.RemoveAccidentalHits()
                scores = remove(labels, scores, candidate_ids)
            if self._num_hard_negatives is not None:
                mine = tfrs.layers.loss.HardNegativeMining(self._num_hard_negatives)
                scores, labels = mine(scores, labels)
            return self._loss(labels, scores, sample_weight=sample_weight)

    return Own


@pytest.mark.parametrize("loss", [None, tf.keras.losses.BinaryCrossentropy(True)])
def test_a_subclass_written_for_upstream_finds_what_it_reads(inputs, loss):
    options = {"temperature": 0.3, "num_hard_negatives": 2, "loss": loss}
    queries, candidates = inputs["queries"], inputs["candidates"]
    weight, ids = tf.constant(inputs["weights"]), tf.constant(inputs["ids"])
    ours, theirs = (
        written_for_upstream(base)(remove_accidental_hits=True, **options)
        for base in (tasks.Retrieval, tfrs.tasks.Retrieval)
    )
    one, other = (
        task(queries, candidates, candidate_ids=ids, sample_weight=weight)
        for task in (ours, theirs)
    )
    np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_a_subclass_assigns_counts(inputs):
    class Assigning(tasks.Retrieval):
        def __init__(self):
            super().__init__()
            self._temperature, self._num_hard_negatives = 0.3, 2
            self._remove_accidental_hits = True
            self._loss = tf.keras.losses.BinaryCrossentropy(from_logits=True)

    sides = inputs["queries"], inputs["candidates"]
    call = arguments(inputs, ["ids"])
    expected = tasks.Retrieval(
        tf.keras.losses.BinaryCrossentropy(from_logits=True),
        temperature=0.3,
        num_hard_negatives=2,
        remove_accidental_hits=True,
    )(*sides, **call)
    assert float(Assigning()(*sides, **call)) == float(expected)
