"""Implementations side by side: what is wrong, crashes or hangs costs its own row; Ctrl-C keeps what was measured."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bench import measure, process, runner, weights
from bench.implementations import Implementation
from bench.rows import ABSENT, FAILED, MEASURED, WRONG, read_rows
from bench.scenarios import BY_NAME, SYSTEM_SCENARIOS
from parity.store import ROOT

WORKER = """
import json, os, shutil, sys, time
implementation, folder = sys.argv[1:]
for line in iter(sys.stdin.readline, ""):
    request = json.loads(line)
    reply = {"status": "done"}
    if request["do"] == "convert":
        reply["made"] = False
    if request["do"] == "prepare":
        if implementation == "unsupported":
            reply = {"status": "unsupported", "reason": "it has no predict"}
        if implementation == "raises":
            reply = {"status": "failed", "reason": "ValueError: no"}
        if implementation == "crashes":
            print("lost", file=sys.stderr, flush=True)
            os.abort()
        if implementation == "hangs":
            time.sleep(60)
        name = "wrong.npz" if implementation == "wrong" else "right.npz"
        shutil.copy(os.path.join(folder, name), request["outputs"])
        reply.update(load_seconds=1.0, first_call_seconds=2.0, framework_rss_bytes=600, settings={"threads": 2})
    if request["do"] == "run":
        if implementation == "crashes later":
            sys.exit(3)
        reply["seconds"] = [0.01] * request["calls"]
    if request["do"] == "memory":
        reply.update(peak_rss_bytes=1000, peak_device_bytes=None)
    if request["do"] == "counts":
        reply["counts"] = {"op matmul": 7}
    if request["do"] == "lengths":
        reply["compilations"] = 5
    if request["do"] == "leak_check":
        reply["points"] = [[10, 1000], [20, 1100], [30, 1200], [40, 1300], [50, 900000]]
    print(json.dumps(reply), flush=True)
