"""The wheel that a release publishes: the same commit gives the same bytes, and nothing but the library is in it."""

import hashlib
import io
import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from parity.store import ROOT


def build(folder, seconds):
    """The wheel of the last commit, from a folder whose files were written at another time. Returns its path."""
    archive = subprocess.run(
        ["git", "archive", "HEAD", "bert4keras3", "pyproject.toml", "README.md", "LICENSE"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    sources = folder / "sources"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as file:
        file.extractall(sources, filter="data")
    for path in sources.rglob("*"):
        os.utime(path, (seconds, seconds))
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(sources)], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    return [
        build(tmp_path_factory.mktemp(f"build{i}"), seconds) for i, seconds in enumerate((10**9, 17 * 10**8))
    ]


def test_one_commit_gives_one_wheel(wheels):
    first, second = (hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels)
    assert first == second
    assert wheels[0].name == wheels[1].name


def test_the_wheel_holds_the_library_alone(wheels):
    names = zipfile.ZipFile(wheels[0]).namelist()
    others = [name for name in names if not name.startswith(("bert4keras3/", "bert4keras3-"))]
    assert not others
    expected = subprocess.run(
        ["git", "ls-tree", "-r", "--name-only", "HEAD", "bert4keras3"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert {name for name in names if name.startswith("bert4keras3/")} == set(expected.stdout.split())
