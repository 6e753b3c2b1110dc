"""SYNTHETIC check-ins whose periods and neighbourhoods are known."""

import dataclasses
import math

import numpy as np

from tfrs_models.data.checkins.check_ins import CheckIns

_START = 1_333_324_800  # Monday, 2 April 2012, midnight UTC
_CENTRE = (40.75, -73.98)
_KILOMETRE = 1 / 111.2  # degrees of latitude


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class PlantedCheckIns:
    """Synthetic check-ins and the truth behind them.

    Args:
      check_ins: input of a model: one trip after the other, `trip_length` rows each.
      period: `[num_trips]` number of stops after which the round of a trip repeats.
      returns: `[num_trips]` bool, True if the last check-in returns to the sight that
        the period of the trip determines; otherwise it is a POI near the one before.
      neighbourhood: `[num_pois]` neighbourhood of each POI, in the order of their
        names.
      trip_length: number of check-ins in a trip; the last one is to be predicted.
    """

    check_ins: CheckIns
    period: np.ndarray
    returns: np.ndarray
    neighbourhood: np.ndarray
    trip_length: int


def make_check_ins(
    seed: int,
    *,
    num_users: int = 60,
    trips_per_user: int = 12,
    periods: tuple[int, ...] = (6, 10, 15),
    num_hubs: int = 20,
    num_neighbourhoods: int = 25,
    pois_per_neighbourhood: int = 6,
    loyalty: float = 0.6,
) -> PlantedCheckIns:
    """Makes SYNTHETIC check-ins of travellers on rounds.

    A user makes one trip a month. A trip has one of the `periods` and as many hubs
    (stations, hotels), the first of which is home. The trip visits the hubs in turn at
    regular hours, round after round, for the least common multiple of all periods in
    steps. Some steps are at a sight: those after 6, 10 and 15 steps (after each
    period), and the last step. Then, with probability `loyalty`, the traveller returns
    to the one sight that was visited when a whole round was over and home would have
    been next; otherwise to a POI in the neighbourhood of the last sight.

    No single step identifies that sight, only the period of the steps does: without the
    period the chance is one in three. The POIs near the last one follow from distances
    alone, unless there are enough data to learn all POIs.

    Args:
      seed: seed of all draws.
      num_users: number of users, all alike.
      trips_per_user: number of trips of each user.
      periods: numbers of stops, one of which is drawn for each trip; each at least 2,
        none a multiple of another.
      num_hubs: number of POIs that are hubs, at most one in each neighbourhood.
      num_neighbourhoods: number of neighbourhoods in a disk of 10 km radius, at least
        `num_hubs`.
      pois_per_neighbourhood: number of POIs, each within 200 m (north-south and
        east-west) of the centre.
      loyalty: probability of a return to the sight, in [0, 1].

    Returns:
      The check-ins and the truth.

    Raises:
      ValueError: a number is out of range.

    Example:
      >>> planted = tm.data.synthetic.make_check_ins(0, num_users=1, trips_per_user=2)
      >>> planted.trip_length, len(planted.check_ins)
      (31, 62)
      >>> planted.check_ins.category[:3]
      array(['home', 'hub', 'hub'], dtype='<U5')
    """
    if not 0 <= loyalty <= 1:
        raise ValueError(f"`loyalty` must be in [0, 1]. Got {loyalty}.")
    shared = any(a != b and a % b == 0 for a in periods for b in periods)
    if not periods or min(periods) < 2 or shared:
        raise ValueError(
            "`periods` must be 2 or more, none a multiple of another. Got "
            f"{tuple(periods)}."
        )
    if not max(periods) <= num_hubs <= num_neighbourhoods:
        raise ValueError(
            "`num_hubs` must be from the longest period to `num_neighbourhoods`. Got "
            f"{num_hubs} for periods {tuple(periods)} and {num_neighbourhoods} "
            "neighbourhoods."
        )
    rng = np.random.default_rng(seed)
    neighbourhood = np.repeat(np.arange(num_neighbourhoods), pois_per_neighbourhood)
    coordinates = _pois(rng, neighbourhood, num_neighbourhoods)
    steps = math.lcm(*periods)
    num_trips = num_users * trips_per_user
    period, returns = rng.choice(periods, num_trips), rng.random(num_trips) < loyalty
    hubs = pois_per_neighbourhood * np.arange(num_hubs)
    others = np.setdiff1d(np.arange(len(neighbourhood)), hubs)
    poi = np.empty((num_trips, steps + 1), np.int64)
    step = np.arange(steps + 1)
    for trip, stops in enumerate(period):
        sights = rng.choice(others, len(periods) + 1, replace=False)
        round_trip = [hubs[0], *rng.permutation(hubs[1:])[: stops - 1]]
        poi[trip] = np.array(round_trip)[step % stops]
        poi[trip, [*periods, steps - 1]] = sights
        near = others[neighbourhood[others] == neighbourhood[sights[-1]]]
        back = poi[trip, stops]
        poi[trip, -1] = back if returns[trip] else rng.choice(near)
    trip = np.arange(num_trips)[:, None]
    stops, day = period[:, None], 30 * (trip % trips_per_user)
    # Trips begin at any hour, so that the hour of a step does not reveal the period.
    hour = rng.integers(24, size=(num_trips, 1)) + 24 * (step // stops)
    hour += 24 * (step % stops) // stops
    seconds = 86_400 * day + 3600 * hour + rng.integers(0, 3600, hour.shape)
    seconds.sort(axis=1)  # with 15 steps a day, two steps may be in one hour
    users = np.repeat(np.arange(num_users), trips_per_user * (steps + 1))
    poi = poi.ravel()
    check_ins = CheckIns(
        name="synthetic",
        user=np.char.add("user ", users.astype(str)),
        poi=np.char.add("place ", np.char.zfill(poi.astype(str), 5)),
        category=np.select(
            [poi == hubs[0], np.isin(poi, hubs)], ["home", "hub"], "sight"
        ),
        coordinates=coordinates[poi],
        timestamp=_START + seconds.ravel(),
        offset=np.zeros(len(poi), np.int64),
    )
    return PlantedCheckIns(check_ins, period, returns, neighbourhood, steps + 1)


def _pois(
    rng: np.random.Generator, neighbourhood: np.ndarray, num_neighbourhoods: int
) -> np.ndarray:
    """Coordinates of all POIs in degrees."""
    radius = 10 * np.sqrt(rng.random(num_neighbourhoods))
    angle = 2 * np.pi * rng.random(num_neighbourhoods)
    centres = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    away = rng.uniform(-0.2, 0.2, size=(len(neighbourhood), 2))
    degrees = (centres[neighbourhood] + away) * _KILOMETRE
    return np.array(_CENTRE) + degrees / [1, np.cos(np.radians(_CENTRE[0]))]
