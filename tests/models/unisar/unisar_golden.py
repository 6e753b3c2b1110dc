"""The golden batch of UniSAR's original, as our model takes it."""

import pathlib

import numpy as np

from tfrs_models.models import UniSAR

FILE = pathlib.Path(__file__).parents[2] / "golden/unisar_full.npz"
LENGTH, SESSIONS = 4, 3  # of the histories
SIZES = {
    "num_users": 6,
    "num_items": 12,
    "num_words": 16,
    "item_categories": {
        "first_level_category_id": 4,
        "second_level_category_id": 5,
    },
    "user_categories": {
        "onehot_feat1": 3,
        "onehot_feat2": 3,
        "search_active_level": 4,
        "rec_active_level": 3,
    },
    "caption_length": 5,
    "seq_len": LENGTH,
    "num_sessions": SESSIONS,
    "embedding_dim": 4,
    "width": 8,
    "num_shared": 2,
    "num_specific": 3,
    "expert_units": [6],
    "tower_units": [7, 5],
    "head_units": [6, 4],
    "dropout": 0.0,
    "pair_weight": 0.25,
    "transition_weight": 0.5,
    "log_temperature": False,
}


def read():
    """The arrays by kind: `w`, `vocab`, `in`, `mid`, `out` and `gnorm`."""
    kinds = {}
    with np.load(FILE) as arrays:
        for name in arrays:
            kind, _, rest = name.partition("/")
            kinds.setdefault(kind, {})[rest] = arrays[name]
    return kinds


def under(arrays, prefix):
    """What is called `prefix/...`, without it."""
    return {
        name.removeprefix(f"{prefix}/"): value
        for name, value in arrays.items()
        if name.startswith(f"{prefix}/")
    }


def slots(ids, types, kind):
    """Ids of one kind and their places in the merged history, plus 1; 0 if padding."""
    rows = [np.flatnonzero(row == kind) for row in types]
    places = np.stack(rows)
    found = np.take_along_axis(ids, places, axis=1)
    return found, np.where(found > 0, places + 1, 0)


def features(golden):
    """The nested batch; both services have the same rows."""
    given, vocab = golden["in"], golden["vocab"]
    items, item_time = slots(given["all_his"], given["all_his_type"], 1)
    sessions, session_time = slots(given["all_his"], given["all_his_type"], 2)
    table = under(vocab, "sess")
    example = {
        "user_id": given["user"],
        "item_history": items,
        "item_history_time": item_time,
        "session_query": table["keyword"][sessions],
        "session_items": table["pos_items"][sessions],
        "session_time": session_time,
        "item_id": np.concatenate([given["item"][:, None], given["neg_items"]], 1),
    }
    return {
        "recommendation": example,
        "search": example | {"query": given["query"]},
        "random": {
            "item_id": given["align_neg_item"],
            "query": given["align_neg_query"],
        },
    }


def make(golden, **options):
    """The shrunk original with the attributes of the golden entities."""
    model = UniSAR(**SIZES | options)
    model.network.item_encoder.set_attributes(under(golden["vocab"], "item"))
    model.network.user_encoder.set_attributes(under(golden["vocab"], "user"))
    return model
