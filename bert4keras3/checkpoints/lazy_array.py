"""Variables that are read slice by slice, for weights of which a device or a process needs a part."""

from __future__ import annotations

from typing import Any, Callable

import numpy as np

from .dtypes import decoded, readable_dtype

BLOCK = 1 << 18  # bytes that are read at a time; a block that has to be transposed stays in the caches


class LazyArray(np.lib.mixins.NDArrayOperatorsMixin):
    """A variable of a mapped file. A slice and a transpose are lazy too; `np.asarray` reads what is left.

    Everything else that an array can do reads the whole.

    Args:
        stored: the variable as the file has it, a view of the mapped file.
        dtype: name of its dtype; bfloat16 is read as float32.
        release: gives the pages of the file back that were read.
    """

    def __init__(self, stored: np.ndarray, dtype: str, release: Callable[[], None]) -> None:
        self._stored, self._kind, self._release = stored, dtype, release
        self.shape, self.ndim = stored.shape, stored.ndim
        self.dtype = readable_dtype(dtype)

    def __len__(self):
        return len(self._stored)

    def __getitem__(self, index):
        return LazyArray(self._stored[index], self._kind, self._release)

    @property
    def T(self) -> LazyArray:
        """The transpose."""
        return LazyArray(self._stored.T, self._kind, self._release)

    def read(self, values: np.ndarray) -> None:
        """Copy into an array of this shape, in the order of the file, a block of rows at a time."""
        rows, copies = np.atleast_1d(self._stored), np.atleast_1d(values)
        if rows.ndim == 2 and rows.strides[0] < rows.strides[1]:
            rows, copies = rows.T, copies.T
        step = max(1, BLOCK * len(rows) // max(1, rows.nbytes))
        for start in range(0, len(rows), step):
            block = decoded(rows[start : start + step], self._kind)
            copies[start : start + step] = np.ascontiguousarray(block)
            self._release()

    def __array__(self, dtype=None, copy=None):
        values = np.empty(self.shape, self.dtype if dtype is None else dtype)
        self.read(values)
        return values

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        arrays = [np.asarray(one) if isinstance(one, LazyArray) else one for one in inputs]
        return getattr(ufunc, method)(*arrays, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(np.asarray(self), name)
