"""Numbers as text, alike in the terminal, the page and Markdown."""

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
