"""Large corpora to search, with queries."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import tfrs_models as tm

_CENTRES = 2000
_NOISE = 0.5  # of an item's norm


def gaussian_mixture(
    num_candidates: int, embedding_dim: int, *, num_queries: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Groups of like candidates, and queries of the same groups.

    2,000 Gaussians of standard deviation 0.7 around centres of 1, of sizes that differ,
    every row times the exponential of a normal number of deviation 0.3.

    Returns:
      Candidates and queries, `[..., embedding_dim]` float32.
    """
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((_CENTRES, embedding_dim), np.float32)
    shares = rng.gamma(1, size=_CENTRES)
    shares /= shares.sum()

    def draw(number: int) -> np.ndarray:
        rows = centres[rng.choice(_CENTRES, number, p=shares)]
        rows += np.float32(0.7) * rng.standard_normal(rows.shape, np.float32)
        rows *= np.exp(0.3 * rng.standard_normal((number, 1), np.float32)) / 8
        return rows

    return draw(num_candidates), draw(num_queries)


def tiled_items(
    num_candidates: int, embedding_dim: int, *, epochs: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Items of a trained model, each many times with noise, and all of its users.

    The model and its training are those of the README on MovieLens latest-small. Noise
    is half as long as an item; the sum has unit length, as the items have.

    Returns:
      Candidates and queries, `[..., embedding_dim]` float32.
    """
    tf.keras.utils.set_random_seed(seed)
    data = tm.data.load("movielens-latest-small")
    model = tm.models.TwoTower(
        tm.towers.FeatureTower(data.user_features, embedding_dim=embedding_dim),
        tm.towers.FeatureTower(data.item_features, embedding_dim=embedding_dim),
    )
    model.compile(tf.keras.optimizers.Adam(0.001))
    batches = data.batches("train", 1024, shuffle=True, seed=seed, known_items=True)
    model.fit(batches, epochs=epochs, verbose=0)
    parts = [part for _, part in model.embed_candidates(data.candidate_batches())]
    items = tf.concat(parts, axis=0).numpy()
    users = {name: values[1:] for name, values in data.users.items()}
    queries = model.query_model(users).numpy()
    candidates = np.empty([num_candidates, embedding_dim], np.float32)
    for start, rows in _chunks(num_candidates):
        noise = np.random.default_rng([seed, start]).standard_normal(
            (len(rows), embedding_dim), np.float32
        )
        tiled = items[rows % len(items)]
        norms = np.linalg.norm(tiled, axis=1, keepdims=True)
        tiled = tiled + _NOISE * norms / np.sqrt(np.float32(embedding_dim)) * noise
        tiled /= np.linalg.norm(tiled, axis=1, keepdims=True)
        candidates[rows] = tiled
    return candidates, queries


def _chunks(size: int, length: int = 65_536) -> Iterator[tuple[int, np.ndarray]]:
    for start in range(0, size, length):
        yield start, np.arange(start, min(start + length, size))
