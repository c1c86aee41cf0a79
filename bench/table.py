"""The table at the end of a run, and the statistics in it."""

from typing import NamedTuple

import numpy as np
from rich.table import Table
from scipy import stats

from bench.rows import ABSENT, MEASURED, WRONG, Row

CONFIDENCE = 0.95


class Summary(NamedTuple):
    """Seconds: median with its confidence interval, and the 95th percentile."""

    median: float
    low: float
    high: float
    p95: float


def summarize(seconds: list[float]) -> Summary:
    """Of at least one latency. The interval is by bootstrap, and empty for one call or where all are equal."""
    values = np.asarray(seconds, "float64")
    median, p95 = float(np.median(values)), float(np.percentile(values, 95))
    if np.ptp(values) == 0:
        return Summary(median, median, median, p95)
    interval = stats.bootstrap(
        (values,), np.median, confidence_level=CONFIDENCE, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return Summary(median, float(interval.low), float(interval.high), p95)


COLUMNS = (
    "p50 ms [95 %]",
    "p95 ms",
    "items/s",
    "× limit",
    "error ratio",
    "peak MB",
    "load s",
    "first call s",
    "compiled",
    "KB/call",
)


def table_of(rows: list[Row]) -> Table:
    """One line a row. Who is wrong, failed or absent has a reason in place of numbers."""
    title = f"bench {rows[0].run}, commit {rows[0].commit}" if rows else "bench: nothing was measured"
    table = Table(title=title, title_justify="left", header_style="bold")
    table.add_column("subject", no_wrap=True)
    table.add_column("mode")
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for scenario in dict.fromkeys(row.scenario for row in rows):
        table.add_section()
        table.add_row(f"[bold]{scenario}[/]")
        for row in rows:
            if row.scenario == scenario and row.status == MEASURED:
                table.add_row(row.subject, row.mode, *numbers(row))
    return table


def reasons(rows: list[Row]) -> list[str]:
    """A line for each row that has no speed."""
    colours = {WRONG: "red", ABSENT: "dim"}
    return [
        f"[{colours.get(row.status, 'red')}]{row.scenario} {row.subject} {row.mode}: {row.status}: {row.reason}[/]"
        for row in rows
        if row.status != MEASURED
    ]


def numbers(row: Row) -> list[str]:
    speed = summarize(row.latency_seconds)
    limit = None if row.limit_seconds is None else speed.median / row.limit_seconds
    return [
        f"{speed.median * 1e3:.1f} [{speed.low * 1e3:.1f}, {speed.high * 1e3:.1f}]",
        f"{speed.p95 * 1e3:.1f}",
        f"{row.items / speed.median:.1f}",
        number(limit, "%.2f"),
        number(row.error_ratio, "%.2f") if row.error_ratio is not None else "equal",
        number(row.peak_rss_bytes, "%.0f", 1e-6),
        number(row.load_seconds, "%.2f"),
        number(row.first_call_seconds, "%.2f"),
        number(row.compilations, "%d"),
        number(row.memory_slope, "%.1f", 1e-3),
    ]


def number(value, pattern, scale=1):
    return "–" if value is None else pattern % (value * scale)
