"""One row for every public Keras object; every row passes the same tests.

Add a row with the object: how to make it, how to call it on NumPy inputs, and the
inputs. What cannot be exported or configured says why.
"""

import contextlib
import dataclasses
import functools
import inspect
import json
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import tfrs_models
from tests.models.unisar import unisar_batches
from tfrs_models import layers, losses, metrics, models, tasks, towers
from tfrs_models._keras import layers_without_functions
from tfrs_models.data import Feature
from tfrs_models.layers.embedding.deep_hash_code import DeepHashCode
from tfrs_models.layers.experts.gated import Expert
from tfrs_models.layers.interaction.field_embedding import FieldEmbedding
from tfrs_models.metrics.corpus_metrics import Coverage
from tfrs_models.metrics.rank_metrics import RankMetrics
from tfrs_models.metrics.usage import CohortEntropy, DeadCohorts
from tfrs_models.models.automtn.traces import TraceEmbedding
from tfrs_models.models.unisar.encoders import EntityEncoder, QueryEncoder
from tfrs_models.models.unisar.training import MacroMean
from tfrs_models.models.unisar.transitions import ServiceTransitions
from tfrs_models.ops.ranks.scored_ranks import ranks_of_columns
from tfrs_models.towers.hashed_text import HashedText
from tfrs_models.towers.sequence.history_tower import HistoryTower
from tfrs_models.towers.unit_norm import UnitNorm

RNG = np.random.default_rng(0)
CANDIDATES = RNG.normal(size=(40, 4)).astype("float32")
IDS = np.array([f"item {i}" for i in range(40)])
QUERIES = RNG.normal(size=(6, 4)).astype("float32")
LOGITS = RNG.normal(size=(6, 9)).astype("float32")
LABELS = np.eye(6, 9, dtype="float32")
# Labels and scores of lists, with padding and ties.
LISTS = RNG.integers(-1, 3, size=(6, 9)).astype("float32"), LOGITS.round(1)
FEATURES = {
    "user_id": np.array([1, 2, 3, 3, 2, 9]),
    "item_id": np.array([4, 4, 1, 2, 3, 0]),
    "genres": np.array([[1, 2], [0, 0], [2, 0], [1, 0], [2, 1], [1, 1]]),
    "year": np.linspace(-1, 1, 6).astype("float32"),
    "text": np.array(  # the last is missing
        [[0, 1, -2], [3, 0.5, 1], [-1, -1, 0], [0, 0, 4], [2, -3, 1], [0, 0, 0]],
        "float32",
    ),
    "user_features": RNG.normal(size=(6, 3)).astype("float32"),
    "item_features": RNG.normal(size=(6, 2)).astype("float32"),
    "cross_features": RNG.normal(size=(6, 4)).astype("float32"),
    "history": np.array([[1, 2, 4], [3, 0, 0], [0, 0, 0], [2, 2, 0], [9, 1, 1]] * 2)[
        :6
    ],
    "times": np.sort(RNG.integers(9000, size=(6, 3))),
    "now": np.array([9_500, 0, 80_000, 20, 9_001, 900_000]),
    "offset": np.array([0, 3_600, -7_200, 0, 0, 19_800]),
    "kinds": np.array([[1, 2, 0], [2, 0, 0], [0, 0, 0]] * 2),
    "sizes": np.array([[1.0, 0.5, 7.0], [2.0, 0.0, 0.0], [0.0] * 3] * 2, "float32"),
}
CONTEXT = {
    "timestamp": "times",
    "query_time": "now",
    "clock": True,
    "utc_offset": "offset",
    "event": Feature("kinds", "id", 2),
    "weight": "sizes",
}
FIELDS = [
    Feature("user_id", "id", 5),
    Feature("item_id", "id", 4),
    Feature("genres", "bag", 2),
    Feature("year", "number", mean=0.1, scale=0.5),
    Feature("text", "vector", dim=3),
]
OF_FIELDS = {field.name: FEATURES[field.name] for field in FIELDS}
LIST_FEATURES = (
    {  # two lists of three items
        name: FEATURES[name].reshape(2, 3, *FEATURES[name].shape[1:])
        for name in ("item_id", "genres", "year", "text")
    }
    | {"user_id": np.array([1, 9])}
)
ITEM = [Feature("item_id", "id", 4), Feature("genres", "bag", 2)]


SEQUENCES = QUERIES.reshape(2, 3, 4)
VALID = np.array([[True, True, True], [True, False, False]])
# Searches of three results each; the last one has two, as -1 says.
SEARCHES = {
    "query": {"user_id": np.array([1, 3]), "year": np.array([0.5, -1], "float32")},
    "items": np.array([[4, 1, 2], [2, 3, -1]]),
    "objects": np.array([[0, 1, 1], [0, 1, -1]]),
    "clicked": np.array([[1, 0, 0], [0, 1, -1]]),
    "ranks": np.array([[0.9, 0.5, 0.3], [0.8, 0.2, -1]], "float32"),
    "draw_order": np.array([[1, 0, 0], [0, 1, -1]]),
}


def ragged(searches):
    """Without the places that hold no result."""
    mask = searches["items"] >= 0
    found = {
        name: tf.ragged.boolean_mask(values, mask)
        for name, values in searches.items()
        if name != "query"
    }
    found["clicked"] = tf.cast(found["clicked"], tf.bool)
    return found | {"query": searches["query"]}


def extractor(**options):
    return layers.FeaturesExtractor(
        towers.FeatureTower(
            [Feature("user_id", "id", 5), Feature("year", "number")], 3
        ),
        towers.FeatureTower([Feature("item_id", "id", 4)], 3),
        **options,
    )


def score_tower():
    matrix = scipy.sparse.csr_array(np.maximum(CANDIDATES[:10], 0))  # 10 users
    dense = (matrix, CANDIDATES[:4], np.array([2, 5, 0, 4]))
    sparse = (matrix, matrix[:4], np.array([6, 0, 3, 1]))
    return towers.ScoreTower.of(CANDIDATES[:7, 0], [dense, sparse])


