"""What each user did in one service."""

from typing import NamedTuple

import numpy as np


class Histories(NamedTuple):
    """What each user did in one service, oldest first.

    Attributes:
      ids: `[num_events]` items, or search sessions, of user 0, of user 1, ...
      times: `[num_events]` int64 milliseconds since 1970, ascending for each user.
      row_splits: `[num_users + 1]` where each user's events begin and end.
    """

    ids: np.ndarray
    times: np.ndarray
    row_splits: np.ndarray
