"""Raw bytes ↔ arrays.

NumPy has no bfloat16. It is read as float32, which is exact, and written from float32. A bfloat16 is the upper half
of a float32, so the conversion is a shift, with rounding when writing.
"""

import numpy as np

from .wire import DecodeError

# TensorFlow's DataType numbers. Strings, resources, quantized numbers and 8-bit floats cannot be read.
BUNDLE_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
BUNDLE_NUMBERS = {name: number for number, name in BUNDLE_DTYPES.items()}
FLOATS = ("float16", "bfloat16", "float32", "float64")

MAX_RANK = 32  # NumPy's limit before 2.0
MAX_BYTES = 1 << 60


def itemsize(dtype):
    return 2 if str(dtype) == "bfloat16" else np.dtype(dtype).itemsize


def check_shape(shape):
    """Raise DecodeError for a shape that no array can have."""
    if len(shape) > MAX_RANK:
        raise DecodeError(f"a shape of {len(shape)} dimensions, expected at most {MAX_RANK}")
    if any(length < 0 for length in shape):
        raise DecodeError(f"a negative length in shape {list(shape)}")
    if byte_count([max(length, 1) for length in shape], "complex128") > MAX_BYTES:
        raise DecodeError(f"shape {list(shape)} is larger than any file")


def byte_count(shape, dtype):
    """Bytes of an array, as an exact integer: np.prod would overflow."""
    count = itemsize(dtype)
    for length in shape:
        count *= length
    return count


def decode(raw, dtype, shape, byte_order="<"):
    """Read-only array from a uint8 view; without a copy if byte order and alignment allow it."""
    array = decoded(stored(raw, dtype, byte_order), dtype).reshape(shape)
    array.flags.writeable = False
    return array


def stored(raw, dtype, byte_order="<"):
    """A uint8 view as a flat array of what the file holds, in its byte order; bfloat16 as uint16."""
    return raw.view(np.dtype("u2" if dtype == "bfloat16" else dtype).newbyteorder(byte_order))


def decoded(array, dtype):
    """An array of `stored`, or a slice of it, as numbers that NumPy computes with."""
    if dtype == "bfloat16":
        return upcast_bfloat16(array)
    return array if array.dtype.isnative and array.flags.aligned else array.astype(dtype)


def readable_dtype(dtype):
    """The dtype of an array of `decoded`."""
    return np.dtype("float32" if dtype == "bfloat16" else dtype)


def encode(array, dtype=None):
    """(name of the dtype, little-endian bytes as a uint8 array); `dtype` converts arrays of floats only."""
    name = array.dtype.name
    if dtype is not None and name in FLOATS and name != dtype:
        array, name = _converted(without_bfloat16(array), dtype), dtype
    if name not in BUNDLE_NUMBERS:
        raise ValueError(f"dtype {name} is not one of {', '.join(sorted(BUNDLE_NUMBERS))}")
    flat = np.ascontiguousarray(array).reshape(-1)
    if name == "bfloat16":
        flat = flat.view("u2")
    return name, flat.astype(flat.dtype.newbyteorder("<"), copy=False).view(np.uint8)


def without_bfloat16(array):
    """Convert the bfloat16 that TensorFlow and JAX add to NumPy to float32; return any other array unchanged."""
    if array.dtype.name != "bfloat16":
        return array
    return upcast_bfloat16(np.ascontiguousarray(array).view("u2")).reshape(array.shape)


def upcast_bfloat16(bits):
    return np.left_shift(bits, 16, dtype=np.uint32).view(np.float32)


def round_to_bfloat16(array):
    """Bits (uint16) of the nearest bfloat16, ties to even; a NaN stays a NaN."""
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.where(
        np.isnan(bits.view(np.float32)), (bits >> np.uint32(16)) | np.uint32(0x40), rounded
    ).astype(np.uint16)


def _converted(array, dtype):
    """Convert to another dtype of floats (uint16 bits for bfloat16).

    Raises:
        ValueError: a finite value is too large for `dtype`.
    """
    with np.errstate(over="ignore"):
        converted = round_to_bfloat16(array) if dtype == "bfloat16" else array.astype(dtype)
    values = upcast_bfloat16(converted) if dtype == "bfloat16" else converted
    if np.any(np.isinf(values.reshape(array.shape)) & np.isfinite(array)):
        raise ValueError(f"a value is too large for {dtype}")
    return converted