def entity_encoder():
    text = QueryEncoder(5, 3, output_dim=2)
    layer = EntityEncoder(
        3,
        2,
        output_dim=4,
        categories={"genre": 4},
        text=text,
        text_length=2,
        padding=True,
    )
    layer.set_attributes({"genre": [0, 3, 1], "caption": [[0, 0], [4, 1], [2, 0]]})
    return layer


def corpus():
    return tf.data.Dataset.from_tensor_slices((IDS, CANDIDATES)).batch(16)


def two_tower():
    return models.TwoTower(
        towers.FeatureTower(
            [Feature("user_id", "id", 5), Feature("year", "number")], 3
        ),
        towers.FeatureTower(ITEM, 3, hidden_units=[5]),
    )


def mixture():
    ids, cohorts = towers.UserId(7, 3), towers.Cohort(4, 3)
    return towers.MixtureOfRepresentations([ids, cohorts])


def ranker():
    return models.MultiTaskRanker(
        mixture(),
        num_tasks=2,
        item_id_hash_size=9,
        item_id_embedding_dim=3,
        user_value_weights=[1.0, 2.0],
        position_bias=towers.PositionBias(4, 2, serving_position=1),
    )


def joint_ranker():
    return models.JointRankingCTR(
        towers.FeatureTower([Feature("user_id", "id", 5)], 3),
        towers.FeatureTower([*ITEM, Feature("year", "number"), FIELDS[-1]], 3),
        list_loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
        interaction=layers.FactorizationMachine(FIELDS, 3),
    )


def auto_mtn():
    return models.AutoMTN(
        *(3, 5, 2, 4),
        closeness=models.automtn.POICloseness(coordinates=PLACES, scale=50.0),
        past_visits=models.automtn.PastVisits(),
        request_time=True,
        seq_len=4,
        num_heads=2,
        factor=1.5,
        top_k=3,
    )


def frequency_estimator():
    layer = layers.FrequencyEstimator(50, 2, 0.3)
    layer(np.array([4, 4, 1, 2]), training=True)
    return layer


TABLE = {name: FEATURES[name][[5, 2, 3, 4, 0]] for name in ("item_id", "genres")}


def item_tower():
    return towers.FeatureLookup(towers.FeatureTower(ITEM, 4), TABLE)


def update(metric, *values):
    metric.update_state(*values)
    return metric.result()


@dataclasses.dataclass(frozen=True)
class Row:
    make: Callable
    inputs: object  # arguments of the call: NumPy arrays in tuples and dicts
    call: Callable = lambda layer, *inputs: layer(*inputs)
    no_config: str = ""  # why it cannot be made from its config
    no_export: str = ""  # why it is not in a SavedModel
    comparable: bool = True  # False where the order of the outputs is free


RETRIEVED = {
    "retrieval_score": np.array([[0.9, 0.4, -0.3], [0.7, 0.6, 0.1]], "float32"),
    "candidate_features": RNG.normal(size=(2, 3, 4)).astype("float32"),
    "pair_features": RNG.normal(size=(2, 3, 5, 2)).astype("float32"),
    "history_features": RNG.normal(size=(2, 5, 3)).astype("float32"),
    "history_mask": np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]], bool),
    "context_features": RNG.normal(size=(2, 2)).astype("float32"),
}
PLACES = np.array([[40.0, -74], [40.1, -74], [40.2, -74.1], [41, -73], [39, -75.0]])
TRACES = {
    "user_id": np.array([1, 3]),
    "poi_id": np.array([[3, 4, 3, 5, 1], [0, 0, 1, 2, 1]]),
    "category_id": np.array([[1, 1, 1, 2, 2], [0, 0, 2, 1, 2]]),
    "hour": np.array([[8, 12, 9, 23, 0], [0, 0, 5, 6, 7]]),
    "weekday": np.array([[0, 1, 2, 6, 6], [0, 0, 3, 3, 4]]),
    "past_poi_id": np.array([[0, 3, 4, 4, 5, 1], [0, 1, 1, 1, 2, 1]]),
    "past_timestamp": np.array([[0, 1, 2, 3, 4, 5], [0, 2, 4, 6, 7, 8]]) * 9000,
    "timestamp": np.array([5, 10]) * 9000,
    "request_hour": np.array([-1, 8]),
    "request_weekday": np.array([3, -1]),
}
SERIES = QUERIES.reshape(2, 3, 4)

