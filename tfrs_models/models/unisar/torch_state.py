"""Names of the arrays of UniSAR's original."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfrs_models.models.unisar.example import TASKS
from tfrs_models.models.unisar.network import UniSARNetwork
from tfrs_models.models.unisar.objective import BilinearContrast
from tfrs_models.torch_weights import (
    UNUSED,
    Arrays,
    Targets,
    TorchArray,
    linear,
    under,
)

_SERVICES = dict(zip(TASKS, ("rec", "src"), strict=True))
# Layers that the original makes only to copy them, and never calls.
_TEMPLATES = (
    *(
        f"{kind}_transformer.transformerEncoderLayer."
        for kind in ("global", *_SERVICES.values())
    ),
    "transformerDecoderLayer.",
)
# The original's query encoder under the names of the modules that share it.
_QUERY_ENCODERS = (
    "session_embedding.query_feat",
    "session_embedding.item_feat.caption_emb",
    "session_embedding.item_feat.caption_id_emb",
)
_ITEMS = "session_embedding.item_feat.item_id_emb.weight"


def unisar_arrays(
    network: UniSARNetwork,
    contrasts: Mapping[str, BilinearContrast],
    arrays: Arrays,
) -> Targets:
    """Maps the arrays of the original to the variables of the port.

    With them scores are those of the original, but for users without any event in one
    of the services or in both: the original's masks forbid all keys then, which gives
    NaN or 0 depending on PyTorch, and the port uses the events that exist.

    Args:
      network: the layers of the port.
      contrasts: layers of the contrasts by name, `"pairs"` and one for each service;
        those of weight 0 are missing in both systems.
      arrays: state dict of the original; duplicates and arrays that it never uses may
        be left out. The last row of its items may be the mask that it never uses, and
        is dropped.

    Raises:
      ValueError: copies of the query encoder disagree.
    """
    targets = {"rec_query": TorchArray(network.no_query)}
    queries = network.query_encoder.torch_arrays(
        {
            name.removeprefix("query_embedding."): value
            for name, value in arrays.items()
            if name.startswith("query_embedding.")
        }
    )
    for name, target in queries.items():
        source = f"query_embedding.{name}"
        targets[source] = target
        for copy in (f"{prefix}.{name}" for prefix in _QUERY_ENCODERS):
            if copy in arrays:
                _same(arrays, source, copy)
                targets[copy] = target
    for entity, encoder in (
        ("item", network.item_encoder),
        ("user", network.user_encoder),
    ):
        prefix = f"session_embedding.{entity}_feat."
        inner = {name.removeprefix(prefix): value for name, value in arrays.items()}
        found = encoder.torch_arrays(inner, entity=entity)
        targets |= {f"{prefix}{name}": target for name, target in found.items()}
    table = targets[_ITEMS].variable
    targets[_ITEMS] = TorchArray(table, lambda rows: _without_mask(rows, table))
    targets |= network.transitions.torch_arrays(arrays)
    targets |= under("ple_layer", network.experts, arrays)
    for task, short in _SERVICES.items():
        pooling = f"{short}_his_attn_pooling"
        targets |= under(pooling, network.pooling[task], arrays)
        layers = [*network.heads[task].stack, network.logits[task]]
        for number, layer in enumerate(layers):  # linear, ReLU, dropout
            targets |= linear(f"{short}_fc_layer.fc.{3 * number}", layer, arrays)
        if task in contrasts:
            targets |= under(f"{short}_his_cl", contrasts[task], arrays)
    if "pairs" in contrasts:
        prefix = "feature_alignment.infoNCE_loss"
        targets |= under(prefix, contrasts["pairs"], arrays)
    return targets | {name: UNUSED for name in arrays if name.startswith(_TEMPLATES)}


def _same(arrays: Arrays, name: str, copy: str) -> None:
    if name in arrays and not np.array_equal(arrays[name], arrays[copy]):
        raise ValueError(
            f"`{name}` and `{copy}` must be the same: the original shares its query "
            "encoder. Got arrays that differ."
        )


def _without_mask(rows: np.ndarray, table: tf.Variable) -> np.ndarray:
    """Returns the rows of the items without the original's row of its mask."""
    return rows[:-1] if len(rows) == table.shape[0] + 1 else rows
