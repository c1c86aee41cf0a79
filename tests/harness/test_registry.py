"""The registry of pairings, and what is made from it."""

import json
import runpy
import shutil
import subprocess
import sys
import types

import pytest

import pairings
from pairings import ABANDONED_PORT, BY_NAME, GPU, ORACLES, PAIRINGS, PEERS, PINS, PUBLISHED, find_interpreter
from parity.store import ROOT

EVERYONE = PAIRINGS + ORACLES + PEERS + GPU


def sessions():
    """The sessions that the registry asks for."""
    names = [pairing.name for pairing in PAIRINGS]
    published = {f"published-{name}" for name in PUBLISHED}
    return (
        {f"{kind}-{name}" for kind in ("parity", "tests", "bench") for name in names}
        | published
        | {
            "bench-peers",
            "parity-peers",
            "tests",
            "lint",
            "docs",
            "golden",
            "nightly",
            "table",
            "report",
            "regress",
            "matrix",
        }
    )


def test_names_are_unique():
    assert len(BY_NAME) == len(EVERYONE)


@pytest.mark.parametrize("pairing", EVERYONE, ids=lambda pairing: pairing.name)
def test_pairing_has_pins(pairing):
    assert pairing.pins.read_text().strip()


def test_every_file_of_pins_is_used():
    used = {pairing.pins.name for pairing in EVERYONE} | {
        "host.txt",
        "tools.txt",
        "docs.txt",
        "published.txt",
    }
    assert {path.name for path in PINS.iterdir()} == used


@pytest.mark.parametrize("environment", sorted({pairing.environment for pairing in EVERYONE}))
def test_pairings_of_one_environment_need_one_python(environment):
    pythons = {pairing.python for pairing in EVERYONE if pairing.environment == environment}
    assert len(pythons) == 1


def test_only_its_own_environment_holds_the_abandoned_port():
    """It has our name: one file of pins names it, no other takes that file in, and one peer lives there."""
    words = {path.name: path.read_text() for path in PINS.iterdir()}
    assert [name for name, text in words.items() if "bert4keras3" in text] == [ABANDONED_PORT.pins.name]
    assert not [name for name, text in words.items() if ABANDONED_PORT.pins.name in text]
    environments = [pairing.environment for pairing in EVERYONE]
    assert environments.count(ABANDONED_PORT.environment) == 1


def test_nothing_of_ours_comes_before_the_abandoned_port():
    assert ABANDONED_PORT.variables["PYTHONPATH"] == ""


def test_tox_has_an_environment_for_every_session(monkeypatch):
    plugin = types.SimpleNamespace(impl=lambda function: function)
    monkeypatch.setitem(sys.modules, "tox", types.ModuleType("tox"))
    monkeypatch.setitem(sys.modules, "tox.plugin", plugin)
    toxfile = runpy.run_path(str(ROOT / "toxfile.py"))
    assert sorted(toxfile["tox_extend_envs"]()) == sorted(sessions())


def test_nox_lists_every_session_with_one_line():
    nox = pytest.importorskip("nox", reason="nox is not installed beside the tests")
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "-l", "-f", str(ROOT / "noxfile.py")], capture_output=True, text=True
    ).stdout
    rows = dict(line[2:].split(" -> ") for line in listed.splitlines() if line[:2] in ("* ", "- "))
    assert nox and set(rows) == sessions()
    assert all(rows.values())


def test_this_interpreter_is_found():
    version = "{}.{}".format(*sys.version_info[:2])
    assert find_interpreter(version)


def test_a_missing_interpreter_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert find_interpreter("3.7") is None


def test_a_shim_without_a_python_behind_it_is_passed_over(monkeypatch, tmp_path):
    shim = tmp_path / "python3.7"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(pairings.shutil, "which", lambda name: str(shim) if name == "python3.7" else None)
    assert find_interpreter("3.7") is None


def test_a_missing_interpreter_is_one_clear_line(tmp_path):
    """A machine without Python 3.7: the session names it and how to get it, and the report will say so too.

    In a copy of what nox reads, whose results are nobody's.
    """
    pytest.importorskip("nox", reason="nox is not installed beside the tests")
    shutil.copy(ROOT / "noxfile.py", tmp_path)
    for name in ("pairings", "bench"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("goldens", "results"))
    environment = {"PATH": "", "PYENV_ROOT": str(tmp_path), "HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-m", "nox", "-f", str(tmp_path / "noxfile.py"), "-s", "parity-keras2.3.1-tf1.15"],
        capture_output=True,
        text=True,
        env={**environment, "BERT4KERAS3_ENVIRONMENTS": str(tmp_path / "environments")},
    )
    assert run.returncode != 0
    assert "needs Python 3.7" in run.stderr and "pyenv install 3.7" in run.stderr
    assert "Traceback" not in run.stderr
    left = json.loads((tmp_path / "results" / "cells" / "keras2.3.1-tf1.15.json").read_text())
    assert "needs Python 3.7" in left["absent"] and not left["cells"]
