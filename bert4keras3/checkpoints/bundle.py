"""Reads TensorFlow's V2 checkpoints ("bundles") without TensorFlow.

`X.index` is a table. Its key "" holds a header. Every other key is the name of a variable and holds dtype, shape,
shard, offset, size and checksum. The bytes are in `X.data-0000i-of-0000n`. The entry of a partitioned variable lists
slices instead; each slice has its own entry, under a key that begins with a zero byte.
"""

import os
from typing import NamedTuple

import numpy as np

from .checkpoint import Checkpoint
from .checksum import masked_crc32c
from .dtypes import BUNDLE_DTYPES, byte_count, check_shape, decode, stored
from .errors import CheckpointError, damaged
from .lazy_array import LazyArray
from .mapped_file import MappedFile
from .table import read_table
from .wire import DecodeError, Message, ordered_number, ordered_signed, ordered_string, read_varint

FULL_EXTENT = -1
NEWEST_FORMAT = 1
STRING = 7  # TensorFlow's number of the dtype
CHECKSUM_SIZE = 4
MAX_SLICES = 10000  # all pairs of slices are compared


class Entry(NamedTuple):
    """Place of a variable, or of one slice of a variable."""

    dtype: int
    shape: tuple
    shard: int
    offset: int
    size: int
    checksum: int
    slices: list  # for each slice a list of (start, length), one for each dimension; empty if not partitioned


def shard_path(prefix, shard, shards):
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


class BundleCheckpoint(Checkpoint):
    """`X.index` and its data shards. Opening reads the index and checks the sizes of the shards."""

    def __init__(self, path):
        self._index_path = path + ".index"
        table = read_table(self._index_path)
        try:
            if b"" not in table:
                raise DecodeError("it has no header")
            self._shards, self._byte_order = _read_header(table.pop(b""))
            entries = {key: _read_entry(value) for key, value in table.items()}
            names = {
                key.decode("utf-8"): entry for key, entry in entries.items() if not key.startswith(b"\0")
            }
        except (DecodeError, UnicodeDecodeError) as error:
            raise damaged(self._index_path, error) from error
        self._entries = names
        self._slices = {key: entry for key, entry in entries.items() if key.startswith(b"\0")}
        self._files = {}
        super().__init__(path, {name: entry.shape for name, entry in names.items()})
        for key, entry in entries.items():
            if not entry.slices:
                self._check_place(_plain_name(key), entry)

    def _read(self, name):
        entry, dtype = self._entry(name)
        if entry.slices:
            return self._assemble(name, entry, dtype)
        return self._read_piece(name, entry, dtype)

    def _read_lazily(self, name):
        entry, dtype = self._entry(name)
        if entry.slices:
            return self._assemble(name, entry, dtype)
        raw = self._raw(name, entry, dtype)
        release = self._files[entry.shard].release
        return LazyArray(stored(raw, dtype, self._byte_order).reshape(entry.shape), dtype, release)

    def _verify(self, name):
        entry, dtype = self._entry(name)
        if not entry.slices:  # they are verified when they are read
            self._check_piece(name, entry, self._raw(name, entry, dtype))
            self._files[entry.shard].release()

    def _entry(self, name):
        """(entry, name of its dtype) of a variable."""
        entry = self._entries[name]
        dtype = BUNDLE_DTYPES.get(entry.dtype)
        if dtype is None:
            kind = "strings" if entry.dtype == STRING else f"TensorFlow's dtype number {entry.dtype}"
            raise CheckpointError(
                f"'{self.path}': {name!r} holds {kind}, which are listed but not read. Use TensorFlow"
            )
        return entry, dtype

    def read_string(self, name: str) -> bytes:
        """The bytes of a variable that is one string."""
        self._require(name)
        entry = self._entries[name]
        if entry.dtype != STRING or entry.shape or entry.slices:
            raise CheckpointError(f"'{self.path}': {name!r} is not one string. Read it with checkpoint[name]")
        file = self._files[entry.shard]
        raw = file.view(entry.offset, entry.size).tobytes()
        try:
            length, start = read_varint(raw, 0)
        except DecodeError as error:
            raise damaged(file.path, f"{name!r}: {error}") from error
        text = raw[start + CHECKSUM_SIZE :]
        # TensorFlow's checksum covers the length as a fixed-width integer, not as the varint in the file.
        checked = length.to_bytes(4 if length < 1 << 32 else 8, "little") + raw[start:]
        if len(text) != length or masked_crc32c(checked) != entry.checksum:
            raise damaged(file.path, f"the length or the checksum of {name!r} is wrong")
        return text

    def _check_place(self, name, entry):
        """Raise CheckpointError unless the entry's bytes are inside an existing shard."""
        if not 0 <= entry.shard < self._shards:
            raise damaged(self._index_path, f"{name!r} lies in shard {entry.shard} of {self._shards}")
        data_path = shard_path(self.path, entry.shard, self._shards)
        if entry.shard not in self._files:
            if not os.path.isfile(data_path):
                raise CheckpointError(
                    f"'{data_path}' is missing; '{self._index_path}' says that it contains {name!r}. "
                    f"Put all {self._shards} data file(s) next to the index"
                )
            self._files[entry.shard] = MappedFile(data_path)
        end, file_size = entry.offset + entry.size, self._files[entry.shard].size
        if entry.offset < 0 or entry.size < 0 or end > file_size:
            raise damaged(
                data_path, f"{name!r} lies at bytes {entry.offset} to {end}, but the file has {file_size}"
            )

    def _read_piece(self, name, entry, dtype):
        raw = self._raw(name, entry, dtype)
        self._check_piece(name, entry, raw)
        return decode(raw, dtype, entry.shape, self._byte_order)

    def _raw(self, name, entry, dtype):
        """uint8 view of a variable or slice."""
        expected = byte_count(entry.shape, dtype)
        if entry.size != expected:
            reason = (
                f"{name!r}, {dtype} of shape {list(entry.shape)}, takes {expected} bytes, got {entry.size}"
            )
            raise damaged(self._index_path, reason)
        return self._files[entry.shard].view(entry.offset, entry.size)

    def _check_piece(self, name, entry, raw):
        if masked_crc32c(raw) != entry.checksum:
            raise damaged(self._files[entry.shard].path, f"the checksum of {name!r} is wrong")

    def _assemble(self, name, entry, dtype):
        """Read all slices of a partitioned variable into one array."""
        try:
            ranges = _slice_ranges(entry)
        except DecodeError as error:
            raise damaged(self._index_path, f"{name!r}: {error}") from error
        pieces = [self._find_slice(name, entry, extents) for extents in entry.slices]
        if byte_count(entry.shape, dtype) > sum(file.size for file in self._files.values()):
            raise damaged(
                self._index_path, f"{name!r} of shape {list(entry.shape)} is larger than all data files"
            )
        whole = None
        for (start, stop), piece in zip(ranges, pieces):
            if piece.dtype != entry.dtype or piece.shape != tuple(stop - start):
                raise damaged(
                    self._index_path, f"a slice of {name!r} has another dtype or shape than the whole"
                )
            part = self._read_piece(name, piece, dtype)
            if whole is None:
                whole = np.empty(entry.shape, part.dtype)
            whole[tuple(map(slice, start, stop))] = part
        whole.flags.writeable = False
        return whole

    def _find_slice(self, name, entry, extents):
        key = ordered_number(0) + ordered_string(name.encode("utf-8")) + ordered_number(len(entry.shape))
        for start, length in extents:
            key += ordered_signed(start) + ordered_signed(length)
        piece = self._slices.get(key)
        if piece is None or piece.slices:
            raise damaged(self._index_path, f"the slice {extents} of {name!r} is missing")
        return piece


