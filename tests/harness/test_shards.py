"""The nightly run in shards: equal time, nothing twice, nothing left out, and one result however often it is merged."""

import json
import random

import pytest
from report_samples import sample_results

from pairings import NIGHTLY, PAIRINGS
from pairings.shards import parse_shard, read_seconds, shard, write_seconds
from parity.store import read_json
from reports.history import merge
from reports.regress import write_baseline
from reports.results import read_results, write_cells

JOBS = [*(one.name for one in PAIRINGS + NIGHTLY), "peers"]
SECONDS = {job: random.Random(job).uniform(60, 3000) for job in JOBS}


def shards(count, seconds=SECONDS):
    return [shard(JOBS, seconds, index, count) for index in range(1, count + 1)]


@pytest.mark.parametrize("count", [1, 2, 4, 100])
def test_each_job_is_in_one_shard(count):
    assert sorted(job for jobs in shards(count) for job in jobs) == sorted(JOBS)


def test_shards_take_about_equal_time():
    loads = [sum(SECONDS[job] for job in jobs) for jobs in shards(4)]
    assert max(loads) <= 1.05 * min(loads)


def test_job_without_a_number_counts_as_the_median():
    known = {job: seconds for job, seconds in SECONDS.items() if job != "jax"}
    assert sorted(job for jobs in shards(3, known) for job in jobs) == sorted(JOBS)
    assert max(map(len, shards(3, {}))) - min(map(len, shards(3, {}))) <= 1


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0", "-1/2"])
def test_wrong_shard_is_refused(text):
    with pytest.raises(ValueError, match="expected I/N"):
        parse_shard(text)


def test_shard_is_read():
    assert parse_shard("2/4") == (2, 4)


def run_of(folder, pairing, seconds):
    """What a shard leaves that ran one pairing."""
    cells = [cell for cell in sample_results(red=False).cells if cell.pairing == pairing]
    write_cells(folder, pairing, cells)
    for kind, value in seconds.items():
        write_seconds(folder, pairing, kind, value)
    return folder


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.json")}


def test_merging_again_or_a_repeated_shard_changes_nothing(tmp_path):
    first = run_of(tmp_path / "1", "jax", {"parity": 10.0, "tests": 5.0})
    second = run_of(tmp_path / "2", "torch", {"parity": 20.0})
    repeated = run_of(tmp_path / "again", "torch", {"parity": 20.0})
    into = tmp_path / "merged"
    merge([first, second], into)
    once = contents(into)
    merge([first, second], into)
    merge([repeated, second, first, second], into)
    assert contents(into) == once
    assert {cell.pairing for cell in read_results(into).cells} == {"jax", "torch"}
    assert read_seconds(into) == {"jax": 15.0, "torch": 20.0}


def test_baseline_takes_the_seconds_of_a_run(tmp_path):
    folder = run_of(tmp_path / "results", "jax", {"parity": 10.0, "bench": 5.5})
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps({"seconds": {"torch": 7.0}}))
    write_baseline(read_results(folder), path, folder)
    assert read_json(path)["seconds"] == {"jax": 15.5, "torch": 7.0}
