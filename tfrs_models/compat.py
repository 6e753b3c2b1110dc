"""Names of TensorFlow Recommenders for classes of this package.

Scripts that were written for TensorFlow Recommenders run on the drop-ins of this
package after one change: `import tfrs_models.compat as tfrs`. Names without a drop-in
are TensorFlow Recommenders' own objects.
"""

import types as _types

from tfrs_models import _keras  # noqa: F401  isort: skip  binds `tf.keras` before all else

import tensorflow_recommenders as _upstream

from tfrs_models import layers as _layers
from tfrs_models.metrics import FactorizedTopK as _FactorizedTopK
from tfrs_models.model import Model
from tfrs_models.tasks import Retrieval as _Retrieval


def _with_ours(module: _types.ModuleType, **ours: object) -> _types.SimpleNamespace:
    """Copies a module of TensorFlow Recommenders, with some names for our objects."""
    names = {name: getattr(module, name) for name in dir(module) if name[0] != "_"}
    return _types.SimpleNamespace(**names | ours)


examples = _upstream.examples
experimental = _upstream.experimental
layers = _with_ours(
    _upstream.layers,
    factorized_top_k=_with_ours(
        _upstream.layers.factorized_top_k,
        BruteForce=_layers.BruteForce,
        ScaNN=_layers.ScaNN,
        Streaming=_layers.Streaming,
    ),
    loss=_with_ours(
        _upstream.layers.loss,
        HardNegativeMining=_layers.HardNegativeMining,
        RemoveAccidentalHits=_layers.RemoveAccidentalHits,
        SamplingProbablityCorrection=_layers.SamplingProbabilityCorrection,
    ),
)
metrics = _with_ours(_upstream.metrics, FactorizedTopK=_FactorizedTopK)
models = _with_ours(_upstream.models, Model=Model)
tasks = _with_ours(_upstream.tasks, Retrieval=_Retrieval)
types = _upstream.types
