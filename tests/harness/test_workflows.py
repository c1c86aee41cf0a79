"""The workflows of CI: valid by GitHub's schema, and made from the registry."""

import json
import re
import subprocess
import sys

import pytest

from pairings import NIGHTLY, PAIRINGS
from parity.store import ROOT
from reports.compare import MARK

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def test_there_are_workflows():
    assert {path.name for path in WORKFLOWS} == {"quick.yml", "nightly.yml", "comment.yml"}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_is_valid(path):
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
        str(path),
    ]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_pins_its_actions_and_may_only_read(path):
    text = path.read_text()
    assert "permissions:\n  contents: read\n" in text and "concurrency:" in text
    actions = re.findall(r"uses: (.*)", text)
    commit_and_version = r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+"  # a tag may be moved, a commit may not
    assert actions and all(re.fullmatch(commit_and_version, action) for action in actions), actions


def test_the_workflow_that_may_comment_runs_nothing_of_the_pull_request():
    """It neither checks out nor installs, and puts no text of the pull request into a command."""
    text = (ROOT / ".github" / "workflows" / "comment.yml").read_text()
    assert "checkout" not in text and "pip" not in text and "nox -s" not in text
    commands = text[text.index("run: |") :]
    assert "${{" not in commands and MARK in commands


def test_writing_is_granted_to_single_jobs():
    rights = {
        path.name: re.findall(r"^ +([\w-]+): write", path.read_text(), re.MULTILINE) for path in WORKFLOWS
    }
    granted = {"nightly.yml": ["pages", "id-token"], "comment.yml": ["pull-requests"], "quick.yml": []}
    assert rights == granted


def nox(*words):
    command = [sys.executable, "-m", "nox", "-f", str(ROOT / "noxfile.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_matrix_is_the_registry():
    found = json.loads(nox("-s", "matrix"))["include"]
    pythons = {row["pairing"]: row["python"] for row in found}
    assert pythons == {one.name: one.python for one in PAIRINGS + NIGHTLY} and len(pythons) == len(found)
    assert {row["pairing"] for row in found if row["parity_alone"]} == {one.name for one in NIGHTLY}
    assert [row["pairing"] for row in found if row["may_fail"]] == ["jax-newest"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_runs_sessions_that_there_are(path):
    listed = {line.split()[1] for line in nox("-l").splitlines() if line[:2] in ("* ", "- ")}
    text = path.read_text().replace("${{ matrix.pairing }}", "jax").replace('"', "")
    for words in re.findall(r"nox -s ([^\n|]+)", text):
        names = words.split(" -- ")[0].split(" 2>")[0].split()
        assert names and set(names) <= listed, names
