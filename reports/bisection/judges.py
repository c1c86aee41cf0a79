"""Who judges a candidate: parity, the speed of a scenario, or a command of the user. A judge runs a candidate once."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.implementations import CONTROL, Implementation, implementation_named
from bench.rows import MEASURED, Row
from bench.runner import InterleavedRun
from bench.scenarios import Scenario
from pairings.environments import NotMade
from parity.compare import Cell
from parity.kinds import KINDS_BY_NAME, compare_kind
from parity.machine import describe_exit
from parity.models.cases import CASES_BY_NAME
from parity.models.compare import compare_case
from reports import regress
from reports.bisection.places import Place, Places
from reports.bisection.search import Run
from reports.compare_commits import LOGS, ROUNDS, make_row
from reports.formatting import number
from reports.results import RATIOS, why_red

CANNOT_JUDGE = 125  # the exit code by which a command says so, as in `git bisect run`
LATENCY, MEMORY = "latency", "memory"


class Judge:
    """Calls `judge` with the place of a candidate. A candidate whose place cannot be made is absent.

    reference: name of the good end.
    """

    def __init__(self, places: Places, reference: str) -> None:
        self.places, self.reference = places, reference

    def __call__(self, candidate: str) -> Run:
        try:
            place = self.places[candidate]
        except NotMade as reason:
            return Run(candidate, note=str(reason), absent=True)
        return self.judge(candidate, place)

    def judge(self, candidate: str, place: Place) -> Run:
        raise NotImplementedError


class Parity(Judge):
    """Records cases in a pairing and compares them with their goldens.

    A red case fails. With `worse`, what `nox -s regress` calls worse than the good end fails: newly red, or a ratio
    that has doubled.
    """

    def __init__(self, places: Places, reference: str, cases: Sequence[str], worse: bool) -> None:
        super().__init__(places, reference)
        self.cases, self.worse = cases, worse
        self.baseline: dict[str, dict] = {}

    def judge(self, candidate: str, place: Place) -> Run:
        if self.worse and not self.baseline:
            cells = self.cells(self.places[self.reference])
            self.baseline = {cell.pairing: {cell.case: regress.ratios(cell)} for cell in cells}
        cells = self.cells(place)
        found = [f"{cell.case}: {why_red(cell)}" for cell in cells if why_red(cell)]
        if self.worse:
            found = [what for what, _ in regress.accuracy(self.baseline, cells)[0]]
        ratios = [getattr(cell, name) for cell in cells for name in RATIOS]
        largest = max((ratio for ratio in ratios if ratio is not None), default=None)
        return Run(candidate, bool(found), largest, found[0] if found else f"error ratio {number(largest)}")

    def cells(self, place: Place) -> list[Cell]:
        """Record in a folder of results of its own, so that no record of the user is lost."""
        assert place.pairing and place.python
        words = [word for case in self.cases for word in ("--case", case)]
        with tempfile.TemporaryDirectory() as folder:
            variables = {**place.environment(), "BERT4KERAS3_RESULTS": folder}
            command = [str(place.python), "-m", "parity.record", "--pairing", place.pairing, *words]
            code, _, errors = run_process(command, Path(folder), variables)
            if code:
                raise ValueError(f"{' '.join(command)} failed:\n{errors.strip()}")
            records = Path(folder) / "records" / place.pairing
            cells = [self.cell(case, place.pairing, records) for case in self.cases]
        return [cell._replace(pairing=self.reference) for cell in cells]

    @staticmethod
    def cell(case: str, pairing: str, records: Path) -> Cell:
        if case in KINDS_BY_NAME:
            return compare_kind(KINDS_BY_NAME[case], pairing, records=records)
        return compare_case(CASES_BY_NAME[case], pairing, records=records)


class Speed(Judge):
    """Measures a scenario in interleaved rounds beside the good end. The number is the ratio to the good end."""

    def __init__(self, places: Places, reference: str, scenario: Scenario, mode: str, metric: str) -> None:
        super().__init__(places, reference)
        self.scenario = scenario._replace(lengths=(), leak_check_calls=0)
        self.mode, self.metric = mode, metric

    def judge(self, candidate: str, place: Place) -> Run:
        old, new = self.implementation(self.reference), self.implementation(candidate)
        new = new._replace(name=old.name + CONTROL)
        run = InterleavedRun(self.scenario, self.mode, [old, new], ROUNDS, LOGS, make_row)
        run.run()
        for row in run.rows:
            if row.status != MEASURED:
                return Run(candidate, True, note=f"{row.status}: {row.reason}")
        before, now = (
            self.figure(row, one.slices) for row, one in zip(run.rows, run.candidates, strict=True)
        )
        unit = "s" if self.metric == LATENCY else "B"
        return Run(candidate, None, now / before, f"{before:.4g} {unit} to {now:.4g} {unit}")

    def figure(self, row: Row, slices: list[list[float]]) -> float:
        if self.metric == MEMORY:
            return float(row.peak_rss_bytes or np.nan)
        return float(np.median([np.median(seconds) for seconds in slices]))

    def implementation(self, candidate: str) -> Implementation:
        place = self.places[candidate]
        one = implementation_named(f"bert4keras3-{place.pairing}")
        return one._replace(before=self.places.candidates[candidate].commit)


class Command(Judge):
    """Runs a command of the user. Exit code 0 is good, 125 cannot be judged, and any other code fails.

    With `measure`, the last line that the command prints is a number. The good end runs beside the candidate, now
    before it and now after it; what counts is the ratio.
    """

    def __init__(self, places: Places, reference: str, command: str, measure: bool, timeout: float) -> None:
        super().__init__(places, reference)
        self.command, self.measure, self.timeout = command, measure, timeout
        self.turns = 0

    def judge(self, candidate: str, place: Place) -> Run:
        if not self.measure:
            return self.run(candidate, place)
        self.turns += 1
        order = [(candidate, place), (self.reference, self.places[self.reference])]
        runs = [self.run(*one) for one in order[:: 1 if self.turns % 2 else -1]]
        now, before = runs[:: 1 if self.turns % 2 else -1]
        if now.value is None:
            return now
        if not before.value:
            return now._replace(
                absent=True, value=None, note=f"no number to divide by at the good end: {before.note}"
            )
        return now._replace(value=now.value / before.value, note=f"{before.value:.4g} to {now.value:.4g}")

    def run(self, candidate: str, place: Place) -> Run:
        """One run of the command; its value is the number that it printed."""
        try:
            code, output, errors = run_process(self.command, place.folder, place.environment(), self.timeout)
        except subprocess.TimeoutExpired:
            return Run(candidate, True, note=f"no end after {self.timeout:.0f} s")
        lines = (errors if code else output).strip().splitlines() or [""]
        if code:
            note = ": ".join(filter(None, [describe_exit(code), lines[-1][:120]]))
            return Run(candidate, None if code == CANNOT_JUDGE else True, None, note, code == CANNOT_JUDGE)
        if not self.measure:
            return Run(candidate, False, note=lines[-1][:120])
        try:
            return Run(candidate, None, float(lines[-1]), lines[-1])
        except ValueError:
            return Run(candidate, True, note=f"expected a number as the last line, got {lines[-1][:120]!r}")


def run_process(
    command: str | list[str], folder: Path, variables: dict[str, str], timeout: float | None = None
) -> tuple[int, str, str]:
    """(exit code, output, errors). All its processes are ended after `timeout` seconds, or by Ctrl-C."""
    process = subprocess.Popen(
        command,
        shell=isinstance(command, str),
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=timeout)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    return process.returncode, output, errors
