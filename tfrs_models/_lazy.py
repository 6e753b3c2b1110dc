"""Names that a package imports when they are first used (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping

from tfrs_models._advice import missing


def lookup(package: str, modules: Mapping[str, str]) -> Callable[[str], object]:
    """Makes the `__getattr__` of a package.

    Args:
      package: dotted name of the package.
      modules: name -> dotted name of the module that defines it, or that it is.

    Returns:
      A function that imports a name, and ends in advice for a name of upstream's.
    """

    def find(name: str) -> object:
        if name not in modules:
            raise missing(package, name)
        module = importlib.import_module(modules[name])
        is_module = modules[name] == f"{package}.{name}"
        value = module if is_module else getattr(module, name)
        setattr(sys.modules[package], name, value)  # so that it is found without this
        return value

    return find
