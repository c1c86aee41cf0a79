"""Sequences: padding, truncation, what two of them have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


def is_one_of(x: Any, ys: Iterable[Any]) -> bool:
    """True if `x` itself is in `ys`: by identity, as `in` would compare tensors element by element."""
    return any(x is y for y in ys)


def to_array(*args: Any) -> np.ndarray | list[np.ndarray]:
    """One argument → its array; several (or none) → the list of their arrays."""
    arrays = [np.array(argument) for argument in args]
    return arrays[0] if len(arrays) == 1 else arrays


def sequence_padding(
    inputs: Sequence[Any],
    length: int | Sequence[int] | None = None,
    value: Any = 0,
    seq_dims: int = 1,
    mode: str = "post",
) -> np.ndarray:
    """Cut or fill sequences to one length: batch × (length_1, …, length_seq_dims, features…) → one array.

    `length` is one number or one for each of the `seq_dims` leading axes; None means the longest of `inputs`.
    Sequences that are too long lose their end in both modes. `mode` says where `value` goes: 'post' behind,
    'pre' in front. `value` is cast to the type of each sequence as cut, and the batch has the common type of
    all: an empty list makes it float64. Raises ValueError for no inputs, another mode, or shapes that do not
    fit together.
    """
    if mode not in ("post", "pre"):
        raise ValueError(f"sequence_padding: mode expected 'post' or 'pre', got {mode!r}")
    if length is not None:
        lengths = np.atleast_1d(length)[:seq_dims]
        if len(lengths) < seq_dims:
            raise ValueError(f"sequence_padding: length expected {seq_dims} numbers, got {length!r}")
        inputs = [sequence[: lengths[0]] for sequence in inputs]
    arrays = [np.asarray(sequence) for sequence in inputs]
    if not arrays:
        raise ValueError("sequence_padding: expected at least one sequence, got none")
    features = arrays[0].shape[seq_dims:]
    for array in arrays:
        if array.ndim < seq_dims or array.shape[seq_dims:] != features:
            raise ValueError(
                f"sequence_padding: every input expected with {seq_dims} sequence axes, then {features}, "
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
    """Shorten lists in place, the longest first (the first of equals), until `maxlen` items are left in all.

    Items go at `indices`, one index for all or one for each sequence, counted anew after each. Returns the
    lists that were not empty. `indices` stay with their sequences when one is empty, which shifts them in the
    reference. Raises ValueError, with the lists untouched, if items would have to go that are not there
    (IndexError in the reference).
    """
    given = [sequence for sequence in sequences if sequence is not None]
    places = [indices] * len(given) if isinstance(indices, int) else list(indices)
    if len(places) < len(given):
        raise ValueError(f"truncate_sequences: expected {len(given)} indices, got {indices!r}")
    pairs = [(sequence, index) for sequence, index in zip(given, places) if sequence]

    kept = [len(sequence) for sequence, _ in pairs]
    while kept and sum(kept) > max(maxlen, 0):
        kept[kept.index(max(kept))] -= 1

    spans = []
    for (sequence, index), size in zip(pairs, kept):
        cut = len(sequence) - size
        stop = len(sequence) + index + 1 if index < 0 else index + cut
        if maxlen < 0 or cut and not cut <= stop <= len(sequence):
            raise ValueError(
                f"truncate_sequences: cannot cut {len(sequence)} items to {size} at index {index}, "
                f"which maxlen {maxlen} asks for"
            )
        spans.append(slice(stop - cut, stop))
    for (sequence, _), span in zip(pairs, spans):
        del sequence[span]
    return [sequence for sequence, _ in pairs]


def longest_common_substring(
    source: Sequence[Any], target: Sequence[Any]
) -> tuple[int, tuple[int, int, int, int]]:
    """Length of the longest slice in both, and (start, end, start, end) of it in `source` and `target`.

    Of several, the one that ends first in `source`, then in `target`. Time O(source × target).
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
    """Length of the longest subsequence of both, and its pairs (index in `source`, index in `target`).

    Of several, the one found walking back from both ends, `source` first. Time and memory O(source × target).
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