ROWS = {
    models.automtn.AttentionPredictor: Row(
        lambda: models.automtn.AttentionPredictor(
            3, distance_mode="add", softmax="time"
        ),
        (
            QUERIES,
            SERIES,
            RNG.random((2, 3, 6)).astype("float32"),
            np.array([[0, 1, 1], [1, 1, 1]], bool),
        ),
    ),
    layers.AutoCorrelation: Row(
        lambda: layers.AutoCorrelation(factor=2.0, direction=-1),
        tuple(RNG.normal(size=(3, 2, 7, 2, 3)).astype("float32")),
    ),
    layers.AutoCorrelationBlock: Row(
        lambda: layers.AutoCorrelationBlock(
            6, num_heads=2, factor=1.5, decomposition=3, dropout=0.5
        ),
        (SERIES, SERIES[:, :2], np.array([[1, 1, 0], [1, 1, 1]], bool)),
    ),
    layers.AutoCorrelationLayer: Row(
        lambda: layers.AutoCorrelationLayer(4, num_heads=2, key_dim=3, factor=1.5),
        (SERIES, SERIES[:, :2]),
    ),
    models.unisar.BilinearTargetAttention: Row(
        models.unisar.BilinearTargetAttention,
        (SEQUENCES, CANDIDATES[:6].reshape(2, 3, 4), VALID),
    ),
    layers.BruteForce: Row(
        lambda: layers.BruteForce(k=3).index(CANDIDATES, IDS), (QUERIES,)
    ),
    layers.ScoreIndex: Row(
        lambda: layers.ScoreIndex(k=3).index(CANDIDATES, np.arange(1, 41)),
        (RNG.normal(size=(6, 40)).astype("float32"),),
    ),
    layers.IVF: Row(
        lambda: layers.IVF(k=3, num_probes=2, block_size=4).index(CANDIDATES, IDS),
        (QUERIES,),
    ),
    layers.CandidateQueue: Row(
        lambda: layers.CandidateQueue(3, 4, warmup=1),
        (),
        call=lambda layer: layer(None),
    ),
    models.automtn.CrossModalStack: Row(
        lambda: models.automtn.CrossModalStack(
            4, num_layers=2, num_heads=2, use_residual=True, dropout=0.2
        ),
        (SERIES, SERIES[::-1], np.array([[0, 1, 1], [1, 1, 1]], bool)),
    ),
    models.unisar.CrossFusion: Row(
        lambda: models.unisar.CrossFusion(4, dropout=0.5),
        (SEQUENCES, SEQUENCES[::-1].copy(), VALID),
    ),
    DeepHashCode: Row(
        lambda: DeepHashCode(6, num_buckets=99, encoding="normal", seed=2),
        (np.array([4, 1, -1, 2**60, 2**53 + 1]),),
    ),
    EntityEncoder: Row(entity_encoder, (np.array([[1, 0], [2, 2]]),)),
    Expert: Row(lambda: Expert([9, 6], dropout=0.3), (QUERIES,)),
    layers.Dropout: Row(lambda: layers.Dropout(0.5), (QUERIES,)),
    layers.FactorizationMachine: Row(
        lambda: layers.FactorizationMachine(FIELDS, 3), (OF_FIELDS,)
    ),
    layers.FeaturesExtractor: Row(
        lambda: extractor(ranks_aggregator="max", confidence_calculator="windowed"),
        (SEARCHES,),
        call=lambda layer, searches: layer(ragged(searches)),
    ),
    layers.FieldAwareFactorizationMachine: Row(
        lambda: layers.FieldAwareFactorizationMachine(FIELDS, 3), (OF_FIELDS,)
    ),
    FieldEmbedding: Row(lambda: FieldEmbedding(FIELDS, 3), (OF_FIELDS,)),
    layers.Standardize: Row(layers.Standardize, (QUERIES,)),
    layers.TargetAttention: Row(
        lambda: layers.TargetAttention(3, hidden_units=[5]),
        (RETRIEVED["pair_features"], RETRIEVED["history_mask"]),
    ),
    layers.FrequencyEstimator: Row(frequency_estimator, (np.array([4, 1, 1, 2**60]),)),
    layers.HardNegativeMining: Row(
        lambda: layers.HardNegativeMining(3),
        (LOGITS, LABELS),
        comparable=False,
    ),
    layers.HashedEmbedding: Row(
        lambda: layers.HashedEmbedding(7, 3), (np.array([4, 9, -2]),)
    ),
    layers.MLP: Row(lambda: layers.MLP([5, 2]), (QUERIES,)),
    layers.MinedNegatives: Row(
        lambda: layers.MinedNegatives(4, 2), (np.array([0, 3, -1, 4]),)
    ),
    layers.MultiHeadAttention: Row(
        lambda: layers.MultiHeadAttention(4, num_heads=2, dropout=0.5),
        (SEQUENCES, VALID[:, None, :]),
    ),
    layers.MultiGateExperts: Row(
        lambda: layers.MultiGateExperts(2, num_experts=3, units=[4]), (QUERIES,)
    ),
    models.automtn.POICloseness: Row(
        lambda: models.automtn.POICloseness(coordinates=PLACES, scale=50.0, weight=2.0),
        (np.array([[0, 2, 1]]), np.array([3, 0])),
    ),
    models.automtn.RequestTime: Row(
        lambda: models.automtn.RequestTime(3),
        (
            {name: TRACES[name] for name in ("request_hour", "request_weekday")},
            np.array([0.0, 9e3], "float32"),
        ),
    ),
    models.automtn.PastVisits: Row(
        lambda: models.automtn.PastVisits([0.5, 9.0]),
        (TRACES["past_poi_id"], TRACES["past_timestamp"], np.array([1, 2])),
    ),
    models.unisar.PairInfoNCE: Row(
        lambda: models.unisar.PairInfoNCE(0.3, log_temperature=False),
        (QUERIES[:2], QUERIES[2:4], QUERIES[3:], CANDIDATES[:5]),
    ),
    layers.ProgressiveLayered: Row(
        lambda: layers.ProgressiveLayered(
            2, num_shared=1, num_specific=2, units=[4], num_levels=2, tower_units=[3]
        ),
        (QUERIES,),
    ),
    QueryEncoder: Row(lambda: QueryEncoder(5, 3, output_dim=2), (FEATURES["genres"],)),
    layers.RemoveAccidentalHits: Row(
        layers.RemoveAccidentalHits, (LABELS, LOGITS, np.arange(9) % 4)
    ),
    layers.SamplingProbabilityCorrection: Row(
        lambda: layers.SamplingProbabilityCorrection(probability_floor=1e-3),
        (LOGITS, RNG.uniform(0.01, 1, size=9).astype("float32")),
    ),
    layers.ScaNN: Row(
        lambda: layers.ScaNN(
            k=3, num_leaves=1, num_leaves_to_search=1, num_reordering_candidates=40
        ).index(CANDIDATES, IDS),
        (QUERIES,),
        no_config="its partitions are trained",
    ),
    layers.SeriesDecomposition: Row(lambda: layers.SeriesDecomposition(3), (SERIES,)),
    ServiceTransitions: Row(
        lambda: ServiceTransitions(
            4, seq_len=3, num_sessions=5, dropout=0.1, encoders=["across", "search"]
        ),
        (
            SEQUENCES,
            SEQUENCES,
            (np.array([[2, 7, 9], [4, 0, 0]]), np.eye(2, 3, 1, int)),
        ),
    ),
    layers.Streaming: Row(
        lambda: layers.Streaming(k=3).index_from_dataset(corpus()),
        (QUERIES,),
        no_config="the dataset is not part of it",
        no_export="a dataset cannot be saved",
    ),
    TraceEmbedding: Row(
        lambda: TraceEmbedding(5, 9, 4),
        (
            np.array([1, 0]),
            np.array([[3, 0, 9], [1, 2, 2]]),
            np.array([[0, 23, 5], [8, 9, 10]]),
            np.array([[0, 6, 1], [2, 2, 3]]),
        ),
    ),
    layers.TransformerBlock: Row(
        lambda: layers.TransformerBlock(4, num_heads=2, dropout=0.5),
        (QUERIES.reshape(2, 3, 4), np.tril(np.ones((2, 3, 3), bool))),
    ),
    models.unisar.TransitionContrast: Row(
        lambda: models.unisar.TransitionContrast(0.3),
        (SEQUENCES, SEQUENCES[::-1].copy(), VALID),
    ),
    models.unisar.TypedTransition: Row(
        lambda: models.unisar.TypedTransition(
            4, across=False, num_layers=2, dropout=0.1
        ),
        (SEQUENCES, np.array([[0, 1, 0]]), VALID),
    ),
    losses.ApproxNDCGLoss: Row(lambda: losses.ApproxNDCGLoss(temperature=0.5), LISTS),
    losses.ListMLELoss: Row(losses.ListMLELoss, LISTS),
    losses.ListwiseDistillationLoss: Row(
        lambda: losses.ListwiseDistillationLoss(temperature=2.0), (LOGITS[::-1], LOGITS)
    ),
    losses.ListwiseSoftmaxLoss: Row(
        lambda: losses.ListwiseSoftmaxLoss(reduction="sum", name="mine"), LISTS
    ),
    losses.PairwiseDistillationLoss: Row(
        lambda: losses.PairwiseDistillationLoss(k=3, pairs="sum"),
        (LISTS[1], LOGITS[::-1]),
    ),
    losses.PairwiseHingeLoss: Row(
        lambda: losses.PairwiseHingeLoss(margin=0.5, positive="binary", pairs="sum"),
        LISTS,
    ),
    losses.PairwiseLogisticLoss: Row(
        lambda: losses.PairwiseLogisticLoss(weights="delta_ndcg"), LISTS
    ),
    losses.RegressionCompatibleLoss: Row(losses.RegressionCompatibleLoss, LISTS),
    losses.SampledPairwiseLoss: Row(
        lambda: losses.SampledPairwiseLoss(penalty="hinge", margin=2.0, seed=3), LISTS
    ),
    losses.SmoothAPLoss: Row(lambda: losses.SmoothAPLoss(temperature=0.5), LISTS),
    CohortEntropy: Row(
        lambda: CohortEntropy(4),
        (np.eye(4, dtype="float32")[[0, 2, 2]],),
        call=update,
    ),
    Coverage: Row(
        Coverage,
        (np.array([[0, 3], [3, 7]]),),
        call=lambda metric, rows: update(metric, rows, 9),
    ),
    DeadCohorts: Row(
        lambda: DeadCohorts(4),
        (np.eye(4, dtype="float32")[[0, 2, 2]],),
        call=update,
    ),
    metrics.DistanceShift: Row(
        lambda: metrics.DistanceShift(irrelevant=True),
        (LOGITS[:, :3], LOGITS[:, 3:6]),
        call=update,
    ),
    metrics.ExpectedCalibrationError: Row(
        lambda: metrics.ExpectedCalibrationError(3),
        (np.array([0, 1, 1, 0]), np.array([0.1, 0.6, 0.9, 0.7], "float32")),
        call=update,
    ),
    metrics.FactorizedTopK: Row(
        lambda: metrics.FactorizedTopK(corpus(), ks=[1, 5], metrics=["mrr"]),
        (QUERIES, QUERIES, IDS[:6]),
        call=update,
        no_config="it holds a corpus",
        no_export="a corpus does not belong into a model",
    ),
    **{
        cls: Row(lambda cls=cls: cls(3, ties="pessimistic"), LISTS, call=update)
        for cls in (
            metrics.MeanAveragePrecision,
            metrics.MeanReciprocalRank,
            metrics.NDCG,
            metrics.PrecisionAtK,
            metrics.RecallAtK,
        )
    },
    metrics.GateEntropy: Row(
        metrics.GateEntropy,
        (np.array([[0.5, 0.25, 0.25], [1, 0, 0]], "float32"),),
        call=update,
    ),
    RankMetrics: Row(
        lambda: RankMetrics(
            ["hit_rate_at_2", "mrr"], ties="pessimistic", hidden="leave-out"
        ),
        (LOGITS,),
        call=lambda metric, scores: update(
            metric, ranks_of_columns(scores, tf.range(len(LOGITS)))
        ),
    ),
    models.AutoMTN: Row(auto_mtn, (TRACES,)),
    MacroMean: Row(
        lambda: MacroMean(3),
        (np.array([0.5, 1.0], "float32"),),
        call=lambda metric, values: update(metric, values, 1),
    ),
    models.DCN: Row(
        lambda: models.DCN(FIELDS, 3, label="like", projection_dim=4, dropout=0.2),
        (FEATURES,),
    ),
    models.DeepFM: Row(
        lambda: models.DeepFM(
            FIELDS, 3, label="like", task=tasks.Regression("like", mean=3.5)
        ),
        (FEATURES,),
    ),
    models.FineTuningModel: Row(
        lambda: models.FineTuningModel(extractor(), margin=0.1, adjust="cosine"),
        (SEARCHES,),
        call=lambda model, searches: model(ragged(searches)),
    ),
    models.JointRankingCTR: Row(joint_ranker, (LIST_FEATURES,)),
    models.ListRanker: Row(
        lambda: models.ListRanker(
            num_heads=2, attention_units=[5], hidden_units=[4], initial_scale=2.0
        ),
        (RETRIEVED,),
    ),
    models.MultiTaskRanker: Row(ranker, (FEATURES,)),
    models.NextItem: Row(
        lambda: models.NextItem(towers.RecencyPooling(item_tower(), 4)), (FEATURES,)
    ),
    models.TwoTower: Row(two_tower, (FEATURES,)),
    models.UniSAR: Row(
        lambda: models.UniSAR(
            **unisar_batches.SIZES | {"dropout": 0.1},
            item_categories={"genre": 3},
        ),
        ({"search": unisar_batches.example(3, search=True)},),
        no_export="tests/serving/test_candidate_ranker.py exports both services",
    ),
    tasks.MultiTask: Row(
        lambda: tasks.MultiTask(["a", "b"], task_weights="uncertainty"),
        (np.array([[0, 1], [-1, 1], [1, 0]]), LOGITS[:3, :2]),
    ),
    tasks.Regression: Row(
        lambda: tasks.Regression("rating", mean=3.5),
        (np.array([[4.5], [np.nan], [1.0]]), LOGITS[:3, :1]),
    ),
    tasks.Retrieval: Row(
        lambda: tasks.Retrieval(
            loss=tf.keras.losses.CategoricalCrossentropy(from_logits=True),
            temperature=0.5,
            num_hard_negatives=4,
        ),
        (QUERIES, CANDIDATES[:9]),
    ),
    towers.AutoCorrelationTower: Row(
        lambda: towers.AutoCorrelationTower(item_tower(), 4, seq_len=6),
        (FEATURES,),
    ),
    towers.Cohort: Row(lambda: towers.Cohort(5, 3, dropout=0.2, top_k=2), (FEATURES,)),
    towers.DeepHash: Row(
        lambda: towers.DeepHash(3, num_hashes=8, encoding="normal"), (FEATURES,)
    ),
    towers.FeatureLookup: Row(item_tower, (FEATURES,)),
    towers.FeatureTower: Row(
        lambda: towers.FeatureTower(
            [*ITEM, *FIELDS[3:]], 3, hidden_units=[5], id_dropout=0.1
        ),
        (FEATURES,),
    ),
    towers.GRU4Rec: Row(
        lambda: towers.GRU4Rec(item_tower(), 4, **CONTEXT), (FEATURES,)
    ),
    HashedText: Row(
        lambda: HashedText(3, num_buckets=9, hidden_units=[4], feature="text"),
        ({"text": np.array(["Red shoes!", "", "shoes", "two red"])},),
    ),
    towers.MixtureOfRepresentations: Row(mixture, (FEATURES,)),
    towers.PositionBias: Row(
        lambda: towers.PositionBias(4, 2, serving_position=1, context_feature="device"),
        ({"device": FEATURES["user_features"]},),
    ),
    towers.RecencyPooling: Row(
        lambda: towers.RecencyPooling(item_tower(), 4, **CONTEXT), (FEATURES,)
    ),
    towers.SASRec: Row(lambda: towers.SASRec(item_tower(), 4), (FEATURES,)),
    towers.ScoreTower: Row(score_tower, ({"user_row": FEATURES["user_id"]},)),
    towers.TrendWeights: Row(
        lambda: towers.TrendWeights(towers.UserId(7, 3), 2), (FEATURES,)
    ),
    UnitNorm: Row(lambda: UnitNorm(towers.UserId(7, 3)), (FEATURES,)),
    towers.UserId: Row(lambda: towers.UserId(7, 3, id_dropout=0.5), (FEATURES,)),
    towers.WithTrends: Row(
        lambda: towers.WithTrends(towers.UserId(7, 3), 2),
        (FEATURES | {"trends": np.arange(12, dtype="float32").reshape(6, 2)},),
    ),
}
# Classes without a row: what they are a part of has one.
ABSTRACT = {
    "CoverageAtK": "FactorizedTopK",
    "EvaluationMean": "UniSAR",
    "Mean": "MultiTask",
    "NoveltyAtK": "FactorizedTopK",
    "RankMean": "FactorizedTopK",
    "SlotTable": "BruteForce",
    "UnsavedMean": "Model",
    "UnsavedSum": "Model",
    "_AUC": "MultiTask",
}

