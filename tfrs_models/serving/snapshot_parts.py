"""Turns a live recommender or index into arrays and JSON, and back."""

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrs_models.layers.index.live import Update
from tfrs_models.layers.index.slot_index import SlotIndex
from tfrs_models.serving.live_trends import LiveTrends
from tfrs_models.serving.recommender import Recommender

_EXAMPLES = 4  # users whose query embeddings are compared after loading
_CLOSE = 1e-4


class Parts(NamedTuple):
    """A module in parts.

    Attributes:
      about: JSON values.
      arrays: arrays by name; of strings, object arrays of bytes.
    """

    about: dict
    arrays: dict[str, np.ndarray]


def take_apart(module: Recommender | SlotIndex) -> Parts:
    """Takes the parts of a module at one moment, at which no update is half done.

    Args:
      module: recommender or index.
    """
    index = module.index if isinstance(module, Recommender) else module
    with index.unchanged():
        parts = _index_parts(index)
        if isinstance(module, Recommender):
            _add(parts, _recommender_parts(module))
        return parts


def put_together(
    parts: Parts,
    query_model: tf.keras.layers.Layer | None,
    item_tower: tf.keras.layers.Layer | None,
) -> Recommender | SlotIndex:
    """Makes a module of its parts.

    Args:
      parts: parts of the module.
      query_model: query model, which gets the weights of the parts; None to make it of
        its config.
      item_tower: tower of the items, likewise.

    Raises:
      ValueError: a layer cannot be made of its config, or answers otherwise.
    """
    index = _make_index(parts)
    query_model = _make_layer("query_model", query_model, parts)
    item_tower = _make_layer("item_tower", item_tower, parts)
    if item_tower is not None:
        _call(item_tower, parts.about["item_tower"]["input"])
        _set_weights("item_tower", item_tower, parts)
    if "recommender" in parts.about:
        return _make_recommender(parts, index, query_model, item_tower)
    index.query_model = query_model
    if query_model is not None:
        _call(query_model, parts.about["query_model"]["input"])
        _set_weights("query_model", query_model, parts)
    return index


def _add(parts: Parts, more: Parts) -> None:
    parts.about.update(more.about)
    parts.arrays.update(more.arrays)


def _index_parts(index: SlotIndex) -> Parts:
    if index.num_candidates is None:
        raise ValueError("`module` must hold an index that is filled: call `index`.")
    config = index.get_config() | {"query_model": None}
    weights = index._weights() | index._table.variables_by_name()
    parts = Parts(
        {"index": {"class": type(index).__name__, "config": config}},
        {f"index/{name}": weight.numpy() for name, weight in weights.items()},
    )
    _add(parts, _layer_parts("query_model", index.query_model))
    return parts


def _make_index(parts: Parts) -> SlotIndex:
    kinds = {kind.__name__: kind for kind in _kinds(SlotIndex)}
    saved = parts.about["index"]
    if saved["class"] not in kinds:
        raise ValueError(
            f"The index of the snapshot is a `{saved['class']}`, a class that is not "
            "known here. Import the module that defines it first."
        )
    index = kinds[saved["class"]].from_config(saved["config"])
    update = Update(index._weights() | index._table.variables_by_name())
    for name, variable in update._variables.items():
        value = parts.arrays[f"index/{name}"]
        if value.dtype.kind == "V":  # NumPy keeps no name of bfloat16
            value = value.view(variable.dtype.as_numpy_dtype)
        update[name] = value
    update.write()
    return index


def _kinds(kind: type) -> list[type]:
    return [kind, *(found for sub in kind.__subclasses__() for found in _kinds(sub))]


def _layer_parts(name: str, layer: tf.keras.layers.Layer | None) -> Parts:
    if layer is None:
        return Parts({}, {})
    try:
        config = json.dumps(tf.keras.utils.serialize_keras_object(layer))
    except (TypeError, NotImplementedError):
        config = None
    if isinstance(layer, tf.keras.layers.Lambda):  # a function is not restored
        config = None
    arrays = {
        f"{name}/{number}": weight.numpy()
        for number, weight in enumerate(getattr(layer, "weights", ()))
    }
    return Parts({name: {"config": config, "input": _input_of(layer)}}, arrays)


def _input_of(layer: tf.keras.layers.Layer) -> dict | None:
    """Returns shapes and types of the features that a layer was called with."""
    spec = getattr(layer, "_saved_model_inputs_spec", None)
    spec = dict(spec) if isinstance(spec, Mapping) else {"": spec}
    if not all(isinstance(one, tf.TensorSpec) for one in spec.values()):
        return None
    return {name: [one.shape.as_list(), one.dtype.name] for name, one in spec.items()}


def _call(layer: tf.keras.layers.Layer, spec: dict | None) -> None:
    """Calls a layer, which makes its weights."""
    if spec is not None:
        blank = {
            name: tf.zeros([size or 1 for size in shape], dtype)
            for name, (shape, dtype) in spec.items()
        }
        layer(blank.get("", blank))


