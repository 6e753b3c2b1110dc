"""The joint ranking pipeline from flags to files."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from pipelines import joint_ranking
from pipelines.parts.data import DataConfig
from pipelines.parts.list_data import load_list_data
from pipelines.parts.ranking_data import SYNTHETIC


@pytest.fixture(scope="module")
def run(orders, tmp_path_factory):
    """One small run on a table of a user's own."""
    config = dataclasses.replace(
        joint_ranking.SMOKE,
        data=orders,
        losses=joint_ranking.SMOKE.losses[1:],  # a plain one is in another test
        list_size=4,
        batch_size=16,
        output=tmp_path_factory.mktemp("joint"),
    )
    return config, joint_ranking.main(config)


def test_the_losses_are_compared_in_files_and_on_a_page(run):
    config, metrics = run
    stored = json.loads((config.output / "metrics.json").read_text())
    assert [r["loss"] for r in stored["runs"]] == list(config.losses)
    for result in metrics["runs"]:
        interval = result["ranking"]["NDCG@10"]
        assert 0 < interval["low"] <= interval["mean"] <= interval["high"] <= 1
        assert result["clicks"].keys() == {
            "click/auc",
            "click/log_loss",
            "click/calibration_error",
        }
    page = (config.output / "report.html").read_text()
    assert "Reliability" in page
    assert 'src="http' not in page
    for loss in config.losses:
        assert loss in page


def test_the_export_ranks_lists_of_any_length_by_the_ids_people_know(run):
    config, _ = run
    exported = tf.saved_model.load(str(config.output / "export" / "1"))
    signature = exported.signatures["serving_default"]
    width = signature.structured_input_signature[1]["user_features"].shape[1]
    for length in (1, 7):
        answer = signature(
            user_id=tf.constant(["u1", "nobody"]),
            user_features=tf.zeros([2, width]),
            item_id=tf.constant([[f"i{i}" for i in range(length)]] * 2),
        )
        assert answer["ctr"].shape == answer["score"].shape == (2, length)
        assert np.all((answer["ctr"] > 0) & (answer["ctr"] < 1))


def test_synthetic_lists_are_the_lists_that_were_shown(tmp_path):
    data = load_list_data(
        DataConfig(dataset=SYNTHETIC),
        list_size=3,
        batch_size=50,
        embedding_dim=4,
        seed=0,
    )
    labels = np.concatenate([batch["labels"] for batch in data.test])
    assert labels.shape == data.relevance.shape == (len(data.groups), 10)
    assert set(np.unique(labels)) == {0, 1}
    # Clicks are of relevant items, in every row of the truth beside them.
    assert data.relevance[labels == 1].mean() > data.relevance[labels == 0].mean()
    config = dataclasses.replace(
        joint_ranking.SMOKE,
        data=DataConfig(dataset=SYNTHETIC),
        losses=("list softmax",),
        output=tmp_path,
    )
    (result,) = joint_ranking.main(config)["runs"]
    assert "NDCG@10, true relevance" in result["ranking"]


def test_the_rows_of_a_new_user_are_a_list_and_a_group_of_their_own(new_users):
    data = load_list_data(
        new_users, list_size=4, batch_size=16, embedding_dim=4, seed=0
    )
    batches = list(data.test)
    unknown = np.concatenate([batch["user_id"] for batch in batches]) == 0
    lengths = np.concatenate([(b["item_id"].numpy() > 0).sum(axis=1) for b in batches])
    assert unknown.sum() == 17
    assert sorted(lengths[unknown]) == [1] * 4 + [2] * 13
    groups = data.groups[unknown].tolist()
    assert len(set(groups)) == len(groups)
    assert not set(groups) & set(data.groups[~unknown])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"losses": ("hinge",)}, r"`--losses` must be of .* Got \['hinge'\]"),
        ({"losses": ()}, "`--losses` must be of"),
        ({"alpha": 1.5}, r"`--alpha` must be in \[0, 1\]. Got 1.5"),
        ({"seeds": 0}, "`--seeds` must be at least 1. Got 0"),
        ({"list_size": 0}, "`--list-size` must be at least 1. Got 0"),
    ],
)
def test_wrong_flags_end_the_program_with_their_name(orders, tmp_path, change, message):
    config = dataclasses.replace(
        joint_ranking.SMOKE, data=orders, output=tmp_path, **change
    )
    with pytest.raises(SystemExit, match=message):
        joint_ranking.main(config)
