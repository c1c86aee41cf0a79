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

    def _require(self, name):
        if name not in self._shapes:
            raise VariableNotFoundError(name, self.path, tuple(self._shapes))

    def _read(self, name):
        raise NotImplementedError


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
