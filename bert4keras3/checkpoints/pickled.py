"""Reads PyTorch's `pytorch_model.bin`, a pickle with tensors, without PyTorch and without executing what it says.

The pickle names classes and functions. Here a name is only a label: `_Reader` knows the few labels of tensors, does
itself what they stand for, and refuses every other. Python's own reader in C would call what a label stands for, and
reserve memory for any number in the file. Both formats are read: a zip (PyTorch ≥ 1.6), and pickles before raw data.
"""

import pickle
import struct
import zipfile

import numpy as np

from .checkpoint import Checkpoint
from .dtypes import byte_count, check_shape, decode, itemsize, stored
from .errors import CheckpointError, damaged
from .lazy_array import LazyArray
from .mapped_file import MappedFile
from .wire import DecodeError

STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
    "torch.ComplexFloatStorage": "complex64",
}
DICTS = ("collections.OrderedDict", "torch.OrderedDict")
TENSORS = ("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2")
PARAMETER = "torch._utils._rebuild_parameter"
ALLOWED = {*STORAGES, *DICTS, *TENSORS, PARAMETER}
# What a pickle of protocol 2 to 4 needs for dicts, tuples, lists, text and numbers.
OPCODES = """
PROTO FRAME STOP MARK GLOBAL STACK_GLOBAL REDUCE BUILD BINPERSID NONE NEWTRUE NEWFALSE BININT BININT1 BININT2 LONG1
BINFLOAT BINUNICODE SHORT_BINUNICODE BINSTRING SHORT_BINSTRING EMPTY_TUPLE TUPLE TUPLE1 TUPLE2 TUPLE3 EMPTY_LIST APPEND
APPENDS EMPTY_DICT SETITEM SETITEMS BINPUT LONG_BINPUT BINGET LONG_BINGET MEMOIZE
""".split()
MAX_PICKLE = 1 << 24  # the pickle of a thousand tensors has 200 kB
ZIP = b"PK\3\4"
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


class Label:
    """The name of a class or function in a pickle."""

    def __init__(self, name):
        self.name = name


class Tensor:
    """Place of a tensor: a storage (key, dtype, number of items), and where in it the items are."""

    def __init__(self, storage, offset, shape, strides):
        self.storage, self.offset, self.shape, self.strides = storage, offset, tuple(shape), tuple(strides)
        numbers = (offset, *self.shape, *self.strides)
        if len(self.shape) != len(self.strides) or any(type(one) is not int or one < 0 for one in numbers):
            raise DecodeError(f"a tensor of shape {self.shape} with strides {self.strides} at {offset}")
        check_shape(self.shape)
        _, dtype, count = storage
        items = byte_count(self.shape, dtype) // itemsize(dtype)
        self.last = offset + sum((n - 1) * step for n, step in zip(self.shape, self.strides)) if items else 0
        if items > count or self.last >= max(count, 1):
            raise DecodeError(f"a tensor of shape {self.shape} in a storage of {count} items")


