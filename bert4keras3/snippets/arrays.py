"""Functions of NumPy arrays: softmax, resizing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def softmax(x: np.ndarray, axis: int = -1) -> np.ndarray:
    """exp(x) ÷ its sum along `axis`, without overflow for large scores; same shape as `x`."""
    x = np.asarray(x)
    x = np.exp(x - x.max(axis=axis, keepdims=True))
    return x / x.sum(axis=axis, keepdims=True)


def orthogonally_resize(a: np.ndarray, new_shape: Sequence[int], window: int = 2) -> np.ndarray:
    """Resize weights and keep their norm: an axis is cut, or it grows by repeating its rows.

    A growing axis repeats each group of `window` rows ⌈new ÷ old⌉ times and is then cut. An array of zeros stays an
    array of zeros (NaN in bert4keras).

    Args:
        a: array of floats.
        new_shape: sizes of its axes afterwards.
        window: number of rows in a group.

    Raises:
        ValueError: the numbers of axes differ, or the size of a growing axis is not a multiple of `window`.
    """
    a = np.asarray(a)
    if a.ndim != len(new_shape):
        raise ValueError(f"orthogonally_resize: expected {a.ndim} axes in new_shape, got {new_shape!r}")
    rows = []
    for old, new in zip(a.shape, new_shape):
        index = np.arange(new)
        if new > old:
            if old == 0 or old % window:
                raise ValueError(
                    f"orthogonally_resize: expected a growing axis with a multiple of {window} rows, got {old}"
                )
            repeats = -(-new // old)
            index = index // (window * repeats) * window + index % window
        rows.append(index)
    resized = a[np.ix_(*rows)]
    norm = np.linalg.norm(resized)
    return resized / norm * np.linalg.norm(a) if norm else resized / 1
