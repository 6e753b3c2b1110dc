"""Commands whose processes are really killed, at random moments, and started again."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

KILLS = 10
ORDERS = "--dataset {orders} --split leave_last_out"
SMALL = "--embedding-dim 4 --batch-size 64"
START = f"{ORDERS} {SMALL} --epochs 1 --baselines none"
# Command -> flags of a small run with several trainings, or one of several epochs.
COMMANDS = {
    "retrieval": f"{ORDERS} {SMALL} --epochs 4 --baselines none",
    "ranking": f"{ORDERS} {SMALL} --epochs 3 --user-tower mixture --mixture-dropout "
    "0.5 --seeds 2",
    "joint_ranking": f"{ORDERS} --embedding-dim 4 --batch-size 16 --list-size 4 "
    "--epochs 3 --seeds 1 --losses ListMLE calibrated",
    "clickstream": "--epochs 3 --batch-size 16 --sessions-per-user 4 "
    "--retrieval {start}",
    "automtn": "--users 6 --embedding-dim 4 --epochs 2 --dropout 0.2",
    "unisar": "--users 30 --length 8 --embedding-dim 4 --width 8 --num-random 8 "
    "--epochs 2 --seeds 2 --no-ablation --corpus-rows 0 --dropout 0.1",
    "serve": "--retrieval {start} --num-retrieved 12 --lists.epochs 3 "
    "--lists.batch-size 16",
}


def start(command, flags, output):
    one = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{command}", *flags, "--output", output],
        env=os.environ | dict.fromkeys(one, "1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process):
    """Waits for a process; returns its code and output."""
    output, _ = process.communicate(timeout=600)
    return process.returncode, output


def in_training(process, output, before):
    """Waits until a process has written a state, or has ended."""
    while process.poll() is None and states(output) == before:
        time.sleep(0.02)
    return process.poll() is None


def states(output):
    """The states that have their number, and when each was written."""
    found = [
        *output.glob("training/*/about.json"),
        *output.glob("training/*/*/about.json"),
    ]
    numbered = [path for path in found if path.parent.name.isdecimal()]
    return {path: path.stat().st_mtime_ns for path in numbered if path.exists()}


def measured(output):
    """metrics.json without what differs between two runs of the same flags."""
    metrics = json.loads((output / "metrics.json").read_text())
    # ScaNN draws its partitions at random.
    for name in ("run", "checkpoint", "config", "sha256", "scann_recall_at_100"):
        metrics.pop(name, None)
    return metrics


@pytest.fixture(scope="module")
def begin(orders, tmp_path_factory):
    """Flags of the commands, on a table and on a retrieval model of it."""
    names = {"orders": orders.dataset, "start": tmp_path_factory.mktemp("start")}
    flags = START.format(**names).split()
    process = start("retrieval", flags, names["start"])
    code, text = ended(process)
    assert code == 0, text
    return {c: flags.format(**names).split() for c, flags in COMMANDS.items()}


@pytest.fixture(scope="module")
def whole(begin, tmp_path_factory):
    """Makes what a command measures that nothing interrupts, and its seconds."""

    def run(command):
        output = tmp_path_factory.mktemp(command)
        begun = time.monotonic()
        code, text = ended(start(command, begin[command], output))
        assert code == 0, text
        return measured(output), time.monotonic() - begun

    return run


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_that_is_killed_ten_times_measures_the_same(
    command, begin, whole, tmp_path
):
    expected, seconds = whole(command)
    moments = random.Random(command)
    left, turn = KILLS, 0
    while left:
        turn += 1
        output = tmp_path / str(turn)
        while left:
            process = start(command, [*begin[command], "--resume", "auto"], output)
            # Half of the kills come early, half after the first state of this process.
            if left % 2:
                time.sleep(moments.uniform(0.2, 0.8) * seconds)
            elif in_training(process, output, states(output)):
                time.sleep(moments.uniform(0, 0.3) * seconds)
            if process.poll() is not None:
                break  # it had ended before
            process.send_signal(signal.SIGKILL)
            process.communicate()
            left -= 1
        code, text = ended(
            start(command, [*begin[command], "--resume", "auto"], output)
        )
        assert code == 0, text
        assert measured(output) == expected, f"after {KILLS - left} kills"


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("number", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_a_command_with_a_state_and_a_line(
    command, number, code, begin, tmp_path
):
    process = start(command, begin[command], tmp_path)
    assert in_training(process, tmp_path, {})
    begun = time.monotonic()
    process.send_signal(getattr(signal, number))
    found, text = ended(process)
    assert time.monotonic() - begun < 10
    assert found == code
    assert "With the same flags, --resume goes on with the training." in text
    found, text = ended(start(command, [*begin[command], "--resume"], tmp_path))
    assert found == 0, text