def _plain_name(key):
    """Name of the variable for a key, which may be the key of a slice; for messages."""
    return key.lstrip(b"\0").split(b"\0")[0].decode("utf-8", "replace")


def _slice_ranges(entry):
    """[(start, stop)] of the slices, as arrays over the dimensions; raise DecodeError if they leave gaps or overlap."""
    shape = np.array(entry.shape, np.int64)
    if len(entry.slices) > MAX_SLICES:
        raise DecodeError(f"{len(entry.slices)} slices, expected at most {MAX_SLICES}")
    if any(len(extents) != len(shape) for extents in entry.slices):
        raise DecodeError("a slice has another number of dimensions than the whole")
    extents = np.array(entry.slices, np.int64).reshape(len(entry.slices), len(shape), 2)
    starts = extents[:, :, 0]
    lengths = np.where(extents[:, :, 1] == FULL_EXTENT, shape, extents[:, :, 1])
    if (
        np.any(starts < 0)
        or np.any(lengths < 0)
        or np.any(starts > shape)
        or np.any(lengths > shape - starts)
    ):
        raise DecodeError("a slice lies outside of the whole")
    stops = starts + lengths
    for index in range(len(starts)):
        others = slice(index + 1, None)
        overlaps = (starts[index] < stops[others]) & (starts[others] < stops[index])
        if np.any(np.all(overlaps, axis=1)):
            raise DecodeError("its slices overlap")
    covered, expected = (
        sum(byte_count(row, "uint8") for row in lengths.tolist()),
        byte_count(entry.shape, "uint8"),
    )
    if covered != expected:
        raise DecodeError(f"its slices hold {covered} of {expected} elements")
    return list(zip(starts, stops))


def _read_header(value):
    """(number of shards, byte order) of BundleHeaderProto."""
    header = Message(value)
    shards, endianness, oldest_reader = header.integer(1), header.integer(2), header.message(3).integer(2)
    if shards < 1 or endianness not in (0, 1):
        raise DecodeError(f"its header claims {shards} shards and byte order {endianness}")
    if oldest_reader > NEWEST_FORMAT:
        raise DecodeError(f"it is of format {oldest_reader}, expected at most {NEWEST_FORMAT}")
    return shards, "<>"[endianness]


def _read_entry(value):
    """Entry of BundleEntryProto."""
    message = Message(value)
    shape = message.message(2)
    if shape.integer(3):
        raise DecodeError("a variable of unknown rank")
    lengths = tuple(dimension.integer(1) for dimension in shape.messages(2))
    check_shape(lengths)
    slices = [[_read_extent(extent) for extent in part.messages(1)] for part in message.messages(7)]
    numbers = [message.integer(number) for number in (1, 3, 4, 5, 6)]
    return Entry(numbers[0], lengths, *numbers[1:], slices)


def _read_extent(extent):
    return extent.integer(1), extent.integer(2) if 2 in extent else FULL_EXTENT
