"""What a bisect judges by: parity against the good end, and the speed of a scenario beside it."""

from pathlib import Path

import pytest

from bench.rows import FAILED, MEASURED
from bench.scenarios import BY_NAME
from pairings.environments import NotMade
from parity.compare import Cell
from reports.bisection import judges
from reports.bisection.candidates import Candidate
from reports.bisection.judges import LATENCY, MEMORY, Parity, Speed
from reports.bisection.places import Place, Places

PLACES = Places(
    [Candidate("good", "good"), Candidate("new", "new", commit="0123456")],
    lambda candidate: Place(Path("python"), {}, Path("."), "jax"),
)


def judge_cells(monkeypatch, worse, before, now):
    """Judge a candidate with these fields of its cell, against a good end with those."""
    cells = [Cell("bert", "google_bert", "good", **fields) for fields in (before, now)]
    one = Parity(PLACES, "good", ["bert"], worse)
    monkeypatch.setattr(one, "cells", lambda place, left=cells: [left.pop(0) if worse else left[1]])
    return one("new")


@pytest.mark.parametrize(
    ("worse", "before", "now", "failed"),
    [
        (False, {"error_ratio": 1.0}, {"error_ratio": 2.5}, False),
        (False, {"error_ratio": 1.0}, {"error_ratio": 400.0}, True),
        (False, {"error_ratio": 1.0}, {"red": "exit code 1"}, True),
        (True, {"error_ratio": 1.0}, {"error_ratio": 2.5}, True),
        (True, {"error_ratio": 1.0}, {"error_ratio": 1.9}, False),
        (True, {"error_ratio": 2.0, "losses_ratio": 1e9}, {"error_ratio": 2.0, "losses_ratio": 1e9}, False),
        (
            True,
            {"error_ratio": 2.0, "gradient_ratio": 0.5},
            {"error_ratio": 2.0, "gradient_ratio": 1.2},
            True,
        ),
    ],
)
def test_a_case_is_judged_by_red_or_by_what_became_worse(monkeypatch, worse, before, now, failed):
    run = judge_cells(monkeypatch, worse, before, now)
    assert run.failed == failed and (run.note.startswith("bert") or "good bert" in run.note or not failed)


def test_a_place_that_cannot_be_made_is_absent():
    def refuse(candidate):
        raise NotMade("pip could not install it")

    run = Parity(Places([Candidate("new", "new")], refuse), "new", ["bert"], False)("new")
    assert run.absent and run.note == "pip could not install it"


class Measured:
    """An InterleavedRun whose candidate is slower than the good end, or did not run."""

    status = MEASURED

    def __init__(self, scenario, mode, implementations, rounds, folder, make_row):
        rows = [make_row(one, scenario, mode) for one in implementations]
        assert [one.before for one in implementations] == [None, "0123456"]
        self.rows = [
            rows[0]._replace(peak_rss_bytes=100),
            rows[1]._replace(peak_rss_bytes=150, status=self.status, reason="crashed"),
        ]
        self.candidates = [type("", (), {"slices": [[scale, scale]] * rounds}) for scale in (1.0, 1.2)]

    def run(self):
        pass


@pytest.mark.parametrize(("metric", "ratio"), [(LATENCY, 1.2), (MEMORY, 1.5)])
def test_a_speed_is_the_ratio_to_the_good_end(monkeypatch, metric, ratio):
    monkeypatch.setattr(judges, "InterleavedRun", Measured)
    run = Speed(PLACES, "good", BY_NAME["bert-base-1x128"], "call", metric)("new")
    assert run.failed is None and run.value == pytest.approx(ratio)


def test_an_implementation_that_did_not_run_has_no_speed(monkeypatch):
    monkeypatch.setattr(judges, "InterleavedRun", Measured)
    monkeypatch.setattr(Measured, "status", FAILED)
    run = Speed(PLACES, "good", BY_NAME["bert-base-1x128"], "call", LATENCY)("new")
    assert run.value is None and run.note == "failed: crashed"
