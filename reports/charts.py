"""The charts of the page, as Vega-Lite: declared here with Altair, drawn by the browser when they come into view.

Colours and fonts are the page's, which hands them over when it draws; data is in the chart.
"""

from typing import Any

import altair as alt
import pandas as pd
from scipy.stats import gmean

from bench.rows import ABSENT, MEASURED
from parity.compare import BOUND
from reports.formatting import milliseconds
from reports.history import PARITY, SPEED
from reports.tables import SYSTEM_OF

LABEL_WIDTH = 190
ROW = 26  # pixels
DECADES = [a * 10**b for b in range(-3, 7) for a in (1, 3)]
AXIS = alt.Axis(tickCount=5, titleAnchor="start")
REFERENCE, DASHES = [2, 3], [6, 3]


def layer_chart() -> dict[str, Any]:
    """Error ratio over depth; the page fills the data set `layers` with depth, layer and ratio."""
    scale = alt.Scale(type="log", nice=False, padding=8)
    base = alt.Chart(alt.NamedData("layers")).encode(
        x=alt.X("depth:Q", title=None, axis=alt.Axis(tickMinStep=1, grid=False)),
        y=alt.Y("ratio:Q", title=None, axis=alt.Axis(values=DECADES), scale=scale),
    )
    tooltip = [alt.Tooltip("layer:N"), alt.Tooltip("ratio:Q", format=".3g", title="error ratio")]
    line = base.mark_line(strokeWidth=1.5, clip=True)
    points = base.mark_circle(size=44, opacity=1).encode(
        tooltip=tooltip, color=alt.condition(f"datum.ratio <= {BOUND}", alt.value("good"), alt.value("bad"))
    )
    bound = alt.Chart(alt.InlineData([{"ratio": BOUND, "says": f"bound {BOUND:g}"}]))
    rule = bound.mark_rule(strokeDash=DASHES).encode(y="ratio:Q", color=alt.value("bad"))
    one = alt.Chart(alt.InlineData([{"ratio": 1}])).mark_rule(strokeDash=REFERENCE).encode(y="ratio:Q")
    padding = {"left": 5, "top": 5, "right": 8, "bottom": 24}  # drawn in a dialog, it is cut off without
    return {**finished(alt.layer(one, rule, line, points), 220), "padding": padding}


def latency_chart(rows: pd.DataFrame) -> dict[str, Any]:
    """Median with its interval, 95th percentile, and the roofline; a row without a time says why."""
    names = {
        "value": "p50",
        "low": "p50_low",
        "high": "p50_high",
        "late": "p95",
        "roofline": "roofline_seconds",
    }
    data = rows.assign(
        **{name: rows[column] * 1e3 for name, column in names.items()},
        says=[latency_words(row) for row in rows.to_dict("records")],
    )
    base, order = implementations(data, [*names, "says"])
    top = data[["value", "high", "late"]].max(axis=None)
    x = alt.X("value:Q", title="ms a call", axis=AXIS, scale=scale_to(top, 1.6))
    roofline = base.mark_rule(strokeDash=DASHES).encode(x="min(roofline):Q")
    interval = base.mark_rule(strokeWidth=5, opacity=0.35, strokeCap="round").encode(
        x="low:Q", x2="high:Q", y=order
    )
    late = base.mark_tick(thickness=1.5, height=10, opacity=0.7).encode(x="late:Q", y=order)
    points = base.mark_circle(size=70, opacity=1).encode(x=x, y=order)
    return finished(alt.layer(roofline, interval, late, points, words(base, order, "late")), ROW * len(data))


def scale_to(top: float, room: float) -> alt.Scale:
    return alt.Scale(domain=[0, 1 if pd.isna(top) else top * room])


def memory_chart(rows: pd.DataFrame) -> dict[str, Any]:
    data = rows.assign(
        value=rows["peak_rss_bytes"] * 1e-6,
        device_memory=rows["peak_device_bytes"] * 1e-6,
        says=[memory_words(row) for row in rows.to_dict("records")],
    )
    base, order = implementations(data, ["value", "device_memory", "says"])
    top = data[["value", "device_memory"]].max(axis=None)
    x = alt.X("value:Q", title="peak memory, MB", axis=AXIS, scale=scale_to(top, 1.3))
    bars = base.mark_bar(height=12, cornerRadiusEnd=2).encode(x=x, y=order)
    device = base.mark_tick(thickness=2, height=16).encode(x=alt.X("device_memory:Q"), y=order)
    return finished(alt.layer(bars, device, words(base, order)), ROW * len(data))


