"""What a SavedModel needs of the server that loads it."""

import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2
from tensorflow.core.protobuf import saved_model_pb2

# Registered everywhere, but their kernels are in the Python process that made them.
_PYTHON_OPS = {"EagerPyFunc", "PyFunc", "PyFuncStateless"}
_COMPILED = "_XlaMustCompile"


class CustomOpsError(ValueError):
    """The model needs more than stock TensorFlow Serving has."""


class Needs(NamedTuple):
    """What stands between a SavedModel and a stock server; nothing where all empty."""

    ops: tuple[str, ...]
    """Names of all operations, those of functions included, ascending."""
    custom_ops: tuple[str, ...]
    """Those that TensorFlow alone does not have."""
    python_ops: tuple[str, ...]
    """Those that call back into Python: no server can."""
    compiled_functions: tuple[str, ...]
    """Functions that must be compiled by XLA (`jit_compile=True`)."""

    def reasons(self) -> list[str]:
        """What the server needs, in words."""
        reasons = []
        if self.custom_ops:
            names = ", ".join(self.custom_ops)
            reasons.append(f"the library of the custom operations {names}")
        if self.python_ops:
            names = ", ".join(self.python_ops)
            reasons.append(f"the Python process that made {names}: no server has it")
        if self.compiled_functions:
            names = ", ".join(self.compiled_functions)
            reasons.append(
                f"--xla_cpu_compilation_enabled=true for functions with jit_compile, "
                f"{names}"
            )
        return reasons


def preflight(directory: str | os.PathLike) -> Needs:
    """Reads what a SavedModel needs out of its graphs and their function library."""
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(Path(directory, "saved_model.pb").read_bytes())
    ops, functions, compiled = set(), set(), set()
    for meta_graph in saved.meta_graphs:
        graph = meta_graph.graph_def
        nodes = [*graph.node]
        for function in graph.library.function:
            functions.add(function.signature.name)
            nodes += function.node_def
            if _COMPILED in function.attr and function.attr[_COMPILED].b:
                compiled.add(_plain(function.signature.name))
        ops.update(node.op for node in nodes)
    ops -= functions  # a call may name its function in place of an operation
    return Needs(
        ops=tuple(sorted(ops)),
        custom_ops=tuple(sorted(ops - stock_ops() - _PYTHON_OPS)),
        python_ops=tuple(sorted(ops & _PYTHON_OPS)),
        compiled_functions=tuple(sorted(compiled)),
    )


def check_stock(needs: Needs) -> None:
    """Refuses what stock TensorFlow Serving cannot run.

    Raises:
      CustomOpsError: with the operations and what to do.
    """
    if reasons := needs.reasons():
        raise CustomOpsError(
            f"Stock TensorFlow Serving cannot run this model. It needs "
            f"{'; '.join(reasons)}. Export stock operations only (an exact "
            "`layers.BruteForce` in place of `layers.ScaNN`, TensorFlow in place of "
            "`tf.py_function`, no `jit_compile`), or build such a server and pass "
            "`allow_custom_ops=True`."
        )


def _plain(function: str) -> str:
    """`__inference_double_17` is called `double`."""
    return function.removeprefix("__inference_").rstrip("0123456789").rstrip("_")


# A process of its own: this one may have loaded custom libraries, as `import scann`
# does, and the registry does not say where an operation came from. TensorFlow's C
# library alone loads in a third of a second.
_SCRIPT = """
import ctypes, glob, sys

class Buffer(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("length", ctypes.c_size_t)]

for name in ("framework", "cc"):
    path = sorted(glob.glob(f"{sys.argv[1]}/libtensorflow_{name}.*"))[0]
    library = ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
library.TF_GetAllOpList.restype = ctypes.POINTER(Buffer)
ops = library.TF_GetAllOpList().contents
sys.stdout.buffer.write(ctypes.string_at(ops.data, ops.length))
"""


@functools.cache
def stock_ops() -> frozenset[str]:
    """Names of the operations of the installed TensorFlow, without loaded libraries.

    The Python package registers a hundred more (of TensorFlow Lite, DTensor and tests)
    that are not in its C++ library, and so not in a server.
    """
    child = subprocess.run(
        [sys.executable, "-c", _SCRIPT, tf.sysconfig.get_lib()],
        capture_output=True,
        check=True,
    )
    registered = op_def_pb2.OpList.FromString(child.stdout)
    return frozenset(op.name for op in registered.op)