rows = pytest.mark.parametrize("cls", ROWS, ids=lambda cls: cls.__name__)


def registered():
    """Every Keras class that a saved file may name, public or not."""
    kinds = (tf.keras.layers.Layer, tf.keras.metrics.Metric, tf.keras.losses.Loss)
    return {
        value
        for name, value in tf.keras.utils.get_custom_objects().items()
        if name.startswith("tfrs_models>")
        and issubclass(value, kinds)
        and value.__module__.startswith("tfrs_models.")  # not an example of a page
    }


def test_every_keras_object_has_a_row():
    found = {cls.__name__ for cls in registered() - ROWS.keys()} - ABSTRACT.keys()
    assert not found, f"add a row to tests/test_contracts.py for {sorted(found)}"


def run(cls, layer, inputs=None):
    """All outputs as NumPy arrays, numbers as float32."""
    row = ROWS[cls]
    inputs = row.inputs if inputs is None else inputs
    return outputs(row.call(layer, *tf.nest.map_structure(tf.constant, inputs)))


def outputs(values):
    return [
        value.numpy()
        if not value.dtype.is_floating
        else tf.cast(value, tf.float32).numpy()
        for value in map(tf.convert_to_tensor, tf.nest.flatten(values))
    ]


def assert_same(cls, left, right):
    for a, b in zip(left, right, strict=True):
        if not ROWS[cls].comparable:
            a, b = np.sort(a), np.sort(b)
        if a.dtype.kind == "f":
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(a, b)


