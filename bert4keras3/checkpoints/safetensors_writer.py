"""Writes a folder of Hugging Face: `model.safetensors` or its shards, and small files.

All files are written into a folder beside the old ones and then renamed, so an error on the way leaves the old files
unchanged. One array is in memory at a time: names, dtypes and shapes are known before the first array is asked for.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import uuid
from typing import Any, Iterable, NamedTuple

from .bundle_writer import _flush, _flush_folder, _write_all
from .dtypes import byte_count, encode
from .errors import CheckpointError, system_errors_named
from .safetensors import DTYPES

KINDS = {dtype: kind for kind, dtype in DTYPES.items()}
INDEX = ".safetensors.index.json"
WEIGHTS = re.compile(r"^(\w+?)(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$")
SIZE = re.compile(r"^(\d+)\s*([KMG]?)(I?)B$", re.I)


class Spec(NamedTuple):
    """One tensor of a file to write."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Size in bytes."""
        return byte_count(self.shape, self.dtype)


def write_folder(
    folder: str,
    specs: list[Spec],
    arrays: Iterable[tuple[str, Any]],
    texts: dict[str, str | bytes],
    max_shard_size: int | str = "5GB",
    stem: str = "model",
) -> None:
    """Write weights and texts into a folder, which is created.

    Args:
        folder: the folder.
        specs: all tensors.
        arrays: (name, array) pairs in the order of `specs`, for instance a generator.
        texts: {name of another file: its content}.
        max_shard_size: bytes of a file at most, as a number or as text such as "5GB"; a larger tensor has its own file.
        stem: of the names of the files of weights.

    Raises:
        CheckpointError: a file cannot be written. Exceptions of `arrays` pass through.
    """
    shards = _shards(specs, _bytes_of(max_shard_size))
    names = [f"{stem}-{i + 1:05d}-of-{len(shards):05d}.safetensors" for i in range(len(shards))]
    if len(shards) == 1:
        names = [f"{stem}.safetensors"]
    else:
        places = {spec.name: name for name, shard in zip(names, shards) for spec in shard}
        index = {"metadata": {"total_size": sum(spec.size for spec in specs)}, "weight_map": places}
        texts = dict(texts, **{stem + INDEX: json.dumps(index, indent=2) + "\n"})
    beside, arrays = os.path.join(folder, f".{uuid.uuid4().hex}.tmp"), iter(arrays)
    with system_errors_named(folder, "write"):
        os.makedirs(beside)
    try:
        for name, shard in zip(names, shards):
            _write_file(os.path.join(beside, name), shard, arrays)
        with system_errors_named(folder, "write"):
            for name, text in texts.items():
                with open(os.path.join(beside, name), "wb") as file:
                    file.write(text.encode("utf-8") if isinstance(text, str) else text)
                    _flush(file)
            for name in [*names, *texts]:
                os.replace(os.path.join(beside, name), os.path.join(folder, name))
            for name in os.listdir(folder):  # of a model that was here before
                weights = WEIGHTS.match(name)
                if weights and weights[1] == stem and name not in names and name not in texts:
                    os.remove(os.path.join(folder, name))
            _flush_folder(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _write_file(path, specs, arrays):
    """Write one `.safetensors` with the next arrays."""
    header, position = {"__metadata__": {"format": "pt"}}, 0
    for spec in specs:
        place = [position, position + spec.size]
        header[spec.name] = {"dtype": KINDS[spec.dtype], "shape": list(spec.shape), "data_offsets": place}
        position += spec.size
    text = json.dumps(header, separators=(",", ":")).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the data are aligned
    with system_errors_named(path, "write"):
        file = open(path, "xb", buffering=0)
    with file:
        with system_errors_named(path, "write"):
            _write_all(file, len(text).to_bytes(8, "little") + text)
        for spec in specs:
            name, array = next(arrays)
            dtype, raw = encode(array, spec.dtype)
            if (name, dtype, tuple(array.shape)) != spec:
                raise CheckpointError(
                    f"cannot write '{path}': expected {spec}, got {name!r}, {dtype}, {array.shape}"
                )
            with system_errors_named(path, "write"):
                _write_all(file, raw)
            del array, raw  # otherwise two arrays would be in memory
        with system_errors_named(path, "write"):
            _flush(file)


def _shards(specs, limit):
    shards, size = [[]], 0
    for spec in specs:
        if shards[-1] and size + spec.size > limit:
            shards.append([])
            size = 0
        shards[-1].append(spec)
        size += spec.size
    return shards


def _bytes_of(size):
    match = SIZE.match(size) if isinstance(size, str) else None
    if match:
        number, unit, binary = match.groups()
        return int(number) * (1024 if binary else 1000) ** " KMG".index(unit.upper() or " ")
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"max_shard_size: expected a number of bytes or text such as '5GB', got {size!r}")
    return size
