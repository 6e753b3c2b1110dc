"""Search for the settings of the quality benchmark.

`python -m pipelines.benchmarks.quality --search` runs it and prints the settings.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from pipelines.benchmarks.two_tower import Setting, validation_curve
from tfrs_models.data import Interactions

OPTIONS: Mapping[str, Sequence] = {
    "temperature": (0.05, 0.1, 0.15, 0.2, 0.3),
    "embedding_dim": (32, 64, 128),
    "learning_rate": (0.001, 0.003, 0.01, 0.03),
    "batch_size": (512, 1024, 2048, 4096, 8192),
    "id_dropout": (0.0, 0.1),
    "mask_known": (False, True),
}


def search_two_tower(
    data: Interactions,
    start: Setting,
    *,
    metric: str,
    seeds: Sequence[int],
    options: Mapping[str, Sequence] = OPTIONS,
    max_epochs: int = 30,
) -> tuple[Setting, float]:
    """Tries the values of one option after the other and keeps the best of each.

    A setting is measured by the best epoch of its validation curve, over all seeds.

    Args:
      data: interactions with a validation part.
      start: setting to start from; its own values are tried too.
      metric: metric of the validation part; larger is better.
      seeds: seeds of the trainings of each setting.
      options: field of `Setting` -> values to try.
      max_epochs: largest number of epochs of a training.

    Returns:
      The best setting, with its epochs, and its metric.
    """

    def judge(setting: Setting) -> tuple[Setting, float]:
        curves = [
            validation_curve(
                data, setting, metric=metric, seed=seed, max_epochs=max_epochs
            )
            for seed in seeds
        ]
        length = min(map(len, curves))
        curve = np.mean([c[:length] for c in curves], axis=0)
        found = dataclasses.replace(setting, epochs=int(curve.argmax()) + 1)
        print(f"{curve.max():.4f} {found}", flush=True)
        return found, float(curve.max())

    best, value = judge(start)
    for name, values in options.items():
        tried = [v for v in values if v != getattr(best, name)]
        found = [judge(dataclasses.replace(best, **{name: v})) for v in tried]
        best, value = max([(best, value), *found], key=lambda pair: pair[1])
    return best, value


def search_peer(
    values: Sequence, measure: Callable[[object], float]
) -> tuple[object, float]:
    """Returns the best value of a peer's one parameter, and its metric.

    Args:
      values: values to try.
      measure: function of a value that returns its metric; larger is better.
    """
    pairs = [(value, measure(value)) for value in values]
    for value, measured in pairs:
        print(f"{measured:.4f} {value}", flush=True)
    return max(pairs, key=lambda pair: pair[1])
