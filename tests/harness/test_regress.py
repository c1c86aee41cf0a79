"""The regression check finds what has become worse, and nothing else."""

import numpy as np
import pytest
from report_samples import sample_results, sample_system_rows
from rich.console import Console

from bench.before import library_folder
from bench.rows import append_rows
from parity.store import read_json
from reports import compare_commits, regress
from reports.__main__ import main
from reports.compare_commits import Comparison
from reports.results import write_cells
from reports.statistics import compare, judge

RUNS = 20


def times(seed, scale=1.0):
    return list(0.05 * scale * np.random.default_rng(seed).lognormal(0, 0.05, 16))


def jax_cells():
    return [cell for cell in sample_results(red=False).cells if cell.pairing == "jax"]


@pytest.fixture
def results(tmp_path):
    """Folder of results with a baseline of the very same cells."""
    write_cells(tmp_path, "jax", jax_cells())
    assert run(tmp_path, "--update") == 0
    return tmp_path


def run(folder, *words):
    return main(["regress", "--results", str(folder), "--baseline", str(folder / "baseline.json"), *words])


def change(folder, **fields):
    first, *rest = jax_cells()
    write_cells(folder, "jax", [first._replace(**fields), *rest])


def test_the_same_run_is_no_regression(results, capsys):
    assert run(results) == 0
    assert "89 cells compared, 0 worse" in capsys.readouterr().out


def test_an_update_keeps_the_pairings_that_were_not_run(results):
    (results / "cells" / "jax.json").unlink()
    cells = [cell._replace(pairing="torch") for cell in jax_cells()]
    write_cells(results, "torch", cells)
    assert run(results, "--update") == 0
    baseline = read_json(results / "baseline.json")
    assert set(baseline["cells"]) == set(baseline["commits"]) == {"jax", "torch"}


def test_the_baseline_has_no_variant_and_nothing_unpinned(results):
    for name in ("jax+keras==3.12.0", "jax-newest", "jax-keras3.12"):
        write_cells(results, name, [cell._replace(pairing=name) for cell in jax_cells()])
    assert run(results, "--update") == 0
    assert set(read_json(results / "baseline.json")["cells"]) == {"jax", "jax-keras3.12"}


@pytest.mark.parametrize("name", ["error_ratio", "gradient_ratio", "losses_ratio"])
def test_a_ratio_of_two_and_a_half_is_found(results, capsys, name):
    change(results, **{name: 2.5 * getattr(jax_cells()[0], name)})
    assert run(results) == 1
    assert "1 worse" in capsys.readouterr().out


def test_a_ratio_that_has_not_doubled_is_left_alone(results):
    change(results, error_ratio=1.9 * jax_cells()[0].error_ratio)
    assert run(results) == 0


@pytest.mark.parametrize(
    "damage", [{"red": "out of memory"}, {"error_ratio": float("nan")}, {"error_ratio": None}]
)
def test_a_cell_that_is_newly_red_is_found(results, capsys, damage):
    change(results, **damage)
    assert run(results) == 1
    assert "newly red" in capsys.readouterr().out


def test_nothing_compared_is_a_failure(tmp_path, results, capsys):
    (results / "cells" / "jax.json").unlink()
    assert run(results) == 1
    out = capsys.readouterr().out
    assert "nothing was compared" in out and "jax: not compared" in out


def test_cells_of_the_baseline_that_were_not_run_are_counted(results, capsys):
    write_cells(results, "jax", jax_cells()[:10])
    assert run(results) == 0
    assert "79 cases of the baseline were not run" in capsys.readouterr().out


def test_no_baseline_is_a_failure(tmp_path):
    assert run(tmp_path) == 1


def measure_systems(folder, scale=1.0, number=0, **fields):
    """Rows of a newer run; fields: of the first row, that of the yardstick in jax."""
    first, *rest = sample_system_rows(scale)
    newer = dict(run=f"run-{number}", started=f"2026-02-0{number + 1}")
    path = folder / "bench" / f"run-{number}.jsonl"
    append_rows(path, [row._replace(**newer) for row in (first._replace(**fields), *rest)])


@pytest.fixture
def systems(tmp_path):
    """Folder of results with a baseline of the systems' rows alone, of a machine half as fast."""
    measure_systems(tmp_path, scale=2.0)
    assert run(tmp_path, "--update") == 0
    return tmp_path


def test_a_faster_machine_is_no_regression_and_systems_alone_are_compared(systems, capsys):
    measure_systems(systems, number=1)
    assert run(systems) == 0
    assert (
        "40 rows compared, 0 figures worse" in capsys.readouterr().out
    )  # one is absent, one was wrong before


