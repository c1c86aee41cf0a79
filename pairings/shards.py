"""The nightly run in shards: which pairings each of several machines runs, so that all take about equal time.

Each machine computes the same split from the committed seconds in `reports/baseline.json`, which
`nox -s regress -- --update` takes from a nightly run. A session writes its own into `results/seconds/`.
"""

from __future__ import annotations

import json
import os
import re
import statistics
from pathlib import Path
from typing import Iterable, Mapping

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "reports" / "baseline.json"
SECONDS = Path("seconds")  # in the folder of the results, a file for each job


def parse_shard(text: str) -> tuple[int, int]:
    """ "2/4" → (2, 4): the second of four. Raises ValueError."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    index, count = map(int, match.groups()) if match else (0, 0)
    if not 1 <= index <= count:
        raise ValueError(f"--shard: expected I/N with I from 1 to N, as in 1/4, got {text!r}")
    return index, count


def shard(jobs: Iterable[str], seconds: Mapping[str, float], index: int, count: int) -> list[str]:
    """The jobs of one shard, in their order: the longest first, each to the shard with the least so far.

    Args:
        seconds: {job: what it took}; a job without a number counts as the median.
        index: of the shard, from 1.
    """
    names = list(jobs)
    usual = statistics.median(seconds.values()) if seconds else 1.0
    loads, owners = [0.0] * count, {}
    for name in sorted(names, key=lambda one: (-seconds.get(one, usual), one)):
        owners[name] = loads.index(min(loads))
        loads[owners[name]] += seconds.get(name, usual)
    return [name for name in names if owners[name] == index - 1]


def committed_seconds(path: Path = BASELINE) -> dict[str, float]:
    """{job: seconds} of the last nightly run whose results were made the baseline."""
    return json.loads(path.read_text(encoding="utf-8")).get("seconds", {}) if path.exists() else {}


def write_seconds(results: Path, job: str, kind: str, seconds: float) -> None:
    """Keep what a kind of session of a job took, beside the other kinds."""
    path = results / SECONDS / f"{job}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    content[kind] = round(seconds, 1)
    beside = path.with_name(path.name + ".part")
    beside.write_text(json.dumps(content, sort_keys=True) + "\n", encoding="utf-8")
    os.replace(str(beside), str(path))


def read_seconds(results: Path) -> dict[str, float]:
    """{job: seconds of all its sessions} of a run."""
    return {
        path.stem: round(sum(json.loads(path.read_text(encoding="utf-8")).values()), 1)
        for path in sorted((results / SECONDS).glob("*.json"))
    }
