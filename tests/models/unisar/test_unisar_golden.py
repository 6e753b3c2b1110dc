"""UniSAR against the numbers of its PyTorch original."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.unisar import unisar_golden
from tfrs_models.models import UniSAR
from tfrs_models.models.unisar.transitions import positions_by_time

GOLDEN = unisar_golden.read()
FEATURES = unisar_golden.features(GOLDEN)


@pytest.fixture(scope="module")
def model():
    model = unisar_golden.make(GOLDEN)
    assert model.load_torch_state_dict(GOLDEN["w"]) == []
    return model


def close(found, expected, tolerance=1e-4):
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


def merged(items, sessions, example):
    """Both services' rows in the order of their times."""
    times = [example["item_history_time"], example["session_time"]]
    positions = positions_by_time(tf.concat(times, axis=1))
    rows = np.concatenate([items, sessions], axis=1)
    return np.take_along_axis(rows, np.argsort(positions, axis=1)[..., None], axis=1)


def test_every_stage_is_the_originals(model):
    middle, network = GOLDEN["mid"], model.network
    example = FEATURES["search"]
    state = network.encode(network.read(example, "search"))
    candidates = network.item_encoder(example["item_id"])
    close(candidates, middle["items_emb"])
    close(state.user, middle["user_emb"])
    close(state.query, middle["query_emb"])
    moves = state.transitions
    np.testing.assert_array_equal(moves.item_mask, ~middle["rec_his_mask"])
    np.testing.assert_array_equal(moves.session_mask, ~middle["src_his_mask"])
    close(moves.search_to_recommendation, middle["src2rec"])
    close(moves.recommendation_to_search, middle["rec2src"])
    close(moves.within_recommendation, middle["rec2rec"])
    close(moves.within_search, middle["src2src"])
    close(moves.recommendation, middle["rec_fusion_decoded"])
    close(moves.search, middle["src_fusion_decoded"])
    across = moves.search_to_recommendation, moves.recommendation_to_search
    close(merged(*across, example), middle["global_encoded"])
    items = network.item_encoder(example["item_history"])
    real = (example["session_time"] > 0)[..., None]
    clicks = state.is_click.numpy()[..., None]
    mean = np.where(clicks, state.session_items, 0).sum(2) / np.maximum(
        clicks.sum(2), 1
    )
    sessions = np.where(real, state.session_query + mean, 0)
    close(merged(items, sessions, example), middle["all_his_emb"])
    events = model.network.transitions._typed_events(
        items,
        tf.constant(sessions, tf.float32),
        (example["item_history_time"], example["session_time"]),
    )
    mask = model.network.transitions._encoders["across"]._attended(*events[1:]).numpy()
    forbidden = middle["global_mask"] | middle["all_his_mask"][:, None, :]
    assert mask.sum() == (~forbidden).sum()
    pooled = [
        network.pooling[task](fused, candidates, valid)
        for task, fused, valid in (
            ("recommendation", moves.recommendation, moves.item_mask),
            ("search", moves.search, moves.session_mask),
        )
    ]
    close(tf.reshape(pooled[0], [15, 8]), middle["rec_interest"])
    close(tf.reshape(pooled[1], [15, 8]), middle["src_interest"])
    for task, output in enumerate(network.experts(middle["ple_in_rec"])):
        close(output, middle[f"ple_out_rec_task{task}"])


def test_what_the_contrast_of_pairs_reads_is_the_originals(model):
    middle = GOLDEN["mid"]
    network = model.network
    state = network.encode(network.read(FEATURES["search"], "search"))
    # The original has a slot for each event of the merged history.
    mask = middle["align_click_mask"]
    found = tf.where(state.is_click)
    assert len(found) == mask.sum()
    rows = np.argwhere(mask)
    close(
        np.sort(tf.gather_nd(state.session_items, found), axis=0),
        np.sort(middle["align_click_emb"][mask], axis=0),
    )
    close(
        np.sort(tf.gather_nd(state.session_query, found[:, :2]), axis=0),
        np.sort(middle["align_query_emb"][rows[:, 0], rows[:, 1]], axis=0),
    )


def test_predictions_and_losses_are_the_originals(model):
    wanted = GOLDEN["out"]
    logits = model(FEATURES)
    close(tf.sigmoid(logits["recommendation"]), wanted["rec_predict"])
    close(tf.sigmoid(logits["search"]), wanted["src_predict"])
    loss = model.compute_loss(FEATURES)
    close(loss, wanted["joint_total_loss_srcw0.1"])
    for task, short in (("recommendation", "rec"), ("search", "src")):
        for term, name in (
            ("click", "click_loss"),
            ("pair", "q_i_cl_loss"),
            ("transition", "his_cl_loss"),
        ):
            mean = model._means[f"{task}_{term}_loss"]
            close(mean.result(), wanted[f"{short}_{name}"])
            mean.reset_state()