def reset(layer):
    """Forgets what a metric has seen."""
    for metric in getattr(layer, "metrics", None) or [layer]:
        if isinstance(metric, tf.keras.metrics.Metric):
            metric.reset_state()


@rows
def test_it_is_registered_under_the_packages_name(cls):
    if ROWS[cls].no_config and not issubclass(cls, tf.keras.Model):
        return
    name = tf.keras.utils.get_registered_name(cls)
    assert name == f"tfrs_models>{cls.__name__}"


@functools.cache
def used(cls):
    """The row's object after its first call, and what that call gave.

    Every test of a row reads it, `reset` where it calls it again: a call that makes
    the weights is what a test costs.
    """
    tf.keras.utils.set_random_seed(0)  # rounding may tip a choice of the best two
    layer = ROWS[cls].make()
    return layer, run(cls, layer)


@functools.cache
def traced(cls):
    """A graph of the object that was used, and the tensors that it takes."""
    layer, _ = used(cls)
    inputs = tf.nest.map_structure(tf.constant, ROWS[cls].inputs)
    return tf.function(lambda *inputs: ROWS[cls].call(layer, *inputs)), inputs


@pytest.fixture(scope="module", autouse=True)
def _forget_what_was_used():
    yield
    used.cache_clear()
    traced.cache_clear()


