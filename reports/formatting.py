"""Numbers as text, alike in the terminal, the page and Markdown."""

from collections.abc import Callable
from typing import Any

import pandas as pd

MISSING = "–"


def number(value: float | None, pattern: str = "%.2f", scale: float = 1) -> str:
    return MISSING if value is None or pd.isna(value) else pattern % (value * scale)


def significant(value: float | None, scale: float = 1) -> str:
    """Three significant digits, and all that are before the point."""
    large = value is not None and abs(value * scale) >= 100
    return number(value, "%.0f" if large else "%.3g", scale)


def interval(low: float | None, high: float | None, scale: float = 1) -> str:
    texts = significant(low, scale), significant(high, scale)
    return MISSING if MISSING in texts else " to ".join(texts)


def milliseconds(seconds: float | None) -> str:
    return significant(seconds, 1e3)


# Header of a figure of `system_table` → its column there, and its text.
SYSTEM_FIGURES: dict[str, tuple[str, Callable[[float | None], str]]] = {
    "error ratio": ("error_ratio", number),
    "load s": ("load_seconds", significant),
    "first call s": ("first_call_seconds", significant),
    "latency ms": ("p50", milliseconds),
    "peak memory MB": ("memory_bytes", lambda value: number(value, "%.0f", 1e-6)),
}

# Header of a column → its text for a row of `speed_table`.
SPEED_COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "p50 ms": lambda row: milliseconds(row["p50"]),
    "95 %": lambda row: interval(row["p50_low"], row["p50_high"], 1e3),
    "p95 ms": lambda row: milliseconds(row["p95"]),
    "items/s": lambda row: significant(row["items_per_second"]),
    "× roofline": lambda row: number(row["times_roofline"]),
    "× fastest": lambda row: number(row["times_fastest"]),
    "error ratio": lambda row: number(row["error_ratio"], "%.3g"),
    "peak MB": lambda row: number(row["peak_rss_bytes"], "%.0f", 1e-6),
    "load s": lambda row: number(row["load_seconds"]),
    "first call s": lambda row: number(row["first_call_seconds"]),
    "compiled": lambda row: number(row["compilations"], "%d"),
    "KB/call": lambda row: number(row["bytes_per_call"], "%.1f", 1e-3),
}
