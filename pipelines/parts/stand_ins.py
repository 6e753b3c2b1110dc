"""Stand-ins for large packages, for programs that print a help page and end.

A help page needs flags, their defaults and their texts. The modules that define them
import TensorFlow, pandas and others for the work that follows. While a help page is
made, an object that accepts everything stands for each of these packages, and a page
takes a second instead of many.
"""

import importlib.machinery
import sys
import types
from collections.abc import Iterator, Sequence

# Of this package, the modules that work with TensorFlow as soon as they are imported.
PACKAGES = {
    "implicit",
    "ipykernel",
    "jinja2",
    "matplotlib",
    "nbclient",
    "nbformat",
    "pandas",
    "pyarrow",
    "scipy",
    "tensorflow",
    "tensorflow_recommenders",
    "tf_keras",
    "tfrs_models._autograph",
    "tfrs_models._keras",
    "tqdm",
}


class Anything:
    """Stands for a class, function or number of a package that is not imported."""

    def __getattr__(self, name: str) -> "Anything":
        if name.startswith("__") and name != "__internal__":  # a name of TensorFlow
            raise AttributeError(name)
        return ANYTHING

    def __call__(self, *args: object, **_: object) -> object:
        """Returns what a decorator is given, and otherwise the stand-in."""
        return args[0] if args and callable(args[0]) else self

    def __mro_entries__(self, bases: tuple) -> tuple:
        """Stands for no class among the bases of a class."""
        return ()

    def __iter__(self) -> Iterator:
        return iter(())

    def _itself(self, *_: object) -> "Anything":
        return self

    __or__ = __ror__ = __getitem__ = __neg__ = _itself


ANYTHING = Anything()


class _Module(types.ModuleType):
    """A module whose every name is `ANYTHING`."""

    def __getattr__(self, name: str) -> Anything:
        return getattr(ANYTHING, name)


class _Finder:
    """Finds every module of `PACKAGES`, and makes it without reading a file."""

    @classmethod
    def find_spec(cls, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        if not {name, name.partition(".")[0]} & PACKAGES:
            return None
        return importlib.machinery.ModuleSpec(name, cls, is_package=True)

    @staticmethod
    def create_module(spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Module(spec.name)

    @staticmethod
    def exec_module(module: types.ModuleType) -> None:
        """Leaves the module empty."""


def install_for_help(arguments: Sequence[str]) -> None:
    """Makes all later imports of `PACKAGES` stand-ins, if a help page is all there is.

    The program must end after it: what it imports from here on cannot be used.

    Args:
      arguments: arguments that the user typed.
    """
    if {"-h", "--help"} & {*arguments} and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