"""


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """A small worker in place of the real ones, which computes what its name says."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    np.savez(tmp_path / "right.npz", np.array([1.0]))
    np.savez(tmp_path / "wrong.npz", np.array([500.0]))

    def command(implementation):
        if implementation.name == "absent":
            raise process.Absent("no environment tf1.15, which needs Python 3.7")
        return [sys.executable, "-S", str(script), implementation.name, str(tmp_path)]

    def check(scenario, output):
        ratio = float(output[0])
        return ratio, None if ratio <= 3 else f"error ratio {ratio:g}, at most 3 is right"

    class NoRoofline:
        def __init__(self, *arguments):
            pass

        def seconds(self, scenario, mode):
            return 0.005

        def summary(self):
            return "roofline: none"

    monkeypatch.setattr(process, "worker_command", command)
    monkeypatch.setattr(runner, "check_output", check)
    monkeypatch.setattr(runner, "free_memory", lambda: float("inf"))
    monkeypatch.setattr(measure, "Roofline", NoRoofline)
    monkeypatch.setattr(measure, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(measure, "LOGS", tmp_path / "logs")
    return monkeypatch


def run(monkeypatch, names, modes=("predict",), arguments=()):
    """(exit code, rows in the file) of a run of these implementations on BERT-base."""
    implementations = [Implementation(name, "jax", "ours") for name in names]
    scenarios = [BY_NAME["bert-base-1x128"]._replace(modes=modes)]
    monkeypatch.setattr(measure, "chosen_implementations", lambda _: implementations)
    monkeypatch.setattr(measure, "chosen_scenarios", lambda _: scenarios)
    code = measure.main(["jax", "--rounds", "3", *arguments])
    (path,) = Path(measure.RESULTS).iterdir()
    return code, read_rows(path)


def test_a_run_measures_all_that_a_row_tells(fake, capsys):
    code, rows = run(fake, ["right", "second"], ("call", "compiled"))
    assert code == 0 and [row.mode for row in rows] == ["call", "call", "compiled", "compiled"]
    for row in rows:
        assert row.status == MEASURED and row.error_ratio == 1.0 and len(row.latency_seconds) > 3
        assert (row.load_seconds, row.first_call_seconds, row.peak_rss_bytes) == (1.0, 2.0, 1000)
        assert row.framework_rss_bytes == 600
        assert (row.compilations, row.bytes_per_call, row.settings) == (5, 10.0, {"threads": 2})
        assert row.counts == {"op matmul": 7}
        assert row.command.startswith("nox -s bench-jax -- --scenario bert-base-1x128 --implementation ")
        assert row.commit and row.roofline_seconds == 0.005
    assert "rows: " in capsys.readouterr().out


@pytest.mark.parametrize(
    "name, status, reason",
    [
        ("wrong", WRONG, "error ratio 500, at most 3 is right"),
        ("absent", ABSENT, "needs Python 3.7"),
        ("unsupported", ABSENT, "it has no predict"),
        ("raises", FAILED, "ValueError: no"),
        ("crashes", FAILED, "signal SIGABRT: lost"),
        ("crashes later", FAILED, "exit code 3"),
        ("hangs", FAILED, "no answer to prepare in 1 s"),
    ],
)
def test_who_fails_costs_its_own_rows_and_has_no_speed(fake, name, status, reason):
    fake.setattr(runner, "PREPARE_TIMEOUT", 1 if name == "hangs" else 60)
    code, rows = run(fake, ["right", name, "second"])
    assert code == 0
    assert [row.status for row in rows] == [MEASURED, status, MEASURED]
    assert reason in rows[1].reason and not rows[1].latency_seconds


def test_a_run_where_nothing_was_measured_fails(fake):
    code, rows = run(fake, ["wrong", "absent"])
    assert code == 1 and len(rows) == 2


def test_interrupting_keeps_what_was_measured(fake):
    """In the second round of the second mode: the first mode is whole, the second has its first round."""
    slices = []
    slice_ = runner.InterleavedRun.slice

    def interrupted(self, candidate):
        slices.append(self.mode)
        if slices.count("predict") == 4:
            raise KeyboardInterrupt
        slice_(self, candidate)

    fake.setattr(runner.InterleavedRun, "slice", interrupted)
    code, rows = run(fake, ["right", "second"], ("call", "predict"))
    assert code == 130
    assert [(row.mode, row.status) for row in rows] == [("call", MEASURED)] * 2 + [("predict", MEASURED)] * 2
    assert all(row.latency_seconds for row in rows)


def test_interrupting_before_the_first_round_shows_no_speed(fake):
    def interrupted(self, candidate):
        raise KeyboardInterrupt

    fake.setattr(runner.InterleavedRun, "slice", interrupted)
    code, rows = run(fake, ["right"])
    assert code == 130 and rows[0].status == FAILED and "interrupted" in rows[0].reason


def wait_for_state(pid, state):
    """Until the process is in this state of the kernel's, or there is none."""
    path, end = Path(f"/proc/{pid}/stat"), time.monotonic() + 30
    while path.exists() and path.read_text().rsplit(")", 1)[1].split()[0] != state:
        assert time.monotonic() < end, f"process {pid} is not in state {state} after 30 s"
        time.sleep(0.01)


def test_a_worker_is_halted_between_its_slices(fake, tmp_path):
    worker = process.WorkerProcess(Implementation("right", "jax", "ours"), tmp_path)
    try:
        assert worker.request(60, "run", calls=2)["seconds"] == [0.01, 0.01]
        wait_for_state(worker.process.pid, "T")
        assert worker.request(60, "run", calls=1)["seconds"] == [0.01]
    finally:
        worker.close()
    assert worker.process.returncode is not None


PARENT = """
import sys, time
from pathlib import Path
from bench import process
from bench.implementations import BY_NAME

process.worker_command = lambda implementation: [sys.executable, "-m", "bench.worker", implementation.name]
worker = process.WorkerProcess(BY_NAME["transformers"], Path(sys.argv[1]))
try:
    worker.request(60, "convert", scenario="bert-base-1x128")
except process.Failed as reason:  # transformers is not on the host side
    print(worker.process.pid, reason, flush=True)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_halted_worker_does_not_outlive_a_parent_that_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    pid, reason = parent.stdout.readline().split(" ", 1)
    assert "No module named 'torch'" in reason
    wait_for_state(pid, "T")
    parent.kill()
    parent.communicate()
    wait_for_state(pid, "Z")  # or none, where somebody waits for it


def test_a_leak_grows_with_the_calls_and_one_step_is_none():
    steady = [[call, 1000 * call] for call in range(10, 200, 10)]
    step = [[call, 0 if call < 150 else 10**6] for call in range(10, 200, 10)]
    assert runner.bytes_per_call(steady) == 1000
    assert runner.bytes_per_call(step) == 0


def test_too_little_memory_is_a_reason(fake):
    fake.setattr(runner, "free_memory", lambda: 0.0)
    code, rows = run(fake, ["right"])
    assert code == 1 and "not enough free memory" in rows[0].reason


def test_no_gpu_is_one_line_and_rows_that_say_so(fake, capsys):
    fake.setattr(measure.shutil, "which", lambda name: None)
    code, rows = run(fake, ["right", "second"], arguments=["--device", "gpu"])
    assert code == 1
    assert [(row.status, row.device) for row in rows] == [(ABSENT, "gpu")] * 2
    assert capsys.readouterr().out == rows[0].reason + "\n"


def test_quick_is_one_scenario_and_a_user_may_name_others():
    quick = measure.chosen_scenarios(measure.parse(["jax", "--quick"]))
    assert [(one.name, one.leak_check_calls) for one in quick] == [("bert-base-1x128", 0)]
    named = measure.chosen_scenarios(measure.parse(["jax", "--scenario", "bert-base-load"]))
    assert named == [BY_NAME["bert-base-load"]]


def test_systems_are_measured_alone_or_beside_the_quick_scenario():
    chosen = measure.chosen_scenarios(measure.parse(["jax", "--systems"]))
    assert chosen == list(SYSTEM_SCENARIOS)
    both = measure.chosen_scenarios(measure.parse(["jax", "--quick", "--systems"]))
    assert [one.system for one in both] == ["", *(one.system for one in SYSTEM_SCENARIOS)]


@pytest.mark.parametrize("free, left", [(10**12, True), (10**9, False)])
def test_a_system_has_no_control_and_its_weights_go_when_the_disk_is_full(fake, tmp_path, free, left):
    fake.setattr(weights, "FOLDER", tmp_path / "weights")
    fake.setattr(measure, "free_disk", lambda: free)
    scenario = BY_NAME["nezha-1x128"]
    folder = weights.weights_folder(scenario, "tensorflow")
    folder.mkdir(parents=True)
    implementations = [Implementation(name, "jax", "ours") for name in ("right", "right-control")]
    fake.setattr(measure, "chosen_implementations", lambda _: implementations)
    assert measure.main(["jax", "--systems", "--scenario", scenario.name]) == 0
    (path,) = Path(measure.RESULTS).iterdir()
    assert [row.implementation for row in read_rows(path)] == ["right"]
    assert folder.exists() == left
