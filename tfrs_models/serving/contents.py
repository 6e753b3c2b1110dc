"""Reads the items, attributes and users of an exported recommender."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.slot_table import NO_VALUE
from tfrs_models.ops.ranks.lookup import id_keys
from tfrs_models.ops.trends import num_features

_USER_IDS = Path("assets", "user_id.txt")


class Attribute(NamedTuple):
    """An attribute of the items.

    Attributes:
      values: names of the values, the most frequent first.
      rows: `[num_items, width]` int32 positions in `values`, -1 for none.
    """

    values: list[str]
    rows: np.ndarray


class Past(NamedTuple):
    """The known past of a user, the newest item last.

    Attributes:
      items: `[n]` rows of items.
      times: `[n]` seconds since 1970, 0 if unknown.
    """

    items: np.ndarray
    times: np.ndarray


@dataclasses.dataclass(frozen=True)
class Contents:
    """Items, attributes and users of an exported recommender, as arrays.

    Arrays of items have a row for each item of the catalogue. An export of an earlier
    version may lack a part, which is empty then.

    Args:
      item_ids: ids of the items.
      titles: titles of the items, "" for an item without one.
      popularity: `[num_items]` shares of the rows of training, or None.
      embeddings: `[num_items, embedding_dim]` without trends, or None.
      attributes: attributes whose values have names, by name.
      user_ids: ids of the known users.
      histories: `[num_users, length]` rows of the users' items, 0 for padding, or None.
      history_times: `[num_users, length]` seconds since 1970, or None.
      known_splits: `[num_users + 2]` ends of the users' items in `known_values`; the
        first user is the unknown one.
      known_values: rows of the items that users have, 1 for the first item.
      exclude_seen: recommended value of `exclude_seen` in requests.
    """

    item_ids: list[str]
    titles: list[str]
    popularity: np.ndarray | None
    embeddings: np.ndarray | None
    attributes: dict[str, Attribute]
    user_ids: list[str]
    histories: np.ndarray | None
    history_times: np.ndarray | None
    known_splits: np.ndarray
    known_values: np.ndarray
    exclude_seen: bool

    @property
    def num_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.item_ids)

    def past(self, user: int) -> Past:
        """Returns what a user had: the history of the query model, or known items.

        Args:
          user: position in `user_ids`.
        """
        if self.histories is None:
            if len(self.known_splits) < user + 3:
                return Past(np.zeros(0, np.int64), np.zeros(0, np.int64))
            start, end = self.known_splits[user + 1 : user + 3]
            items = self.known_values[start:end]
            times = np.zeros(len(items), np.int64)
        else:
            items = self.histories[user]
            times = np.zeros_like(items)
            if self.history_times is not None:
                times = self.history_times[user]
        is_item = items > 0
        return Past(items[is_item] - 1, times[is_item])


def read_contents(loaded: tf.Module, folder: Path) -> Contents:
    """Reads the contents of a loaded `Recommender`, or of a `Cascade` with one.

    Args:
      loaded: loaded SavedModel.
      folder: folder of the version.

    Raises:
      ValueError: the module has no catalogue of items.
    """
    module = getattr(loaded, "retriever", loaded)
    if not hasattr(module, "catalogue"):
        raise ValueError(
            "`loaded` must be an exported `Recommender` or `Cascade`. Got a module "
            f"without a catalogue of items, {folder}."
        )
    ids = _texts(module.catalogue._ids)[1:]
    embeddings, attributes = _index(module, len(ids))
    popularity = getattr(module, "_popularity", None)
    users = getattr(module, "_users", {})
    times = users.get("history_timestamp") if "history" in users else None
    return Contents(
        item_ids=ids,
        titles=_texts(module.catalogue._titles)[1:],
        popularity=None
        if popularity is None
        else _padded(popularity.numpy()[1:], len(ids)),
        embeddings=embeddings,
        attributes=attributes,
        user_ids=_user_ids(folder),
        histories=users["history"].numpy()[1:] if "history" in users else None,
        history_times=None if times is None else times.numpy()[1:],
        known_splits=_array(module, "_known_splits"),
        known_values=_array(module, "_known_values"),
        exclude_seen=bool(getattr(loaded, "exclude_seen", False)),
    )


def _index(
    module: tf.Module, num_items: int
) -> tuple[np.ndarray | None, dict[str, Attribute]]:
    """Returns embeddings and attributes by the row of the item."""
    index = getattr(module, "index", None)
    table = getattr(index, "_table", None)
    if table is None:
        return None, {}
    used = int(table.num_candidates)
    slots = table._slots.numpy()[:used]
    rows = table._ids.numpy()[slots].astype(np.int64) - 1
    is_item = (rows >= 0) & (rows < num_items)
    slots, rows = slots[is_item], rows[is_item]
    candidates = tf.cast(index._embeddings, tf.float32).numpy()
    width = candidates.shape[1]
    if (trends := getattr(module, "trends", None)) is not None:
        width -= num_features(trends._counts.shape[1])
    embeddings = np.zeros((num_items, width), np.float32)
    embeddings[rows] = candidates[slots, :width]
    if not embeddings.any():
        embeddings = None  # an index of scores
    attributes = {}
    names = getattr(module, "attribute_values", {})
    for name in sorted(table._values):
        keys = table._values[name].numpy()
        of_items = np.full((num_items, keys.shape[1]), NO_VALUE)
        of_items[rows] = keys[slots]
        attributes[name] = _attribute(of_items, names.get(name))
    return embeddings, {k: v for k, v in attributes.items() if v is not None}


def _attribute(keys: np.ndarray, names: tf.Variable | None) -> Attribute | None:
    """Returns an attribute with names for its keys; None if no key has one."""
    found, rows, numbers = np.unique(keys, return_inverse=True, return_counts=True)
    rows = rows.reshape(keys.shape)
    known = {NO_VALUE: None}
    if names is not None:
        values = tf.convert_to_tensor(names)
        known |= dict(zip(id_keys(values).numpy().tolist(), _texts(names), strict=True))
    elif not _are_numbers(found):
        return None
    texts = [known.get(k, str(k) if names is None else None) for k in found.tolist()]
    order = [n for n in np.argsort(-numbers, kind="stable") if texts[n] is not None]
    position = np.full(len(found), -1, np.int32)
    position[order] = np.arange(len(order))
    return Attribute([texts[n] for n in order], position[rows])


def _are_numbers(keys: np.ndarray) -> bool:
    """Returns whether keys are whole numbers and not hashes of text."""
    return bool(np.all(np.abs(keys[keys != NO_VALUE]) < 2**40))


def _user_ids(folder: Path) -> list[str]:
    path = folder / _USER_IDS
    if not path.is_file():
        return []
    return path.read_text(encoding="utf-8").removesuffix("\n").split("\n")


def _texts(variable: tf.Variable) -> list[str]:
    return [value.decode("utf-8", "replace") for value in variable.numpy().tolist()]


def _array(module: tf.Module, name: str) -> np.ndarray:
    values: Mapping | tf.Variable | None = getattr(module, name, None)
    return np.zeros(0, np.int64) if values is None else values.numpy()


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    """Returns values with 0 for items that were added later."""
    return np.pad(values, [0, max(0, size - len(values))])[:size]
