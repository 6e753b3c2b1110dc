"""How far a reader of one step has to jump between files."""

from pipelines.benchmarks import moves


def test_a_step_of_unisar_stays_in_few_files():
    step = moves.unisar_step()
    step()  # makes the optimizer's variables
    found = moves.count_moves(step)
    assert found.moves <= 100
    assert found.files <= 24


def test_calls_outside_of_the_package_are_no_moves():
    assert moves.count_moves(lambda: sorted([2, 1])) == moves.Moves(0, 0, 0)