def test_gradients_are_the_originals(model):
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        loss = model.compute_loss(FEATURES, training=True)
    gradients = tape.gradient(loss, variables)
    norms = {
        id(variable): float(tf.linalg.global_norm([tf.convert_to_tensor(gradient)]))
        for variable, gradient in zip(variables, gradients, strict=True)
    }
    targets = model.torch_arrays(GOLDEN["w"])
    compared = 0
    for name, norm in GOLDEN["gnorm"].items():
        target = targets.get(name)
        if target is None or target.variable is None:
            assert norm == 0, name
            continue
        found = norms[id(target.variable)]
        assert found == pytest.approx(float(norm), rel=1e-3, abs=1e-5), name
        compared += 1
    assert compared == len(variables)


COPIES = (
    "session_embedding.query_feat",
    "session_embedding.item_feat.caption_emb",
    "session_embedding.item_feat.caption_id_emb",
)


def with_copies(arrays):
    """The state dict with the query encoder under every name that the original has."""
    name = "query_embedding."
    inner = {n.removeprefix(name): v for n, v in arrays.items() if n.startswith(name)}
    assert len(inner) == 3
    return arrays | {f"{c}.{n}": v.copy() for c in COPIES for n, v in inner.items()}


def test_the_query_encoder_may_come_under_all_of_its_names():
    model = unisar_golden.make(GOLDEN)
    assert model.load_torch_state_dict(with_copies(GOLDEN["w"])) == []
    logits = model(FEATURES)["search"]
    close(tf.sigmoid(logits), GOLDEN["out"]["src_predict"])


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize(
    "inner", ["query_encoder.word_embedding.weight", "query_trans.bias"]
)
def test_copies_of_the_query_encoder_that_disagree_are_refused(copy, inner):
    model = unisar_golden.make(GOLDEN)
    arrays = with_copies(GOLDEN["w"])
    arrays[f"{copy}.{inner}"] = arrays[f"{copy}.{inner}"] + 0.5
    message = f"`query_embedding.{inner}` and `{copy}.{inner}` must be the same"
    with pytest.raises(ValueError, match=message):
        model.load_torch_state_dict(arrays)


@pytest.mark.parametrize("value", [0.0, -0.5])
@pytest.mark.parametrize(
    "name", ["rec_his_cl.infoNCE_temp", "feature_alignment.infoNCE_loss.temp"]
)
def test_a_temperature_without_a_logarithm_is_refused(name, value):
    arrays = GOLDEN["w"] | {name: np.float32(value)}
    model = unisar_golden.make(GOLDEN, log_temperature=True)
    short = name.split(".")[-1]
    message = f"`{short}` must be above 0 .* Got {value}.*`log_temperature=False`"
    with pytest.raises(ValueError, match=message):
        model.load_torch_state_dict(arrays)
    as_it_is = unisar_golden.make(GOLDEN)
    assert as_it_is.load_torch_state_dict(arrays) == []


def test_a_temperature_is_loaded_as_its_logarithm():
    model = unisar_golden.make(GOLDEN, log_temperature=True)
    model.load_torch_state_dict(GOLDEN["w"])
    pairs = model.objective.layers_by_name["pairs"]
    close(pairs.temperature, GOLDEN["w"]["feature_alignment.infoNCE_loss.temp"])


def test_the_originals_item_that_is_none_is_left_out():
    model = unisar_golden.make(GOLDEN, num_items=11)  # the 12th is its mask
    assert model.load_torch_state_dict(GOLDEN["w"]) == []
    logits = model(FEATURES)["recommendation"]
    close(tf.sigmoid(logits), GOLDEN["out"]["rec_predict"])


@pytest.mark.parametrize("num_items", [10, 13])
def test_an_item_table_of_any_other_size_is_refused(num_items):
    model = UniSAR(**unisar_golden.SIZES | {"num_items": num_items})
    with pytest.raises(ValueError, match="`.*item_id_emb.weight` must be"):
        model.load_torch_state_dict(GOLDEN["w"])


def test_a_step_with_the_originals_decay_ends_where_it_did():
    model = unisar_golden.make(GOLDEN, decay_unused_rows=True)
    model.load_torch_state_dict(GOLDEN["w"])
    model.compile(tf.keras.optimizers.Adam(1e-3, epsilon=1e-8))
    model.train_step(FEATURES)
    after = model.compute_loss(FEATURES)
    close(after, GOLDEN["out"]["joint_total_loss_after_adam"], 1e-3)