def weighted(layer):
    return isinstance(layer, tf.keras.layers.Layer) and layer.weights


@rows
def test_it_comes_back_from_its_config(cls):
    if ROWS[cls].no_config:
        return
    unused, (layer, expected) = ROWS[cls].make(), used(cls)
    config = tf.keras.utils.serialize_keras_object(unused)
    copy = tf.keras.utils.deserialize_keras_object(json.loads(json.dumps(config)))
    assert type(copy) is cls
    assert copy.get_config() == unused.get_config()
    if weighted(layer):
        if len(copy.weights) < len(layer.weights):
            run(cls, copy)
        copy.set_weights(layer.get_weights())
        reset(copy)
    assert_same(cls, run(cls, copy), expected)


@rows
def test_it_comes_back_from_the_config_of_one_that_was_used(cls):
    if ROWS[cls].no_config:
        return
    layer, _ = used(cls)
    config = tf.keras.utils.serialize_keras_object(layer)
    copy = tf.keras.utils.deserialize_keras_object(json.loads(json.dumps(config)))
    assert copy.get_config() == layer.get_config()


@rows
def test_every_argument_of_the_constructor_is_in_the_config(cls):
    if cls is metrics.FactorizedTopK:
        return
    kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    arguments = {
        name
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind not in kinds
    }
    if cls is tasks.Retrieval:
        arguments -= {"metrics"}  # they hold a corpus
    if issubclass(cls, models.TwoTower):
        arguments -= {"trend_table"}  # the log of training
    assert arguments <= ROWS[cls].make().get_config().keys()


@pytest.mark.parametrize(
    "cls",
    [cls for cls in ROWS if issubclass(cls, tfrs_models.Model)],
    ids=lambda cls: cls.__name__,
)
def test_a_batch_of_features_and_labels_is_refused_by_name(cls):
    features = tf.nest.map_structure(tf.constant, ROWS[cls].inputs[0])
    with pytest.raises(ValueError, match=r"(?s)must be a dict of feat.*\(dict, .*Tens"):
        ROWS[cls].make().compute_loss((features, tf.ones([2])), training=True)


@rows
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_inputs_of_half_precision_are_welcome(cls, dtype):
    def half(value):
        return tf.cast(value, dtype) if value.dtype.kind == "f" else tf.constant(value)

    layer, expected = used(cls)
    if not weighted(layer):  # what holds no weights meets half precision first
        layer = ROWS[cls].make()
    reset(layer)
    result = run(cls, layer, tf.nest.map_structure(half, ROWS[cls].inputs))
    for ours, exact in zip(result, expected, strict=True):
        assert ours.shape == exact.shape
        if ours.dtype.kind == "f":
            assert np.isfinite(ours).all()
            if ROWS[cls].comparable:  # the lowest number is another in each dtype
                np.testing.assert_allclose(
                    np.maximum(ours, -50), np.maximum(exact, -50), rtol=0.05, atol=0.05
                )


@rows
def test_graph_and_eager_agree(cls):
    layer, expected = used(cls)
    function, inputs = traced(cls)
    reset(layer)
    assert_same(cls, outputs(function(*inputs)), expected)


@rows
def test_it_lives_in_a_saved_model(cls, tmp_path):
    if ROWS[cls].no_export:
        return
    module = tf.Module()
    module.layer, expected = used(cls)
    module.serve, inputs = traced(cls)
    module.serve(*inputs)
    reset(module.layer)
    # The layers of whole models have rows of their own, and are called alone there.
    is_model = issubclass(cls, tf.keras.Model)
    with layers_without_functions() if is_model else contextlib.nullcontext():
        tf.saved_model.save(
            module,
            tmp_path,
            options=tf.saved_model.SaveOptions(namespace_whitelist=["Scann"]),
        )
    loaded = tf.saved_model.load(str(tmp_path))
    assert_same(cls, outputs(loaded.serve(*inputs)), expected)


@rows
def test_it_says_what_it_is(cls):
    assert cls.__doc__
    assert len(cls.__doc__.splitlines()[0]) > 20


DROPOUTS = "dropout", "id_dropout", "hidden_dropout"


def droppers():
    for cls in ROWS:
        for name in DROPOUTS:
            if name in inspect.signature(cls).parameters:
                yield pytest.param(cls, name, id=f"{cls.__name__}-{name}")


def dropping(cls, **options):
    """The row's object, which drops half of one thing and nothing else."""
    config = ROWS[cls].make().get_config()
    none = dict.fromkeys(set(DROPOUTS) & config.keys(), 0.0)
    return cls.from_config(config | none | options)


def dropping_user():
    return towers.UserId(7, 3, id_dropout=0.5)


def dropping_item(width=3):
    return towers.FeatureTower(ITEM, width, id_dropout=0.5)


WRAPPERS = {
    "UnitNorm": lambda: UnitNorm(dropping_user()),
    "FeatureLookup": lambda: towers.FeatureLookup(dropping_item(), TABLE),
    "MixtureOfRepresentations": lambda: towers.MixtureOfRepresentations(
        [dropping_user(), towers.Cohort(4, 3)], dropout=0.0
    ),
    **{
        cls.__name__: lambda cls=cls: cls(history_items(), 4, dropout=0.0)
        for cls in (
            towers.AutoCorrelationTower,
            towers.GRU4Rec,
            towers.RecencyPooling,
            towers.SASRec,
        )
    },
    "TwoTower": lambda: models.TwoTower(dropping_user(), dropping_item()),
    "NextItem": lambda: models.NextItem(
        towers.RecencyPooling(item_tower(), 4, dropout=0.5)
    ),
    "MultiTaskRanker": lambda: models.MultiTaskRanker(
        dropping_user(),
        num_tasks=2,
        item_id_hash_size=9,
        item_id_embedding_dim=3,
        user_value_weights=[1.0, 2.0],
    ),
    "JointRankingCTR": lambda: models.JointRankingCTR(
        towers.FeatureTower([Feature("user_id", "id", 5)], 3),
        towers.FeatureTower(ITEM, 3, id_dropout=0.5),
    ),
    "JointRankingCTR of users": lambda: models.JointRankingCTR(
        towers.FeatureTower([Feature("user_id", "id", 5)], 3, id_dropout=0.5),
        towers.FeatureTower(ITEM, 3),
    ),
    "MultiTaskRanker with experts": lambda: models.MultiTaskRanker(
        towers.UserId(7, 3),
        num_tasks=2,
        item_id_hash_size=9,
        item_id_embedding_dim=3,
        user_value_weights=[1.0, 2.0],
        trunk=layers.MultiGateExperts(2, num_experts=2, units=[8], dropout=0.5),
    ),
}


