"""What TensorFlow alone brings: the operations of a server without custom libraries."""

import functools
import subprocess
import sys

import tensorflow as tf
from tensorflow.core.framework import op_def_pb2

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
