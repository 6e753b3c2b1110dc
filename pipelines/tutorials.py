"""Runs upstream's tutorials on our classes: python -m pipelines.tutorials FOLDER.

FOLDER is `docs/examples` of a checkout of TensorFlow Recommenders. Each notebook runs
in its own process and folder. Its import of TensorFlow Recommenders becomes
`tfrs_models.compat`, and TensorFlow Datasets returns synthetic ratings, so that nothing
is downloaded. Epochs and rows are reduced; nothing else is changed. TensorFlow Ranking
cannot be installed beside this TensorFlow: a module with our losses and metric of the
same formulas replaces it.
"""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import tyro

from .parts.command import command

ELSEWHERE = {
    "ranking_tfx": "needs TensorFlow Extended",
    "tpu_embedding_layer": "needs a TPU and Google Cloud Storage",
}
CUTS = (
    (r"import tensorflow_recommenders as tfrs", "import tfrs_models.compat as tfrs"),
    (r"(?m)^( *)%time\b *", r"\1"),
    (r"(?m)^\s*[!%].*$", ""),
    (r"\b80_000\b", "1_600"),
    (r"\b20_000\b", "400"),
    (r"\b(num_)?epochs ?= ?\d+", r"\1epochs=5"),
    (r"\bnum_runs = \d+", "num_runs = 1"),
    (r"plt\.show\(\)", ""),
    (r"seaborn-whitegrid", "seaborn-v0_8-whitegrid"),  # its name since Matplotlib 3.6
)
ROWS = """
import os, sys, types
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
import tfrs_models
import numpy as np
import tensorflow as tf
_rng = np.random.default_rng(0)
_titles = [f"Film {i} (1990)" for i in range(120)] + [
    "M*A*S*H (1970)", "Dances with Wolves (1990)", "Speed (1994)"
]
_movies = {  # a few titles twice, as MovieLens-100K has them
    "movie_id": np.array([str(i) for i in range(127)]),
    "movie_title": np.array(_titles + _titles[:4]),
    "movie_genres": _rng.integers(0, 20, [127, 1]),
}
_user, _movie = _rng.integers(1, 60, 2000), _rng.integers(0, 127, 2000)
_ratings = {name: values[_movie] for name, values in _movies.items()} | {
    "user_id": _user.astype(str),
    "user_rating": _rng.integers(1, 6, 2000).astype("float32"),
    "timestamp": _rng.integers(874724710, 893286638, 2000),
    "user_gender": _user % 2 == 0,
    "user_zip_code": (10000 + _user % 17).astype(str),
    "user_occupation_text": np.array(["artist", "doctor", "none"])[_user % 3],
    "user_occupation_label": _user % 3,
    "bucketized_user_age": (_user % 5 * 10.0).astype("float32"),
    "raw_user_age": (_user % 50 + 10.0).astype("float32"),
}
def _load(name, **_):
    values = _movies if "movies" in name else _ratings
    return tf.data.Dataset.from_tensor_slices(values)
_tfds = types.ModuleType("tensorflow_datasets")
_tfds.load, _tfds.disable_progress_bar = _load, lambda: None
sys.modules["tensorflow_datasets"] = _tfds
"""
# Additional code for the notebooks that contain the words in `MORE`.
RANKING = """
from tfrs_models.losses import ListMLELoss, PairwiseHingeLoss
from tfrs_models.metrics import NDCG
_tfr = types.SimpleNamespace(
    losses=types.SimpleNamespace(
        ListMLELoss=ListMLELoss, PairwiseHingeLoss=PairwiseHingeLoss
    ),
    metrics=types.SimpleNamespace(NDCGMetric=NDCG),
)
sys.modules["tensorflow_ranking"] = types.ModuleType("tensorflow_ranking")
sys.modules["tensorflow_ranking"].keras = _tfr
"""
SEQUENCES = """
os.makedirs("data/examples")
def _ints(values):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
for _split in ("train", "test"):
    with tf.io.TFRecordWriter(f"data/examples/{_split}_movielens_1m.tfrecord") as _file:
        for _watched in _rng.integers(0, 127, [300, 11]):
            _row = {
                "context_movie_id": _ints(_watched[:10]),
                "label_movie_id": _ints(_watched[10:]),
            }
            _row = tf.train.Example(features=tf.train.Features(feature=_row))
            _file.write(_row.SerializeToString())
"""

MORE = {"import tensorflow_ranking": RANKING, "train_movielens_1m": SEQUENCES}


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the runner."""

    folder: tyro.conf.Positional[pathlib.Path]
    """Folder `docs/examples` of TensorFlow Recommenders."""
    only: tuple[str, ...] = ()
    """Names of notebooks without their suffix; by default all."""
    timeout: float = 600.0
    """Time limit of one notebook, in seconds."""


@command
def main(config: Config) -> dict[str, str]:
    """Runs the notebooks.

    Returns:
      Name of a notebook -> "ran", the reason why it cannot run, or its error.
    """
    notebooks = sorted(config.folder.glob("*.ipynb"))
    if not notebooks:
        raise SystemExit(f"`folder` must hold notebooks. Got {config.folder}.")
    found = {}
    for path in notebooks:
        if config.only and path.stem not in config.only:
            continue
        found[path.stem] = ELSEWHERE.get(path.stem) or _run(path, config.timeout)
        print(f"{path.stem}: {found[path.stem]}", flush=True)
    return found


def script_of(notebook: dict) -> str:
    """Converts a notebook to a script that uses our classes."""
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells)
    for pattern, replacement in CUTS:
        code = re.sub(pattern, replacement, code)
    more = [rows for words, rows in MORE.items() if words in code]
    return "\n".join([ROWS, *more, code, ""])


def _run(path: pathlib.Path, timeout: float) -> str:
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / f"{path.stem}.py"
        notebook = json.loads(path.read_text(encoding="utf-8"))
        script.write_text(script_of(notebook), encoding="utf-8")
        paths = os.pathsep.join([str(pathlib.Path.cwd()), *sys.path])
        try:
            done = subprocess.run(
                [sys.executable, "-W", "always::UserWarning", script.name],
                cwd=folder,
                env=os.environ | {"PYTHONPATH": paths},
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"ran longer than {timeout:g} s"
    if done.returncode:
        return "failed: " + " | ".join(done.stderr.strip().splitlines()[-3:])
    return "ran"


if __name__ == "__main__":
    results = main(tyro.cli(Config))
    sys.exit(any(result.startswith("failed") for result in results.values()))
