"""Interface of all checkpoints: a read-only mapping from names to arrays.

`checkpoint[name]` reads one variable. `checkpoint.shape(name)` reads no data. `checkpoint.path` is for messages.
"""

from __future__ import annotations

from typing import Any, Mapping

import numpy as np

from .dtypes import without_bfloat16
from .errors import CheckpointError, VariableNotFoundError


class Checkpoint(Mapping):
    """Read-only mapping from names of variables to arrays; a subclass defines `_read(name)`."""

    def __init__(self, path: str, shapes: dict[str, tuple]) -> None:
        self.path = path
        self._shapes = shapes  # name → tuple of int

    def __getitem__(self, name):
        self._require(name)
        return self._read(name)

    def __contains__(self, name):
        return name in self._shapes

    def __iter__(self):
        return iter(self._shapes)

    def __len__(self):
        return len(self._shapes)

    def __repr__(self):
        return f"<{type(self).__name__} {self.path!r}: {len(self)} variables>"

    def shape(self, name: str) -> tuple:
        """Shape of the variable; reads no data."""
        self._require(name)
        return self._shapes[name]

    def verify(self, name: str) -> None:
        """Read a variable once to compare it with its checksum; without a checksum nothing is read.

        Raises:
            CheckpointError: the file is damaged.
        """
        self._require(name)
        self._verify(name)

    def lazily(self, process: int = 0, processes: int = 1) -> Checkpoint:
        """The same variables, which are read slice by slice if the file allows it.

        Args:
            process: number of the process; it verifies every `processes`-th variable that it is asked for.
            processes: how many processes share the work.
        """
        return LazyCheckpoint(self, process, processes)

    def _require(self, name):
        if name not in self._shapes:
            raise VariableNotFoundError(name, self.path, tuple(self._shapes))

    def _read(self, name):
        raise NotImplementedError

    def _read_lazily(self, name):
        return self._read(name)

    def _verify(self, name):
        pass


class LazyCheckpoint(Checkpoint):
    """A checkpoint of `LazyArray`s. What the format cannot read in slices is an array."""

    def __init__(self, checkpoint: Checkpoint, process: int, processes: int) -> None:
        super().__init__(checkpoint.path, checkpoint._shapes)
        self._checkpoint = checkpoint
        self._unverified = set(list(checkpoint)[process::processes])

    def _require(self, name):
        self._checkpoint._require(name)

    def _read(self, name):
        if name in self._unverified:
            self._checkpoint.verify(name)
            self._unverified.remove(name)
        return self._checkpoint._read_lazily(name)


class ArrayCheckpoint(Checkpoint):
    """Checkpoint from a dict of arrays."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        path = f"<{type(arrays).__name__}>"
        shapes = {}
        for name in arrays:
            try:
                shapes[name] = tuple(int(length) for length in np.shape(arrays[name]))
            except (TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{path}: {name!r} is not an array: {error}. Give NumPy arrays"
                ) from error
        super().__init__(path, shapes)
        self._arrays = arrays

    def _read(self, name):
        array = without_bfloat16(np.asarray(self._arrays[name])).view()
        array.flags.writeable = False
        return array
