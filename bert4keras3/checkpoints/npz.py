"""Reads `.npz`, NumPy's zip of arrays; opening reads the zip's directory and the header of each array only.

zipfile and numpy raise a dozen kinds of exceptions on bad input and do not document them. So this file catches every
Exception and raises CheckpointError.
"""

import zipfile

import numpy as np

from .checkpoint import Checkpoint
from .dtypes import byte_count
from .errors import CheckpointError, damaged
from .wire import DecodeError

MAX_DEFLATE_RATIO = 1040  # deflate cannot compress more, so a larger ratio means a damaged file
NUMBERS = "biufc"  # kinds of dtype; NumPy reads a bfloat16 of ml_dtypes as void
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class NpzCheckpoint(Checkpoint):
    """One `.npz` file, as numpy.savez writes it."""

    def __init__(self, path):
        try:
            self._archive = zipfile.ZipFile(path)
            self._members, shapes = {}, {}
            for member in self._archive.infolist():
                name = member.filename[: -len(".npy")]
                if not member.filename.endswith(".npy") or name in shapes:
                    raise DecodeError(f"{member.filename!r} is not an array or occurs twice")
                shapes[name], self._members[name] = self._read_shape(name, member), member
        except Exception as error:
            raise damaged(path, error) from error
        super().__init__(path, shapes)

    def _read_shape(self, name, member):
        if member.file_size > MAX_DEFLATE_RATIO * (member.compress_size + 1):
            raise DecodeError(f"{name!r} claims to be {member.file_size} bytes long")
        with self._archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            if version not in HEADER_READERS:
                raise DecodeError(f"{name!r} has version {version} of NumPy's format")
            shape, _, dtype = HEADER_READERS[version](file)
            if not dtype.hasobject and file.tell() + byte_count(shape, dtype) != member.file_size:
                raise DecodeError(
                    f"{name!r}, {dtype} of shape {list(shape)}, does not fit its {member.file_size} bytes"
                )
        return tuple(shape)

    def _read(self, name):
        try:
            with self._archive.open(self._members[name]) as file:
                array = np.lib.format.read_array(file, allow_pickle=False)
            if array.dtype.kind not in NUMBERS:
                raise DecodeError(f"it holds {array.dtype}, not numbers")
        except Exception as error:
            raise CheckpointError(
                f"cannot read {name!r} of '{self.path}': {error}. Save it again with a numeric dtype of NumPy"
            ) from error
        array.flags.writeable = False
        return array
