"""The shards of a folder: each has the vectors of the same texts in every run, and takes its name when it is whole."""

from __future__ import annotations

import argparse
import glob
import hashlib
import itertools
import json
import math
import os
from typing import Any, Iterator

import numpy as np

from bert4keras3.checkpoints.whole_file import whole_file
from bert4keras3.embed.texts import import_pyarrow, read_texts
from bert4keras3.text_encoder import TextEncoder

SETTINGS = "settings.json"
# What decides the vectors. A folder with other settings is not continued.
DECIDING = "model input field pooling normalize max_length batch_tokens shard_size format".split()


class ShardWriter:
    """A model that computes shards. In ascending order, they read the input once."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.encoder = TextEncoder(
            options.model, pooling=options.pooling, normalize=options.normalize, max_length=options.max_length
        )
        self.texts: Iterator[str] = iter(())
        self.place = math.inf  # number of the next text; inf: the input has to be opened

    def write(self, number: int, bar: Any = None) -> None:
        """Compute a shard and write it."""
        texts = self.read(number)
        vectors: dict[int, np.ndarray] = {}
        for numbers, found in self.encoder.encode_batches(texts, self.options.batch_tokens):
            vectors.update(zip(numbers.tolist(), found))
            if bar is not None:
                bar.add(len(numbers))
        array = np.stack([vectors[i] for i in range(len(vectors))])
        write_shard(shard_path(self.options, number), texts, array)

    def read(self, number: int) -> list[str]:
        """The texts of a shard."""
        start = number * self.options.shard_size
        if start < self.place:
            self.texts, self.place = read_texts(self.options), 0
        skipped = int(start - self.place)
        self.place = math.inf  # if reading fails, the next shard begins anew
        found = list(itertools.islice(self.texts, skipped, skipped + self.options.shard_size))
        self.place = start + self.options.shard_size
        return found


def check_settings(options: argparse.Namespace) -> None:
    """Write the settings into a new folder; raise ValueError if the folder has others."""
    path = os.path.join(options.output, SETTINGS)
    settings = {name: getattr(options, name) for name in DECIDING}
    settings.update(model=os.path.abspath(options.model) if os.path.isdir(options.model) else options.model)
    settings.update(input=os.path.abspath(options.input), input_sha256=digest(options.input))
    if os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        for name, value in settings.items():
            if found.get(name) != value:
                raise ValueError(
                    f"'{path}' has {name} {found.get(name)!r}, and this run has {value!r}. Give another --output, or "
                    "delete the folder"
                )
        return
    if glob.glob(os.path.join(glob.escape(options.output), "vectors-*")):
        raise ValueError(f"'{options.output}' has vectors, but no {SETTINGS}. Give another --output")
    os.makedirs(options.output, exist_ok=True)
    with whole_file(path) as file:
        file.write(json.dumps(settings, indent=2).encode())


def digest(path):
    """SHA-256 of a file."""
    found = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            found.update(block)
    return found.hexdigest()


def shard_path(options, number):
    return os.path.join(options.output, f"vectors-{number:05d}.{options.format}")


def write_shard(path, texts, vectors):
    """Write vectors (n, size), to Parquet together with their texts."""
    with whole_file(path) as file:
        if path.endswith(".npy"):
            np.save(file, vectors)
            return
        pyarrow = import_pyarrow(path)
        column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.ravel()), vectors.shape[1])
        pyarrow.parquet.write_table(pyarrow.table({"text": texts, "vector": column}), file)
