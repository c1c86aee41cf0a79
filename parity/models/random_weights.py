"""Random weights by the name of the variable: the same on every machine, so that none need a file.

Of real size, so that every mistake shows: kernels keep the scale of what they multiply, gammas stand around 1, betas
and biases around 0 but not at it.
"""

import hashlib
import zlib

import numpy as np

from parity.models.variables import release_variables


def random_value(name, shape):
    random = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    if name == "global_step":
        return np.int64(1000000)
    if name.endswith(("gamma", "scale")):
        return random.normal(1.0, 0.15, shape).astype("float32")
    if len(shape) == 1 or name.endswith("bias"):
        return random.normal(0.0, 0.2, shape).astype("float32")
    if "embed" in name and "kernel" not in name:
        return random.normal(0.0, 0.6, shape).astype("float32")
    fan_in = shape[-1] if name == "cls/seq_relationship/output_weights" else shape[0]
    return random.normal(0.0, fan_in**-0.5, shape).astype("float32")


class RandomVariable:
    """An array that is made when NumPy asks for it, and remembers its checksum."""

    def __init__(self, name, shape):
        self.name = name
        self.shape = shape
        self.checksum = None

    def __array__(self, dtype=None, copy=None):
        value = random_value(self.name, self.shape)
        self.checksum = zlib.crc32(value.tobytes())
        return value if dtype is None else value.astype(dtype)


def release_weights(release):
    """{name: RandomVariable} of all variables of a release."""
    return {name: RandomVariable(name, shape) for name, shape in release_variables(release)}


def digest(weights):
    """Digest of the variables that were read: equal where both sides had the same numbers."""
    used = sorted((one.name, one.checksum) for one in weights.values() if one.checksum is not None)
    return hashlib.sha256(repr(used).encode()).hexdigest()
