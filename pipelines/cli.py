"""The command `tfrs-models`: one table of all commands, and how to start one."""

import dataclasses
import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence

import tfrs_models

from .parts import stand_ins
from .parts.endings import ending

# Extra of the package -> modules that it installs and that its commands cannot do
# without.
EXTRAS = {
    "": (),
    "demo": ("jinja2", "matplotlib"),
    "explore": ("starlette", "uvicorn"),
    "notebooks": ("nbclient", "nbformat", "ipykernel"),
}


@dataclasses.dataclass(frozen=True)
class Command:
    """A row of the table of commands.

    Args:
      name: name that users type.
      summary: sentence for the table.
      extra: extra of the package that the command needs, or "".
      module: module of `pipelines`; by default that of the name.
    """

    name: str
    summary: str
    extra: str = "demo"
    module: str = ""

    def __post_init__(self) -> None:
        """Derives the module from the name."""
        default = self.name.replace("-", "_")
        object.__setattr__(self, "module", self.module or default)


COMMANDS = (
    Command("retrieval", "Trains, evaluates and exports a two-tower model."),
    Command("update", "Trains a retrieval model on with new rows, and publishes it."),
    Command("recommend", "Recommends to some or to all users with an export.", ""),
    Command("explore", "Shows an export on a local web page.", "explore"),
    Command("ranking", "Trains and exports a multi-task ranker, DeepFM or DCN."),
    Command("joint-ranking", "Ranks lists and predicts clicks with one model."),
    Command("serve", "Exports retrieval and a ranker behind it as one model."),
    Command("gate", "Decides whether a new export may replace the old one.", ""),
    Command("compare", "Compares finished runs by paired intervals.", ""),
    Command("clickstream", "Fine-tunes a retrieval model on searches and clicks."),
    Command("unisar", "Trains one model for search and recommendation."),
    Command("automtn", "Predicts the next place of a trace of check-ins."),
    Command(
        "native", "Verifies and times an export without Python.", "", "native.__main__"
    ),
    Command("notebooks", "Lists, copies or runs the notebooks.", "notebooks"),
)
_USAGE = """usage: tfrs-models COMMAND [FLAGS]

TensorFlow Recommenders, batteries included.

{rows}

`tfrs-models COMMAND --help` lists the flags of a command. `tfrs-models --version`
prints the version.
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command that the first argument names, with the others as its flags.

    Args:
      arguments: arguments of the program, by default those that the user typed.

    Raises:
      SystemExit: the program ended: code 2 for an unknown command or flag.
    """
    is_program = arguments is None
    name, *rest = (sys.argv[1:] if is_program else arguments) or [""]
    if name in ("", "-h", "--help", "help"):
        print(usage(), end="")
        return
    if name == "--version":
        print(f"tfrs-models {tfrs_models.__version__}")
        return
    command = find(name)
    if is_program:
        stand_ins.install_for_help(rest)
    start_command(command, rest)


def usage() -> str:
    """Returns the help page of the program, with the table of commands."""
    width = max(len(command.name) for command in COMMANDS)
    rows = (f"  {one.name:{width}}  {one.summary}" for one in COMMANDS)
    return _USAGE.format(rows="\n".join(rows))


def find(name: str) -> Command:
    """Returns the command of a name.

    Raises:
      SystemExit: there is none.
    """
    by_name = {command.name: command for command in COMMANDS}
    plain = name.replace("_", "-")  # `joint_ranking` is the name of the module
    if plain in by_name:
        return by_name[plain]
    near = difflib.get_close_matches(plain, by_name, cutoff=0.5)
    advice = f"Did you mean {' or '.join(f'`{one}`' for one in near)}? " if near else ""
    raise ending(
        f"`tfrs-models` has no command `{name}`. {advice}`tfrs-models --help` lists "
        "all commands.",
        2,
    )


def start_command(command: Command, arguments: Sequence[str]) -> None:
    """Runs a command with flags.

    Args:
      command: row of the table.
      arguments: flags.

    Raises:
      SystemExit: the program ended, or a package that the command needs is missing.
    """
    absent = [one for one in EXTRAS[command.extra] if not importlib.util.find_spec(one)]
    if absent:
        raise ending(
            f"`tfrs-models {command.name}` needs {', '.join(absent)}, which the extra "
            f"`{command.extra}` installs: pip install 'tfrs-models[{command.extra}]'",
            1,
        )
    module = importlib.import_module(f".{command.module}", __package__)
    from .parts.command import start

    start(
        module.main,
        module.Config,
        module.__doc__,
        program=f"tfrs-models {command.name}",
        arguments=arguments,
    )
