"""The registry of pairings, and what is made from it."""

import json
import runpy
import shutil
import subprocess
import sys
import types
import venv

import pytest

import pairings
from pairings import (
    ABANDONED_PORT,
    BY_NAME,
    ENGINES,
    GPU,
    NIGHTLY,
    ORACLES,
    PAIRINGS,
    PEERS,
    PINS,
    PUBLISHED,
    find,
    find_interpreter,
    in_order,
    known,
    requirements,
    session_command,
    variant,
)
from pairings.environments import NotMade, Program, make_pairing_environment
from parity.store import ROOT

EVERYONE = PAIRINGS + NIGHTLY + ORACLES + PEERS + GPU + ENGINES


def sessions():
    """The sessions that the registry asks for."""
    names = [pairing.name for pairing in PAIRINGS]
    published = {f"published-{name}" for name in PUBLISHED}
    return (
        {f"parity-{pairing.name}" for pairing in NIGHTLY}
        | {f"{kind}-{name}" for kind in ("parity", "tests", "bench") for name in names}
        | published
        | {
            "bench-peers",
            "parity-peers",
            "tests",
            "lint",
            "docs",
            "golden",
            "engines",
            "nightly",
            "table",
            "report",
            "regress",
            "bisect",
            "compare",
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


def test_names_are_in_the_order_of_tables():
    """A Keras and its framework together, each version at its place: 2.10 after 2.2, a variant beside its pairing."""
    names = [
        one.name
        for one in known(
            ["torch", "jax-keras3.12", "tfkeras-tf2.10", "jax+keras==3.9.2", "jax", "tfkeras-tf2.2"]
        )
    ]
    assert names == ["tfkeras-tf2.2", "tfkeras-tf2.10", "jax", "jax+keras==3.9.2", "jax-keras3.12", "torch"]
    assert [one.name for one in in_order(reversed(PAIRINGS))] == [one.name for one in in_order(PAIRINGS)]


def test_a_pairing_that_was_removed_is_passed_over():
    assert known(["gone", "gone+keras==3.12.0", "jax"]) == [BY_NAME["jax"]]


@pytest.mark.parametrize("minor", ["3.10", "3.11", "3.12", "3.13", "3.14"])
@pytest.mark.parametrize("framework", ["tensorflow", "jax", "torch"])
def test_each_keras_has_its_column(framework, minor):
    pairing = find(f"{framework}-keras{minor}")
    pins = requirements(pairing.environment)
    assert any(line.startswith(f"keras=={minor}.") for line in pins)
    assert pairing.variables == BY_NAME[framework].variables and pairing.pins == BY_NAME[framework].pins


def test_only_the_newest_is_unpinned():
    unpinned = [one.name for one in EVERYONE if one.unpinned]
    assert unpinned == ["jax-newest"] and "=" not in BY_NAME["jax-newest"].pins.read_text()


def test_a_variant_shows_its_versions():
    one = find("jax+keras==3.12.0")
    assert one == variant(BY_NAME["jax"], ["Keras==3.12.0"])
    assert one.name == one.environment == "jax+keras==3.12.0" and one.summary.endswith("with keras 3.12.0")
    assert one.variables == BY_NAME["jax"].variables and one.pins == BY_NAME["jax"].pins
    assert (
        session_command("parity", one.name, "--case bert")
        == "nox -s parity-jax -- --with keras==3.12.0 --case bert"
    )


def test_a_variant_of_a_variant_keeps_the_other_pins():
    one = find("jax-keras3.10+jax==0.4.30")
    assert (
        "jax==0.4.30" in one.environment
        and "keras==3.10.0" in one.environment
        and "0.4.24+k" in one.environment
    )


@pytest.mark.parametrize(
    "name, expected, gone",
    [
        ("jax+keras==3.12.0", "keras==3.12.0", "keras==3.15.1"),
        ("jax-cuda+jax==0.9.2", "jax[cuda12]==0.9.2", "jax[cuda12]==0.10.2"),  # with its extras
        ("jax-python3.13+jax==0.9.2", "jax[cpu]==0.9.2", "jax[cpu]==0.10.2"),  # from an included file
        (
            "tensorflow+tensorflow==2.20.0",
            "tensorflow-cpu==2.20.0",
            "tensorflow==2.20.0",
        ),  # one of them is there
        ("torch+torch==2.13.0+cpu", "torch==2.13.0+cpu", "torch==2.13.0"),  # a local version
        ("jax+ml_dtypes==0.5.0", "ml-dtypes==0.5.0", "ml_dtypes==0.5.0"),  # not in the file
    ],
)
def test_pins_take_the_place_of_the_pairings(name, expected, gone):
    lines = requirements(find(name).environment)
    assert expected in lines and gone not in lines
    assert lines[-1] == expected or len(lines) == len(requirements(name.split("+")[0]))


@pytest.mark.parametrize(
    "pins, words",
    [
        (["keras"], "keras is no pin"),
        (["keras>=3"], "as in keras==3.12.0"),
        (["bert4keras3==1.6.6"], "wheel of this checkout"),
    ],
)
def test_a_wrong_pin_is_told(pins, words):
    with pytest.raises(ValueError, match=words):
        variant(BY_NAME["jax"], pins)


def test_an_unknown_pairing_is_told():
    for name in ("jaxx", "jaxx+keras==3.12.0"):
        with pytest.raises(ValueError, match="no pairing is named jaxx"):
            find(name)


@pytest.fixture
def environments(monkeypatch, tmp_path):
    """Environments in a folder of the test, from an index that has nothing."""
    monkeypatch.setattr(pairings.environments, "ENVIRONMENTS", tmp_path)
    for name, value in {
        "NO_INDEX": "1",
        "EXTRA_INDEX_URL": "",
        "FIND_LINKS": "",
        "CONFIG_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv("PIP_" + name, value)
    monkeypatch.setattr(pairings.environments, "make_virtual_environment", make_bare)
    return tmp_path


def make_bare(session, folder, python):
    venv.create(folder, with_pip=True)


def test_a_pin_that_cannot_be_installed_is_named_and_leaves_nothing(environments):
    with pytest.raises(NotMade, match=r"could not install keras==3\.12\.99 beside jax"):
        make_pairing_environment(Program(), "jax+keras==3.12.99")
    assert not list(environments.iterdir())


def test_an_update_that_fails_leaves_the_old_environment(environments):
    folder = environments / "jax+keras==3.12.99"
    venv.create(folder, with_pip=True)
    (folder / "pins.installed").write_text("of other pins")
    with pytest.raises(NotMade, match="keras==3"):
        make_pairing_environment(Program(), "jax+keras==3.12.99")
    assert (folder / "pins.installed").read_text() == "of other pins" and (folder / "bin" / "python").exists()


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
