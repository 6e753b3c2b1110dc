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
      check_ins: What a model may see; trip after trip, of `trip_length` rows each.
      period: `[num_trips]` stops after which a trip's round begins again.
      returns: `[num_trips]` bool, whether the last check-in is a return to the sight of
        the trip's period; else it is a place near the one before.
      neighbourhood: `[num_pois]` of each place, in the order of their names.
      trip_length: Check-ins of a trip: the last one is to be predicted.
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

    A user makes trips, one a month. A trip has one of the `periods` and as many hubs
    (stations, hotels), the first of which is home. It goes through them round and round
    at regular hours, for as many steps as all periods divide. There are interruptions:
    after 6 steps, after 10 and after 15 the traveller sees a sight, and the last step
    is at some place too. Then, with the chance `loyalty`, they return to the one sight
    that they saw when a whole round was over and home would have been next; else they
    go to a place in the neighbourhood of the last one.

    No step by itself tells which sight that is, only the period of the steps does: who
    does not see it has one chance in three. And which places are near the last one only
    distances tell, unless there are data enough to learn all places.

    Args:
      seed: The same seed makes the same check-ins.
      num_users: Users, all alike.
      trips_per_user: Trips of each.
      periods: Of which one is drawn for each trip; none a multiple of another, from 2.
      num_hubs: Places that are hubs, one each of as many neighbourhoods.
      num_neighbourhoods: Spread over a disk of 10 km; at least `num_hubs`.
      pois_per_neighbourhood: Within 200 m of its middle.
      loyalty: In [0, 1].

    Returns:
      The check-ins and the truth.

    Raises:
      ValueError: a number out of range.
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
    coordinates = _places(rng, neighbourhood, num_neighbourhoods)
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
    # Trips begin at any hour: the hour of a step alone does not tell the period.
    hour = rng.integers(24, size=(num_trips, 1)) + 24 * (step // stops)
    hour += 24 * (step % stops) // stops
    seconds = 86_400 * day + 3600 * hour + rng.integers(0, 3600, hour.shape)
    seconds.sort(axis=1)  # of 15 steps a day two may be in one hour
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


def _places(
    rng: np.random.Generator, neighbourhood: np.ndarray, num_neighbourhoods: int
) -> np.ndarray:
    """Coordinates of all places in degrees."""
    radius = 10 * np.sqrt(rng.random(num_neighbourhoods))
    angle = 2 * np.pi * rng.random(num_neighbourhoods)
    centres = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    away = rng.uniform(-0.2, 0.2, size=(len(neighbourhood), 2))
    degrees = (centres[neighbourhood] + away) * _KILOMETRE
    return np.array(_CENTRE) + degrees / [1, np.cos(np.radians(_CENTRE[0]))]
