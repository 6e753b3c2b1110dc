"""Weights and optimizer state of a model, moved to vocabularies that have grown."""

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from tfrs_models.types import VocabularyRows

_VALUE = "VARIABLE_VALUE"
_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The learning rate is a choice of the training that goes on, not of the one before.
_OF_TRAINING = ("_learning_rate", "_current_learning_rate")
_SHOWN = 3  # ids that an error names

Vocabularies = Mapping[str, Sequence[str]]


class RowChanges(NamedTuple):
    """Numbers of the values of a vocabulary whose rows were moved.

    Attributes:
      kept: number of values that had a row.
      added: number of values whose row is new.
      gone: number of values whose row was dropped.
    """

    kept: int
    added: int
    gone: int


def load_rows(
    model: tf.keras.Model,
    state: tf.keras.Model | str | os.PathLike,
    *,
    old: Vocabularies,
    new: Vocabularies,
    drop_gone: bool = False,
) -> dict[str, RowChanges]:
    """Loads a state of other vocabularies into a model, rows by the ids they stand for.

    Rows of ids that the state knows are the same bits, and so are their optimizer slots
    (the moments of Adam and LazyAdam, the momentum of SGD), wherever the row is now.
    The row of a new id starts as a copy of row 0, which stood for it before: with
    features beside the id, a new item so starts at the embedding of its features, and
    the model answers as the state did until it is trained. New values of bags start at
    zeros, and so do the slots of all new rows. The count of steps is loaded, the
    learning rate is not.

    The method `vocabulary_rows` of a layer lists the variables that it looks up by id.
    All other variables are copied, and must have the size that they had.

    Args:
      model: model of the new vocabularies, whose weights exist; if it is compiled, it
        gets the state of its optimizer too.
      state: trained model of the same structure, or prefix of a checkpoint of one
        (`save_weights`, or `tf.train.Checkpoint(model=model, ...)`).
      old: name of a vocabulary -> its values in the order of the state's rows, the
        first of which is row 1. A table has the rows of the first values, if not of
        all, as in `Interactions.vocabularies`.
      new: the same of the model.
      drop_gone: True to drop the rows of ids that `new` lacks.

    Returns:
      Name of a vocabulary -> numbers of its rows.

    Raises:
      ValueError: the state lacks a variable of the model; one has another size and no
        layer knows its ids; ids are gone; or a layer hashes ids by numbers that have
        changed.

    Example:
      >>> def model(num_items):
      ...     item = tm.data.Feature("item_id", "id", num_items)
      ...     users = tm.towers.UserId(4, 2)
      ...     towers = users, tm.towers.FeatureTower([item], 2)
      ...     return tm.models.TwoTower(*towers)
      >>> old, new = {"item_id": ["p", "q"]}, {"item_id": ["q", "r", "p"]}
      >>> tm.training.load_rows(model(3), model(2), old=old, new=new)
      {'item_id': RowChanges(kept=2, added=1, gone=0)}
    """
    slots = _slots_of(model)
    if isinstance(state, tf.keras.Model):
        _slots_of(state)  # they are made at the first step otherwise
        saved = _Live(state)
    else:
        saved = _Saved(os.fspath(state), model)
    declared, changes, assigned = _declared(model), {}, {}
    required = {v.ref() for v in model.weights}
    for path, variable, array in _pairs(model, saved):
        key = variable.ref()
        table = slots[key].ref() if key in slots else key
        rows = declared.get(table, ())
        move = _Move(path, is_slot=key in slots, old=old, new=new, drop_gone=drop_gone)
        assigned[key] = variable, move.moved(array, variable, rows, changes)
        required.discard(key)
    if required:
        names = ", ".join(sorted(key.deref().name for key in required))
        raise ValueError(
            f"`state` must be of a model of the same structure. It lacks {names}."
        )
    for variable, array in assigned.values():  # all or nothing
        if array is not None:
            variable.assign(array)
    return changes


