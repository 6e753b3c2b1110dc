"""The extractor against golden cases and a loop over searches, results and pairs."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.click_searches import (
    ITEMS,
    VECTORS,
    extractor_of,
    kernel_tower,
    random_search,
)
from tests.golden_cases import cases, fails
from tfrs_models import losses
from tfrs_models.data.clickstream import (
    FineTuningInput,
    FineTuningParams,
    ItemSet,
    calculate_ranks,
    click_batches,
    downsample_not_events,
    extract_features,
    pair_inputs,
    windowed_confidences,
)
from tfrs_models.layers import FeaturesExtractor, make_features_extractor
from tfrs_models.ops.clickstream.packing import pack_pairs


@cases("make_features_extractor")
def test_golden_options(case):
    if fails(case):
        with pytest.raises(ValueError, match="must"):
            FeaturesExtractor(tf.keras.layers.Dense(2), **case["inputs"])
        return
    FeaturesExtractor(tf.keras.layers.Dense(2), **case["inputs"])


def cosine(a, b):
    return a @ b / max(np.linalg.norm(a), 1e-6) / max(np.linalg.norm(b), 1e-6)


AGGREGATE = {"mean": np.mean, "max": max, "min": min}


def looped_side(found, kernels, *, aggregator, windowed, level):
    """Events and negatives of one search as (object, rank, trust)."""
    clicked = {found.object_of(event) for event in found.events}
    used = [
        r
        for r in found.results
        if r in found.events or found.object_of(r) not in clicked
    ]
    query = found.query @ kernels[0]
    rank = {r: cosine(query, VECTORS[ITEMS.index(r)] @ kernels[1]) for r in used}
    owners = list(dict.fromkeys(found.object_of(r) for r in found.results))
    stored, clicks = [], []
    for owner in owners:
        parts = [r for r in found.results if found.object_of(r) == owner]
        stored.append(AGGREGATE[aggregator]([found.ranks[r] for r in parts]))
        clicks.append(int(owner in clicked))
    trust = np.ones(len(owners))
    if windowed:
        trust = windowed_confidences(stored, clicks, 3).numpy()
    sides = ([], [])
    seen = set()
    for r in used:
        owner = found.object_of(r)
        if level == "object" and owner in seen:
            continue
        seen.add(owner)
        own = [rank[p] for p in used if found.object_of(p) == owner]
        sides[r not in found.events].append(
            (AGGREGATE[aggregator](own), trust[owners.index(owner)])
        )
    return sides


def looped(pairs, kernels, *, contrastive, pairing, band, **options):
    """All rows of the features of a batch."""
    rows = []
    for relevant, irrelevant in pairs:
        events, others = looped_side(relevant, kernels, **options)
        own = [(p, n, cp, cn) for (p, cp), (n, cn) in itertools.product(events, others)]
        own = [row for row in own if band[0] < abs(row[0] - row[1]) < band[1]]
        more = []
        if contrastive and irrelevant is not None:
            _, others = looped_side(irrelevant, kernels, **options)
            if pairing == "truncate":
                for (p, _, cp, _), (n, cn) in zip(own, others, strict=False):
                    more.append((p, n, cp, cn))
            else:
                for (p, cp), (n, cn) in itertools.product(events, others):
                    if band[0] < abs(p - n) < band[1]:
                        more.append((p, n, cp, cn))
        rows += own + more
    return np.array(rows).reshape(-1, 4)


@pytest.mark.parametrize("contrastive", [False, True])
@pytest.mark.parametrize("pairing", ["truncate", "cross"])
@pytest.mark.parametrize(
    ("aggregator", "confidences", "level"),
    [
        ("mean", "windowed", "part"),
        ("max", "dummy", "object"),
        ("min", "windowed", "part"),
    ],
)
def test_all_pairs_at_once_are_those_of_the_loops(
    contrastive, pairing, aggregator, confidences, level
):
    rng = np.random.default_rng(3)
    kernels = [rng.normal(size=(3, 4)).astype("float32") for _ in range(2)]
    pairs = [
        (
            random_search(rng, num_results=rng.integers(2, 12)),
            random_search(rng, relevant=False) if rng.random() < 0.6 else None,
        )
        for _ in range(14)
    ]
    band = (0.1, 0.9)
    expected = looped(
        pairs,
        kernels,
        contrastive=contrastive,
        pairing=pairing,
        band=band,
        aggregator=aggregator,
        windowed=confidences == "windowed",
        level=level,
    )
    extractor = extractor_of(
        kernels,
        not_irrelevant_only=not contrastive,
        irrelevant_pairing=pairing,
        min_abs_difference_threshold=band[0],
        max_abs_difference_threshold=band[1],
        ranks_aggregator=aggregator,
        confidence_calculator=confidences,
        pair_level=level,
    )
    items = ItemSet(ITEMS, VECTORS)
    found = extractor.forward(pairs, items)
    assert len(expected) > 20
    for column, values in zip(
        (found[0], found[1], found[3], found[4]), expected.T, strict=True
    ):
        np.testing.assert_allclose(column, values, atol=2e-5)
    if not contrastive:  # a part of what the others trace
        return
    graph = tf.function(extractor.call)
    packed = pack_pairs(pairs, items)
    for ours, theirs in zip(graph(packed, items.features), found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(("aggregator", "level"), [("mean", "part"), ("max", "object")])
def test_a_search_without_a_click_gives_its_negatives_and_no_pair(aggregator, level):
    rng = np.random.default_rng(8)
    kernels = [rng.normal(size=(3, 4)).astype("float32") for _ in range(2)]
    found = random_search(rng, relevant=False)
    options = {"aggregator": aggregator, "level": level}
    _, expected = looped_side(found, kernels, windowed=True, **options)
    extractor = extractor_of(
        kernels,
        ranks_aggregator=aggregator,
        pair_level=level,
        confidence_calculator="windowed",
        is_similarity=False,
    )
    features = extract_features(found, ItemSet(ITEMS, VECTORS), extractor)
    ranks, trust = zip(*expected, strict=True)
    np.testing.assert_allclose(features.negative_ranks, ranks, atol=1e-6)
    np.testing.assert_allclose(features.negative_confidences, trust, atol=2e-5)
    assert features.target.numpy().tolist() == [-1.0] * len(ranks)
    assert features.positive_ranks is features.positive_confidences is None


class Counted(tf.keras.layers.Layer):
    """A tower that counts its calls and what it was given."""

    def __init__(self):
        super().__init__()
        self.rows = []

    def call(self, values):
        self.rows.append(len(values))
        return values


@pytest.mark.parametrize("training", [False, True])
def test_no_searches_give_no_pairs(training):
    extractor = FeaturesExtractor(tf.keras.layers.Dense(3), tf.keras.layers.Dense(3))
    found = extractor.forward([], ItemSet(ITEMS, VECTORS), training=training)
    assert [(c.shape, c.dtype) for c in found] == [((0,), tf.float32)] * 5
    assert float(losses.prob_margin_ranking_loss(found)) == 0


def test_a_batch_without_an_order_to_draw_by_is_named():
    pairs = [(random_search(np.random.default_rng(3)), None)]
    batch = pack_pairs(pairs, ItemSet(ITEMS, VECTORS))
    tower = tf.keras.layers.Dense(3)
    with pytest.raises(
        ValueError, match="`draw_order`, or `negative_mask`.*0.5.*click_batches"
    ):
        FeaturesExtractor(tower)(batch, VECTORS, training=True)
    all_of_them = FeaturesExtractor(tower, negative_downsampling_factor=1.0)
    assert len(all_of_them(batch, VECTORS, training=True).target)


@pytest.mark.parametrize("contrastive", [False, True])
def test_each_tower_is_called_once_and_an_item_is_embedded_once(contrastive):
    rng = np.random.default_rng(3)
    pairs = [(random_search(rng), random_search(rng, relevant=False)) for _ in range(6)]
    query_tower, item_tower = Counted(), Counted()
    extractor = FeaturesExtractor(
        query_tower, item_tower, not_irrelevant_only=not contrastive
    )
    extractor.forward(pairs, ItemSet(ITEMS, VECTORS), training=True)
    assert query_tower.rows == [12 if contrastive else 6]
    (count,) = item_tower.rows
    assert count <= 12 < sum(len(s) for s, _ in pairs)


def test_training_draws_whole_objects_and_as_many_as_the_definition_says():
    rng = np.random.default_rng(5)
    searches = [random_search(rng) for _ in range(8)]
    items = ItemSet(ITEMS, VECTORS)
    kernels = np.eye(3, dtype="float32"), np.eye(3, dtype="float32")
    extractor = extractor_of(kernels, max_abs_difference_threshold=9.0, min_groups=1)
    dataset = click_batches([(s, None) for s in searches], items, 8, seed=1)
    counts = set()
    for _ in range(3):
        (batch,) = dataset
        found = extractor.extract(batch, items.features, training=True)
        expected = sum(
            len(s.events) * len(downsample_not_events(s, 0.5, 0, min_groups=1))
            for s in searches
        )
        count = len(found.formed.target)
        counts.add(count)
        assert abs(count - expected) <= 0.4 * expected
    assert len(counts) > 1  # another draw in each epoch
    single = extractor_of(
        kernels, max_abs_difference_threshold=9.0, pair_level="object", min_groups=1
    )
    objects = 0
    for s in searches:
        clicked = {s.object_of(e) for e in s.events}
        free = {s.object_of(r) for r in s.results} - clicked
        objects += len(clicked) * max(len(free) // 2, min(1, len(free)))
    found = single.extract(batch, items.features, training=True)
    assert len(found.formed.target) == objects


def test_a_batch_without_pairs_costs_nothing_and_has_no_gradient():
    """Our own semantics: the original raises, or answers NaN."""
    nothing = FineTuningInput(np.ones(3, "float32"), ["i1"], ["i1"], {"i1": 0.3})
    extractor = extractor_of([np.eye(3), np.eye(3)])
    with tf.GradientTape() as tape:
        features = extractor.forward([(nothing, None)], ItemSet(ITEMS, VECTORS))
        loss = losses.prob_margin_ranking_loss(features)
    assert float(loss) == 0
    for slope in tape.gradient(loss, extractor.trainable_variables):
        assert np.all(tf.convert_to_tensor(slope) == 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negative_downsampling_factor": 0.0}, r"must be in \(0, 1\]. Got 0.0"),
        ({"negative_downsampling_factor": 1.5}, r"must be in \(0, 1\]. Got 1.5"),
        ({"min_abs_difference_threshold": 2.0}, "must be below `max_abs_difference"),
        ({"window_size": 1}, "`window_size` must be a whole number above 1"),
        ({"ranker": "dot"}, "`ranker` must be one of .* Got 'dot'"),
        ({"confidence_calculator": "x"}, "`confidence_calculator` must be one of"),
        ({"pair_level": "word"}, "`pair_level` must be one of"),
        ({"irrelevant_pairing": "x"}, "`irrelevant_pairing` must be one of"),
        ({"ranks_aggregator": "sum"}, "`ranks_aggregator` must be one of"),
    ],
)
def test_options_out_of_range_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        FeaturesExtractor(tf.keras.layers.Dense(2), **options)


def test_the_default_constructor_works_and_parameters_of_a_run_reach_it():
    """Our own semantics: the default of the original is refused by itself."""
    tower = tf.keras.layers.Dense(2)
    assert FeaturesExtractor(tower).is_shared
    params = FineTuningParams(
        not_irrelevant_only=False, negative_downsampling=0.25, margin=0.3
    )
    extractor = make_features_extractor(tower, None, params, ranker="euclidean")
    assert extractor.negative_downsampling_factor == 0.25
    assert not extractor.not_irrelevant_only
    assert extractor.ranker == "euclidean"


@tf.keras.utils.register_keras_serializable("tests")
def dot_rank(query, items):
    return tf.reduce_sum(query * items, axis=-1)


def test_a_ranker_of_ones_own_comes_back_from_the_config():
    extractor = FeaturesExtractor(tf.keras.layers.Dense(2), ranker=dot_rank)
    copy = FeaturesExtractor.from_config(extractor.get_config())
    assert copy.ranker is dot_rank
    found = random_search(np.random.default_rng(2))
    copy.query_tower = copy.item_tower = kernel_tower(np.eye(3))
    ranks = calculate_ranks(found, ItemSet(ITEMS, VECTORS), copy)
    for name, rank in ranks.items():
        assert rank == pytest.approx(found.query @ VECTORS[ITEMS.index(name)], rel=1e-5)


def test_pairs_without_a_click_are_never_formed():
    rng = np.random.default_rng(5)
    inputs = [random_search(rng, relevant=n % 2 == 0) for n in range(6)]
    extractor = extractor_of([np.eye(3), np.eye(3)], not_irrelevant_only=False)
    found = extractor.forward(
        [(s, None) for s in inputs if s.is_irrelevant], ItemSet(ITEMS, VECTORS)
    )
    assert all(len(column) == 0 for column in found)
    found = extractor.forward(pair_inputs(inputs), ItemSet(ITEMS, VECTORS))
    assert all(len(column) > 0 for column in found)


def pairs_of_searches(count=6, seed=3):
    rng = np.random.default_rng(seed)
    return [(random_search(rng), random_search(rng, relevant=False))] * count


@pytest.mark.parametrize("side", ["query", "item"])
def test_both_towers_are_told_of_training_and_scores_are_those_of_evaluation(side):
    tf.keras.utils.set_random_seed(0)
    items = ItemSet(ITEMS, VECTORS)
    plain = [kernel_tower(np.eye(3)) for _ in range(2)]
    towers = list(plain)
    noisy = tf.keras.Sequential([kernel_tower(np.eye(3)), tf.keras.layers.Dropout(0.5)])
    towers[side == "item"] = noisy
    options = {"negative_downsampling_factor": 1.0, "max_abs_difference_threshold": 9.0}
    extractor = FeaturesExtractor(*towers, **options)
    pairs = pairs_of_searches(2)
    batch = pack_pairs(pairs, items)
    ways = {
        "call": lambda training: extractor(batch, VECTORS, training=training),
        "forward": lambda training: extractor.forward(pairs, items, training=training),
        "extract": lambda training: (
            extractor.extract(batch, VECTORS, training=training).formed
        ),
    }
    expected = FeaturesExtractor(*plain, **options)(batch, VECTORS).positive_ranks
    for name, way in ways.items():
        np.testing.assert_allclose(way(False).positive_ranks, expected, atol=1e-6)
        found = way(True).positive_ranks.numpy()  # equal scores are out of the band
        shift = found - expected if len(found) == len(expected) else np.ones(1)
        assert np.abs(shift).max() > 1e-3, name
    for _ in range(2):
        found = extractor.ranks(batch, VECTORS)
        again = FeaturesExtractor(*plain).ranks(batch, VECTORS)
        np.testing.assert_allclose(found.values, again.values, atol=1e-6)


def test_a_draw_of_unpacked_searches_follows_its_seed():
    items = ItemSet(ITEMS, VECTORS)
    extractor = extractor_of(
        [np.eye(3), np.eye(3)],
        max_abs_difference_threshold=9.0,
        not_irrelevant_only=False,
    )

    def draw(seed):
        found = extractor.forward(pairs_of_searches(), items, training=True, seed=seed)
        return found.negative_ranks.numpy().tolist()

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)


def test_every_parameter_of_a_run_reaches_the_extractor():
    params = FineTuningParams(
        not_irrelevant_only=False,
        negative_downsampling=0.25,
        min_abs_difference_threshold=0.125,
        max_abs_difference_threshold=0.75,
    )
    towers = tf.keras.layers.Dense(2), tf.keras.layers.Dense(2)
    for make in (make_features_extractor, FeaturesExtractor.from_params):
        found = make(*towers, params, window_size=5)
        assert (found.query_tower, found.item_tower) == towers
        assert found.not_irrelevant_only is False
        assert found.negative_downsampling_factor == 0.25
        assert found.min_abs_difference_threshold == 0.125
        assert found.max_abs_difference_threshold == 0.75
        assert found.window_size == 5


@pytest.mark.parametrize("window", [3, 7])
def test_confidences_are_those_of_the_window_that_was_given(window):
    search = random_search(np.random.default_rng(4), parts=False, num_results=12)
    stored = [search.ranks[r] for r in search.results]
    clicks = [float(r in search.events) for r in search.results]
    trust = dict(
        zip(
            search.results,
            windowed_confidences(stored, clicks, window).numpy(),
            strict=True,
        )
    )
    extractor = extractor_of(
        [np.eye(3), np.eye(3)],
        confidence_calculator="windowed",
        window_size=window,
        max_abs_difference_threshold=9.0,
    )
    found = extract_features(search, ItemSet(ITEMS, VECTORS), extractor)
    pairs = list(itertools.product(search.events, search.not_events))
    for column, side in ((found[3], 0), (found[4], 1)):
        expected = [trust[pair[side]] for pair in pairs]
        np.testing.assert_allclose(column, expected, atol=1e-5)


def test_rows_reach_the_item_tower_by_the_name_that_was_given():
    class Named(tf.keras.layers.Layer):
        def call(self, features):
            return tf.gather(VECTORS, features["film"])

    search = random_search(np.random.default_rng(2))
    batch = pack_pairs([(search, None)], ItemSet(ITEMS))
    named = FeaturesExtractor(kernel_tower(np.eye(3)), Named(), item_feature="film")
    expected = extractor_of([np.eye(3), np.eye(3)]).ranks(batch, VECTORS)
    np.testing.assert_allclose(named.ranks(batch).values, expected.values, atol=1e-6)


def test_one_extractor_forgets_a_batch_with_the_next():
    rng = np.random.default_rng(6)
    items = ItemSet(ITEMS, VECTORS)
    pairs = [
        [(random_search(rng), random_search(rng, relevant=False))] * count
        for count in (3, 1)
    ]
    extractor = extractor_of([np.eye(3), np.eye(3)], not_irrelevant_only=False)
    alone = extractor_of([np.eye(3), np.eye(3)], not_irrelevant_only=False)
    extractor.forward(pairs[0], items)
    for ours, theirs in zip(
        extractor.forward(pairs[1], items), alone.forward(pairs[1], items), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_stored_scores_have_no_gradient_and_towers_have_all_of_it():
    items, pairs = ItemSet(ITEMS, VECTORS), pairs_of_searches(2)
    extractor = extractor_of(
        [np.eye(3), np.eye(3)],
        confidence_calculator=lambda ranks, clicks: ranks + clicks,
        not_irrelevant_only=False,
    )
    batch = pack_pairs(pairs, items)
    stored = batch["ranks"].values
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(stored)
        batch["ranks"] = batch["ranks"].with_values(stored)
        loss = losses.prob_margin_ranking_loss(extractor(batch, VECTORS))
        thrice = 3.0 * loss
    assert tape.gradient(loss, stored) is None
    weights = extractor.trainable_variables
    for one, three in zip(
        tape.gradient(loss, weights), tape.gradient(thrice, weights), strict=True
    ):
        assert np.abs(one).max() > 0
        np.testing.assert_allclose(three, 3 * one, rtol=1e-5)


def test_equal_scores_and_empty_searches_together_form_no_pair_in_the_band():
    items = ItemSet(ITEMS, np.ones_like(VECTORS))  # all scores are equal
    rng = np.random.default_rng(3)
    empty = FineTuningInput(np.ones(3, "float32"), [], [], {})
    pairs = [(random_search(rng), empty), (empty, random_search(rng, relevant=False))]
    found = extractor_of(
        [np.eye(3), np.eye(3)], not_irrelevant_only=False, irrelevant_pairing="cross"
    ).extract(pack_pairs(pairs, items), items.features)
    assert len(found.features.target) == 0
    assert len(found.formed.target) > 0
