"""How often `statistics.compare` alarms without a cause, and how often it sees 3 %: proven on real times.

    python -m reports.power [--record REPEATS]

A repeat starts three equal processes of bench/small_encoder.py: the old, the new and the control. In each round all
take turns. The new also takes a turn whose calls encode 34 texts in place of 33, which is the seeded slowdown. REPEATS
of compare_commits in a row are one run. No run shares a time with another, so each run is a fresh one. The times are
kept in bench/results/speed_rounds.npz, and tests/harness/test_statistics.py judges them again.
"""

import argparse
import os
import subprocess
import sys
import time

import numpy as np

from parity.store import ROOT, read_arrays, write_arrays
from reports.compare_commits import REPEATS, ROUNDS
from reports.statistics import Change, judge

PATH = ROOT / "bench" / "results" / "speed_rounds.npz"
CALLS = 10  # of a turn; the fastest counts
TURNS = {"old": 33, "new": 33, "slow": 34, "control": 33}  # and how many texts each call encodes


class Encoder:
    """A process that computes calls on request."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "bench.small_encoder"]
        variables = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
        }  # its matmuls are tiny
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, text=True, env=variables
        )

    def seconds(self, texts: int, calls: int = CALLS) -> float:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(f"{calls} {texts}\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


def repeat() -> list[list[float]]:
    """Seconds (rounds, turns) of three new processes."""
    old, new, control = encoders = [Encoder() for _ in range(3)]
    try:
        for one in encoders:
            one.seconds(TURNS["old"])
        turns = list(zip((old, new, new, control), TURNS.values(), strict=True))
        return [[one.seconds(texts) for one, texts in turns] for _ in range(ROUNDS)]
    finally:
        for one in encoders:
            one.close()


def record(repeats: int) -> None:
    """Measure, and keep what there is after each run, in place of older times."""
    start, rounds = time.monotonic(), []
    for number in range(1, repeats + 1):
        rounds.append(repeat())
        if number % REPEATS == 0 or number == repeats:
            write_arrays(PATH, {"seconds": np.array(rounds, "float32"), "turns": np.array(list(TURNS))})
            print(f"{number} repeats in {time.monotonic() - start:.0f} s", flush=True)


def kept_starts() -> dict[str, np.ndarray]:
    """{turn: seconds (starts, rounds)} of all that was kept."""
    arrays = read_arrays(PATH)
    seconds = arrays["seconds"].astype("float64")
    return {str(name): seconds[:, :ROUNDS, i] for i, name in enumerate(arrays["turns"])}


def fresh_runs(starts: dict[str, np.ndarray]) -> list[np.ndarray]:
    """The starts of each run as it was measured: no two runs share one."""
    count = len(starts["old"]) // REPEATS
    return list(np.arange(count * REPEATS).reshape(count, REPEATS))


def resampled_runs(starts: dict[str, np.ndarray], count: int) -> list[np.ndarray]:
    """Runs whose starts are drawn from all: a run has no start twice, two runs may share some."""
    random = np.random.default_rng(0)
    return [random.choice(len(starts["old"]), REPEATS, replace=False) for _ in range(count)]


def judged(starts: dict[str, np.ndarray], turn: str, runs: list[np.ndarray]) -> list[Change]:
    """The verdict on a turn in each run."""
    return [judge(*(starts[name][run] for name in ("old", "control", turn))) for run in runs]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", type=int, metavar="REPEATS", help="measure anew, some seconds for each")
    options = parser.parse_args()
    if options.record:
        record(options.record)
    starts = kept_starts()
    for kind, runs in (("fresh", fresh_runs(starts)), ("resampled", resampled_runs(starts, 100))):
        for turn, words in (("new", "A/A"), ("slow", "3 % slower")):
            found = judged(starts, turn, runs)
            low, middle, high = np.quantile([one.ratio for one in found], [0.05, 0.5, 0.95])
            alarms = f"{sum(one.worse for one in found)} of {len(found)} {kind} runs alarm"
            print(f"{words}: {alarms}; ratio {middle:.4f} ({low:.4f} to {high:.4f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
