"""Where a candidate runs: an environment with its pins, or a checkout of its commit. Each is made once."""

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.before import git, library_folder
from pairings import find, find_interpreter, split_pins, variant
from pairings.environments import (
    CACHE,
    ENVIRONMENTS,
    QUIET,
    NotMade,
    Program,
    changed,
    make_pairing_environment,
    mark,
    python_path,
)
from parity.store import sha256
from reports.bisection.candidates import Candidate, pip_of


class Place(NamedTuple):
    """python: of its environment; None for the user's own. folder: where a command runs. pairing: its name."""

    python: Path | None
    variables: dict[str, str]
    folder: Path
    pairing: str | None = None

    def environment(self) -> dict[str, str]:
        """The variables of a process that runs here; `python` and `pip` are those of the environment."""
        found = {**os.environ, **QUIET, **self.variables}
        if self.python is not None:
            found["VIRTUAL_ENV"] = str(self.python.parent.parent)
            found["PATH"] = os.pathsep.join([str(self.python.parent), found.get("PATH", "")])
        return found


class Places:
    """make: makes the place of a candidate. Raises NotMade if it cannot; that is not tried again."""

    def __init__(self, candidates: list[Candidate], make: Callable[[Candidate], Place]) -> None:
        self.candidates = {one.name: one for one in candidates}
        self.make = make
        self.made: dict[str, Place] = {}

    def __getitem__(self, name: str) -> Place:
        if name not in self.made:
            self.made[name] = self.make(self.candidates[name])
        return self.made[name]

    def add(self, candidates: list[Candidate]) -> None:
        self.candidates.update({one.name: one for one in candidates})


def pinned_pairing(pairing: str, folder: Path) -> Callable[[Candidate], Place]:
    """An environment of a pairing with the pins of a candidate, and with our wheel."""

    base, pins = split_pins(find(pairing).name)

    def make(candidate: Candidate) -> Place:
        one = variant(find(base), [*pins, *candidate.pins])
        longest = os.pathconf(ENVIRONMENTS.parent, "PC_NAME_MAX")
        if len(one.environment) > longest:
            raise ValueError(
                f"{len(candidate.pins)} pins make the name of an environment longer than {longest} characters: "
                "leave equal packages out of the lock files, or bisect without --pairing"
            )
        return Place(made_by_nox(one.name), one.variables, folder, one.name)

    return make


def made_by_nox(pairing: str) -> Path:
    """Python of the environment of a pairing. Raises NotMade."""
    try:
        return Path(make_pairing_environment(Program(), pairing))
    except subprocess.CalledProcessError as error:
        raise NotMade(f"{' '.join(map(str, error.cmd))} failed")


def pinned_alone(python: str, folder: Path) -> Callable[[Candidate], Place]:
    """An environment that holds the pins of a candidate and nothing else."""

    def make(candidate: Candidate) -> Place:
        return Place(plain_environment(python, candidate.pins), {}, folder)

    return make


def plain_environment(python: str, pins: tuple[str, ...]) -> Path:
    """Python of an environment with these pins, made once. Raises NotMade, and leaves nothing, if pip cannot."""
    content = "\n".join([python, *pins]).encode()
    executable = python_path(f"bisect-{hashlib.sha256(content).hexdigest()[:12]}")
    folder = executable.parent.parent
    if changed(folder / "pins.installed", content):
        interpreter = find_interpreter(python)
        if interpreter is None:
            raise NotMade(f"this machine lacks Python {python}: `pyenv install {python}` installs it")
        try:
            make = [interpreter, "-m", "venv", "--clear", "--without-pip", str(folder)]
            subprocess.run(make, check=True, capture_output=True)
            pip_install(executable, pins)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        mark(folder / "pins.installed", content)
    return executable


def pip_install(python: Path, pins: tuple[str, ...]) -> None:
    command = [*pip_of(python), "install", "--quiet", *pins]
    run = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **QUIET})
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or [run.stderr.strip()]
        raise NotMade(f"pip could not install {', '.join(pins)}: {lines[-1][:200]}")


def library_at_commit(pairing: str, folder: Path) -> Callable[[Candidate], Place]:
    """The environment of a pairing; the library of a commit stands before the installed one."""

    def make(candidate: Candidate) -> Place:
        library = library_folder(candidate.commit or "HEAD")
        variables = {**find(pairing).variables, "PYTHONPATH": str(library)}
        return Place(made_by_nox(pairing), variables, folder, pairing)

    return make


def checkout(repository: Path, pairing: str | None) -> Callable[[Candidate], Place]:
    """All files of a commit, without its history, in a folder where a command runs; it is first on Python's path."""

    def make(candidate: Candidate) -> Place:
        name = f"{repository.name}-{hashlib.sha256(str(repository).encode()).hexdigest()[:8]}"
        folder = CACHE / "bisect" / name / str(candidate.commit)
        if not folder.exists():
            beside = folder.with_name(folder.name + ".part")
            shutil.rmtree(beside, ignore_errors=True)
            archive = git("archive", str(candidate.commit), folder=repository)
            with tarfile.open(fileobj=io.BytesIO(archive)) as file:
                file.extractall(beside, filter="data")
            beside.rename(folder)
        variables = {**(find(pairing).variables if pairing else {}), "PYTHONPATH": str(folder)}
        return Place(made_by_nox(pairing) if pairing else None, variables, folder, pairing)

    return make


def library_checksum(root: Path) -> str:
    """Of the library's sources in a checkout: runs of another library do not count."""
    paths = sorted((root / "bert4keras3").rglob("*.py"))
    return hashlib.sha256("".join(map(sha256, paths)).encode()).hexdigest()[:16]
