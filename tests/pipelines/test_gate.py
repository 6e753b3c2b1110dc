"""The gate from flags to an exit code."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import gate
from pipelines.parts.data import load_data

pytestmark = pytest.mark.usefixtures("loaded_once")


@pytest.fixture(scope="module")
def versions(orders, tmp_path_factory):
    """Two trainings of one model, as the retrieval pipeline exports them."""
    data = load_data(orders, seed=42)
    directory = tmp_path_factory.mktemp("export")
    for seed in (1, 2):
        tf.keras.utils.set_random_seed(seed)
        model = tm.models.TwoTower(
            tm.towers.FeatureTower(data.user_features, 4),
            tm.towers.FeatureTower(data.item_features, 4),
        )
        candidates = model.embed_candidates(data.candidate_batches())
        model.query_tower({name: rows[:1] for name, rows in data.users.items()})
        if seed == 1:
            recommender = tm.serving.Recommender(
                model.query_tower,
                tm.layers.BruteForce().index_from_dataset(candidates),
                user_ids=data.vocabularies["user_id"],
                user_features=data.users,
                item_ids=data.vocabularies["item_id"],
                titles=data.titles,
                known_items=data.known_items("serving"),
                candidate_probabilities=data.candidate_probabilities,
            )
        else:  # the graphs of the first serve other weights
            recommender.query_model.set_weights(model.query_tower.get_weights())
            recommender.index.index_from_dataset(candidates)
        tm.serving.export(recommender, directory)
    return directory


@pytest.fixture
def config(versions, orders):
    return gate.Config(versions / "1", versions / "2", data=orders, k=5, timings=1)


def loose(config, **rules):
    return dataclasses.replace(
        config,
        rules=tm.serving.gate.Rules(
            minimum_queries=1,
            minimum_overlap=0,
            maximum_fall=1,
            minimum_shown=0,
            maximum_latency=1e9,
            **rules,
        ),
    )


def test_users_of_the_data_are_asked_without_what_they_have(config, orders, capsys):
    found = gate.main(loose(config))
    data = load_data(orders, seed=42)
    test = data.splits["test"]
    assert found.num_queries == len(set(test["user_id"]))
    assert 0 < found.overlap.mean < 1
    known = data.known_items("test")
    names = data.vocabularies["item_id"]
    old = tf.saved_model.load(str(config.old))
    hits = []
    for user in sorted(set(test["user_id"])):
        answer = old.signatures["filtered"](
            user_id=tf.constant([str(data.vocabularies["user_id"][user - 1])]),
            k=tf.constant([5]),
            exclude_seen=tf.constant([False]),
            exclusions=tf.constant([[str(names[i - 1]) for i in known[user].numpy()]]),
        )["item_id"][0].numpy()
        taken = test["item_id"][test["user_id"] == user]
        hits.append(any(str(names[i - 1]).encode() in answer for i in taken))
    assert found.metrics["hit_rate_at_5"].old == pytest.approx(np.mean(hits))
    assert "PROMOTE" in capsys.readouterr().out


def test_a_user_who_is_new_after_the_cut_is_one_query_by_their_own_name(
    config, new_users, monkeypatch
):
    """Training saw none of them, but their rows are not those of one unknown user."""
    asked = []
    compare = tm.serving.gate.compare

    def remember(old, new, queries, **options):
        asked.append((queries, options))
        return compare(old, new, queries, **options)

    monkeypatch.setattr(tm.serving.gate, "compare", remember)
    gate.main(loose(dataclasses.replace(config, data=new_users)))
    data = load_data(new_users, seed=42)
    test = data.splits["test"]
    names, items = (data.vocabularies[name] for name in ("user_id", "item_id"))
    expected = {}
    for user, item in zip(test["user_id"], test["item_id"], strict=True):
        expected.setdefault(str(names[user - 1]), []).append(str(items[item - 1]))
    ((queries, options),) = asked
    users = np.concatenate([query["user_id"] for query in queries]).astype(str)
    assert sum(user.startswith("new") for user in users) == 17
    found = dict(zip(users, options["relevant"], strict=True))
    assert {user: sorted(taken) for user, taken in found.items()} == {
        user: sorted(taken) for user, taken in expected.items()
    }
    assert len(users) == len(expected) == len(set(options["groups"]))


def test_requests_of_a_file_are_asked_and_too_few_are_refused(config, tmp_path, capsys):
    path = tmp_path / "requests.jsonl"
    lines = [
        {
            "inputs": {"user_id": f"u{n}", "k": 3, "exclude_seen": False},
            "relevant": [f"i{n}"],
            "group": f"u{n}",
        }
        for n in range(7)
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    found = gate.main(dataclasses.replace(config, requests=path, batch=4, k=3))
    assert found.num_queries == 7
    assert set(found.metrics) == {"hit_rate_at_3", "ndcg_at_3"}
    assert found.exit_code == 1
    assert "7 queries are too few" in capsys.readouterr().out


def test_lists_of_ids_are_padded(config, tmp_path):
    path = tmp_path / "requests.jsonl"
    inputs = {"user_id": "u1", "k": 3, "exclude_seen": False}
    lines = [{"inputs": {**inputs, "exclusions": ["i1"] * n}} for n in range(3)]
    path.write_text("\n".join(map(json.dumps, lines)))
    changed = dataclasses.replace(config, requests=path, signature="filtered")
    found = gate.main(changed)
    assert found.num_queries == 3
    assert found.metrics == {}


RIGHT = {"user_id": "u1", "k": 3, "exclude_seen": True}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have a JSON object with `inputs` on every line"),
        ("{}", "must have a JSON object with `inputs`"),
        ("no JSON", "Expecting value"),
        (
            '{"inputs": {"user_id": "u1"}}',
            "Queries of `serving_default` must have the inputs",
        ),
        (
            '{"inputs": {"user_id": "u1"}}\n{"inputs": {"k": 3}}',
            "must have the inputs",
        ),
        (
            '{"inputs": {"user_id": "u1", "k": 0, "exclude_seen": true}}',
            "`k` must be from 1",
        ),
        *(
            (line, "must have a JSON object with `inputs`")
            for line in ("[1, 2]", "3", "null", '"text"', '{"inputs": [1]}')
        ),
        *(
            (
                json.dumps({"inputs": {**RIGHT, name: value}}),
                f"requests.jsonl, line 1: `{name}` must be",
            )
            for name, value in [
                ("user_id", 42),
                ("user_id", None),
                ("user_id", ["u1"]),
                ("k", 1.5),
                ("k", True),
                ("k", 2**40),
                ("k", {"a": 1}),
                ("exclude_seen", 1),
            ]
        ),
        (json.dumps({"inputs": RIGHT, "relevant": 3}), "`relevant` must be a list"),
        (json.dumps({"inputs": RIGHT, "group": []}), "`group` must be text"),
    ],
)
def test_bad_requests_end_with_two(config, text, words, tmp_path, capsys):
    path = tmp_path / "requests.jsonl"
    path.write_text(text)
    with pytest.raises(SystemExit) as ended:
        gate.main(dataclasses.replace(config, requests=path))
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_a_file_that_is_no_text_is_named(config, tmp_path, capsys):
    path = tmp_path / "requests.jsonl"
    path.write_bytes(json.dumps({"inputs": RIGHT}).encode() + b"\n\xff\xfe\n")
    with pytest.raises(SystemExit):
        gate.main(dataclasses.replace(config, requests=path))
    assert "requests.jsonl, line 2: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"old": "nothing"}, "`--old` must be a SavedModel or a folder"),
        ({"signature": "rank"}, "`--signature` must be one of"),
        ({"k": 0}, "`--k` must be at least 1. Got 0"),
        ({"requests": "."}, "Cannot compare: "),
        ({"requests": "nowhere"}, "No such file"),
    ],
)
def test_bad_flags_end_with_two(config, changes, words, capsys, tmp_path):
    for name in changes.keys() & {"old", "requests"}:
        changes = {name: tmp_path / changes[name]}
    with pytest.raises(SystemExit) as ended:
        gate.main(dataclasses.replace(config, **changes))
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
