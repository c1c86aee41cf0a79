"""Cells that are set apart, because they flicker: reports/flickering.json.

    [{"pairing": "torch", "case": "bert-mlm", "issue": "https://…", "failed": "2026-01-01", "passed": "2026-01-02",
      "failed_again": "2026-01-04"}]

A cell may be listed only after a pass between two failures, all three with their dates, and with an issue. A listed
cell that is red stays red in every report and fails no run. A listed cell that passes is red until its entry is gone.
"""

import datetime
from functools import cache
from pathlib import Path
from typing import NamedTuple

from pairings import BY_NAME
from parity.kinds import KINDS_BY_NAME
from parity.models.cases import CASES
from parity.store import read_json

PATH = Path(__file__).parent / "flickering.json"
DATES = ("failed", "passed", "failed_again")
CASE_NAMES = {*(case.name for case in CASES), *KINDS_BY_NAME}


class Flicker(NamedTuple):
    """One entry. The dates are of runs, in ISO 8601, one after the other."""

    pairing: str
    case: str
    issue: str
    failed: str
    passed: str
    failed_again: str


@cache
def flickering(path: Path = PATH) -> dict[tuple[str, str], Flicker]:
    """{(pairing, case): entry}. Raises ValueError that names the entry and what is wrong with it."""
    found: dict[tuple[str, str], Flicker] = {}
    for number, row in enumerate(read_json(path), 1):
        wrong = what_is_wrong(row)
        if not wrong and (row["pairing"], row["case"]) in found:
            wrong = "the cell has an entry already: remove one"
        if wrong:
            raise ValueError(f"{path}, entry {number}: {wrong}")
        found[row["pairing"], row["case"]] = Flicker(**row)
    return found


def what_is_wrong(row: dict[str, str]) -> str | None:
    """What a row lacks to be an entry."""
    if not isinstance(row, dict) or set(row) != set(Flicker._fields):
        return f"expected the fields {', '.join(Flicker._fields)}, found {row}"
    if row["pairing"].split("+")[0] not in BY_NAME or row["case"] not in CASE_NAMES:
        return f"no cell {row['pairing']} {row['case']}: expected a pairing and a case of the registries"
    if not row["issue"].startswith("https://"):
        return f"issue: expected the https:// address of an issue, found {row['issue']!r}"
    try:
        dates = [datetime.date.fromisoformat(row[name]) for name in DATES]
    except ValueError as error:
        return f"{', '.join(DATES)}: expected dates as 2026-01-31: {error}"
    if not dates[0] < dates[1] < dates[2] <= datetime.datetime.now(datetime.UTC).date():
        order = " < ".join(DATES)
        return f"expected a pass between two failures, {order}, none in the future: found {dates}"
    return None
