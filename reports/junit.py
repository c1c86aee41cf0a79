"""The report as JUnit XML: a suite a pairing, and one for each scenario of the bench."""

from pathlib import Path

import pandas as pd
from junitparser import Error, Failure, JUnitXml, Properties, Property, Skipped, TestCase, TestSuite

from bench.rows import ABSENT, MEASURED, WRONG
from reports.results import RATIOS, Results
from reports.tables import GREEN, RED, cell_table, speed_table

PROPERTIES = ("command", "commit", "recorded", "python", "processor", "versions")
MEASURED_NUMBERS = ("p50", "p50_low", "p50_high", "p95", "times_roofline", "times_fastest", "peak_rss_bytes")


def write_junit(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    xml = JUnitXml("bert4keras3")
    cells, speed = cell_table(results), speed_table(results.rows)
    for kind, table, key, make in (
        ("parity", cells, "pairing", parity_case),
        ("speed", speed, "scenario", speed_case),
    ):
        for name, rows in table.groupby(key, sort=False):
            suite = TestSuite(f"{kind}.{name}")
            suite.add_testcases([make(row) for row in rows.to_dict("records")])
            xml.add_testsuite(suite)
    xml.write(str(path), pretty=True)


def parity_case(row: dict) -> TestCase:
    case = TestCase(row["case"], classname=f"parity.{row['pairing']}.{row['system']}")
    if row["status"] == RED:
        case.result = [Failure(row["reason"])]
    elif row["status"] != GREEN:
        case.result = [Skipped(row["reason"])]
    add_properties(case, row, (*RATIOS, "judged", "green", "replay", *PROPERTIES))
    return case


def speed_case(row: dict) -> TestCase:
    name = f"{row['implementation']} {row['mode']} {row['device']}"
    case = TestCase(name, classname=f"speed.{row['scenario']}")
    if row["status"] == MEASURED:
        case.time = row["p50"]
    else:
        kind = {WRONG: Failure, ABSENT: Skipped}.get(row["status"], Error)
        case.result = [kind(f"{row['status']}: {row['reason']}")]
    add_properties(case, row, ("run", "error_ratio", *MEASURED_NUMBERS, "command", "commit", "settings"))
    return case


def add_properties(case: TestCase, row: dict, names: tuple[str, ...]) -> None:
    """Properties of what is known."""
    properties = Properties()
    for name in names:
        if not pd.isna(row[name]):
            properties.add_property(Property(name, str(row[name])))
    case.append(properties)
