"""Selection of the vocabulary's rows: `keep_tokens` and `compound_tokens`."""

from __future__ import annotations

from typing import Any

import numpy as np


def check_tokens(keep_tokens: Any, compound_tokens: Any, vocab_size: int, source: str) -> int:
    """Check `keep_tokens` and `compound_tokens`, and compute the new size of the vocabulary.

    Args:
        keep_tokens: ids of rows to keep; None: all rows.
        compound_tokens: for each row to append, a list of ids of kept rows or a pair (ids, weights); or None.
        vocab_size: number of rows before.
        source: name of these rows in error messages.

    Returns:
        The new number of rows.

    Raises:
        ValueError: an id is not an integer or has no row, or weights have no average.
    """
    kept = vocab_size
    if keep_tokens is not None:
        check_ids(keep_tokens, vocab_size, source, "keep_tokens")
        kept = len(keep_tokens)
        source = "tokens that keep_tokens keeps"
    if compound_tokens is None:
        return kept
    if not isinstance(compound_tokens, (list, tuple, np.ndarray)):
        raise ValueError(
            f"compound_tokens: expected a list, with one item for each token to append, got {compound_tokens!r}"
        )
    for index, item in enumerate(compound_tokens):
        argument = f"compound_tokens[{index}]"
        ids, weights = split_compound(item, argument)
        check_ids(ids, kept, source, argument)
        if weights is not None:
            check_weights(weights, ids, argument)
    return kept + len(compound_tokens)


def select_rows(rows: np.ndarray, keep_tokens: Any, compound_tokens: Any) -> np.ndarray:
    """Keep the rows `keep_tokens`, then append an average for each of `compound_tokens`.

    Args:
        rows: (vocabulary, …) array of floats.
        keep_tokens, compound_tokens: as in `check_tokens`.

    Returns:
        (new vocabulary, …) array of the same dtype.
    """
    check_tokens(keep_tokens, compound_tokens, len(rows), "rows of the checkpoint's vocabulary")
    if keep_tokens is not None:
        rows = rows[np.asarray(keep_tokens)]
    if compound_tokens is None or not len(compound_tokens):
        return rows
    appended = []
    for item in compound_tokens:
        ids, weights = split_compound(item, "compound_tokens")
        appended.append(np.average(rows[np.asarray(ids)].astype("float64"), axis=0, weights=weights))
    return np.concatenate([rows, np.array(appended, dtype=rows.dtype)])


def split_compound(item, argument):
    """Split an item of `compound_tokens` into (ids, weights); weights may be None."""
    if isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], (list, tuple, np.ndarray)):
        return item
    if isinstance(item, list) or isinstance(item, np.ndarray) and item.ndim == 1:
        return item, None
    raise ValueError(f"{argument}: expected a list of ids or a tuple (ids, weights), got {item!r}")


def check_ids(ids, size, source, argument):
    is_sequence = isinstance(ids, (list, tuple, range)) or isinstance(ids, np.ndarray) and ids.ndim > 0
    if not is_sequence:
        raise ValueError(f"{argument}: expected a list of ids, got {ids!r}")
    if len(ids) == 0:
        raise ValueError(f"{argument}: expected at least one id, got none")
    wrong = [token for token in ids if isinstance(token, bool) or not isinstance(token, (int, np.integer))]
    if wrong:
        raise ValueError(
            f"{argument}: expected integers, got {wrong[:5]!r}. "
            "Convert each id with int(). A pair of ids and weights is a tuple"
        )
    outside = [int(token) for token in ids if not 0 <= token < size]
    if outside:
        raise ValueError(f"{argument}: expected ids from 0 to {size - 1}, the {source}, got {outside[:5]}")


def check_weights(weights, ids, argument):
    try:
        values = np.asarray(weights, "float64")
    except (TypeError, ValueError):
        values = None
    if values is None or values.shape != (len(ids),):
        raise ValueError(f"{argument}: expected {len(ids)} weights, one for each id, got {weights!r}")
    if not np.isfinite(values).all() or values.sum() == 0:
        raise ValueError(f"{argument}: expected finite weights with a sum that is not 0, got {weights!r}")
