"""The embedded candidates that an evaluation ranks against."""

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrs_models.layers.index.checks import copies_of_dataset, most_copies
from tfrs_models.layers.index.hooks import has_own_scores
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.layers.index.streaming import Streaming
from tfrs_models.ops.ranks.lookup import IdIndex, index_ids
from tfrs_models.types import Tensor

_upstream = tfrs.layers.factorized_top_k


class Corpus:
    """Embeds the candidates once and holds them until they are stale.

    They are stale after `mark_stale` (an evaluation begins) and when a variable
    that the candidates are computed from has changed (a training step; a variable that
    the mapping itself writes, such as a counter, makes them stale at every batch).
    Keras deliberately does not track the candidates and the state: a tracked corpus
    would enter every checkpoint.

    Attributes:
      given: dataset or layer that the candidates come from.
    """

    def __init__(self, *, duplicates: str) -> None:
        """Initializes the corpus, which is empty.

        Args:
          duplicates: "warn" or "error", the consequence of ids that repeat.
        """
        self._duplicates = duplicates
        self.given = self._source = self._state = self._streaming = None

    def take(self, source: tf.data.Dataset | tf.keras.layers.Layer) -> None:
        """Takes candidates, and checks their ids once.

        Args:
          source: dataset of `[batch, embedding_dim]` embeddings or of (identifiers,
            embeddings), or a BruteForce or Streaming layer that holds candidates.

        Raises:
          ValueError: an id repeats with `duplicates="error"`.
        """
        self.given = source
        if isinstance(source, tf.data.Dataset):
            copies_of_dataset(source, self._duplicates)
        elif self._duplicates == "error" or not isinstance(
            source,
            (SlotIndex, Streaming),  # ours have warned already
        ):
            _check_ids(source, self._duplicates)
        if isinstance(source, _upstream.Streaming):
            source = source._candidates
        self._source, self._state, self._streaming = source, None, None

    def streaming(self, k: int) -> Streaming:
        """Returns a layer that answers queries from the dataset that was given.

        Args:
          k: number of candidates that the layer returns.
        """
        if self._streaming is None:
            with tf.init_scope():
                self._streaming = Streaming(k=k).index_from_dataset(self.given)
        return self._streaming

    def mark_stale(self) -> None:
        """Makes the next `read` embed the candidates again."""
        if self._state is not None:
            self._state.stale.assign(True)

    def read(self) -> tuple[tf.Tensor, IdIndex]:
        """Returns embeddings `[num_candidates, embedding_dim]` and the index of ids."""
        if not tf.compat.v1.executing_eagerly_outside_functions():
            identifiers, embeddings = self._embed()
            return embeddings, self._index_ids(identifiers)
        if self._state is None:
            with tf.init_scope():
                self._state = _State(*self._specs())
        state, mark = self._state, self._fingerprint()
        stale = state.stale.read_value() | tf.reduce_any(
            state.fingerprint.read_value() != mark
        )
        refreshed = tf.cond(stale, lambda: self._refresh(mark), lambda: False)
        with tf.control_dependencies([refreshed]):
            index = IdIndex(
                state.keys.read_value(), state.rows.read_value(), state.ids.read_value()
            )
            return state.embeddings.read_value(), index

    def _refresh(self, mark: tf.Tensor) -> tf.Tensor:
        identifiers, embeddings = self._embed()
        index = self._index_ids(identifiers)
        state = self._state
        assigned = [
            state.embeddings.assign(embeddings),
            state.keys.assign(index.keys),
            state.rows.assign(index.rows),
            state.ids.assign(index.ids),
            state.fingerprint.assign(mark),
            state.stale.assign(False),
        ]
        with tf.control_dependencies([a for a in assigned if a is not None]):
            return tf.constant(True)

    def _index_ids(self, identifiers: tf.Tensor) -> IdIndex:
        return index_ids(identifiers, unique=self._duplicates == "error")

    def _embed(self) -> tuple[tf.Tensor, tf.Tensor]:
        if isinstance(self._source, tf.data.Dataset):
            identifiers, embeddings = _concatenate(self._source)
        else:
            identifiers, embeddings = _contents(self._source)
        embeddings = tf.ensure_shape(embeddings, [None, self._specs()[1]])
        check = tf.debugging.assert_greater(
            tf.shape(embeddings)[0], 0, "There is no candidate to rank against."
        )
        with tf.control_dependencies([check] if check is not None else []):
            embeddings = tf.identity(embeddings)
        embeddings = tf.debugging.check_numerics(
            tf.cast(embeddings, tf.float32),
            "An embedding of the candidates is not finite: look at the candidate tower "
            "and the items' features",
        )
        return identifiers, embeddings

    def _specs(self) -> tuple[tf.DType, int | None]:
        if not isinstance(self._source, tf.data.Dataset):
            return _specs_of(self._source)
        spec = self._source.element_spec
        if isinstance(spec, tuple):
            return spec[0].dtype, spec[1].shape[-1]
        return tf.int64, spec.shape[-1]

    def _fingerprint(self) -> tf.Tensor:
        """Returns `[num_variables, 8]` bytes that change with captured variables."""
        if isinstance(self._source, tf.data.Dataset):
            variables = _captured_variables(self._source)
        else:
            variables = _variables_of(self._source)
        marks = [
            tf.raw_ops.Fingerprint(
                data=tf.reshape(variable, [1, -1]), method="farmhash64"
            )
            for variable in variables
            if variable.dtype != tf.string
        ]
        return tf.concat([tf.zeros([1, 8], tf.uint8), *marks], axis=0)


