"""A small table of a user's own, for the pipelines."""

import dataclasses
import functools
import pathlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import retrieval
from pipelines.parts.data import DataConfig
from pipelines.parts.indexes import index_items
from tests.pipelines.explored import recommender


@pytest.fixture(scope="session")
def orders(tmp_path_factory):
    """A small table of a user's own."""
    rng = np.random.default_rng(0)
    num_rows = 600
    path = tmp_path_factory.mktemp("table") / "orders.csv"
    items = tmp_path_factory.mktemp("table") / "items.csv"
    pairs = rng.permutation(40 * 30)[:num_rows]  # each pair once
    pd.DataFrame(
        {
            "user_id": [f"u{pair // 30}" for pair in pairs],
            "item_id": [f"i{pair % 30}" for pair in pairs],
            "rating": rng.integers(1, 6, size=num_rows),
            "timestamp": rng.integers(10_000, size=num_rows),
        }
    ).to_csv(path, index=False)
    texts = [str(vector) for vector in rng.normal(size=(30, 3)).round(3).tolist()]
    texts[4] = None  # unknown
    pd.DataFrame(
        {
            "item_id": [f"i{i}" for i in range(30)],
            "kind": list("abc") * 10,
            "text": texts,
        }
    ).to_csv(items, index=False)
    return DataConfig(
        dataset=str(path),
        item_table=str(items),
        category_columns=("kind",),
        vector_columns=("text",),
        split="per_user_time",
    )


@pytest.fixture(scope="session")
def new_users(orders, tmp_path_factory):
    """The same table and, at its end, 30 rows of 17 users that training never sees."""
    frame = pd.read_csv(orders.dataset)
    new = frame.tail(30).assign(timestamp=20_000)  # after all others
    new["user_id"] = [f"new{n % 17}" for n in range(30)]
    path = tmp_path_factory.mktemp("table") / "with_new_users.csv"
    pd.concat([frame, new]).to_csv(path, index=False)
    return dataclasses.replace(orders, dataset=str(path), split="global_time")


@pytest.fixture(scope="session")
def train_only():
    """The retrieval pipeline without what others that start from it do not read."""
    main = retrieval.main

    def run(config):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(retrieval, "build_indexes", exact_only)
            patch.setattr(
                retrieval, "export_recommender", lambda *_, **__: pathlib.Path("1")
            )
            patch.setattr(retrieval, "print_answers", lambda *_, **__: None)
            patch.setattr(retrieval, "answered", lambda *_: [])
            return main(dataclasses.replace(config, baselines="none"))

    return run


@pytest.fixture(scope="module")
def loaded_once():
    """Loads a saved model once for all tests of a file: loading is most of a request.

    Only for files whose tests leave models and their folders as they are.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf.saved_model, "load", functools.cache(tf.saved_model.load))
        yield


@pytest.fixture(scope="session")
def explored_export(tmp_path_factory):
    """An export for the page: histories, trends, reasons and attributes."""
    folder = tmp_path_factory.mktemp("explored") / "films" / "export"
    module = recommender()
    signatures = {k: v for k, v in module.signatures.items() if k != "among"}
    return tm.serving.export(module, folder, signatures=signatures, samples={})


def exact_only(model, data):
    """An exact index, and none by ScaNN."""
    return index_items(tm.layers.BruteForce(k=9), model, data), None
