"""Writes a TensorFlow V2 bundle of one shard, with one variable in memory at a time.

Both files are written under temporary names in the same folder, flushed to disk and then renamed, data first. An
error on the way leaves the old files unchanged. A power failure between the two renames leaves an old index with new
data; the checksums detect it.
"""

import contextlib
import os
import re
import uuid
from collections.abc import Mapping

import numpy as np

from .bundle import NEWEST_FORMAT, shard_path
from .checksum import masked_crc32c
from .dtypes import BUNDLE_NUMBERS, FLOATS, check_shape, encode
from .errors import CheckpointError, system_errors_named
from .table import write_table
from .wire import bytes_field, fixed32_field, varint_field

OTHER_FILE = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5}|npz|safetensors|h5|keras)$")


def write_bundle(path, variables, dtype=None):
    """Write `variables`, (name, array) pairs, to `path`.index and `path`.data-00000-of-00001."""
    dtype = _check_arguments(path, dtype)
    if isinstance(variables, Mapping):
        variables = variables.items()
    mark = f".{uuid.uuid4().hex}.tmp"
    data_path, index_path = shard_path(path, 0, 1), path + ".index"
    try:
        with contextlib.ExitStack() as stack:
            with system_errors_named(path, "write"):
                data_file = stack.enter_context(open(data_path + mark, "xb", buffering=0))
            entries = _write_data(data_file, path, variables, dtype)
            with system_errors_named(path, "write"):
                _flush(data_file)
        with system_errors_named(path, "write"):
            with open(index_path + mark, "xb") as index_file:
                index_file.write(write_table(sorted(entries.items())))
                _flush(index_file)
            _publish(data_path, index_path, mark)
    finally:
        for temporary in (data_path + mark, index_path + mark):
            if os.path.exists(temporary):
                os.remove(temporary)


def _check_arguments(path, dtype):
    folder, name = os.path.split(path)
    if not name:
        raise CheckpointError(f"'{path}' names no checkpoint. Give a prefix such as '{path}bert_model.ckpt'")
    if OTHER_FILE.search(name):
        raise CheckpointError(
            f"'{path}' looks like a file, expected the prefix of a TensorFlow checkpoint. "
            f"Give '{OTHER_FILE.sub('', path)}'"
        )
    if not os.path.isdir(folder or "."):
        raise CheckpointError(f"the folder of '{path}' does not exist. Create it first")
    for final in (shard_path(path, 0, 1), path + ".index"):
        if os.path.isdir(final):
            raise CheckpointError(
                f"'{final}' is a folder, but a file of this name has to be written. Choose another prefix"
            )
    if dtype is None:
        return None
    try:
        chosen = "bfloat16" if str(dtype) == "bfloat16" else np.dtype(dtype).name
    except (TypeError, ValueError):
        chosen = str(dtype)
    if chosen not in FLOATS:
        raise CheckpointError(
            f"cannot write '{path}' with dtype {dtype!r}, expected one of {', '.join(FLOATS)}"
        )
    return chosen


def _write_data(file, path, variables, dtype):
    """Write the arrays one after the other, and return {key: value} of the index."""
    version = varint_field(1, NEWEST_FORMAT)
    entries = {b"": varint_field(1, 1) + bytes_field(3, version)}
    offset = 0
    for item in variables:
        name, array = _check_item(path, item)
        key = name.encode("utf-8")
        if key in entries:
            raise CheckpointError(f"cannot write '{path}': two variables named {name!r}. Give each name once")
        try:
            array = np.asarray(array)
            check_shape(array.shape)
            kind, raw = encode(array, dtype)
        except (TypeError, ValueError) as error:
            raise CheckpointError(f"cannot write {name!r} to '{path}': {error}. Convert it first") from error
        with system_errors_named(path, "write"):
            _write_all(file, raw)
        entries[key] = _entry(kind, array.shape, offset, raw)
        offset += raw.size
        del item, array, raw  # otherwise two arrays would be in memory
    if len(entries) == 1:
        raise CheckpointError(f"cannot write '{path}': there are no variables to save")
    return entries


def _check_item(path, item):
    try:
        name, array = item
    except (TypeError, ValueError) as error:
        kind = type(item).__name__
        raise CheckpointError(f"cannot write '{path}': expected (name, array) pairs, got a {kind}") from error
    try:
        valid = bool(name) and not name.startswith("\0") and bool(name.encode("utf-8"))
    except (AttributeError, TypeError, UnicodeEncodeError):
        valid = False
    if not valid:
        raise CheckpointError(f"cannot write '{path}': {name!r} is not a name. Give non-empty text")
    return name, array


def _entry(dtype, shape, offset, raw):
    """BundleEntryProto."""
    dimensions = b"".join(bytes_field(2, varint_field(1, length)) for length in shape)
    return (
        varint_field(1, BUNDLE_NUMBERS[dtype])
        + bytes_field(2, dimensions)
        + varint_field(4, offset)
        + varint_field(5, raw.size)
        + fixed32_field(6, masked_crc32c(raw))
    )


def _write_all(file, raw):
    """Write to an unbuffered file, so that closing the file has nothing to flush and cannot fail."""
    rest = memoryview(raw)
    while rest:
        rest = rest[file.write(rest) :]


def _flush(file):
    file.flush()
    os.fsync(file.fileno())


def _publish(data_path, index_path, mark):
    """Rename data, then index; restore the old data if the index cannot be renamed."""
    aside = data_path + mark + "-old"
    try:
        if os.path.exists(data_path):
            os.replace(data_path, aside)
        os.replace(data_path + mark, data_path)
        os.replace(index_path + mark, index_path)
    except BaseException:
        if os.path.exists(aside):
            os.replace(aside, data_path)
        elif not os.path.exists(data_path + mark):
            os.remove(data_path)
        raise
    if os.path.exists(aside):
        os.remove(aside)
    if hasattr(os, "O_DIRECTORY"):
        _flush_folder(os.path.dirname(data_path) or ".")


def _flush_folder(folder):
    """Flush the renames to disk if the file system can do so."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
