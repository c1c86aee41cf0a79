"""The tables as CSV and Parquet, for pandas: `pandas.read_parquet("results/report/cells.parquet")`."""

from pathlib import Path

from reports.results import Results
from reports.tables import cell_table, layer_table, speed_table


def write_tables(results: Results, folder: Path) -> list[Path]:
    """cells, layers and speed in both formats; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    tables = {
        "cells": cell_table(results),
        "layers": layer_table(results),
        "speed": speed_table(results.rows),
    }
    paths = []
    for name, table in tables.items():
        paths += [folder / f"{name}.csv", folder / f"{name}.parquet"]
        table.to_csv(paths[-2], index=False)
        table.to_parquet(paths[-1], index=False)
    return paths
