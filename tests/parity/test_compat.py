"""Upstream's names on our classes: what its tutorials do, in a few rows."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as upstream

import tfrs_models
import tfrs_models.compat as tfrs

TITLES = ["a", "b", "c", "d", "b"]  # one twice
RNG = np.random.default_rng(0)
ROWS = {
    "user_id": RNG.choice(["1", "2", "42"], 12),
    "movie_title": RNG.choice(TITLES, 12),
    "user_rating": RNG.integers(1, 6, 12).astype("float32"),
}


def ratings():
    return tf.data.Dataset.from_tensor_slices(ROWS).batch(5).cache()


def movies():
    return tf.data.Dataset.from_tensor_slices(TITLES)


def embed(words):
    return tf.keras.Sequential(
        [
            tf.keras.layers.StringLookup(vocabulary=np.unique(words), mask_token=None),
            tf.keras.layers.Embedding(len(np.unique(words)) + 1, 4),
        ]
    )


def test_the_names_are_upstreams_and_the_classes_ours():
    ours = tfrs_models
    top_k, loss = tfrs.layers.factorized_top_k, tfrs.layers.loss
    assert (tfrs.Model, tfrs.models.Model) == (ours.Model, ours.Model)
    assert tfrs.tasks.Retrieval is ours.tasks.Retrieval
    assert tfrs.metrics.FactorizedTopK is ours.metrics.FactorizedTopK
    for name in ("BruteForce", "Streaming", "ScaNN"):
        assert getattr(top_k, name) is getattr(ours.layers, name)
    assert loss.RemoveAccidentalHits is ours.layers.RemoveAccidentalHits
    for own, theirs in ((tfrs, upstream), (tfrs.layers, upstream.layers),
                        (top_k, upstream.layers.factorized_top_k),
                        (tfrs.tasks, upstream.tasks)):  # fmt: skip
        missing = {n for n in dir(theirs) if n[0] != "_"} - set(dir(own))
        assert not missing
    assert tfrs.tasks.Ranking is upstream.tasks.Ranking


def test_a_catalogue_with_repeated_titles_trains_is_indexed_and_saved(tmp_path):
    class Movies(tfrs.Model):
        def __init__(self):
            super().__init__()
            self.users, self.titles = embed(ROWS["user_id"]), embed(TITLES)
            with pytest.warns(UserWarning, match=r"1 of 4 ids repeat, 'b'"):
                metric = tfrs.metrics.FactorizedTopK(pairs(self.titles), ks=[1, 4])
            self.task = tfrs.tasks.Retrieval(metrics=metric)

        def compute_loss(self, features, training=False):
            del training
            titles = features["movie_title"]
            queries, candidates = self.users(features["user_id"]), self.titles(titles)
            return self.task(queries, candidates, candidate_ids=titles)

    def pairs(model):
        return tf.data.Dataset.zip((movies().batch(2), movies().batch(2).map(model)))

    tf.keras.utils.set_random_seed(0)
    model = Movies()
    model.compile(tf.keras.optimizers.Adagrad(0.5))
    model.fit(ratings(), verbose=0)
    figures = model.evaluate(ratings(), return_dict=True, verbose=0)
    assert figures["factorized_top_k/top_4_categorical_accuracy"] == 1.0
    index = tfrs.layers.factorized_top_k.BruteForce(model.users, k=5)
    with pytest.warns(UserWarning, match=r"1 of 4 ids repeat, 'b'.*unique\(\)"):
        index.index_from_dataset(pairs(model.titles))
    _, titles = index(tf.constant(["42"]))
    assert sorted(titles[0].numpy().astype(str)) == sorted(TITLES)
    tf.saved_model.save(index, str(tmp_path))
    _, again = tf.saved_model.load(str(tmp_path))(["42"])
    np.testing.assert_array_equal(again, titles)


def test_a_model_that_takes_its_labels_out_of_the_features_trains():
    class Ratings(tfrs.models.Model):
        def __init__(self):
            super().__init__()
            self.users, self.dense = embed(ROWS["user_id"]), tf.keras.layers.Dense(1)
            self.task = tfrs.tasks.Ranking(
                loss=tf.keras.losses.MeanSquaredError(),
                metrics=[tf.keras.metrics.RootMeanSquaredError()],
            )

        def call(self, features):
            return self.dense(self.users(features["user_id"]))

        def compute_loss(self, features, training=False):
            del training
            labels = features.pop("user_rating")
            return self.task(labels=labels, predictions=self(features))

    model = Ratings()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(0.1))
    model.fit(ratings(), epochs=2, verbose=0)
    squares = [
        (model({"user_id": tf.constant([user])}).numpy().item() - rating) ** 2
        for user, rating in zip(ROWS["user_id"], ROWS["user_rating"], strict=True)
    ]
    figures = model.evaluate(ratings(), return_dict=True, verbose=0)
    expected = np.sqrt(np.mean(squares))
    assert figures["root_mean_squared_error"] == pytest.approx(expected, rel=1e-4)
