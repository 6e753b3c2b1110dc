"""The scores of a baseline as a linear model of users, to serve them."""

from typing import NamedTuple

import numpy as np
import scipy.sparse


class Term(NamedTuple):
    """Features of users times weights.

    Attributes:
      features: `[num_users + 1, num_features]` sparse float32.
      weights: `[num_features, n]` float32, dense or sparse.
      columns: `[n]` columns of the items that are scored.
    """

    features: scipy.sparse.csr_array
    weights: np.ndarray | scipy.sparse.csr_array
    columns: np.ndarray


class Linear(NamedTuple):
    """Scores of all users: a base and terms.

    Attributes:
      base: `[num_items]` float32 scores that all users have.
      terms: features of users times weights, which are added.
    """

    base: np.ndarray
    terms: tuple[Term, ...] = ()

    def scaled(self, factor: float) -> "Linear":
        """Multiplies all scores by a number.

        Args:
          factor: the number.
        """
        factor = np.float32(factor)
        terms = [term._replace(features=term.features * factor) for term in self.terms]
        return Linear(self.base * factor, tuple(terms))

    def scaled_by_user(self, factors: np.ndarray) -> "Linear":
        """Multiplies the scores of each user by a number.

        Args:
          factors: `[num_users + 1]` numbers.
        """
        factors = factors.astype(np.float32)
        diagonal = scipy.sparse.diags_array(factors, dtype=np.float32)
        terms = [
            term._replace(features=(diagonal @ term.features).tocsr())
            for term in self.terms
        ]
        if self.base.any():
            features = scipy.sparse.csr_array(factors[:, None])
            columns = np.arange(len(self.base))
            terms.append(Term(features, self.base[None], columns))
        return Linear(np.zeros_like(self.base), tuple(terms))


def total(parts: list[Linear]) -> Linear:
    """Adds linear models.

    Args:
      parts: models of the same users and items.
    """
    base = np.sum([part.base for part in parts], axis=0, dtype=np.float32)
    return Linear(base, tuple(term for part in parts for term in part.terms))
