"""Advice for names that users of TensorFlow Recommenders and Keras RS look for here.

A lookup (`tfrs_models.tasks.Ranking`) ends in an `AttributeError` and an import
(`from tfrs_models.tasks import Ranking`) in an `ImportError`; both name what to use.
"""

import sys
from collections.abc import Callable

_INDEXES = (
    "`BruteForce`, `Streaming`, `ScaNN` and `IVF` are in `tfrs_models.layers` itself, "
    "as `tfrs_models.layers.BruteForce`"
)
_LOGITS = (
    "`HardNegativeMining`, `RemoveAccidentalHits` and `SamplingProbabilityCorrection` "
    "are in `tfrs_models.layers` itself; `tfrs_models.tasks.Retrieval` applies them"
)
_CROSSES = (
    "`tfrs_models.models.DCN` is a cross network with its towers and its loss; the "
    "bare layer is `tensorflow_recommenders.layers.dcn.Cross`"
)
_PRODUCTS = (
    "pairwise products of features are `tfrs_models.layers.FactorizationMachine` and "
    "`FieldAwareFactorizationMachine`"
)
_RANKING = (
    "`tfrs_models.tasks.MultiTask` is the task of labels that are 0 or 1, one or more "
    "of them, and `tfrs_models.tasks.Regression` the task of ratings"
)
_TASK = "tasks have no base class here: a task is a Keras layer that returns a loss"
_MODEL = "the base class of models is `tfrs_models.Model`"
_EMBEDDINGS = (
    "embeddings on TPUs are not supported; use `tfrs_models.towers.FeatureTower`, "
    "`towers.UserId` or `layers.HashedEmbedding`"
)
_OTHER_PAIRS = (
    "use `tfrs_models.losses.PairwiseLogisticLoss` or `PairwiseHingeLoss` for the "
    "order of a list, and `RegressionCompatibleLoss` where values matter too"
)

# Name below `tfrs_models` -> what to use instead.
ADVICE = {
    "examples": "`tfrs_models.data.load` reads MovieLens and tables of your own",
    "experimental": (
        "`experimental.models.Ranking` is `tfrs_models.models.DCN` or `DeepFM` here; "
        "an optimizer for large tables is `tfrs_models.training.LazyAdam`; other "
        "experiments are in `tensorflow_recommenders.experimental`"
    ),
    "layers.BruteForceRetrieval": "use `tfrs_models.layers.BruteForce`",
    "layers.Cross": _CROSSES,
    "layers.DistributedEmbedding": _EMBEDDINGS,
    "layers.DotInteraction": _PRODUCTS,
    "layers.EmbedReduce": _EMBEDDINGS,
    "layers.FeatureConfig": _EMBEDDINGS,
    "layers.FeatureCross": _CROSSES,
    "layers.MultiLayerDCN": _CROSSES,
    "layers.Retrieval": _INDEXES,
    "layers.SamplingProbablityCorrection": (
        "here it is spelled `tfrs_models.layers.SamplingProbabilityCorrection`"
    ),
    "layers.TPUEmbedding": _EMBEDDINGS,
    "layers.TableConfig": _EMBEDDINGS,
    "layers.TopK": _INDEXES,
    "layers.blocks": "use `tfrs_models.layers.MLP`",
    "layers.dcn": _CROSSES,
    "layers.embedding.TPUEmbedding": _EMBEDDINGS,
    "layers.embedding.tpu_embedding_layer": _EMBEDDINGS,
    "layers.factorized_top_k": _INDEXES,
    "layers.feature_interaction": f"{_CROSSES}; {_PRODUCTS}",
    "layers.feature_multiplexing": (
        "`tfrs_models.layers.HashedEmbedding` and `DeepHashCode` hash ids"
    ),
    "layers.loss": _LOGITS,
    "losses.PairwiseMeanSquaredError": _OTHER_PAIRS,
    "losses.PairwiseSoftZeroOneLoss": _OTHER_PAIRS,
    "metrics.DCG": "use `tfrs_models.metrics.NDCG`",
    "metrics.Factorized": "use `tfrs_models.metrics.FactorizedTopK`",
    "metrics.factorized_top_k.Factorized": "use `tfrs_models.metrics.FactorizedTopK`",
    "models.Model": _MODEL,
    "models.Ranking": "use `tfrs_models.models.DCN` or `DeepFM`",
    "models.base": _MODEL,
    "tasks.Ranking": _RANKING,
    "tasks.Task": _TASK,
    "tasks.base": _TASK,
    "tasks.ranking": _RANKING,
    "types.Activation": "an activation is a function or its name in Keras",
}


def _text(name: str) -> str:
    owner, _, last = f"tfrs_models.{name}".rpartition(".")
    return (
        f"`{owner}` has no `{last}`: {ADVICE[name]}. Scripts that keep upstream's "
        "names can `import tfrs_models.compat as tfrs`."
    )


class _Imports:
    """A finder that is queried for modules which no other finder has found."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        package, _, path = name.partition(".")
        if package == "tfrs_models" and path in ADVICE:
            raise ImportError(_text(path), name=name)


def install() -> None:
    """Makes imports of the names of `ADVICE` end in their advice."""
    if not any(finder is _Imports for finder in sys.meta_path):
        sys.meta_path.append(_Imports)


def missing(module: str, name: str) -> AttributeError:
    """Makes the error of a name that a module does not have, with advice if it has any.

    Args:
      module: dotted name of the module.
      name: name that was looked up.
    """
    path = f"{module}.{name}".removeprefix("tfrs_models.")
    plain = f"module {module!r} has no attribute {name!r}"
    text = _text(path) if path in ADVICE else plain
    return AttributeError(text, name=name, obj=sys.modules[module])


def advise(module: str) -> Callable[[str], object]:
    """Makes the `__getattr__` of a module, which ends lookups in their advice.

    Args:
      module: dotted name of the module.
    """

    def fail(name: str) -> object:
        raise missing(module, name)

    return fail
