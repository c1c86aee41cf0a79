"""Speed and memory of the library in this tree against that of an older commit, side by side in one run.

Two processes hold the old library and one the new; they take turns, and the pair of equal ones shows the noise. The
old library comes out of git and stands first on the path of its processes; all else is the same.
"""

import datetime
import io
import os
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.contest import Contest, Contestant
from bench.rows import MEASURED, Row
from bench.scenarios import BY_NAME, Scenario
from bench.subjects import AGAIN, Subject, subject_named
from pairings import Pairing
from parity.files import ROOT
from reports.statistics import Change, compare

CACHE = ROOT / ".cache"
SCENARIO = "bert-base-1x128"
ROUNDS, REPEATS = 4, 4  # turns of each process, and how often all are started anew


class OldSubject(Subject):
    """A subject whose library is the one in .cache/baseline/<commit>; `pairing` is "<pairing>@<commit>"."""

    @property
    def environment(self) -> Pairing:
        pairing, commit = self.pairing.split("@")
        environment = subject_named(f"bert4keras3-{pairing}").environment
        path = [str(library_folder(commit)), os.environ.get("PYTHONPATH", "")]
        variables = {**environment.variables, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        return environment._replace(variables=variables)


class Versus(NamedTuple):
    """What came out for a scenario in a mode. reason: why nothing was compared."""

    scenario: str
    mode: str
    latency: Change | None
    memory: Change | None
    reason: str | None = None


class TimedContest(Contest):
    """Keeps the median of each turn: calls of one turn are too much alike to count one by one."""

    def turn(self, contestant: Contestant) -> None:
        before = len(contestant.row.latency_seconds)
        super().turn(contestant)
        times = contestant.row.latency_seconds[before:]
        if times:
            self.turns[self.contestants.index(contestant)].append(float(np.median(times)))

    @property
    def turns(self) -> list[list[float]]:
        return self.__dict__.setdefault("kept", [[] for _ in self.contestants])


def library_folder(commit: str) -> Path:
    """Folder with `bert4keras3/` as it was at a commit, taken out of git once; raises ValueError without it."""
    folder = CACHE / "baseline" / commit
    if not (folder / "bert4keras3").exists():
        archive = subprocess.run(["git", "archive", commit, "bert4keras3"], cwd=ROOT, capture_output=True)
        if archive.returncode:
            why = archive.stderr.decode().strip()
            raise ValueError(
                f"commit {commit} is not in this clone ({why}): fetch it, as by `git fetch --unshallow`"
            )
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as file:
            file.extractall(folder, filter="data")
    return folder


def measure(pairing: str, commit: str, scenario: str = SCENARIO, repeats: int = REPEATS) -> list[Versus]:
    """Each mode of a scenario."""
    library_folder(commit)
    return [
        measure_mode(pairing, commit, BY_NAME[scenario], mode, repeats) for mode in BY_NAME[scenario].modes
    ]


def measure_mode(pairing: str, commit: str, scenario: Scenario, mode: str, repeats: int) -> Versus:
    name = f"bert4keras3-{pairing}"
    old = OldSubject(name, f"{pairing}@{commit}", "ours")
    subjects = [old, subject_named(name), old._replace(name=name + AGAIN)]
    turns: list[list[float]] = [[], [], []]
    peaks: list[list[float]] = [[], [], []]
    for _ in range(repeats):
        contest = TimedContest(
            scenario._replace(lengths=(), slope_calls=0), mode, subjects, ROUNDS, CACHE / "versus", make_row
        )
        contest.run()
        for i, row in enumerate(contest.rows):
            if row.status != MEASURED:
                return Versus(scenario.name, mode, None, None, f"{row.subject} {row.status}: {row.reason}")
            turns[i] += contest.turns[i]
            peaks[i] += [row.peak_rss_bytes] if row.peak_rss_bytes else []
    memory = compare(peaks[0], peaks[2], peaks[1]) if all(peaks) else None
    return Versus(scenario.name, mode, compare(turns[0], turns[2], turns[1]), memory)


def make_row(subject: Subject, scenario: Scenario, mode: str) -> Row:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return Row("versus", now, "", "", subject.name, scenario.name, mode, "cpu", MEASURED)
