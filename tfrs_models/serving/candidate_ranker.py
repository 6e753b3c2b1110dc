"""Several services of one model, each ranking the candidates that it is sent."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.ops.features.checks import finite_features

Examples = Mapping[str, np.ndarray | tf.Tensor]
_SAMPLE_ROWS = 4


class CandidateRanker(tf.Module):
    """One SavedModel with a signature for each service of a model.

    A signature takes named features, candidates among them, and answers what the
    model's method of that name does, best candidates first. The services share all
    weights: both are in memory once, and are replaced at once.
    """

    def __init__(
        self,
        model: tf.keras.Model,
        services: Mapping[str, Examples],
        *,
        k: int | None = None,
    ) -> None:
        """Initializes the module.

        Args:
          model: Has a method for each service, from features to named tensors `[batch,
            num_candidates]`, best first (`models.UniSAR` has `recommend` and `search`).
          services: Name of the method -> a batch of its features, as an example of
            their dtypes and numbers of axes; its first rows become the samples of an
            export. Lengths of lists may differ from request to request.
          k: How many candidates to answer with, at most; all where None.

        Raises:
          ValueError: no service, one without features or that the model does not have,
            or a `k` below 1.
        """
        super().__init__(name="candidate_ranker")
        if k is not None and k < 1:
            raise ValueError(f"`k` must be at least 1, or None for all. Got {k}.")
        missing = [name for name in services if not hasattr(model, name)]
        if not services or missing or not all(services.values()):
            raise ValueError(
                "`services` must hold features for methods of the model. Got "
                f"{ {name: sorted(features) for name, features in services.items()} }"
                + (f"; {type(model).__name__} has no {missing}." if missing else ".")
            )
        self.model = model
        self.k = k
        self._examples = {
            name: {key: np.asarray(value) for key, value in features.items()}
            for name, features in services.items()
        }
        self.services = {
            name: self._function(name, features)
            for name, features in self._examples.items()
        }

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """What a server answers."""
        return dict(self.services)

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Requests of real rows, one and several."""
        return {
            name: [
                {key: value[:rows] for key, value in features.items()}
                for rows in (1, _SAMPLE_ROWS)
            ]
            for name, features in self._examples.items()
        }

    def _function(
        self, name: str, features: Mapping[str, np.ndarray]
    ) -> tf.types.experimental.PolymorphicFunction:
        method = getattr(self.model, name)
        specs = {
            key: tf.TensorSpec([None] * value.ndim, value.dtype, key)
            for key, value in features.items()
        }

        def serve(features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            answer = method(finite_features(features))
            return {key: values[:, : self.k] for key, values in answer.items()}

        return tf.function(serve, input_signature=[specs])
