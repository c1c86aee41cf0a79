"""The sorted table of byte strings, LevelDB's file format, that TensorFlow uses for a bundle's index.

    data blocks … · metaindex block · index block · footer (two block handles, padding, magic: 48 bytes)
    block  = entries · restart offsets · their count, then a type byte and a masked CRC-32C
    entry  = bytes shared with the previous key · further key bytes · value length · key bytes · value
    handle = offset · size, as varints

The index block maps the last key of each data block to its handle.
"""

import os
import struct

from .checksum import masked_crc32c
from .errors import damaged
from .wire import DecodeError, read_varint, write_varint

MAGIC = struct.pack("<Q", 0xDB4775248B80FB57)
FOOTER_SIZE = 48
TRAILER_SIZE = 5
BLOCK_SIZE = 1 << 18  # size at which the writer begins a new block, as in TensorFlow
MAX_BLOCK_SIZE = 1 << 26
RESTART_INTERVAL = 16
NO_COMPRESSION, SNAPPY = 0, 1


def is_table(path):
    """Whether the file ends with a table's magic number."""
    if os.path.getsize(path) < FOOTER_SIZE:
        return False
    with open(path, "rb") as file:
        file.seek(-len(MAGIC), os.SEEK_END)
        return file.read() == MAGIC


def read_table(path):
    """{key: value} in the order of keys; the checksum of every block is checked."""
    try:
        with open(path, "rb") as file:
            return dict(_entries_of_file(file, os.fstat(file.fileno()).st_size))
    except DecodeError as error:
        raise damaged(path, error) from error


def write_table(entries):
    """Bytes of a table; `entries` are (key, value) pairs in increasing order of keys."""
    file, index, block, last_key = bytearray(), [], [], b""
    size = 0
    for key, value in entries:
        block.append((key, value))
        size += len(key) + len(value)
        last_key = key
        if size >= BLOCK_SIZE:
            index.append((last_key, _append_block(file, block)))
            block, size = [], 0
    if block:
        index.append((last_key, _append_block(file, block)))
    metaindex_handle = _append_block(file, [])
    index_handle = _append_block(file, index, restart_interval=1)
    footer = metaindex_handle + index_handle
    file += footer.ljust(FOOTER_SIZE - len(MAGIC), b"\0") + MAGIC
    return bytes(file)


def _entries_of_file(file, file_size):
    if file_size < FOOTER_SIZE:
        raise DecodeError(f"{file_size} bytes long, expected at least {FOOTER_SIZE}")
    file.seek(file_size - FOOTER_SIZE)
    footer = file.read(FOOTER_SIZE)
    if footer[-len(MAGIC) :] != MAGIC:
        raise DecodeError("it does not end like an index; it is cut off or of another format")
    _, position = _read_handle(footer, 0)
    index_handle, _ = _read_handle(footer, position)
    previous = None
    for _, value in _entries_of_block(_read_block(file, file_size, index_handle)):
        handle, _ = _read_handle(value, 0)
        for key, value in _entries_of_block(_read_block(file, file_size, handle)):
            if previous is not None and key <= previous:
                raise DecodeError("its keys are out of order")
            previous = key
            yield key, value


def _read_handle(buffer, position):
    offset, position = read_varint(buffer, position)
    size, position = read_varint(buffer, position)
    return (offset, size), position


def _read_block(file, file_size, handle):
    offset, size = handle
    if offset + size + TRAILER_SIZE > file_size - FOOTER_SIZE or size > MAX_BLOCK_SIZE:
        raise DecodeError(f"a block of {size} bytes at {offset} does not fit into {file_size} bytes")
    file.seek(offset)
    block = file.read(size + TRAILER_SIZE)
    if len(block) != size + TRAILER_SIZE:
        raise DecodeError("it became shorter while it was read")
    content, kind, (checksum,) = block[:size], block[size], struct.unpack("<I", block[size + 1 :])
    if masked_crc32c(block[: size + 1]) != checksum:
        raise DecodeError(f"the checksum of the block at {offset} is wrong")
    if kind == SNAPPY:
        raise DecodeError(
            "its blocks are compressed with Snappy, which TensorFlow's Saver never does; save it again"
        )
    if kind != NO_COMPRESSION:
        raise DecodeError(f"a block of unknown kind {kind}")
    return content


def _entries_of_block(block):
    if len(block) < 4:
        raise DecodeError("an empty block")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise DecodeError("a block has more restarts than bytes")
    # Every 16th key is stored whole, so the total length of all keys is bounded by the size of the block.
    budget = 4 * RESTART_INTERVAL * len(block)
    key, position = b"", 0
    while position < end:
        shared, position = read_varint(block, position)
        unshared, position = read_varint(block, position)
        length, position = read_varint(block, position)
        if shared > len(key) or unshared + length > end - position:
            raise DecodeError("an entry runs past its block")
        key = key[:shared] + block[position : position + unshared]
        position += unshared
        budget -= len(key)
        if budget < 0:
            raise DecodeError("its keys are longer than its block allows")
        yield key, block[position : position + length]
        position += length


def _append_block(file, entries, restart_interval=RESTART_INTERVAL):
    """Append a block and return its handle."""
    block, restarts, previous = bytearray(), [], b""
    for count, (key, value) in enumerate(entries):
        shared = 0
        if count % restart_interval == 0:
            restarts.append(len(block))
        else:
            shared = len(os.path.commonprefix([previous, key]))
        block += write_varint(shared) + write_varint(len(key) - shared) + write_varint(len(value))
        block += key[shared:] + value
        previous = key
    restarts = restarts or [0]
    block += struct.pack(f"<{len(restarts) + 1}I", *(restarts + [len(restarts)]))
    handle = write_varint(len(file)) + write_varint(len(block))
    block.append(NO_COMPRESSION)
    file += block
    file += struct.pack("<I", masked_crc32c(bytes(block)))
    return handle