@pytest.mark.parametrize(
    "fields, words",
    [
        (dict(latency_seconds=[0.16] * 5), "fastest call 0.16 s, from 0.1 on this machine: 1.60 times"),
        (dict(load_seconds=5.5), "load time 5.5 s"),
        (dict(first_call_seconds=3.0), "first call 3 s"),
        (dict(peak_rss_bytes=10**9), "peak memory 7e+08 B, from 5e+08: 1.40 times"),
        (dict(status="wrong", reason="error ratio 400"), "wrong: error ratio 400"),
    ],
)
def test_a_worse_figure_of_a_system_is_found(systems, capsys, fields, words):
    """Relative to the machine, which is twice as fast as the one of the baseline."""
    measure_systems(systems, number=1, **fields)
    assert run(systems) == 1
    out = capsys.readouterr().out
    assert f"jax google_bert at full size: {words}" in out and "1 figures worse" in out


@pytest.mark.parametrize(
    "fields",
    [dict(latency_seconds=[0.14, 0.3, 0.3, 0.3]), dict(load_seconds=4.9), dict(peak_rss_bytes=89 * 10**7)],
)
def test_noise_of_a_system_is_left_alone(systems, fields):
    measure_systems(systems, number=1, **fields)
    assert run(systems) == 0


def test_without_a_yardstick_times_are_not_compared_and_memory_is(systems, capsys):
    measure_systems(systems, number=1, latency_seconds=[9.0] * 5, roofline_seconds=None, scale=1.0)
    rows = systems / "bench" / "run-1.jsonl"
    rows.write_text(rows.read_text().replace('"roofline_seconds": 0.05', '"roofline_seconds": null'))
    assert run(systems) == 0
    assert "times of systems not compared" in capsys.readouterr().out


def test_systems_that_were_not_measured_are_counted(systems, capsys):
    (systems / "bench" / "run-0.jsonl").unlink()
    assert run(systems) == 1
    out = capsys.readouterr().out
    assert "jax: 21 systems of the baseline were not measured" in out and "nothing was compared" in out


@pytest.mark.parametrize("seed", range(5))
def test_a_slow_down_of_30_percent_is_seen(seed):
    found = judge(times(3 * seed), times(3 * seed + 1), times(3 * seed + 2, 1.3))
    assert found.worse and found.ratio == pytest.approx(1.3, rel=0.1)


def test_equal_libraries_are_left_alone():
    alarms = sum(judge(times(3 * i), times(3 * i + 1), times(3 * i + 2)).worse for i in range(RUNS))
    assert alarms == 0, f"{alarms} of {RUNS} A/A runs were called worse"


def test_a_change_that_the_equal_pair_shows_too_is_none():
    """One of two equal processes is 30 % slower: then 30 % is noise."""
    assert not judge(times(1), times(2, 1.3), times(3, 1.3)).worse


def test_the_smallest_change_is_one_that_is_seen():
    """Eight of ten runs that are slower by as much are called worse, give or take what chance does to 20 of them."""
    smallest = compare(times(0), times(1), times(2)).smallest
    seen = sum(judge(times(3 * i), times(3 * i + 1), times(3 * i + 2, smallest)).worse for i in range(RUNS))
    assert smallest < 1.3 and seen >= 0.6 * RUNS


def test_noise_makes_the_smallest_change_larger():
    noisy = [list(np.array(times(i)) * np.random.default_rng(i).lognormal(0, 0.4, 16)) for i in range(3)]
    assert (compare(*noisy).smallest or 99) > compare(times(0), times(1), times(2)).smallest


def test_a_slower_library_fails_the_run_and_says_what_could_be_seen(results, monkeypatch):
    slow = Comparison("bert-base-1x128", "compiled", compare(times(0), times(1), times(2, 1.3)), None)
    monkeypatch.setattr(compare_commits, "measure", lambda pairing, commit, repeats: [slow])
    console = Console(width=200, record=True)
    assert regress.report_speed("jax", "0123456", None, console)
    text = console.export_text()
    assert "latency: worse" in text and "smallest change this run could have seen" in text


def test_an_implementation_that_did_not_run_is_a_failure(monkeypatch):
    absent = Comparison(
        "bert-base-1x128", "compiled", None, None, "bert4keras3-jax absent: no environment jax"
    )
    monkeypatch.setattr(compare_commits, "measure", lambda pairing, commit, repeats: [absent])
    assert regress.report_speed("jax", "0123456", None, Console())


def test_an_unknown_commit_is_one_clear_line():
    with pytest.raises(ValueError, match="commit 0000000 is not in this clone"):
        library_folder("0000000")