def history_items():
    return towers.FeatureTower([Feature("item_id", "id", 9)], 4, id_dropout=0.5)


def assert_training_drops(layer):
    inputs = tf.nest.map_structure(tf.constant, ROWS[type(layer)].inputs)
    every = {"return_sequences": True}
    is_history = isinstance(layer, HistoryTower)
    for options in ({}, every) if is_history else ({},):
        if options:  # each position has a request
            inputs = ({**inputs[0], "now": tf.tile(inputs[0]["now"][:, None], [1, 3])},)

        def found(training, inputs=inputs, options=options):
            return np.concatenate(
                [
                    value.ravel()
                    for value in outputs(layer(*inputs, training=training, **options))
                    if value.dtype.kind == "f"
                ]
            )

        np.testing.assert_array_equal(found(training=False), found(training=False))
        # What is dropped is drawn anew in each call; one draw may leave a small input
        # as it is, and other things that training does are the same in all of them.
        first = found(training=True)
        draws = (found(training=True) for _ in range(5))
        assert any(
            first.shape != other.shape or not np.allclose(first, other)
            for other in draws
        ), options


@pytest.mark.parametrize(("cls", "name"), droppers())
def test_training_drops_what_is_to_be_dropped(cls, name):
    tf.keras.utils.set_random_seed(0)
    assert_training_drops(dropping(cls, **{name: 0.5}))


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_what_is_inside_another_learns_that_it_is_in_training(wrapper):
    tf.keras.utils.set_random_seed(0)
    layer = WRAPPERS[wrapper]()
    assert type(layer).__name__ == wrapper.split()[0]
    assert_training_drops(layer)


def drawing():
    """Objects that draw random numbers in training, and what makes a draw of them."""
    for parameter in droppers():
        cls, name = parameter.values
        make = functools.partial(dropping, cls, **{name: 0.5})
        yield pytest.param(make, id=parameter.id)
    for name, make in WRAPPERS.items():
        yield pytest.param(make, id=name)
    yield pytest.param(lambda: layers.Dropout(0.5), id="Dropout")
    yield pytest.param(
        lambda: layers.Dropout(0.5, seed=4), id="Dropout of its own seed"
    )


@pytest.mark.parametrize("make", drawing())
def test_a_restored_checkpoint_draws_what_comes_next(make, tmp_path):
    """As a resumed training must: another process, and so other seeds."""
    tf.keras.utils.set_random_seed(0)
    layer = make()
    inputs = tf.nest.map_structure(tf.constant, ROWS[type(layer)].inputs)
    layer(*inputs)  # a model that answered before it trained
    earlier = [outputs(layer(*inputs, training=True)) for _ in range(2)]
    path = tf.train.Checkpoint(layer=layer).save(tmp_path / "state")
    expected = outputs(layer(*inputs, training=True))
    tf.keras.utils.set_random_seed(1)
    fresh = make()
    tf.train.Checkpoint(layer=fresh).restore(path)
    in_graph = tf.function(lambda: fresh(*inputs, training=True))
    found = outputs(in_graph())
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert any(  # a draw in each call: the equality above says something
        a.shape != b.shape or np.any(a != b)
        for call in (*earlier, outputs(layer(*inputs, training=True)))
        for a, b in zip(call, expected, strict=True)
    )
    assert len(fresh.get_weights()) == len(layer.get_weights())
    assert not [weight for weight in layer.weights if "draws" in weight.name]


def test_a_restored_checkpoint_draws_the_pairs_that_come_next(tmp_path):
    labels = np.tile([[1.0, 0, 1, 0, 0, 1]], [20, 1]).astype("float32")
    scores = np.random.default_rng(3).normal(size=labels.shape).astype("float32")

    def make(seed):
        tf.keras.utils.set_random_seed(seed)
        task = tf.keras.layers.Layer()  # as a model holds its loss
        task.loss_of_lists = losses.SampledPairwiseLoss()
        return task

    task = make(0)
    earlier = [float(task.loss_of_lists(labels, scores)) for _ in range(2)]
    path = tf.train.Checkpoint(task=task).save(tmp_path / "state")
    expected = float(task.loss_of_lists(labels, scores))
    fresh = make(1)
    tf.train.Checkpoint(task=fresh).restore(path)
    assert float(fresh.loss_of_lists(labels, scores)) == expected
    assert len({*earlier, expected}) == 3
    assert not task.weights


LABELLED = FEATURES | {"labels": np.array([[0, 1], [1, 1], [1, 0]] * 2, "float32")}
LABELLED_LISTS = LIST_FEATURES | {"labels": np.array([[1, 0, 2], [0, 1, 0]])}
POSITIONS = FEATURES | {"item_id": np.array([[1, 2, 4], [3, 0, 0]] * 3)}


@pytest.mark.parametrize(
    ("wrapper", "features"),
    [
        ("TwoTower", FEATURES),
        ("NextItem", FEATURES),
        ("NextItem", POSITIONS),
        ("MultiTaskRanker", LABELLED),
        ("MultiTaskRanker with experts", LABELLED),
        ("JointRankingCTR", LABELLED_LISTS),
        ("JointRankingCTR of users", LABELLED_LISTS),
    ],
    ids=[
        "TwoTower",
        "NextItem",
        "NextItem at all positions",
        "MultiTaskRanker",
        "MultiTaskRanker with experts",
        "JointRankingCTR",
        "JointRankingCTR of users",
    ],
)
def test_the_loss_of_training_drops(wrapper, features):
    tf.keras.utils.set_random_seed(0)
    model = WRAPPERS[wrapper]()
    features = tf.nest.map_structure(tf.constant, features)
    calm, drawn = (
        {float(model.compute_loss(features, training=training)) for _ in range(draws)}
        for training, draws in ((False, 2), (True, 6))
    )
    assert len(calm) == 1
    assert len(drawn) > 1


