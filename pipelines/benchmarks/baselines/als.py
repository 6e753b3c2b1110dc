"""Alternating least squares by the package `implicit`."""

import numpy as np
import scipy.sparse
import threadpoolctl


def als_embeddings(
    interactions: np.ndarray,
    *,
    weighting: str,
    factors: int = 64,
    regularization: float = 0.01,
    iterations: int = 15,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Trains embeddings of users and items by ALS.

    Args:
      interactions: `[num_users, num_items]` 1 where the user has the item, else 0.
      weighting: `"bm25:<B>"` weighs interactions by BM25 (K1 100) with this `B`;
        `"alpha:<a>"` by a constant.
      factors: number of dimensions of the embeddings.
      regularization: L2 penalty of the least squares.
      iterations: number of alternations.
      seed: seed of the first embeddings.

    Returns:
      `[num_users, factors]` and `[num_items, factors]`; their products are scores.

    Reference:
      Hu et al., Collaborative filtering for implicit feedback datasets, ICDM 2008.
    """
    from implicit.als import AlternatingLeastSquares
    from implicit.nearest_neighbours import bm25_weight

    kind, _, value = weighting.partition(":")
    sparse = scipy.sparse.csr_matrix(interactions, dtype="float32")
    if kind == "bm25":
        # implicit's BM25 takes items as documents
        sparse = bm25_weight(sparse.T, K1=100, B=float(value)).T.tocsr()
    with threadpoolctl.threadpool_limits(1, "blas"):  # it has threads of its own
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=regularization,
            alpha=float(value) if kind == "alpha" else 1.0,
            iterations=iterations,
            random_state=seed,
        )
        model.fit(sparse.astype("float32"), show_progress=False)
    return np.asarray(model.user_factors), np.asarray(model.item_factors)