class _State:
    """Variables of an embedded corpus; every replica has its own copy."""

    def __init__(self, id_dtype: tf.DType, width: int | None) -> None:
        def variable(value: tf.Tensor, shape: list[int | None]) -> tf.Variable:
            return tf.Variable(
                value,
                shape=shape,
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        blank = "" if id_dtype == tf.string else 0
        self.stale = variable(True, [])
        self.embeddings = variable(tf.zeros([0, width or 0]), [None, width])
        self.keys = variable(tf.zeros([0], tf.int64), [None])
        self.rows = variable(tf.zeros([0], tf.int32), [None])
        self.ids = variable(tf.fill([0], tf.cast(blank, id_dtype)), [None])
        self.fingerprint = variable(tf.zeros([1, 8], tf.uint8), [None, 8])


@tf.function
def _concatenate(dataset: tf.data.Dataset) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns all (identifiers, embeddings) of a dataset; row numbers without ids."""
    spec = dataset.element_spec
    has_ids = isinstance(spec, tuple)
    width = (spec[1] if has_ids else spec).shape[-1]
    dtype = (spec[1] if has_ids else spec).dtype

    def parts(dtype: tf.DType, shape: list[int | None]) -> tf.TensorArray:
        return tf.TensorArray(
            dtype, 0, dynamic_size=True, infer_shape=False, element_shape=shape
        )

    embeddings = parts(dtype, [None, width])
    identifiers = parts(spec[0].dtype if has_ids else tf.int64, [None])
    number = tf.constant(0)
    for element in dataset:
        if has_ids:
            identifiers = identifiers.write(number, element[0])
            embeddings = embeddings.write(number, element[1])
        else:
            embeddings = embeddings.write(number, element)
        number += 1
    embeddings = embeddings.concat()
    if not has_ids:
        return tf.range(tf.shape(embeddings, tf.int64)[0]), embeddings
    return identifiers.concat(), embeddings


def _captured_variables(dataset: tf.data.Dataset) -> list[tf.Variable]:
    """Returns the variables that the functions of an input pipeline read."""
    variables = [
        variable
        for function in dataset._functions()
        for variable in function.function.variables
    ]
    for parent in dataset._inputs():
        variables += _captured_variables(parent)
    return list({id(variable): variable for variable in variables}.values())


def is_ranked(candidates: tf.data.Dataset | _upstream.TopK) -> bool:
    """Returns whether candidates are ranked by dot products, and not by an index.

    A subclass of an exact index with a `call` or a `_compute_score` of its own may have
    any scores.

    Args:
      candidates: dataset of embeddings, or an index layer.

    Raises:
      ValueError: neither a dataset nor an index, or an index without candidates.
    """
    if isinstance(candidates, tf.data.Dataset):
        return True
    if not isinstance(candidates, _upstream.TopK):
        raise ValueError(
            "`candidates` must be a tf.data.Dataset of embeddings or an index layer. "
            f"Got {type(candidates).__name__}."
        )
    known = (SlotIndex, Streaming, _upstream.BruteForce, _upstream.Streaming)
    if (
        not candidates.is_exact()
        or has_own_scores(candidates)
        or type(candidates).call not in [cls.call for cls in known]
    ):
        return False
    if isinstance(candidates, SlotIndex):
        is_full = bool(candidates.num_candidates)
    else:
        is_full = candidates._candidates is not None
    if not is_full:
        raise ValueError(
            "`candidates` must hold candidates: call its `index` or "
            "`index_from_dataset` first."
        )
    return True


def _check_ids(layer: tf.keras.layers.Layer, duplicates: str) -> None:
    if isinstance(layer, _upstream.Streaming):
        copies_of_dataset(layer._candidates, duplicates)
    elif tf.executing_eagerly():
        most_copies(_contents(layer)[0].numpy(), duplicates)


def _variables_of(layer: tf.keras.layers.Layer) -> list[tf.Variable]:
    if isinstance(layer, SlotIndex):
        return layer.non_trainable_weights  # a query model is not among them
    return [layer._candidates]


def _contents(layer: tf.keras.layers.Layer) -> tuple[tf.Tensor, tf.Tensor]:
    if isinstance(layer, SlotIndex):
        return layer.contents()
    identifiers, embeddings = layer._identifiers, layer._candidates
    return tf.convert_to_tensor(identifiers), tf.convert_to_tensor(embeddings)


def _specs_of(layer: tf.keras.layers.Layer) -> tuple[tf.DType, int]:
    if isinstance(layer, SlotIndex):
        return layer.id_dtype, layer.embedding_dim
    return layer._identifiers.dtype, layer._candidates.shape[1]


class Retriever(tf.keras.layers.Layer):
    """A layer that answers as `Streaming` does, over the candidates of a corpus.

    The `Streaming` layer is made at the first call: Keras, which would save the
    candidates with the model, tracks one weight only, the counter of upstream's layer.
    Without it files of weights would not go from upstream's models to ours and back.

    Attributes:
      is_of_metric: True, so that models do not list the weight as theirs.
    """

    is_of_metric = True

    def __init__(self, corpus: Corpus, *, k: int) -> None:
        """Initializes the layer.

        Args:
          corpus: corpus that holds a dataset of candidates.
          k: number of candidates to return by default.
        """
        super().__init__(trainable=False)
        self._autocast = False
        self._corpus, self._k = corpus, k
        self.add_weight("counter", [], tf.int32, initializer="zeros", trainable=False)
        self.built = True

    def call(
        self, queries: tf.Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best candidates of each query, as `layers.Streaming` does."""
        return self._streaming()(queries, k=k)

    def query_with_exclusions(
        self, queries: tf.Tensor, exclusions: Tensor, k: int | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the best candidates without the excluded, as `Streaming` does."""
        return self._streaming().query_with_exclusions(queries, exclusions, k=k)

    def is_exact(self) -> bool:
        return True

    def load_own_variables(self, store: dict) -> None:
        """Reads the counter of a file, if it has one: the metric may be new."""
        if store.keys():
            super().load_own_variables(store)

    def _streaming(self) -> Streaming:
        return self._corpus.streaming(self._k)
