"""Commands that were killed and resumed measure what they would have measured."""

import dataclasses
import json

import pytest
import tensorflow as tf

import tfrs_models as tm
from pipelines import automtn, clickstream, joint_ranking, ranking, retrieval, serve
from pipelines import unisar as unisar_pipeline
from pipelines.parts import list_ranking
from pipelines.parts.check_in_data import CheckInConfig

# A few batches are too few to learn from.
pytestmark = pytest.mark.filterwarnings(
    "ignore::tfrs_models.training.learning_alarms.LearningWarning"
)


class KilledError(Exception):
    """A process ends here."""


class KillAt(tf.keras.callbacks.Callback):
    """Ends a training after some batches of it, as a kill does."""

    def __init__(self, batch):
        super().__init__()
        self.left = batch

    def on_train_batch_end(self, *_):
        self.left -= 1
        if not self.left:
            raise KilledError


def killed(main, config, *, training, batch):
    """Runs a command until a batch of one of its trainings, a state after each."""
    fit = tm.training.fit_resumable
    begun = []

    def kill_one(*args, callbacks, checkpoint_minutes, **options):
        del checkpoint_minutes
        begun.append(options["folder"])
        more = [KillAt(batch)] if len(begun) == training else []
        return fit(
            *args, callbacks=[*callbacks, *more], checkpoint_minutes=1e-9, **options
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tm.training, "fit_resumable", kill_one)
        with pytest.raises(KilledError):
            main(config)


def resumed(main, config):
    """Resumes a command; returns metrics.json and the batches of each training."""
    fit, batches = tm.training.fit_resumable, []

    class Count(tf.keras.callbacks.Callback):
        def on_train_batch_end(self, *_):
            batches[-1] += 1

    def counted(*args, callbacks, **options):
        batches.append(0)
        return fit(*args, callbacks=[*callbacks, Count()], **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tm.training, "fit_resumable", counted)
        main(dataclasses.replace(config, resume=True))
    return batches


def measured(config):
    """metrics.json without what differs between two runs of the same flags."""
    metrics = json.loads((config.output / "metrics.json").read_text())
    for name in ("run", "checkpoint", "config", "sha256"):
        metrics.pop(name, None)
    return metrics


@dataclasses.dataclass(frozen=True)
class Case:
    main: object
    config: object
    training: int = 2
    batch: int = 2


UNISAR = Case(
    unisar_pipeline.main,
    dataclasses.replace(unisar_pipeline.SMOKE, epochs=2, seeds=2, dropout=0.1),
)


@pytest.fixture(scope="module")
def retrieval_run(orders, tmp_path_factory, train_only):
    """A retrieval model over histories that other commands start from."""
    folder = tmp_path_factory.mktemp("retrieval")
    data = dataclasses.replace(orders, split="leave_last_out")
    train_only(dataclasses.replace(retrieval.SMOKE, data=data, output=folder))
    return folder


@pytest.fixture
def cases(orders, retrieval_run, request):
    small = {"data": orders, "batch_size": 64, "epochs": 2}
    return {
        "ranking": lambda: Case(
            ranking.main,
            dataclasses.replace(
                ranking.SMOKE, **small, user_tower="cohort", id_dropout=0.3, seeds=2
            ),
        ),
        "ranking by fields": lambda: Case(
            ranking.main,
            dataclasses.replace(ranking.SMOKE, **small, model="dcn", seeds=2),
        ),
        "joint ranking": lambda: Case(
            joint_ranking.main,
            dataclasses.replace(
                joint_ranking.SMOKE,
                **(small | {"batch_size": 16}),
                losses=("list softmax", "calibrated"),
                list_size=4,
            ),
        ),
        "clickstream": lambda: Case(
            clickstream.main,
            dataclasses.replace(
                clickstream.SMOKE, epochs=2, batch_size=32, retrieval=retrieval_run
            ),
            training=1,
        ),
        "automtn": lambda: Case(
            automtn.main,
            dataclasses.replace(
                automtn.SMOKE,
                data=CheckInConfig(users=6),
                epochs=2,
                ablations=True,
                dropout=0.2,
            ),
        ),
        "unisar": lambda: UNISAR,
        "serve": lambda: Case(
            serve.main,
            serve.Config(
                retrieval_run,
                lists=list_ranking.ListRankerConfig(
                    epochs=2, attended=4, held_back=0.3, batch_size=16
                ),
                num_retrieved=12,
            ),
        ),
    }[request.param]()


KINDS = [
    "ranking",
    "ranking by fields",
    "joint ranking",
    "clickstream",
    "automtn",
    "unisar",
    "serve",
]


@pytest.mark.slow  # three runs of a command; test_several_trainings is fast
@pytest.mark.parametrize("cases", KINDS, indirect=True)
def test_a_killed_command_goes_on_where_it_was(cases, tmp_path):
    whole = dataclasses.replace(cases.config, output=tmp_path / "whole")
    cases.main(whole)
    config = dataclasses.replace(cases.config, output=tmp_path / "killed")
    killed(cases.main, config, training=cases.training, batch=cases.batch)
    batches = resumed(cases.main, config)
    assert measured(config) == measured(whole)
    assert batches[: cases.training - 1] == [0] * (cases.training - 1)  # had ended
    assert batches[cases.training - 1] > 0
