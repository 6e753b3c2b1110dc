"""Large sets of candidates to search, with queries."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import tfrs_models as tm

_CENTRES = 2000
_NOISE = 0.5  # norm of the noise over that of the item


def gaussian_mixture(
    num_candidates: int, embedding_dim: int, *, num_queries: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Draws groups of similar candidates, and queries from the same groups.

    The candidates come from 2,000 Gaussians of standard deviation 0.7 and different
    sizes, around standard normal centres; each is scaled by a log-normal factor of
    deviation 0.3.

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
    """Repeats the items of a trained model with noise; all its users are the queries.

    The model is that of the README on MovieLens latest-small. The norm of the noise is
    half of the item's; the sums have unit length, like the items.

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
    queries = model.query_tower(users).numpy()
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