def _make_layer(
    name: str, layer: tf.keras.layers.Layer | None, parts: Parts
) -> tf.keras.layers.Layer | None:
    saved = parts.about.get(name)
    if (saved is None) and (layer is not None):
        raise ValueError(f"The snapshot has no `{name}`. Give none.")
    if saved is None or layer is not None:
        return layer
    problem = "it is a function, or has no config of its own"
    if saved["config"] is not None:
        try:
            return tf.keras.utils.deserialize_keras_object(json.loads(saved["config"]))
        except Exception as error:  # Keras raises what the layer does, and its own
            problem = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    raise ValueError(
        f"`{name}` must be given: the snapshot has its weights, but Keras cannot make "
        f"it of its config ({problem}). Make it as you did for the module that was "
        "saved."
    )


def _set_weights(name: str, layer: tf.keras.layers.Layer, parts: Parts) -> None:
    weights = list(getattr(layer, "weights", ()))
    values = []
    while (key := f"{name}/{len(values)}") in parts.arrays:
        values.append(parts.arrays[key])
    shapes, saved = ([tuple(one.shape) for one in some] for some in (weights, values))
    if shapes != saved:
        raise ValueError(
            f"`{name}` must have weights of the shapes in the snapshot, {saved}. Got "
            f"{shapes}."
        )
    for weight, value in zip(weights, values, strict=True):
        weight.assign(value)


def _recommender_parts(module: Recommender) -> Parts:
    ids, titles = module.catalogue.contents()
    arrays = {
        "item_ids": ids.numpy()[1:],
        "titles": titles.numpy()[1:],
        "popularity": module._popularity.numpy(),
        "known/values": module._known_values.numpy(),
        "known/splits": module._known_splits.numpy(),
        "user_ids": _lines(module._user_lines),
        "examples": _example_queries(module),
    }
    arrays |= {f"users/{name}": rows.numpy() for name, rows in module._users.items()}
    arrays |= {
        f"values/{name}": values.numpy()
        for name, values in module.attribute_values.items()
    }
    sent = module._sent
    arrays |= {f"sent/{name}": _lines(lines) for name, lines in sent._lines.items()}
    about = {
        "num_at_first": module.catalogue.num_at_first,
        "exclude_seen": bool(module.exclude_seen),
        "explain": module._explains,
        "users": [*module._users],
        "values": [*module.attribute_values],
        "sent": [*sent._inputs],
        "trends": None,
    }
    if module.trends is not None:
        arrays["trends/counts"] = module.trends._counts.numpy()
        arrays["trends/first_times"] = module.trends._first_times.numpy()
        about["trends"] = {
            "time": module.trends.time,
            "half_lives_days": list(module.trends.half_lives_days),
        }
    parts = Parts({"recommender": about}, arrays)
    _add(parts, _layer_parts("query_model", module.query_model))
    _add(parts, _layer_parts("item_tower", module.item_tower))
    return parts


def _make_recommender(
    parts: Parts,
    index: SlotIndex,
    query_model: tf.keras.layers.Layer,
    item_tower: tf.keras.layers.Layer | None,
) -> Recommender:
    about, arrays = parts.about["recommender"], parts.arrays
    ids, titles = (_texts(arrays[name]) for name in ("item_ids", "titles"))
    first = about["num_at_first"]
    trends = about["trends"]
    if trends is not None:
        counts = arrays["trends/counts"], arrays["trends/first_times"]
        trends = LiveTrends(*counts, **trends)
    sent = {name: arrays.get(f"sent/{name}") for name in about["sent"]}
    module = Recommender(
        query_model,
        index,
        user_ids=_texts(arrays["user_ids"]),
        user_features={name: arrays[f"users/{name}"] for name in about["users"]},
        item_ids=ids[:first],
        titles=["", *titles[:first]],
        known_items=tf.RaggedTensor.from_row_splits(
            arrays["known/values"], arrays["known/splits"]
        ),
        candidate_probabilities=arrays["popularity"],
        exclude_seen=about["exclude_seen"],
        item_tower=item_tower,
        explain=about["explain"],
        trends=trends,
        request_features={
            name: None if texts is None else _texts(texts)
            for name, texts in sent.items()
        },
        attribute_values={
            name: _texts(arrays[f"values/{name}"]) for name in about["values"]
        },
    )
    if ids[first:]:
        module.catalogue.put(ids[first:], titles[first:])
    expected = arrays["examples"]
    _example_queries(module)  # makes the weights
    _set_weights("query_model", query_model, parts)
    found = _example_queries(module)
    if found.shape != expected.shape or not np.allclose(
        found, expected, rtol=_CLOSE, atol=_CLOSE
    ):
        raise ValueError(
            "`query_model` must be that of the snapshot: with the same weights it "
            "embeds the users otherwise. Make it with the arguments of that time."
        )
    return module


def _example_queries(module: Recommender) -> np.ndarray:
    users = tf.constant(["", *module._examples[:_EXAMPLES]])
    query = module._query(users, tf.zeros(tf.shape(users), tf.bool), None)
    return tf.cast(module.query_model(query.features), tf.float32).numpy()


def _lines(table: tf.lookup.StaticHashTable) -> np.ndarray:
    """Returns the strings of a vocabulary in the order of their numbers."""
    texts, numbers = table.export()
    return texts.numpy()[np.argsort(numbers.numpy())]


def _texts(values: np.ndarray) -> list[str]:
    return [value.decode() for value in values.tolist()]
