"""A flickering cell is set apart by a strict list, and is red when it passes again."""

import pytest
from report_samples import sample_results

from parity.store import write_json
from reports import results
from reports.flickering import Flicker, flickering
from reports.results import is_set_apart, why_red, write_cells
from reports.verdicts import of_cells, turns

CELL = next(cell for cell in sample_results(red=False).cells if cell.pairing == "jax")
ENTRY = Flicker("jax", CELL.case, "https://example.org/issues/1", "2026-01-01", "2026-01-02", "2026-01-03")


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr(results, "flickering", lambda: {("jax", CELL.case): ENTRY})


def read(folder, *rows):
    path = folder / "flickering.json"
    write_json(path, [row if isinstance(row, dict) else row._asdict() for row in rows])
    return flickering(path)


def test_the_committed_list_is_valid():
    assert isinstance(flickering(), dict)


def test_an_entry_is_read(tmp_path):
    assert read(tmp_path, ENTRY) == {("jax", CELL.case): ENTRY}


@pytest.mark.parametrize(
    "change, words",
    [
        ({"issue": "later"}, "address of an issue"),
        ({"passed": "2026-01-04"}, "a pass between two failures"),
        ({"passed": "2026-01-01"}, "a pass between two failures"),
        ({"failed_again": "2999-01-01"}, "none in the future"),
        ({"failed": "yesterday"}, "expected dates"),
        ({"case": "nonesuch"}, "no cell jax nonesuch"),
        ({"pairing": "nonesuch"}, "no cell nonesuch"),
        ({"note": "more"}, "expected the fields"),
    ],
)
def test_an_entry_that_lacks_something_is_refused(tmp_path, change, words):
    with pytest.raises(ValueError, match="entry 2: ") as error:
        read(tmp_path, ENTRY._replace(pairing="torch"), {**ENTRY._asdict(), **change})
    assert words in str(error.value)


def test_a_cell_has_one_entry(tmp_path):
    with pytest.raises(ValueError, match="has an entry already"):
        read(tmp_path, ENTRY, ENTRY)


def test_a_listed_cell_that_is_red_is_shown_and_fails_nothing(listed):
    red = CELL._replace(red="error ratio 41")
    assert is_set_apart(red) and "error ratio 41; set apart since 2026-01-03: https://" in why_red(red)
    assert not turns(of_cells([CELL._replace(case="bert-mlm")]), of_cells([red]))
    assert ("jax", CELL.case) not in of_cells([red])


def test_a_listed_cell_that_passes_is_red(listed):
    assert not is_set_apart(CELL) and "remove its entry from reports/flickering.json" in why_red(CELL)


def test_a_cell_that_is_not_listed_is_judged_as_before(listed):
    other = CELL._replace(pairing="torch", red="error ratio 41")
    assert why_red(other) == "error ratio 41" and not is_set_apart(other)


def test_the_kept_cell_is_the_judged_one(listed, tmp_path):
    """The list changes what reports say, and nothing of what is kept."""
    write_cells(tmp_path, "jax", [CELL])
    (kept,) = results.read_cells(tmp_path, "jax")
    assert kept.red is None