class _Bytes:
    """A part of a mapped file, as a file for `_Reader`."""

    def __init__(self, file, start, size):
        self.position, self._file, self._end = start, file, min(start + size, start + MAX_PICKLE)

    def read(self, count):
        if count < 0 or self.position + count > self._end:
            raise DecodeError("its pickle ends early, or is larger than that of any model")
        self.position += count
        return self._file.view(self.position - count, count).tobytes()

    def readline(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self.read(1)
        return line


class _Reader(pickle._Unpickler):
    """Reads one pickle; a label is never looked up, and nothing is called but the methods below."""

    dispatch = {
        code: pickle._Unpickler.dispatch[code] for code in (getattr(pickle, name)[0] for name in OPCODES)
    }

    def find_class(self, module, name):
        label = f"{module}.{name}"
        if label not in ALLOWED:
            raise Refused(label)
        return Label(label)

    def persistent_load(self, pid):
        kind, label, key, _, count = pid[:5]
        if kind != "storage" or label.name not in STORAGES or type(count) is not int or count < 0:
            raise DecodeError(f"a storage {pid!r}")
        if len(pid) > 5 and pid[5] is not None:
            raise DecodeError("a view of a storage, as PyTorch 0.3 wrote it")
        return str(key), STORAGES[label.name], count

    def load_reduce(self):
        arguments, label = self.stack.pop(), self.stack.pop()
        if label.name in DICTS:
            self.stack.append(dict(*arguments))
        elif label.name in TENSORS:
            self.stack.append(Tensor(*arguments[:4]))
        elif label.name == PARAMETER:
            self.stack.append(arguments[0])
        else:
            raise Refused(label.name)

    def load_build(self):
        self.stack.pop()  # attributes, which no tensor and no dict needs

    dispatch.update({pickle.REDUCE[0]: load_reduce, pickle.BUILD[0]: load_build})  # type: ignore[dict-item]


class Refused(Exception):
    """The label of a class or function that is not on the list."""


class PickledCheckpoint(Checkpoint):
    """One file that `torch.save` wrote from a dict of tensors."""

    def __init__(self, path):
        self.path, self._file, self._byte_order = path, MappedFile(path), "<"
        self._storages = {}  # key: (start, size in bytes)
        try:
            is_zip = self._file.size > 4 and self._bytes(0, 4) == ZIP
            tensors = self._read_zip() if is_zip else self._read_legacy()
            if not isinstance(tensors, dict):
                raise DecodeError("it holds no dict of tensors")
            self._tensors = {name: one for name, one in tensors.items() if isinstance(one, Tensor)}
            if not self._tensors or not all(isinstance(name, str) for name in self._tensors):
                raise DecodeError("it holds no tensors with names")
            for name, tensor in self._tensors.items():
                key, dtype, count = tensor.storage
                if count * itemsize(dtype) > self._storages.get(key, (0, -1))[1]:
                    raise DecodeError(f"the data of {name!r} is missing or too short")
        except Refused as error:
            raise CheckpointError(
                f"'{path}' asks for {str(error)!r}, which no file of weights needs. Nothing was executed. Take "
                "model.safetensors of the same release, or save the state_dict alone"
            ) from error
        except Exception as error:  # a pickle is a program: any part of it can be wrong
            raise damaged(path, error) from error
        super().__init__(path, {name: tensor.shape for name, tensor in self._tensors.items()})

    def _bytes(self, start, size):
        if start + size > self._file.size:
            raise DecodeError(f"it ends at {self._file.size}, before {start + size}")
        return self._file.view(start, size).tobytes()

    def _read_zip(self):
        """Read data.pkl, and find the place of each storage."""
        pickled = None
        with zipfile.ZipFile(self.path) as archive:
            for member in archive.infolist():
                folder, _, name = member.filename.partition("/")
                if member.compress_type != zipfile.ZIP_STORED:
                    raise DecodeError(f"{member.filename!r} is compressed, and PyTorch compresses nothing")
                start = member.header_offset
                header = self._bytes(start, 30)
                start += 30 + sum(struct.unpack("<HH", header[26:30]))
                if header[:4] != ZIP or start + member.file_size > self._file.size:
                    raise DecodeError(f"{member.filename!r} lies outside of it")
                if name.startswith("data/"):
                    self._storages[name[len("data/") :]] = start, member.file_size
                elif name == "data.pkl":
                    pickled = start, member.file_size
                elif name == "byteorder" and self._bytes(start, min(member.file_size, 6)) == b"big":
                    self._byte_order = ">"
        if pickled is None or pickled[1] > MAX_PICKLE:
            raise DecodeError("it has no data.pkl of a usual size")
        return _Reader(_Bytes(self._file, *pickled)).load()

    def _read_legacy(self):
        """Read the four pickles before the list of storages, whose data follow it."""
        file = _Bytes(self._file, 0, self._file.size)
        for expected in (MAGIC, PROTOCOL):
            if _Reader(file).load() != expected:
                raise DecodeError("it is not a file of torch.save")
        system = _Reader(file).load()
        if not system["little_endian"]:
            self._byte_order = ">"
        tensors, keys = _Reader(file).load(), _Reader(file).load()
        sizes = {
            one.storage[0]: itemsize(one.storage[1]) for one in tensors.values() if isinstance(one, Tensor)
        }
        position = file.position
        for key in map(str, keys):
            (count,) = struct.unpack(self._byte_order + "q", self._bytes(position, 8))
            size = count * sizes.get(key, 1)
            if key not in sizes or not 0 <= size <= self._file.size - position - 8:
                raise DecodeError(f"storage {key!r} of {count} items")
            self._storages[key] = position + 8, size
            position += 8 + size
        return tensors

    def _read(self, name):
        raw, dtype, tensor = self._raw(name)
        return _strided(decode(raw, dtype, -1, self._byte_order), tensor)

    def _read_lazily(self, name):
        raw, dtype, tensor = self._raw(name)
        return LazyArray(_strided(stored(raw, dtype, self._byte_order), tensor), dtype, self._file.release)

    def _raw(self, name):
        """(uint8 view from the first to the last item, name of the dtype, place) of a tensor."""
        tensor = self._tensors[name]
        key, dtype, _ = tensor.storage
        size = itemsize(dtype)
        count = tensor.last + 1 - tensor.offset if 0 not in tensor.shape else 0
        return self._file.view(self._storages[key][0] + tensor.offset * size, count * size), dtype, tensor


def _strided(items, tensor):
    strides = [step * items.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(items, tensor.shape, strides, writeable=False)
