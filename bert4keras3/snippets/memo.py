"""A dict that computes missing values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Memo(dict):
    """A dict that computes a missing value once, from its key; it can be the table of `str.translate`."""

    def __init__(self, compute: Callable[[Any], Any]) -> None:
        super().__init__()
        self.compute = compute

    def __missing__(self, key: Any) -> Any:
        value = self[key] = self.compute(key)
        return value