def implementations(data: pd.DataFrame, columns: list[str]) -> tuple[alt.Chart, alt.Y]:
    """One line an implementation: who is measured first, by median."""
    order = data.sort_values(["p50", "implementation"])["implementation"].tolist()
    bad = ~data["status"].isin([MEASURED, ABSENT])
    least = LABEL_WIDTH * 0.6
    axis = alt.Axis(labelLimit=LABEL_WIDTH, ticks=False, domain=False, title=None, minExtent=least)
    chart = chart_of(data[["implementation", *columns]].assign(bad=bad))
    return chart, alt.Y("implementation:N", sort=order, axis=axis)


def chart_of(table: pd.DataFrame) -> alt.Chart:
    """A chart that holds the table; what is missing is null."""
    values = table.astype(object)
    return alt.Chart(alt.InlineData(values.where(values.notna(), None).to_dict("records")))


def words(base: alt.Chart, order: alt.Y, after: str = "value") -> alt.Chart:
    """What stands behind a mark, or in its place."""
    placed = base.transform_calculate(place=f"isValid(datum.{after}) ? datum.{after} : 0")
    text = placed.mark_text(align="left", dx=7, limit=alt.ExprRef("width - 12"))
    color = alt.condition("datum.bad", alt.value("bad"), alt.value("quiet"))
    return text.encode(x="place:Q", y=order, text="says:N", tooltip="says:N", color=color)


def latency_words(row: dict[str, Any]) -> str:
    if pd.isna(row["p50"]):
        return out_words(row)
    times = "" if pd.isna(row["times_fastest"]) else f"  ×{row['times_fastest']:.2f}"
    return milliseconds(row["p50"]) + times


def memory_words(row: dict[str, Any]) -> str:
    return out_words(row) if pd.isna(row["peak_rss_bytes"]) else f"{row['peak_rss_bytes'] * 1e-6:.0f}"


def out_words(row: dict[str, Any]) -> str:
    return "not measured" if row["status"] == MEASURED else f"{row['status']}: {row['reason']}"


def history_charts(history: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """{title: chart} of the lines: error ratio of each pairing, then medians of the implementations by scenario."""
    charts = {}
    parity = pd.DataFrame([line for line in history if line["kind"] == PARITY and line["started"]])
    if len(parity):
        days = parity.assign(name=parity["pairing"], started=parity["started"].str[:10])
        worst = days.groupby(["name", "started", "commit"], dropna=False)["error_ratio"].max()
        values = worst.rename("value").reset_index()
        charts["largest error ratio of each pairing"] = line_chart(values, "error ratio")
    speed = pd.DataFrame([line for line in history if line["kind"] == SPEED and line.get("p50")])
    if len(speed):
        of_system = speed["scenario"].isin(SYSTEM_OF)
        if of_system.any():
            charts["all systems: geometric mean of the latencies"] = system_chart(speed[of_system])
        for (scenario, mode, device), group in speed[~of_system].groupby(
            ["scenario", "mode", "device"], sort=False
        ):
            values = group.assign(value=group["p50"] * 1e3).rename(columns={"implementation": "name"})
            charts[f"{scenario} · {mode} · {device}"] = line_chart(values, "median, ms")
    return charts


def system_chart(lines: pd.DataFrame) -> dict[str, Any]:
    """One line a pairing, over the runs that measured all systems."""
    keys = ["run", "implementation"]
    runs = lines.groupby(keys, sort=False).agg(
        started=("started", "min"), commit=("commit", "first"), systems=("scenario", "nunique")
    )
    runs["value"] = lines.groupby(keys, sort=False)["p50"].agg(gmean) * 1e3
    whole = runs[runs["systems"] == len(SYSTEM_OF)].reset_index()
    return line_chart(whole.rename(columns={"implementation": "name"}), "geometric mean, ms")


def line_chart(data: pd.DataFrame, title: str) -> dict[str, Any]:
    axis = alt.Axis(labelOverlap=True, grid=False, format="%d %b", tickCount=4)
    legend = alt.Legend(orient="bottom", columns=2, labelLimit=150)
    lines = chart_of(data[["started", "name", "value", "commit"]]).mark_line(
        point=alt.OverlayMarkDef(size=40), strokeWidth=1.5
    )
    chart = lines.encode(
        x=alt.X("started:T", title=None, axis=axis),
        y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=True)),
        color=alt.Color("name:N", title=None, legend=legend),
        tooltip=["name:N", "started:T", "commit:N", alt.Tooltip("value:Q", format=".3g", title=title)],
    )
    return finished(chart, 180)


def finished(chart: Any, height: int) -> dict[str, Any]:
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    spec = chart.properties(width="container", height=height, autosize=fit).to_dict()
    spec.pop("config", None)
    return spec
