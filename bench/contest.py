"""One scenario in one mode: all subjects side by side, one round after the other, and what came out as rows."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

import numpy as np
from scipy import stats

from bench.judge import judge_output
from bench.process import Absent, Failed, WorkerProcess
from bench.rows import ABSENT, FAILED, MEASURED, WRONG, Row
from bench.scenarios import GENERATE, LOAD, TRAIN, Scenario
from bench.subjects import Subject

PREPARE_TIMEOUT, RUN_TIMEOUT = 900, 600  # seconds, for one request
SECONDS_A_TURN = 0.5  # what a subject gets in each round, and at least one call
CALLS_A_TURN = 20
RESERVE = 3 * 2**30  # bytes of memory that have to be free before another process is started


class Contestant:
    """A subject on its way: its row grows as it is measured, and says why where it stops."""

    def __init__(self, row: Row) -> None:
        self.row = row
        self.worker: Optional[WorkerProcess] = None

    def ask(self, do: str, timeout: float = RUN_TIMEOUT, **request: Any) -> Optional[dict]:
        """The reply; None where the subject is out of the contest, from now on or already."""
        if self.worker is None:
            return None
        try:
            return self.worker.ask(timeout, do, **request)
        except Absent as reason:
            self.leave(ABSENT, str(reason))
        except Failed as reason:
            self.leave(FAILED, str(reason))
        return None

    def leave(self, status: str, reason: str) -> None:
        """Out, and no speed of it counts."""
        self.row = self.row._replace(
            status=status, reason=reason, latency_seconds=[], first_call_seconds=None
        )
        self.close()

    def close(self) -> None:
        if self.worker is not None:
            self.worker.close()
            self.worker = None

    def update(self, reply: Optional[dict], *names: str) -> None:
        if reply is not None:
            self.row = self.row._replace(**{name: reply[name] for name in names})


class Contest:
    """Subjects on a scenario in a mode. `rows` may be read at any time, after an interruption too.

    tell: called with a few words, and how many of `steps` were done.
    """

    def __init__(
        self,
        scenario: Scenario,
        mode: str,
        subjects: list[Subject],
        rounds: int,
        folder: Path,
        make_row: Callable[[Subject, Scenario, str], Row],
        tell: Callable[[str, int], None] = lambda words, steps: None,
    ) -> None:
        self.scenario, self.mode, self.rounds, self.folder = scenario, mode, rounds, folder
        self.subjects, self.tell = subjects, tell
        self.contestants = [Contestant(make_row(subject, scenario, mode)) for subject in subjects]

    @staticmethod
    def steps(subjects: list[Subject], rounds: int) -> int:
        return len(subjects) * (rounds + 2)

    @property
    def rows(self) -> list[Row]:
        """What is known so far; nobody counts as measured without a latency."""
        rows = [one.row for one in self.contestants]
        return [
            row._replace(status=FAILED, reason="interrupted before it was measured")
            if row.status == MEASURED and not row.latency_seconds
            else row
            for row in rows
        ]

    def run(self) -> None:
        """Raises KeyboardInterrupt as it comes; all processes are ended in any case."""
        try:
            for subject, contestant in zip(self.subjects, self.contestants):
                self.start(subject, contestant)
                self.tell(f"{subject.name} is ready", 1)
            for number in range(self.rounds):
                for contestant in self.contestants:
                    self.turn(contestant)
                    self.tell(f"round {number + 1} of {self.rounds}", 1)
            for contestant in self.contestants:
                self.finish(contestant)
                self.tell("memory and compilations", 1)
        finally:
            for contestant in self.contestants:
                contestant.close()

    def start(self, subject: Subject, contestant: Contestant) -> None:
        """Weights, process, first call, verdict."""
        try:
            if free_memory() < RESERVE:
                raise Failed("not enough free memory to hold it beside the others")
            device = contestant.row.device
            contestant.worker = WorkerProcess(subject, self.folder, device)
        except Absent as reason:
            return contestant.leave(ABSENT, str(reason))
        except Failed as reason:
            return contestant.leave(FAILED, str(reason))
        if contestant.ask("convert", PREPARE_TIMEOUT, scenario=self.scenario.name) is None:
            return
        contestant.close()
        contestant.worker = WorkerProcess(subject, self.folder, device)
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "outputs.npz"
            request = dict(scenario=self.scenario.name, mode=self.mode, device=device, outputs=str(path))
            reply = contestant.ask("prepare", PREPARE_TIMEOUT, **request)
            if reply is None:
                return
            contestant.update(reply, "load_seconds", "first_call_seconds", "settings")
            with np.load(path) as outputs:
                output = outputs["arr_0"]
        self.judge(contestant, output)

    def judge(self, contestant: Contestant, output: np.ndarray) -> None:
        try:
            ratio, wrong = judge_output(self.scenario, output)
        except ValueError as error:
            return contestant.leave(WRONG, f"not compared: {error}")
        contestant.row = contestant.row._replace(error_ratio=ratio)
        if wrong:
            contestant.leave(WRONG, wrong)

    def turn(self, contestant: Contestant) -> None:
        """Some calls of one subject while the others are halted."""
        known = contestant.row.latency_seconds
        calls = 1
        if self.mode not in (GENERATE, TRAIN, LOAD) and known:
            calls = int(np.clip(SECONDS_A_TURN / min(known), 1, CALLS_A_TURN))
        reply = contestant.ask("run", calls=calls)
        if reply is not None:
            contestant.row = contestant.row._replace(latency_seconds=known + reply["seconds"])

    def finish(self, contestant: Contestant) -> None:
        """What is measured after the clock has stopped."""
        contestant.update(contestant.ask("memory"), "peak_rss_bytes", "peak_device_bytes")
        if self.scenario.lengths and self.mode != LOAD:
            contestant.update(contestant.ask("lengths"), "compilations")
        if self.scenario.slope_calls:
            reply = contestant.ask("slope", calls=self.scenario.slope_calls)
            if reply is not None:
                contestant.row = contestant.row._replace(memory_slope=memory_slope(reply["points"]))
        contestant.close()


def memory_slope(points: list[list[int]]) -> float:
    """Bytes a call, by the median of the slopes of all pairs of points (Theil and Sen), which one step of an
    allocator does not move.
    """
    calls, memory = np.array(points, "float64").T
    return float(stats.theilslopes(memory, calls).slope)


def free_memory() -> float:
    """Bytes that can be had without swapping; infinite where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) * 1024.0 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return float("inf")
