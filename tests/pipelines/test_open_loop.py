"""Arrivals that wait for nobody, and the load that is still held."""

import time

import numpy as np
import pytest

from pipelines.benchmarks.open_loop import (
    Load,
    arrivals,
    climb,
    drive,
    highest_held,
)


def test_arrivals_are_a_poisson_process():
    due = arrivals(500.0, 20.0, seed=1)
    gaps = np.diff(due)
    assert 0 < due[0] < due[-1] < 20
    assert abs(len(due) - 10_000) < 5 * 100  # the root of 10,000 is 100
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert not np.array_equal(due, arrivals(500.0, 20.0, seed=2))


def test_latency_counts_from_when_a_request_was_due():
    """Each takes 20 ms and all are due at once: the last one waits for the others."""
    latencies = drive(lambda _: time.sleep(0.02), np.zeros(6), clients=1)
    assert np.all(latencies >= 0.02 * np.arange(1, 7) - 0.01)
    both = drive(lambda _: time.sleep(0.02), np.zeros(6), clients=6)
    assert both.max() < latencies.max()


def test_what_is_too_far_behind_is_given_up():
    due = np.linspace(0, 0.05, 40)
    latencies = drive(lambda _: time.sleep(0.02), due, clients=1, patience=0.1)
    given_up = np.isnan(latencies)
    assert 0 < given_up.sum() < 40
    assert np.all(np.diff(given_up.astype(int)) >= 0)  # the last ones


def test_every_request_is_asked_once():
    asked = []
    drive(asked.append, np.zeros(50), clients=4)
    assert sorted(asked) == list(range(50))


def server(capacity):
    """Holds rates up to its capacity."""
    asked = []

    def measure(rate):
        asked.append(rate)
        return Load(rate, 0.001, 0.01 if rate <= capacity else 0.5, 0)

    return measure, asked


def test_a_climb_doubles_and_then_halves_the_gap():
    measure, asked = server(700)
    loads = climb(measure, first=100.0, limit=0.02, refinements=2)
    assert asked[:4] == [100, 200, 400, 800]
    assert asked[4:] == pytest.approx([400 * 2**0.5, 400 * 2**0.75])
    assert [load.rate for load in loads] == sorted(asked)
    assert highest_held(loads, 0.02).rate == pytest.approx(400 * 2**0.75)


def test_a_climb_ends_where_even_the_first_rate_is_too_much():
    measure, asked = server(10)
    loads = climb(measure, first=100.0, limit=0.02, refinements=2)
    assert asked == [100]
    assert highest_held(loads, 0.02) is None


def test_a_load_with_requests_given_up_is_not_held_nor_are_those_above_it():
    loads = [Load(1, 0.1, 0.1, 0), Load(2, 0.1, 0.1, 3), Load(4, 0.1, 0.1, 0)]
    assert highest_held(loads, 0.2).rate == 1
