"""SYNTHETIC clicks on ranked lists: relevance and the bias of positions are known."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrs_models.data.batching import row_batches
from tfrs_models.data.splits import SPLIT_NAMES, split_random

TRUTH = ("relevance",)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PositionBiasedClicks:
    """A synthetic clickstream with one row for each item of each list that was shown.

    Args:
      name: name of the data, which includes the word synthetic.
      columns: `request_id`, `user_id`, `item_id` `[num_rows]` int64 (users and items
        from 1); `user_features` `[num_rows, num_factors]`, `item_features` `[num_rows,
        num_factors + 1]` (the last is the promotion), `cross_features` `[num_rows,
        num_factors]` and `device_features` `[num_rows, num_devices]` float32;
        `position` `[num_rows]` int32 from 0; `labels` `[num_rows, 2]` float32 in {0, 1,
        -1 = not observed}; and the truth, `relevance` `[num_rows]` float32.
      split: `[num_rows]` int8 split of the row's request, 0 for train.
      etas: for each device, the exponent by which examination falls with the position.
      task_names: names of the columns of `labels`.
    """

    name: str
    columns: dict[str, np.ndarray]
    split: np.ndarray
    etas: tuple[float, ...]
    task_names: tuple[str, ...] = ("click", "long_view")

    def rows(self, split: str) -> dict[str, np.ndarray]:
        """Returns the rows of a split with the truth, for evaluation only.

        Args:
          split: "train", "validation" or "test".

        Returns:
          The columns, in the order of batches without shuffling.

        Raises:
          ValueError: the split is unknown.
        """
        if split not in SPLIT_NAMES:
            raise ValueError(f"`split` must be one of {SPLIT_NAMES}. Got {split!r}.")
        rows = self.split == SPLIT_NAMES.index(split)
        return {name: column[rows] for name, column in self.columns.items()}

    def batches(
        self,
        split: str,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int | None = None,
    ) -> tf.data.Dataset:
        """Makes batches of the rows of a split, without the truth.

        Args:
          split: "train", "validation" or "test".
          batch_size: number of rows in a batch; the last batch may be shorter.
          shuffle: whether each epoch is another permutation of the rows.
          seed: seed of the permutations; None follows `tf.random.set_seed`.

        Returns:
          A dataset of known cardinality of dicts of all `columns` but `relevance`.

        Raises:
          ValueError: the split is unknown, or the batch size is below 1.
        """
        columns = self.rows(split)
        num_rows = len(columns["request_id"])
        shown = {n: tf.constant(v) for n, v in columns.items() if n not in TRUTH}
        rows = row_batches(num_rows, batch_size, shuffle=shuffle, seed=seed)
        return rows.map(
            lambda row: {name: tf.gather(column, row) for name, column in shown.items()}
        ).prefetch(2)


def examination(position: np.ndarray, eta: np.ndarray | float) -> np.ndarray:
    """Computes the examination probability `(1 / (1 + position)) ** eta`.

    Args:
      position: positions in a list, from 0.
      eta: exponent of the decrease; with 0 users look at every position.

    Returns:
      The probability, in (0, 1], of the broadcast shape.
    """
    return (1 / (1 + np.asarray(position))) ** eta


def make_position_biased_clicks(
    seed: int,
    *,
    num_users: int = 500,
    num_items: int = 300,
    num_requests: int = 10_000,
    list_size: int = 10,
    num_factors: int = 8,
    relevance_weight: float = 0.5,
    promotion_weight: float = 2.0,
    promoted_share: float = 0.2,
    feature_noise: float = 0.5,
    etas: Sequence[float] = (0.5, 1.0, 2.0),
) -> PositionBiasedClicks:
    """Makes a SYNTHETIC clickstream in which clicks depend on the position of an item.

    Users and items have latent vectors `u`, `v ~ N(0, I)`, items a quality `q ~ N(0,
    0.5)`:

    - affinity `a = u . v / sqrt(num_factors)`, relevance `r = sigmoid(1.5 a + q)`;
    - a request is a random user on a random device with `list_size` different items,
      ordered by `relevance_weight * logit(r) + promotion_weight * promoted + N(0, 1)`:
      promoted items have high positions without higher relevance, so positions
      confound;
    - `click ~ Bernoulli(r * examination(position, eta of the device))`;
    - `long_view ~ Bernoulli(r ** 2)`, observed after a click only.

    The features are `u` and `v` with noise, fixed for each user and item, the
    promotion, and the product of both vectors. The promotion is informative of the
    position of an item, but not of its relevance. Validation and test are a tenth of
    the requests each.

    Args:
      seed: seed of all draws.
      num_users: number of users; ids are from 1.
      num_items: number of items; ids are from 1.
      num_requests: number of lists that were shown.
      list_size: number of items in a list.
      num_factors: dimension of the latent vectors.
      relevance_weight: weight of the relevance in the order of a list.
      promotion_weight: weight of the promotion in the order of a list.
      promoted_share: probability that an item is promoted.
      feature_noise: standard deviation of the noise of the features.
      etas: exponent of `examination` for each device.

    Returns:
      The clickstream and its truth.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> clicks = tm.data.synthetic.make_position_biased_clicks(0)
      >>> rows = clicks.rows("train")
      >>> click, first = rows["labels"][:, 0], rows["position"] == 0
      >>> f"{click[first].mean():.2f} against {click[~first].mean():.2f}"
      '0.68 against 0.13'
    """
    _check(
        num_users=num_users,
        num_items=num_items,
        num_requests=num_requests,
        list_size=list_size,
        num_factors=num_factors,
    )
    if not len(etas) or min(etas) < 0:
        raise ValueError(
            f"`etas` must have a number for each device, none negative. Got {etas}."
        )
    if list_size > num_items:
        raise ValueError(
            f"`list_size` must be at most `num_items`, {num_items}: an item stands in "
            f"a list once. Got {list_size}."
        )
    rng = np.random.default_rng(seed)
    user_factors = rng.normal(size=(num_users, num_factors))
    item_factors = rng.normal(size=(num_items, num_factors))
    quality = rng.normal(scale=0.5, size=num_items)
    promoted = rng.uniform(size=num_items) < promoted_share

    user = rng.integers(num_users, size=(num_requests, 1))
    device = rng.integers(len(etas), size=(num_requests, 1))
    item = _distinct(rng, num_items, num_requests, list_size)
    affinity = np.sum(user_factors[user] * item_factors[item], axis=-1)
    logit = 1.5 * affinity / np.sqrt(num_factors) + quality[item]
    score = relevance_weight * logit + promotion_weight * promoted[item]
    order = np.argsort(-score - rng.normal(size=score.shape), axis=1)
    item, logit = (np.take_along_axis(x, order, axis=1) for x in (item, logit))

    relevance = 1 / (1 + np.exp(-logit))
    position = np.arange(list_size)[None, :]
    examined = examination(position, np.asarray(etas)[device])
    click = rng.uniform(size=item.shape) < relevance * examined
    long_view = rng.uniform(size=item.shape) < relevance**2

    request = np.arange(num_requests)[:, None]
    user_view = user_factors + rng.normal(scale=feature_noise, size=user_factors.shape)
    item_view = item_factors + rng.normal(scale=feature_noise, size=item_factors.shape)

    def flat(values: np.ndarray, dtype: type) -> np.ndarray:
        return np.broadcast_to(values, item.shape).reshape(-1).astype(dtype)

    users, items = flat(user, np.int64), flat(item, np.int64)
    labels = np.stack([click, np.where(click, long_view, -1)], axis=-1).reshape(-1, 2)
    shown = np.concatenate([item_view, promoted[:, None]], axis=1)
    columns = {
        "request_id": flat(request, np.int64),
        "user_id": users + 1,
        "item_id": items + 1,
        "user_features": user_view[users].astype(np.float32),
        "item_features": shown[items].astype(np.float32),
        "cross_features": (user_view[users] * item_view[items]).astype(np.float32),
        "position": flat(position, np.int32),
        "device_features": np.eye(len(etas), dtype=np.float32)[flat(device, np.int64)],
        "labels": labels.astype(np.float32),
        "relevance": flat(relevance, np.float32),
    }
    return PositionBiasedClicks(
        name=f"synthetic position-biased clicks (seed {seed})",
        columns=columns,
        split=np.repeat(split_random(num_requests, seed=seed), list_size),
        etas=tuple(map(float, etas)),
    )


def _check(**sizes: int) -> None:
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"`{name}` must be at least 1. Got {size}.")


def _distinct(
    rng: np.random.Generator, num_items: int, num_lists: int, list_size: int
) -> np.ndarray:
    """`[num_lists, list_size]` items, each list a random set without repeats.

    Reference:
      Bentley and Floyd, A sample of brilliance, CACM 1987.
    """
    lists = np.empty((num_lists, list_size), np.int64)
    for position, newest in enumerate(range(num_items - list_size, num_items)):
        draw = rng.integers(newest + 1, size=num_lists)
        repeated = (lists[:, :position] == draw[:, None]).any(axis=1)
        lists[:, position] = np.where(repeated, newest, draw)
    return lists
