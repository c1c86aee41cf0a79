"""The chart of the README: a panel for each scenario and mode, a bar for each right implementation.

Grey on nothing, so that it can be read on a light page and on a dark one.
"""

from pathlib import Path
from typing import Any

import altair as alt
import pandas as pd

from bench.implementations import CONTROL
from bench.scenarios import GENERATE
from reports.formatting import significant
from reports.results import Results
from reports.tables import speed_table

OURS, OTHERS, INK = "#3b82f6", "#9ca3af", "#808080"
COLUMNS, PANEL_WIDTH, ROW = 3, 150, 20  # the last two in pixels


def write_readme_chart(results: Results, path: Path) -> None:
    """An SVG of everything that was measured and right. Raises ValueError where nothing was."""
    table = speed_table(results.rows)
    measured = table[table["p50"].notna() & ~table["implementation"].str.endswith(CONTROL)]
    if measured.empty:
        raise ValueError("no chart: the bench has no right row; measure one with nox -s bench-peers")
    path.parent.mkdir(parents=True, exist_ok=True)
    chart(measured).save(str(path))


def chart(rows: pd.DataFrame) -> Any:
    groups = rows.groupby(["scenario", "mode", "device"], sort=False)
    panels = [panel(group, *names) for names, group in groups]
    return (
        alt.concat(*panels, columns=COLUMNS, spacing=24)
        .configure(background="transparent", font="sans-serif")
        .configure_axis(labelColor=INK, titleColor=INK, labelLimit=180)
        .configure_title(color=INK, anchor="start", fontSize=12)
        .configure_view(stroke=None)
    )


def panel(rows: pd.DataFrame, scenario: str, mode: str, device: str) -> Any:
    """The best on top: most tokens a second, or fewest milliseconds."""
    writes = mode == GENERATE
    value = rows["items_per_second"] if writes else rows["p50"] * 1e3
    data = pd.DataFrame({"implementation": rows["implementation"], "value": value.astype(float)})
    data["ours"] = data["implementation"].str.startswith("bert4keras3-")
    data["says"] = data["value"].map(significant)
    order = data.sort_values("value", ascending=not writes)["implementation"].tolist()
    base = alt.Chart(data).encode(
        x=alt.X("value:Q", axis=None, scale=alt.Scale(domain=[0, float(data["value"].max()) * 1.25])),
        y=alt.Y("implementation:N", sort=order, title=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    color = alt.condition("datum.ours", alt.value(OURS), alt.value(OTHERS))
    bars = base.mark_bar(height=12).encode(color=color)
    numbers = base.mark_text(align="left", dx=4, color=INK).encode(text="says:N")
    unit = "tokens a second" if writes else f"{mode}, ms"
    on = "" if device == "cpu" else f" on {device}"
    title = alt.TitleParams(scenario + on, subtitle=unit, subtitleColor=INK)
    return alt.layer(bars, numbers, title=title).properties(width=PANEL_WIDTH, height=ROW * len(data))