class _Move(NamedTuple):
    """Rules by which the rows of one variable are moved."""

    path: str
    is_slot: bool
    old: Vocabularies
    new: Vocabularies
    drop_gone: bool

    def moved(
        self,
        array: np.ndarray,
        variable: tf.Variable,
        declared: Sequence[VocabularyRows],
        changes: dict[str, RowChanges],
    ) -> np.ndarray | None:
        """Returns the value of a variable; None if it keeps that of the new model."""
        shape = tuple(variable.shape)
        known = [d for d in declared if d.vocabulary in {*self.old} & {*self.new}]
        for rows in known:
            if rows.new == "data":
                return None
            if rows.new in ("anew", "refuse"):
                if not self._have_moved(rows.vocabulary):
                    continue
                if rows.new == "anew":
                    return None
                raise ValueError(
                    f"`{self.path}` reads the number of a `{rows.vocabulary}`, and "
                    "numbers have changed. What to do: train the model from the "
                    "beginning, or give it ids that are text."
                )
            moved = self._rows(array, variable, rows, changes)
            if moved is not None:
                return moved
        if np.shape(array) != shape:
            raise ValueError(
                f"`{self.path}` has the shape {np.shape(array)} in `state` and {shape} "
                "in `model`, and no layer says by `vocabulary_rows` which ids its rows "
                "stand for. What to do: train the model from the beginning."
            )
        return array

    def _rows(
        self,
        array: np.ndarray,
        variable: tf.Variable,
        rows: VocabularyRows,
        changes: dict[str, RowChanges],
    ) -> np.ndarray | None:
        table = tuple(rows.variable.shape)
        is_table = tuple(variable.shape) == table and array.ndim == len(table)
        if not is_table or array.shape[1:] != table[1:]:
            return None  # a slot of another shape, or a table of another width
        names = rows.vocabulary
        then = self._named("old", names, len(array) - 1)
        now = self._named("new", names, table[0] - 1)
        row_of = {value: row for row, value in enumerate(then, 1)}
        source = np.array([0, *(row_of.get(value, -1) for value in now)])
        is_new = source < 0
        gone = sorted(row_of.keys() - set(now))
        if gone and not self.drop_gone:
            some = ", ".join(map(repr, gone[:_SHOWN]))
            raise ValueError(
                f"`new` must have all ids of `old`. Got a vocabulary `{names}` without "
                f"{len(gone):,} of {len(then):,}: {some}. What to do: give all data so "
                "far, or pass `drop_gone=True` to lose their rows."
            )
        changes.setdefault(
            names,
            RowChanges(len(then) - len(gone), int(is_new.sum()), len(gone)),
        )
        first = np.zeros_like(array[0])
        if rows.new == "unknown" and not self.is_slot:
            first = array[0]
        shape = (-1, *[1] * (array.ndim - 1))
        return np.where(is_new.reshape(shape), first, array[source])

    def _named(self, argument: str, vocabulary: str, count: int) -> list[str]:
        values = getattr(self, argument)[vocabulary]
        if len(values) < count:
            raise ValueError(
                f"`{argument}` must name the {count:,} rows of `{self.path}`. Got a "
                f"vocabulary `{vocabulary}` of {len(values):,}."
            )
        return [*map(str, values[:count])]

    def _have_moved(self, vocabulary: str) -> bool:
        then, now = ([*map(str, names[vocabulary])] for names in (self.old, self.new))
        return now[: len(then)] != then


class _Live:
    """Objects of a model that lives, as a graph of named children."""

    def __init__(self, root: object) -> None:
        self.root = root

    def children(self, node: object) -> Mapping[str, object]:
        return tf.train.TrackableView.children(node)

    def value(self, node: object) -> np.ndarray | None:
        return node.numpy() if isinstance(node, tf.Variable) else None


class _Saved:
    """Objects of a checkpoint, as a graph of named children."""

    def __init__(self, prefix: str, model: tf.keras.Model) -> None:
        try:
            self._reader = tf.train.load_checkpoint(prefix)
            graph = self._reader.get_tensor(_GRAPH)
        except (tf.errors.OpError, ValueError, RuntimeError) as error:
            raise ValueError(
                "`state` must be a model or the prefix of a checkpoint of one. Got "
                f"{prefix!r}: {str(error).splitlines()[0]}"
            ) from error
        parsed = trackable_object_graph_pb2.TrackableObjectGraph()
        parsed.ParseFromString(graph)
        self._nodes = parsed.nodes
        self._more = {}
        children = self.children(0)
        names = tf.train.TrackableView.children(model).keys()

        def matches(node: int) -> int:
            return len(self.children(node).keys() & names)

        self.root = max([0, children.get("model", 0)], key=matches)
        if "optimizer" in children:  # beside the model
            self._more[self.root] = {"optimizer": children["optimizer"]}

    def children(self, node: int) -> Mapping[str, int]:
        found = {c.local_name: c.node_id for c in self._nodes[node].children}
        return self._more.get(node, {}) | found

    def value(self, node: int) -> np.ndarray | None:
        for attribute in self._nodes[node].attributes:
            if attribute.name == _VALUE:
                return self._reader.get_tensor(attribute.checkpoint_key)
        return None


def _pairs(
    model: tf.keras.Model, saved: _Live | _Saved
) -> Iterator[tuple[str, tf.Variable, np.ndarray]]:
    """Yields path, variable of the model and value of the state, each variable once.

    Both graphs of objects are walked at the same time, by the names of children.
    """
    live = _Live(model)
    todo, seen = [("", model, saved.root)], set()
    while todo:
        path, node, other = todo.pop(0)
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, tf.Variable):
            value = saved.value(other)
            if value is not None:
                yield path, node, np.asarray(value)
            continue
        others = saved.children(other)
        for name, child in live.children(node).items():
            if name in others and name not in _OF_TRAINING:
                todo.append((f"{path}/{name}".lstrip("/"), child, others[name]))


def _declared(model: tf.keras.Model) -> dict[object, list[VocabularyRows]]:
    """Returns reference of a variable -> the vocabularies of its rows."""
    found = {}
    for layer in (model, *model.submodules):
        if hasattr(layer, "vocabulary_rows"):
            for rows in layer.vocabulary_rows():
                found.setdefault(rows.variable.ref(), []).append(rows)
    return found


def _slots_of(model: tf.keras.Model) -> dict[object, tf.Variable]:
    """Makes the slots of a compiled model; reference of a slot -> its variable."""
    found = {}
    if getattr(model, "optimizer", None) is None:
        return found
    variables = model.trainable_variables
    of_optimizers = getattr(
        model, "_of_optimizers", lambda variables: [(model.optimizer, variables)]
    )
    for optimizer, own in of_optimizers(variables):
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)
        optimizer.build(own)
        for name, slots in vars(optimizer).items():
            if (
                name != "_variables"
                and isinstance(slots, list)
                and len(slots) == len(own)
                and all(isinstance(slot, tf.Variable) for slot in slots)
            ):
                found |= {s.ref(): v for s, v in zip(slots, own, strict=True)}
    return found
