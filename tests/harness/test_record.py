"""One case that crashes or hangs costs only itself; an interrupted run goes on."""

import sys

import pytest

from parity import record
from parity.models.cases import Case
from parity.models.record import expect_limitation
from parity.store import read_json, write_json

WORKER = """
import json, os, sys, time
folder, names = sys.argv[1], sys.argv[2:]
for name in names:
    if name == "crash":
        os.abort()
    if name == "leave":
        sys.exit(3)
    if name == "hang":
        time.sleep(60)
    with open(os.path.join(folder, name + ".json"), "w") as file:
        json.dump({"status": "recorded"}, file)
"""


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Supervise a small worker in place of the real one; returns the info of each case."""
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    folder = tmp_path / "records"
    folder.mkdir()
    monkeypatch.setattr(
        record,
        "worker_command",
        lambda pairing, cases, trained, everything: [
            sys.executable,
            str(script),
            str(folder),
            *(case.name for case in cases),
        ],
    )
    monkeypatch.setattr(record, "record_folder", lambda case, pairing: folder)
    monkeypatch.setattr(record, "SECONDS_A_CASE", 1)

    def supervise(names):
        record.supervise("jax", [Case(name, "google_bert") for name in names])
        return {name: read_json(folder / (name + ".json")) for name in names}

    return supervise


@pytest.mark.parametrize(
    "bad, reason", [("crash", "signal SIGABRT"), ("leave", "exit code 3"), ("hang", "no result after 1 s")]
)
def test_a_bad_case_costs_only_itself(run, bad, reason):
    info = run(["first", bad, "last"])
    assert info["first"]["status"] == info["last"]["status"] == "recorded"
    assert info[bad]["status"] == "failed" and reason in info[bad]["reason"]


def test_recorded_cases_are_not_run_again(run, tmp_path):
    write_json(tmp_path / "records" / "first.json", {"status": "recorded", "kept": True})
    assert run(["first", "second"])["first"]["kept"]


def test_an_unfinished_run_goes_on(tmp_path):
    record.start_or_resume(tmp_path / "jax", {"library": ["a"]})
    write_json(tmp_path / "jax" / "bert.json", {"status": "recorded"})
    record.start_or_resume(tmp_path / "jax", {"library": ["a"]})
    assert (tmp_path / "jax" / "bert.json").exists()


def test_another_library_starts_anew(tmp_path):
    record.start_or_resume(tmp_path / "jax", {"library": ["a"]})
    write_json(tmp_path / "jax" / "bert.json", {"status": "recorded"})
    record.start_or_resume(tmp_path / "jax", {"library": ["b"]})
    assert not (tmp_path / "jax" / "bert.json").exists()


def test_a_limitation_that_has_disappeared_is_an_error():
    with pytest.raises(ValueError, match="works here by now"):
        expect_limitation("training", lambda: None)


def test_a_limitation_that_holds_is_none():
    def refuse():
        raise NotImplementedError("fit is not supported")

    expect_limitation("training", refuse)
