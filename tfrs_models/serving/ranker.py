"""Serves a ranking model: probabilities and scores for rows of named features."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.ops.features.checks import finite_features
from tfrs_models.serving.vocabularies import line_numbers


class Ranker(tf.Module):
    """A module that returns the outputs of a model's `rank` for named features.

    Its signature takes a tensor for each feature and returns a tensor for each output
    of the model. Ids with a vocabulary are strings.

    Example:
      >>> model, prices = tf.Module(), tf.constant([0.0, 3.5, 9.0])
      >>> model.rank = tf.function(
      ...     lambda row: {"score": tf.gather(prices, row["item_id"])}, autograph=False)
      >>> ranker = tm.serving.Ranker(model, {"item_id": np.array([1, 2])},
      ...                            vocabularies={"item_id": ["tea", "wine"]})
      >>> ranker.rank({"item_id": tf.constant(["wine", "tea", "mead"])})["score"]
      <tf.Tensor: ... numpy=array([9. , 3.5, 0. ], dtype=float32)>
    """

    def __init__(
        self,
        model: tf.keras.Model,
        features: Mapping[str, np.ndarray | tf.Tensor | tf.TensorSpec],
        *,
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        unknown_id: int | Mapping[str, int] = 0,
        decoded: Mapping[str, str] | None = None,
    ) -> None:
        """Initializes the module.

        Args:
          model: model with a method `rank(features)`, which returns named `[batch]`
            tensors.
          features: name -> spec or example batch of each feature that clients send.
            The first rows of examples become the samples of an export. Leave out the
            label, the weight and the position of logged rows.
          vocabularies: name of an id feature -> its strings; string `i` becomes id
            `i + 1` of the model.
          unknown_id: id for strings outside of the vocabulary, one for all features or
            by name: 0, which no string has, or -1 for a `towers.UserId` with
            `id_dropout`.
          decoded: name of an output that holds ids -> feature whose vocabulary decodes
            it: id `i + 1` becomes string `i`, 0 the empty string.

        Raises:
          ValueError: there are no features, or a vocabulary has no feature.
        """
        super().__init__(name="ranker")
        vocabularies = dict(vocabularies or {})
        if not features or vocabularies.keys() - features.keys():
            raise ValueError(
                "`features` must name all features of a row, those with one of the "
                f"`vocabularies` {sorted(vocabularies)} among them. Got "
                f"{sorted(features)}."
            )
        self.model = model
        self._unknown = (
            dict(unknown_id)
            if isinstance(unknown_id, Mapping)
            else dict.fromkeys(vocabularies, unknown_id)
        )
        if self._unknown.keys() != vocabularies.keys():
            raise ValueError(
                f"`unknown_id` must name each of {sorted(vocabularies)}. Got "
                f"{sorted(self._unknown)}."
            )
        decoded = dict(decoded or {})
        if set(decoded.values()) - vocabularies.keys():
            raise ValueError(
                f"`decoded` must name vocabularies of {sorted(vocabularies)}. Got "
                f"{sorted(decoded.values())}."
            )
        self._strings = {
            output: tf.constant(["", *map(str, vocabularies[name])])
            for output, name in decoded.items()
        }
        self._lines = {
            name: line_numbers(vocabulary, name=name)
            for name, vocabulary in vocabularies.items()
        }
        self.features = {
            name: _row_spec(name, value, is_text=name in vocabularies)
            for name, value in features.items()
        }
        self.rank = tf.function(self._rank, input_signature=[self.features])
        self._examples = _examples(features, vocabularies)

    @property
    def signatures(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Name -> function that a server calls."""
        return {"serving_default": self.rank}

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]] | None:
        """Sample requests of one row and of several; None if `features` were specs."""
        if self._examples is None:
            return None
        one = {name: values[:1] for name, values in self._examples.items()}
        return {"serving_default": [one, self._examples]}

    def _rank(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Returns the outputs of the model.

        Args:
          features: name -> `[batch, ...]` values that fit the specs in `self.features`.

        Returns:
          Output name -> `[batch]` float32 values, or strings if the output is decoded.

        Raises:
          InvalidArgumentError: a feature is not finite.
        """
        ids = {}
        for name, lines in self._lines.items():
            line = lines.lookup(features[name])
            unknown = tf.cast(self._unknown[name], tf.int64)
            ids[name] = tf.where(line < 0, unknown, line + 1)
        answer = self.model.rank(finite_features({**features, **ids}))
        decoded = {n: tf.gather(s, answer[n]) for n, s in self._strings.items()}
        return {**answer, **decoded}


def _row_spec(
    name: str, value: np.ndarray | tf.Tensor | tf.TensorSpec, *, is_text: bool
) -> tf.TensorSpec:
    if not isinstance(value, tf.TensorSpec):
        value = tf.TensorSpec.from_tensor(tf.convert_to_tensor(value))
    dtype = tf.string if is_text else value.dtype
    return tf.TensorSpec([None, *value.shape[1:]], dtype, name)


def _examples(
    features: Mapping[str, np.ndarray | tf.Tensor | tf.TensorSpec],
    vocabularies: Mapping[str, Sequence[str]],
    *,
    rows: int = 4,
) -> dict[str, np.ndarray] | None:
    """Returns the first rows as clients send them, with strings for encoded ids."""
    if any(isinstance(value, tf.TensorSpec) for value in features.values()):
        return None
    examples = {name: np.asarray(value[:rows]) for name, value in features.items()}
    for name, vocabulary in vocabularies.items():
        ids = examples[name]
        strings = np.array(["", *map(str, vocabulary)], object)
        known = (ids > 0) & (ids < len(strings))
        examples[name] = strings[np.where(known, ids, 0)]
    return examples
