"""Verifies an export without Python, and measures it: tfrs-models native.

tfrs-models native --model artifacts/ranking/export
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Annotated

from tfrs_models.serving import contract
from tfrs_models.serving.contract import ContractError

from .. import native
from ..parts.command import command, start
from ..parts.exports import whole_export
from ..parts.flags import Range


@dataclasses.dataclass(frozen=True)
class Config:
    """Flags of the run."""

    model: Path
    """Version of an export, or a folder of numbered ones, whose newest is used."""
    queries: int = 5000
    """Number of queries to time, in turns over the samples of the contract."""
    clients: Annotated[int, Range(1, 1000)] = 1
    """Number of queries at the same time."""
    threads: Annotated[int, Range(1, 1000)] = 1
    """Number of threads of TensorFlow, within and between operations."""
    fall_back: bool = False
    """If files of the newest version are damaged, take the newest older version that is
    whole, and say so."""


@command
def main(config: Config) -> dict:
    """Prints the differences and the latency, and returns them.

    Raises:
      SystemExit: an answer differs from the contract, or the program cannot run.
    """
    model = whole_export(config.model, fall_back=config.fall_back)
    try:
        promised = contract.read(model)
        samples = contract.samples_of(promised)
        with tempfile.TemporaryDirectory() as folder:
            questions = Path(folder, "questions")
            native.write_questions(questions, (native.Question(*s) for s in samples))
            found = native.run(
                native.compile_program(),
                model,
                questions,
                threads=config.threads,
                clients=config.clients,
                queries=config.queries,
            )
    except (ContractError, native.ProgramError) as error:
        raise SystemExit(str(error)) from error
    problems = [f"sample {n}: {text}" for n, text in found.problems.items()]
    problems += [
        f"signature `{name}` is not what the contract says"
        for name, signature in promised["signatures"].items()
        for side in ("inputs", "outputs")
        if found.signatures.get(name, {}).get(side) != signature[side]
    ]
    if problems:
        raise SystemExit("\n".join(problems))
    print(f"{len(samples)} samples answered as promised")
    if found.latency:
        print(
            f"{found.latency.answered} queries: p50 {found.latency.p50 * 1e3:.3f} ms, "
            f"p99 {found.latency.p99 * 1e3:.3f} ms"
        )
    return dataclasses.asdict(found)


if __name__ == "__main__":
    start(main, Config, __doc__)
