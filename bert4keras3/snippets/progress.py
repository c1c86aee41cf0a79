"""An optional progress bar, drawn by the package tqdm."""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Any


def with_progress(items: Iterable[Any], show: bool, total: int | None = None, unit: str = "it") -> Iterable:
    """`items` unchanged; if `show` is true, with a progress bar on stderr that counts them up to `total`.

    Raises:
        ImportError: `show` is true and tqdm is not installed.
    """
    if not show:
        return items
    try:
        from tqdm.auto import tqdm
    except ImportError as error:
        raise ImportError(
            "show_tqdm=True needs tqdm, which is not installed: pip install bert4keras3[progress]"
        ) from error
    if total is None and isinstance(items, Sized):
        total = len(items)
    return tqdm(items, total=total, unit=unit)
