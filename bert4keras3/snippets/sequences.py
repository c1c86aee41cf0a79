"""Sequences: padding, truncation, common parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def is_one_of(x: Any, ys: Iterable[Any]) -> bool:
    """True if `x` is an element of `ys` by identity; `in` would compare tensors element by element."""
    return any(x is y for y in ys)


def to_array(*args: Any) -> np.ndarray | list[np.ndarray]:
    """One argument → an array; several arguments (or none) → a list of arrays."""
    arrays = [np.array(argument) for argument in args]
    return arrays[0] if len(arrays) == 1 else arrays


def sequence_padding(
    inputs: Sequence[Any],
    length: int | Sequence[int] | None = None,
    value: Any = 0,
    seq_dims: int = 1,
    mode: str = "post",
) -> np.ndarray:
    """Pad or truncate sequences to one length: batch × (length_1, …, length_seq_dims, features…) → one array.

    `value` is cast to the dtype of each sequence, and the batch has the common dtype of all sequences. So an empty list
    makes the batch float64.

    Args:
        inputs: a batch of sequences.
        length: one number, or a number for each of the `seq_dims` leading axes; None: the longest of `inputs`.
        value: value of the padding.
        seq_dims: number of axes to pad.
        mode: 'post' pads at the end, 'pre' at the beginning. Truncation is at the end in both modes.

    Raises:
        ValueError: there are no inputs, the mode is unknown, or the shapes do not fit together.
    """
    if mode not in ("post", "pre"):
        raise ValueError(f"sequence_padding: expected mode 'post' or 'pre', got {mode!r}")
    if length is not None:
        lengths = np.atleast_1d(length)[:seq_dims]
        if len(lengths) < seq_dims:
            raise ValueError(f"sequence_padding: expected {seq_dims} numbers as length, got {length!r}")
        inputs = [sequence[: lengths[0]] for sequence in inputs]
    arrays = [np.asarray(sequence) for sequence in inputs]
    if not arrays:
        raise ValueError("sequence_padding: expected at least one sequence, got none")
    features = arrays[0].shape[seq_dims:]
    for array in arrays:
        if array.ndim < seq_dims or array.shape[seq_dims:] != features:
            raise ValueError(
                f"sequence_padding: expected every input to have {seq_dims} sequence axes, then {features}, "
                f"got shape {array.shape}"
            )
    if length is None:
        lengths = np.max([array.shape[:seq_dims] for array in arrays], axis=0)

    outputs = np.empty((len(arrays), *lengths, *features), np.result_type(*[array.dtype for array in arrays]))
    for output, array in zip(outputs, arrays):
        array = array[tuple(slice(size) for size in lengths)]
        output[...] = np.array(value).astype(array.dtype)
        if mode == "post":
            output[tuple(slice(size) for size in array.shape[:seq_dims])] = array
        else:
            output[tuple(slice(n - size, None) for n, size in zip(lengths, array.shape))] = array
    return outputs


def truncate_sequences(maxlen: int, indices: int | Sequence[int], *sequences: list[Any]) -> list[list[Any]]:
    """Shorten lists in place to `maxlen` items in all, one by one from the longest list (the first of equals).

    If a list is empty, the others keep their indices; in bert4keras they shift.

    Args:
        maxlen: total number of items afterwards.
        indices: index of the item to remove, one for all lists or one for each; it applies anew after each removal.
        sequences: lists; None is ignored.

    Returns:
        The lists that were not empty.

    Raises:
        ValueError: there is no item at an index (IndexError in bert4keras); the lists are unchanged.
    """
    given = [sequence for sequence in sequences if sequence is not None]
    listed = [indices] * len(given) if isinstance(indices, int) else list(indices)
    if len(listed) < len(given):
        raise ValueError(f"truncate_sequences: expected {len(given)} indices, got {indices!r}")
    pairs = [(sequence, index) for sequence, index in zip(given, listed) if sequence]

    sizes = [len(sequence) for sequence, _ in pairs]
    while sizes and sum(sizes) > max(maxlen, 0):
        sizes[sizes.index(max(sizes))] -= 1

    spans = []
    for (sequence, index), size in zip(pairs, sizes):
        cut = len(sequence) - size
        stop = len(sequence) + index + 1 if index < 0 else index + cut
        if maxlen < 0 or cut and not cut <= stop <= len(sequence):
            raise ValueError(
                f"truncate_sequences: cannot cut {len(sequence)} items to {size} at index {index}, "
                f"as maxlen {maxlen} requires"
            )
        spans.append(slice(stop - cut, stop))
    for (sequence, _), span in zip(pairs, spans):
        del sequence[span]
    return [sequence for sequence, _ in pairs]


def longest_common_substring(
    source: Sequence[Any], target: Sequence[Any]
) -> tuple[int, tuple[int, int, int, int]]:
    """The longest common slice; of several, the one that ends first in `source`, then in `target`.

    Returns:
        Its length, and (start, end, start, end) in `source` and `target`.
    """
    longest, span = 0, (0, 0, 0, 0)
    above = [0] * (len(target) + 1)  # length of the common slice that ends at (i - 1, j)
    for i, item in enumerate(source, 1):
        row = [0] * len(above)
        for j, other in enumerate(target, 1):
            if item == other:
                row[j] = size = above[j - 1] + 1
                if size > longest:
                    longest, span = size, (i - size, i, j - size, j)
        above = row
    return longest, span


def longest_common_subsequence(
    source: Sequence[Any], target: Sequence[Any]
) -> tuple[int, list[tuple[int, int]]]:
    """The longest common subsequence; of several, the one found by walking back from both ends, `source` first.

    Time and memory are O(source × target).

    Returns:
        Its length, and its pairs (index in `source`, index in `target`).
    """
    lengths = [[0] * (len(target) + 1)]  # lengths[i][j]: for source[:i] and target[:j]
    for item in source:
        above, row = lengths[-1], [0]
        for j, other in enumerate(target):
            row.append(above[j] + 1 if item == other else max(row[j], above[j + 1]))
        lengths.append(row)

    i, j, pairs = len(source), len(target), []
    while lengths[i][j]:
        if source[i - 1] == target[j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif lengths[i][j - 1] > lengths[i - 1][j]:
            j -= 1
        else:
            i -= 1
    return len(pairs), pairs[::-1]
