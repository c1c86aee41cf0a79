"""Weights with the names of Hugging Face, shown under the names and in the layout of TensorFlow's checkpoints.

A row of a table, such as `bert:encoder.layer.0.output.dense.weight.T`, is a name with up to four marks:

* `base:` the part of the name before the colon; the file may lack it or have another.
* `.T` the value is transposed, as the weight of PyTorch's Linear is.
* `[i]` the value is the i-th third of the last axis: queries, keys and values of GPT-2 lie in one array.
* `a|b` b is a copy of a, and counts if a is missing.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

import numpy as np

from .checkpoint import Checkpoint
from .errors import CheckpointError, VariableNotFoundError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Tables that PyTorch's modules keep beside their weights, and that follow from the configuration.
BUFFERS = re.compile(
    r"(^|\.)(position_ids|token_type_ids|attn\.(masked_)?bias|embed_positions\.weight|positions_encoding|inv_freq)$"
)
PARTS = 3
PART = re.compile(r"\[(\d)\]")
OLD_NAMES = {"gamma": "weight", "beta": "bias"}


class Place(NamedTuple):
    """Where a variable lies: the names of the parameter with and without the base, third or None, transposed."""

    full: str
    tail: str
    part: int | None
    transposed: bool

    def read(self, array):
        """The parameter in the layout of the variable; a view of it."""
        if self.part is not None:
            size = array.shape[-1] // PARTS
            array = array[..., self.part * size : (self.part + 1) * size]
        return array.T if self.transposed else array


def places_of(row):
    """The places that a row of a table names; all but the first are copies."""
    return [_place(name) for name in row.split("|")]


def _place(name):
    part = PART.search(name)
    transposed = name.endswith(".T")
    name = PART.sub("", name[:-2] if transposed else name)
    return Place(
        name.replace(":", "."), name.split(":")[-1], int(part.group(1)) if part else None, transposed
    )


class HuggingFaceCheckpoint(Checkpoint):
    """A checkpoint with other names. No weight is read before it is asked for, and a value is a view if it can be.

    Args:
        checkpoint: the open file.
        rows: {variable: row of the table}; the first is the token embedding, which shows the base of the names.
        base: what stands before the token embedding's name in the file.
    """

    def __init__(self, checkpoint, rows, base):
        self._checkpoint, self._rows, self._places = checkpoint, rows, {}
        others = {_new_name(name): name for name in checkpoint if not BUFFERS.search(name)}
        shapes = {}
        for variable, row in rows.items():
            for place in places_of(row):
                name = others.get(place.full) or others.get(base + place.tail)
                if name and variable not in self._places:
                    self._places[variable] = place, name
                    stand_in = np.broadcast_to(np.float32(0), checkpoint.shape(name))
                    if place.part is not None and (not stand_in.ndim or stand_in.shape[-1] % PARTS):
                        raise CheckpointError(
                            f"'{checkpoint.path}': {name!r} has shape {stand_in.shape}, expected three parts"
                        )
                    shapes[variable] = place.read(stand_in).shape
        known = {
            name
            for row in rows.values()
            for place in places_of(row)
            for name in (place.full, base + place.tail)
        }
        shapes.update((name, checkpoint.shape(name)) for new, name in others.items() if new not in known)
        super().__init__(checkpoint.path, shapes)

    def _require(self, name):
        if name not in self._shapes:
            asked = f"{places_of(self._rows[name])[0].full} ({name})" if name in self._rows else name
            raise VariableNotFoundError(asked, self.path, tuple(self._checkpoint))

    def _read(self, name):
        return self._read_by(self._checkpoint.__getitem__, name)

    def _read_lazily(self, name):
        return self._read_by(self._checkpoint._read_lazily, name)

    def _read_by(self, read, name):
        if name not in self._places:
            return read(name)
        place, name = self._places[name]
        return place.read(read(name))

    def _verify(self, name):
        self._checkpoint.verify(self._places[name][1] if name in self._places else name)


def _new_name(name):
    """Name of a parameter today: files of before 2020 have gamma and beta."""
    head, _, last = name.rpartition(".")
    return f"{head}.{OLD_NAMES[last]}" if last in OLD_NAMES and head else name


def translate_names(checkpoint, rows):
    """The checkpoint under the names of `rows`, if it has the names of Hugging Face; otherwise the checkpoint itself.

    Raises:
        CheckpointError: the file has several models.
    """
    if not rows or any(variable in checkpoint for variable in rows):
        return checkpoint
    for place in places_of(next(iter(rows.values()))):
        bases = [name[: -len(place.tail)] for name in checkpoint if ("." + name).endswith("." + place.tail)]
        if place.full in checkpoint:
            bases = [place.full[: -len(place.tail)]]
        if len(bases) > 1:
            raise CheckpointError(
                f"'{checkpoint.path}' has {len(bases)} models: {', '.join(map(repr, sorted(bases)))}. Give a dict of "
                "the arrays of one"
            )
        if bases:
            return HuggingFaceCheckpoint(checkpoint, rows, bases[0])
    return checkpoint


def find_weights(folder):
    """Path of the weights of Hugging Face in a folder; None if there are none."""
    for name in WEIGHT_FILES:
        if os.path.isfile(os.path.join(folder, name)):
            return os.path.join(folder, name)
    return None
