"""What a bisect chooses from: releases of a package, states between two lock files, or commits; good ones first."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion, Version

from bench.before import git
from pairings import normalized

PYPI = "https://pypi.org/pypi/{}/json"


class Candidate(NamedTuple):
    """pins: what an environment holds, as "keras==3.12.0". commit: of a repository. title: for the table."""

    name: str
    title: str
    pins: tuple[str, ...] = ()
    commit: str | None = None


def from_pins(pins: dict[str, str], title: str) -> Candidate:
    words = tuple(f"{package}=={version}" for package, version in sorted(pins.items()))
    return Candidate(" ".join(words), title, words)


def versions(package: str, good: str, bad: str, python: str) -> list[str]:
    """Releases from `good` to `bad` that the pip of `python` finds, whatever index or folder it is configured with.

    Pre-releases and yanked releases are left out unless they are an end. Raises ValueError for an unknown end.
    """
    command = [*pip_of(Path(python)), "index", "versions", package, "--pre"]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        raise ValueError(f"{package}: pip found no release: {run.stderr.strip().splitlines()[-1]}")
    lines = run.stdout.splitlines()
    found = next(line.split(":", 1)[1] for line in lines if line.startswith("Available versions:"))
    listed = {Version(one): one for one in found.replace(",", " ").split()}
    ends = [parse_version(package, good), parse_version(package, bad)]
    for end in ends:
        if end not in listed:
            newest = ", ".join(listed[one] for one in sorted(listed, reverse=True)[:12])
            raise ValueError(f"{package} {end}: no such release for this Python; the newest are {newest}")
    if ends[0] == ends[1]:
        raise ValueError(f"{package}: --good and --bad are both {good}")
    gone = yanked(package)
    chosen = [
        one
        for one in sorted(listed, reverse=ends[0] > ends[1])
        if min(ends) <= one <= max(ends) and (one in ends or not (one.is_prerelease or listed[one] in gone))
    ]
    return [{ends[0]: good, ends[1]: bad}.get(one, listed[one]) for one in chosen]


def pip_of(python: Path) -> list[str]:
    """The command of the pip of an environment; of the host's, working on it, if it has none of its own."""
    own = any(python.parent.parent.glob("lib/python*/site-packages/pip"))
    return [str(python), "-m", "pip"] if own else [sys.executable, "-m", "pip", "--python", str(python)]


def parse_version(package: str, version: str) -> Version:
    try:
        return Version(version)
    except InvalidVersion:
        raise ValueError(f"{package}: {version} is no version: expected one as 3.12.0")


def yanked(package: str) -> set[str]:
    """Releases that PyPI has marked as yanked; none if pip may not ask an index, or PyPI does not answer."""
    if os.environ.get("PIP_NO_INDEX"):
        return set()
    try:
        with urllib.request.urlopen(PYPI.format(package), timeout=20) as answer:
            releases = json.load(answer)["releases"]
    except (urllib.error.URLError, TimeoutError, ValueError, KeyError):
        return set()
    return {name for name, files in releases.items() if files and all(one["yanked"] for one in files)}


def version_candidates(package: str, names: Sequence[str], others: dict[str, str]) -> list[Candidate]:
    """others: pins of the other packages, which stay as they are."""
    return [from_pins({**others, normalized(package): one}, f"{package} {one}") for one in names]


def read_lock(path: Path) -> dict[str, str]:
    """{package: version} of a lock file: requirements.txt, or what `pip freeze` prints. Raises ValueError.

    bert4keras3 is passed over, because each environment has the wheel of this checkout.
    """
    if not path.exists():
        raise ValueError(f"there is no lock file {path}")
    pins: dict[str, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.split(" #")[0].split("--hash")[0].strip().rstrip("\\").strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(text)
            if normalized(requirement.name) == "bert4keras3":
                continue
            (specifier,) = requirement.specifier
        except (InvalidRequirement, ValueError):
            raise ValueError(f"{path}:{number}: expected a pin as keras==3.12.0, got {text}")
        if specifier.operator != "==" or "*" in specifier.version:
            raise ValueError(f"{path}:{number}: expected a pin as keras==3.12.0, got {text}")
        if requirement.marker is None or requirement.marker.evaluate():
            pins[normalized(requirement.name)] = specifier.version
    return pins


def lock_candidates(good: dict[str, str], bad: dict[str, str]) -> tuple[list[Candidate], list[str]]:
    """States from one lock to the other, each with one more package as in the bad one; and these packages in order."""
    packages = [one for one in dict.fromkeys([*bad, *good]) if good.get(one) != bad.get(one)]
    if not packages:
        raise ValueError("both lock files pin the same versions")
    states, pins = [from_pins(good, "the good lock")], dict(good)
    for package in packages:
        pins.pop(package, None)
        pins.update({package: bad[package]} if package in bad else {})
        states.append(from_pins(pins, f"and {package} {bad.get(package, 'removed')}"))
    return states, packages


def commits(repository: Path, span: str, paths: Sequence[str] = ()) -> list[Candidate]:
    """GOOD, and the commits after it up to BAD that touch `paths`, along first parents. Raises ValueError."""
    good, dots, bad = span.partition("..")
    if not (good and dots and bad):
        raise ValueError(f"--commit {span}: expected GOOD..BAD")
    first, _ = (commit_in(repository, end) for end in (good, bad))
    words = ("rev-list", "--first-parent", "--reverse", f"{good}..{bad}", "--", *paths)
    found = [first, *git(*words, folder=repository).decode().split()]
    if len(found) < 2:
        where = f" that touches {', '.join(paths)}" if paths else ""
        raise ValueError(f"--commit {span}: no commit{where} leads from {good} to {bad}")
    form = "--format=%h%x00%s"
    lines = [git("show", "--no-patch", "--abbrev=12", form, one, folder=repository) for one in found]
    pairs = [line.decode().strip().split("\0") for line in lines]
    return [Candidate(name, f"{name} {subject}", commit=name) for name, subject in pairs]


def commit_in(repository: Path, revision: str) -> str:
    """Its full name. Raises ValueError."""
    try:
        return git("rev-parse", "--verify", f"{revision}^{{commit}}", folder=repository).decode().strip()
    except ValueError:
        raise ValueError(
            f"--commit: {repository} has no commit {revision}; `git fetch --unshallow` may bring it"
        )
