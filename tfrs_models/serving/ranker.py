"""From named features to probabilities and a score, in one module."""

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.ops.features.checks import finite_features
from tfrs_models.serving.vocabularies import line_numbers


class Ranker(tf.Module):
    """Answers for rows of named features what the ranker's `rank` does.

    `rank` is the signature: a tensor for each feature in, a tensor for each output of
    the model out. Ids with a vocabulary come as strings.
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
          model: Has `rank(features)`, from features to named `[batch]` tensors.
          features: What clients send, by name: a batch as an example, whose first rows
            become the samples of an export, or a spec. The label, the weight and the
            position of logged rows are not among them.
          vocabularies: Name of an id -> its strings; string `i` is id `i + 1` to the
            model.
          unknown_id: What a string beyond the vocabulary is to the model, for all ids
            or by name: 0, which no string has, or -1 for a `towers.UserId` that drops
            ids.
          decoded: Name of an output of ids -> the vocabulary whose strings it is to be:
            id `i + 1` is string `i`, 0 the empty string.

        Raises:
          ValueError: a vocabulary of a feature that is not there, or no features.
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
        """What a server answers."""
        return {"serving_default": self.rank}

    @property
    def samples(self) -> dict[str, list[dict[str, np.ndarray]]] | None:
        """Requests of real rows, one and several; None where `features` were specs."""
        if self._examples is None:
            return None
        one = {name: values[:1] for name, values in self._examples.items()}
        return {"serving_default": [one, self._examples]}

    def _rank(self, features: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The model's answer.

        Args:
          features: As `self.features` says, all with the same `batch`.

        Returns:
          Name -> `[batch]` float32.

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
    """The first rows as clients send them: ids of the vocabularies are strings."""
    if any(isinstance(value, tf.TensorSpec) for value in features.values()):
        return None
    examples = {name: np.asarray(value[:rows]) for name, value in features.items()}
    for name, vocabulary in vocabularies.items():
        ids = examples[name]
        strings = np.array(["", *map(str, vocabulary)], object)
        known = (ids > 0) & (ids < len(strings))
        examples[name] = strings[np.where(known, ids, 0)]
    return examples
