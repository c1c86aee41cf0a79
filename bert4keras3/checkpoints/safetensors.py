"""Reads `.safetensors` without its library: 8 bytes of header length, a JSON header, then the data, mapped.

The library `safetensors` was tried: it reads no bfloat16 into NumPy, and a pairing has NumPy and its framework alone.
The format has no checksums. Therefore every byte of the data must belong to exactly one tensor, which detects a
truncated file.
"""

import json

from .checkpoint import Checkpoint
from .dtypes import byte_count, check_shape, decode, stored
from .errors import CheckpointError, damaged
from .lazy_array import LazyArray
from .mapped_file import MappedFile
from .wire import DecodeError

MAX_HEADER = 100000000  # the limit of the safetensors library
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "F16": "float16",
    "BF16": "bfloat16",
    "U32": "uint32",
    "I32": "int32",
    "F32": "float32",
    "U64": "uint64",
    "I64": "int64",
    "F64": "float64",
    "C64": "complex64",
}


class SafetensorsCheckpoint(Checkpoint):
    """One `.safetensors` file."""

    def __init__(self, path):
        self._file = MappedFile(path)
        try:
            self._data_start, self._entries = _read_entries(self._file)
        except (ValueError, RecursionError) as error:  # json raises both
            raise damaged(path, error) from error
        super().__init__(path, {name: shape for name, (_, shape, _, _) in self._entries.items()})

    def _read(self, name):
        return decode(*self._raw(name))

    def _read_lazily(self, name):
        raw, dtype, shape = self._raw(name)
        return LazyArray(stored(raw, dtype).reshape(shape), dtype, self._file.release)

    def _raw(self, name):
        """(uint8 view, name of the dtype, shape) of a variable."""
        kind, shape, begin, end = self._entries[name]
        if kind not in DTYPES:
            raise CheckpointError(
                f"'{self.path}': {name!r} has dtype {kind}, expected one of {', '.join(DTYPES)}. Convert it"
            )
        return self._file.view(self._data_start + begin, end - begin), DTYPES[kind], shape


def _read_entries(file):
    """(offset of the data, {name: (dtype, shape, begin, end)})."""
    if file.size < 8:
        raise DecodeError(f"{file.size} bytes long, expected at least 8")
    length = int.from_bytes(file.view(0, 8).tobytes(), "little")
    if length > min(MAX_HEADER, file.size - 8):
        raise DecodeError(f"a header of {length} bytes does not fit into {file.size} bytes")
    text = file.view(8, length).tobytes().decode("utf-8")
    header = json.loads(text, parse_int=_short_integer, object_pairs_hook=_without_duplicates)
    if not isinstance(header, dict):
        raise DecodeError("its header is not a JSON object")
    header.pop("__metadata__", None)
    entries = {name: _read_entry(name, fields) for name, fields in header.items()}
    position, data_size = 0, file.size - 8 - length
    for begin, end, name in sorted((begin, end, name) for name, (_, _, begin, end) in entries.items()):
        if begin != position or end > data_size:
            raise DecodeError(
                f"{name!r} lies at bytes {begin} to {end}, expected from {position} to {data_size} at most"
            )
        position = end
    if position != data_size:
        raise DecodeError(f"its tensors hold {position} of {data_size} bytes of data")
    return 8 + length, entries


def _read_entry(name, fields):
    try:
        kind, shape, (begin, end) = fields["dtype"], tuple(fields["shape"]), fields["data_offsets"]
    except (KeyError, TypeError, ValueError):
        raise DecodeError(f"{name!r} lacks dtype, shape or data_offsets") from None
    if not isinstance(kind, str) or any(type(number) is not int for number in shape + (begin, end)):
        raise DecodeError(f"{name!r} has a dtype, shape or offset of the wrong type")
    check_shape(shape)
    expected = byte_count(shape, DTYPES[kind]) if kind in DTYPES else end - begin
    if begin < 0 or end < begin or end - begin != expected:
        raise DecodeError(
            f"{name!r}, {kind} of shape {list(shape)}, takes {expected} bytes, got {begin} to {end}"
        )
    return kind, shape, begin, end


def _short_integer(digits):
    if len(digits) > 20:
        raise DecodeError("a number longer than 64 bits")
    return int(digits)


def _without_duplicates(pairs):
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise DecodeError("a name occurs twice in its header")
    return fields
