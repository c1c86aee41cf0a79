"""One scenario in one mode: all implementations are measured side by side, round by round, and become rows."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from bench.accuracy_gate import check_output
from bench.implementations import Implementation
from bench.process import Absent, Failed, WorkerProcess
from bench.rows import FAILED, MEASURED, WRONG, Row
from bench.scenarios import GENERATE, LOAD, TRAIN, Scenario

PREPARE_TIMEOUT, RUN_TIMEOUT = 900, 600  # seconds, for one request
SECONDS_PER_SLICE = 0.5  # an implementation gets this in each round, and at least one call
CALLS_PER_SLICE = 20
RESERVE = 3 * 2**30  # bytes of memory that have to be free before another process starts


class Candidate:
    """An implementation in a run: its row grows as it is measured, and keeps the reason if it is dropped."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.slices: list[list[float]] = []  # the seconds of each slice
        self.worker: WorkerProcess | None = None

    def request(self, do: str, timeout: float = RUN_TIMEOUT, **arguments: Any) -> dict | None:
        """The reply of the worker, or None if the candidate is dropped, now or earlier."""
        if self.worker is None:
            return None
        try:
            return self.worker.request(timeout, do, **arguments)
        except (Absent, Failed) as reason:
            self.drop(reason.status, str(reason))
        return None

    def drop(self, status: str, reason: str) -> None:
        """End the candidate. Its times do not count."""
        unmeasured: dict[str, Any] = dict(latency_seconds=[], first_call_seconds=None)
        self.row = self.row._replace(status=status, reason=reason, **unmeasured)
        self.close()

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def update(self, reply: dict | None, *names: str) -> None:
        if reply is not None:
            self.row = self.row._replace(**{name: reply[name] for name in names})


class InterleavedRun:
    """Implementations on a scenario in a mode. `rows` may be read at any time, after an interruption too.

    Args:
        make_row: makes the row of an implementation before anything is measured.
        on_progress: is called with a few words, and how many of `steps` are done since the last call.
    """

    def __init__(
        self,
        scenario: Scenario,
        mode: str,
        implementations: list[Implementation],
        rounds: int,
        folder: Path,
        make_row: Callable[[Implementation, Scenario, str], Row],
        on_progress: Callable[[str, int], None] = lambda words, steps: None,
    ) -> None:
        self.scenario, self.mode, self.rounds, self.folder = scenario, mode, rounds, folder
        self.implementations, self.on_progress = implementations, on_progress
        self.candidates = [Candidate(make_row(one, scenario, mode)) for one in implementations]

    @staticmethod
    def steps(implementations: list[Implementation], rounds: int) -> int:
        return len(implementations) * (rounds + 2)

    @property
    def rows(self) -> list[Row]:
        """The rows so far. A row without a latency does not count as measured."""
        lost: dict[str, Any] = dict(status=FAILED, reason="interrupted before it was measured")
        rows = [one.row for one in self.candidates]
        return [
            row._replace(**lost) if row.status == MEASURED and not row.latency_seconds else row
            for row in rows
        ]

    def run(self) -> None:
        """Measure. All processes are ended in any case, also by KeyboardInterrupt, which is raised again."""
        try:
            for implementation, candidate in zip(self.implementations, self.candidates):
                self.start(implementation, candidate)
                self.on_progress(f"{implementation.name} is ready", 1)
            for number in range(self.rounds):
                for candidate in self.candidates:
                    self.slice(candidate)
                    self.on_progress(f"round {number + 1} of {self.rounds}", 1)
            for candidate in self.candidates:
                self.finish(candidate)
                self.on_progress("memory and compilations", 1)
        finally:
            for candidate in self.candidates:
                candidate.close()

    def start(self, implementation: Implementation, candidate: Candidate) -> None:
        """Make the weights, start the process, call once, and check the output."""
        device = candidate.row.device
        try:
            if free_memory() < RESERVE:
                raise Failed("not enough free memory to hold it beside the others")
            candidate.worker = WorkerProcess(implementation, self.folder, device)
        except (Absent, Failed) as reason:
            return candidate.drop(reason.status, str(reason))
        reply = candidate.request("convert", PREPARE_TIMEOUT, scenario=self.scenario.name)
        if reply is not None and reply["made"]:  # memory and caches of the conversion are not measured
            candidate.close()
            candidate.worker = WorkerProcess(implementation, self.folder, device)
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "outputs.npz"
            arguments = dict(scenario=self.scenario.name, mode=self.mode, device=device, outputs=str(path))
            reply = candidate.request("prepare", PREPARE_TIMEOUT, **arguments)
            if reply is None:
                return
            names = ("load_seconds", "first_call_seconds", "framework_rss_bytes", "settings")
            candidate.update(reply, *names)
            with np.load(path) as outputs:
                output = outputs["arr_0"]
        self.check(candidate, output)

    def check(self, candidate: Candidate, output: np.ndarray) -> None:
        """Drop a candidate whose output does not pass the accuracy gate."""
        try:
            ratio, wrong = check_output(self.scenario, output)
        except ValueError as error:
            return candidate.drop(WRONG, f"not compared: {error}")
        candidate.row = candidate.row._replace(error_ratio=ratio)
        if wrong:
            candidate.drop(WRONG, wrong)

    def slice(self, candidate: Candidate) -> None:
        """Time some calls of one candidate while the other processes are halted."""
        known = candidate.row.latency_seconds
        once = self.mode in (GENERATE, TRAIN, LOAD) or not known
        calls = 1 if once else int(np.clip(SECONDS_PER_SLICE / min(known), 1, CALLS_PER_SLICE))
        reply = candidate.request("run", calls=calls)
        if reply is not None:
            candidate.slices.append(reply["seconds"])
            candidate.row = candidate.row._replace(latency_seconds=known + reply["seconds"])

    def finish(self, candidate: Candidate) -> None:
        """Measure what does not need the other candidates."""
        candidate.update(candidate.request("memory"), "peak_rss_bytes", "peak_device_bytes")
        candidate.update(candidate.request("counts"), "counts")
        if self.scenario.lengths and self.mode != LOAD:
            candidate.update(candidate.request("lengths"), "compilations")
        if self.scenario.leak_check_calls:
            reply = candidate.request("leak_check", calls=self.scenario.leak_check_calls)
            if reply is not None:
                candidate.row = candidate.row._replace(bytes_per_call=bytes_per_call(reply["points"]))
        candidate.close()


def bytes_per_call(points: list[list[int]]) -> float:
    """How fast memory grows over [calls so far, bytes]: the median slope of all pairs, which one step does not move."""
    calls, memory = np.array(points, "float64").T
    return float(stats.theilslopes(memory, calls).slope)


def free_memory() -> float:
    """Bytes that the system can give without swapping; infinite if the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")
