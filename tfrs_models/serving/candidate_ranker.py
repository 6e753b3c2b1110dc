"""Serves a model with several services, each ranking the candidates of a request."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.ops.features.checks import finite_features
from tfrs_models.serving.request_history import RequestHistory

Examples = Mapping[str, np.ndarray | tf.Tensor]
_SAMPLE_ROWS = 4


class CandidateRanker(tf.Module):
    """A module with one signature for each service of a model.

    A signature takes named features, including the candidates, and returns the outputs
    of the model's method of that name, best candidates first. The services share all
    weights, so that they are in memory once and are replaced together.

    Example:
      >>> shop = tf.Module()
      >>> shop.search = tf.function(lambda candidates: {
      ...     "score": tf.sort(candidates["price"], direction="DESCENDING")
      ... }, autograph=False)
      >>> prices = {"price": tf.constant([[3.0, 9.0, 5.0]])}
      >>> ranker = tm.serving.CandidateRanker(shop, {"search": prices}, k=2)
      >>> ranker.signatures["search"](prices)["score"].numpy()
      array([[9., 5.]], dtype=float32)
    """

    def __init__(
        self,
        model: tf.keras.Model,
        services: Mapping[str, Examples],
        *,
        k: int | None = None,
        histories: Sequence[RequestHistory] = (),
    ) -> None:
        """Initializes the module.

        Args:
          model: model with a method for each service, from features to named tensors
            `[batch, num_candidates]`, best first (`models.UniSAR` has `recommend` and
            `search`).
          services: name of the method -> example batch of its features, which gives
            their dtypes and ranks; its first rows become the samples of an export. The
            lengths of lists may differ between requests.
          k: largest number of candidates in an answer; None for all.
          histories: features of the services that are histories, which requests may
            send as they are. Answers then have `num_unknown` `[batch]`, the number of
            unknown ids that were skipped.

        Raises:
          ValueError: there is no service, a service has no features, no method of the
            model or not all features of a history, or `k` is below 1.
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
        for history in histories:
            for name, features in services.items():
                if lacking := [n for n in history.names if n not in features]:
                    raise ValueError(
                        "`histories` must be of features that all services have. Got "
                        f"{lacking}, which `{name}` has not."
                    )
        self.model = model
        self.k = k
        self._histories = tuple(histories)
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
        """Name -> function that a server calls."""
        return dict(self.services)

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]]:
        """Sample requests of one row and of several."""
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
            features = dict(finite_features(features))
            num_unknown = []
            for history in self._histories:
                found, number = history.read(features)
                features |= found
                num_unknown.append(number)
            answer = method(features)
            answer = {key: values[:, : self.k] for key, values in answer.items()}
            if num_unknown:
                answer["num_unknown"] = tf.add_n(num_unknown)
            return answer

        return tf.function(serve, input_signature=[specs])