def losses_of_rows():
    yield from (cls for cls in ROWS if issubclass(cls, tf.keras.losses.Loss))
    yield from (tasks.MultiTask, tasks.Regression, tasks.Retrieval)
    yield from (models.unisar.PairInfoNCE, models.unisar.TransitionContrast)


@pytest.mark.parametrize("cls", losses_of_rows(), ids=lambda cls: cls.__name__)
def test_gradients_scale_with_the_loss(cls):
    """As mixed precision and weighted sums of losses need it."""
    loss_of = ROWS[cls].make()
    inputs = [tf.constant(values) for values in ROWS[cls].inputs]
    by = [values for values in inputs if values.dtype == tf.float32]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(by)
        loss = tf.reduce_sum(loss_of(*inputs))
        scaled = 3.0 * loss
    plain, tripled = tape.gradient(loss, by), tape.gradient(scaled, by)
    seen = [pair for pair in zip(plain, tripled, strict=True) if pair[0] is not None]
    assert seen
    assert any(np.any(slope) for slope, _ in seen)
    for slope, its_triple in seen:
        np.testing.assert_allclose(its_triple, 3 * slope.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cls", [layers.BruteForce, layers.IVF, layers.ScaNN])
def test_an_index_forgets_what_it_was_made_of_before(cls):
    few = CANDIDATES[3:30] + 1, IDS[3:30][::-1]
    options = {} if cls is not layers.ScaNN else {"num_leaves": 1}
    fresh = cls(k=3, **options).index(*few)
    again = cls(k=3, **options).index(CANDIDATES, IDS)
    again(QUERIES)
    again.index(*few)
    for expected, found in zip(fresh(QUERIES), again(QUERIES), strict=True):
        if expected.dtype.is_floating:
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        else:
            np.testing.assert_array_equal(found, expected)


def test_a_streaming_index_forgets_what_it_was_made_of_before():
    few = tf.data.Dataset.from_tensor_slices((IDS[3:30], CANDIDATES[3:30] + 1)).batch(4)
    index = layers.Streaming(k=3).index_from_dataset(corpus())
    index(QUERIES)
    index.index_from_dataset(few)
    fresh = layers.Streaming(k=3).index_from_dataset(few)
    for expected, found in zip(fresh(QUERIES), index(QUERIES), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_attributes_that_are_set_again_replace_the_old_ones():
    columns = {"genre": [0, 2], "caption": [[0, 0], [1, 3]]}
    encoder = entity_encoder()
    ids = np.array([[1, 0]])
    encoder(ids)
    encoder.set_attributes(columns)
    fresh = type(encoder).from_config(encoder.get_config())
    fresh.set_attributes(columns)
    fresh(ids)
    for weight, other in zip(encoder.weights, fresh.weights, strict=True):
        assert weight.shape == other.shape
        if not weight.trainable:
            np.testing.assert_array_equal(weight, other)


@pytest.mark.parametrize(
    "cls",
    [cls for cls in ROWS if issubclass(cls, tf.keras.metrics.Metric)],
    ids=lambda cls: cls.__name__,
)
def test_a_metric_that_is_reset_is_as_new(cls):
    metric = ROWS[cls].make()
    expected = run(cls, metric)
    run(cls, metric)
    metric.reset_state()
    assert_same(cls, run(cls, metric), expected)


def test_a_second_fit_reports_its_own_epochs_only():
    model = two_tower()
    model.compile(tf.keras.optimizers.SGD(0.0))
    data = tf.data.Dataset.from_tensor_slices(FEATURES).batch(4)
    first, second = (
        model.fit(data, epochs=2, validation_data=data, verbose=0).history
        for _ in range(2)
    )
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_allclose(second[name], values, rtol=1e-5)


def test_lists_of_the_table_have_padding_ties_and_unequal_lengths():
    labels, scores = LISTS
    lengths = (labels >= 0).sum(axis=1)
    assert lengths.min() < lengths.max() <= labels.shape[1]
    ties = [
        len(np.unique(row[mask])) < mask.sum()
        for row, mask in zip(scores, labels >= 0, strict=True)
    ]
    assert any(ties)
    assert not np.allclose(PLACES, PLACES[::-1])


MODELS = [cls for cls in ROWS if issubclass(cls, tfrs_models.Model)]


@pytest.mark.parametrize("cls", MODELS, ids=lambda cls: cls.__name__)
def test_a_whole_model_comes_back_from_its_file(cls, tmp_path):
    model = ROWS[cls].make()
    expected = run(cls, model)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    for ours, theirs in zip(run(cls, loaded), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ""])
def test_experts_of_all_levels_are_in_the_weights(suffix, tmp_path):
    def trunk():
        layer = layers.ProgressiveLayered(
            2, num_shared=2, num_specific=2, units=[4], num_levels=2, tower_units=[3]
        )
        inputs = tf.keras.Input([3])
        model = tf.keras.Model(inputs, layer(inputs))
        return model, model(x)

    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    (one, expected), (other, before) = trunk(), trunk()
    one.save_weights(str(tmp_path / f"file{suffix}"))
    other.load_weights(str(tmp_path / f"file{suffix}"))
    for ours, theirs in zip(outputs(other(x)), outputs(expected), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    assert np.abs(outputs(before)[0] - outputs(expected)[0]).max() > 1e-3


def test_a_ranker_that_was_fitted_comes_back_with_its_position_bias(tmp_path):
    features = {
        name: value.numpy() if hasattr(value, "numpy") else value
        for name, value in ROWS[models.MultiTaskRanker].inputs[0].items()
    }
    rows = len(features["user_id"])
    features["position"] = np.arange(rows)
    features["labels"] = np.random.default_rng(0).integers(-1, 2, size=(rows, 2))
    model = ROWS[models.MultiTaskRanker].make()
    model.compile(tf.keras.optimizers.Adam(0.01))
    model.fit(tf.data.Dataset.from_tensor_slices(features).batch(4), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.logged_logits(features), model.logged_logits(features), rtol=1e-5
    )
