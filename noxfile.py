"""Every session comes out of `pairings/`: names, interpreters, and environments (`pairings/environments.py`)."""

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import nox
from nox.command import CommandFailed

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT))

from bench.implementations import (  # noqa: E402
    Implementation,
    chosen_implementations,
    chosen_peers,
    resolved,
)
from pairings import (  # noqa: E402
    BY_NAME,
    NIGHTLY,
    ORACLES,
    PAIRINGS,
    PINS,
    PUBLISHED,
    find,
    find_interpreter,
    in_order,
    known,
    variant,
)
from pairings.environments import (  # noqa: E402
    QUIET,
    make_environment,
    make_minilm,
    make_overlay,
    make_pairing_environment,
    run_in_pairing,
    run_module,
    run_on_host,
)
from pairings.shards import committed_seconds, parse_shard, shard, write_seconds  # noqa: E402

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "tests", "parity-jax"]

recorded: list[str] = []
whole_jobs: list[str] = []  # of a nightly run


def add_session(name: str, summary: str, function: Callable[..., None], *arguments: str) -> None:
    """Add a session that calls `function(session, *arguments)`. In a nightly run it writes what it took."""

    def run(session: nox.Session) -> None:
        started = time.monotonic()
        function(session, *arguments)
        if whole_jobs:
            kind, job = name.split("-", 1)
            write_seconds(ROOT / "results", job, kind, time.monotonic() - started)

    run.__doc__ = summary
    nox.session(run, name=name)


def with_pins(session: nox.Session, name: str) -> tuple[str, list[str]]:
    """The pairing, or its variant with the pins of `--with NAME==VERSION`, and the other arguments of the session."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--with", dest="pins", action="append", default=[], metavar="NAME==VERSION")
    options, arguments = parser.parse_known_args(session.posargs)
    if not options.pins:
        return name, arguments
    try:
        return variant(find(name), options.pins).name, arguments
    except ValueError as error:
        session.error(f"--with: {error}")


def parity(session: nox.Session, name: str) -> None:
    """Record a pairing and judge it; the report says what kept it from being judged."""
    name, chosen = with_pins(session, name)
    try:
        make_minilm(session, make_pairing_environment(session, name))
        recorded.append(name)
        session.notify("table", chosen)
        if "--weights" in chosen:
            identify_user_files(session, name, chosen)
        arguments = ["--pairing", name, *chosen]
        run_in_pairing(session, name, "parity.record", *arguments)
        red = run_in_pairing(session, name, "parity.models.compare", *arguments, silent=True).split()
        if red:
            explain_red_cases(session, name, red, chosen)
    except Exception as error:
        leave_absent(name, f"not run: {error}".splitlines()[0])
        raise


def leave_absent(name: str, reason: str) -> None:
    """Write why a pairing has no cells, in place of the cells of an earlier run."""
    path = ROOT / "results" / "cells" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schema": 1, "pairing": name, "cells": [], "absent": reason}))


def identify_user_files(session: nox.Session, name: str, chosen: list[str]) -> None:
    """Look what is in the user's folder, compute its goldens, and run what has been published about it."""
    run_in_pairing(session, name, "parity.user_files.identify", *chosen)
    if has_reference(session, "only published numbers are compared"):
        run_in_pairing(session, "reference", "parity.models.golden_reference", *chosen)
    run_in_pairing(session, name, "parity.user_files.published", "--pairing", name, *chosen)


def has_reference(session: nox.Session, otherwise: str) -> bool:
    """Whether this machine has the Python of the reference; if not, warn."""
    python = BY_NAME["reference"].python
    found = find_interpreter(python) is not None
    if not found:
        session.warn(f"no Python {python} for the reference: {otherwise}")
    return found


def explain_red_cases(session: nox.Session, name: str, red: list[str], chosen: list[str]) -> None:
    """Find the wrong layers, leave a small replay of each red case, and say what its difference looks like."""
    arguments = ["--pairing", name, *chosen]
    options = ("--wrong-layers", *arguments)
    wrong = run_in_pairing(session, name, "parity.models.compare", *options, silent=True).split()
    if wrong:
        run_isolated_layers(session, name, wrong, chosen)
    try:
        run_in_pairing(session, name, "parity.replay", *arguments)
    except CommandFailed as error:  # a replay that crashes costs no verdict
        session.warn(f"replays of {name}: {error}")


def run_isolated_layers(session: nox.Session, name: str, cases: list[str], arguments: list[str]) -> None:
    """Distinguish wrong layers from layers that only amplify their input's error, for the table."""
    if not has_reference(session, "no layer runs in isolation"):
        return
    activations = str(ROOT / "results" / "reference_activations")
    chosen = [word for case in cases for word in ("--case", case)]
    if "--weights" in arguments:
        place = arguments.index("--weights")
        chosen += arguments[place : place + 2]
    options = ("--floatx", "float64", "--folder", activations, *chosen)
    run_in_pairing(session, "reference", "parity.models.golden_reference", *options)
    options = ("--pairing", name, "--reference-activations", activations, *chosen)
    run_in_pairing(session, name, "parity.models.isolated_layers", *options)


def library_tests(session: nox.Session, name: str) -> None:
    """Run a pairing's tests, with one thread for operators in each process: PyTorch's threads wait in busy loops."""
    name, arguments = with_pins(session, name)
    python = make_pairing_environment(session, name)
    variables = {**find(name).variables, "OMP_NUM_THREADS": "1"}
    run_pytest(session, python, variables, "tests/library", *arguments)


def run_pytest(session: nox.Session, python: str, variables: dict[str, str], *words: str) -> None:
    """Run two files at a time."""
    pytest = str(Path(python).with_name("pytest"))
    options = ("--numprocesses", "2", "--dist", "loadfile", *words)
    session.run(pytest, *options, external=True, env={**QUIET, **variables})


def published(session: nox.Session, name: str) -> None:
    mirror = os.environ.get("BERT4KERAS_MIRROR")
    if not mirror:
        session.error("set BERT4KERAS_MIRROR to a git directory: git clone --bare …/bojone/bert4keras")
    python, pairing = make_pairing_environment(session, name), BY_NAME[name]
    overlay = make_overlay(session, python, f"published-{pairing.environment}", PINS / "published.txt")
    script = str(ROOT / "tests" / "published_scripts" / "run.py")
    variables = {**QUIET, **pairing.variables, "PYTHONPATH": str(overlay)}
    options = ("--mirror", str(Path(mirror).resolve()), "--lib", "bert4keras3", "--pairing", name)
    session.run(python, script, *options, *session.posargs, external=True, env=variables)


def bench(session: nox.Session, name: str) -> None:
    name, arguments = with_pins(session, name)
    arguments = resolved(arguments)
    for implementation in chosen_implementations([name, *arguments]):
        make_implementation(session, implementation)
    try:
        run_on_host(session, "bench.measure", name, *arguments)
    finally:  # it runs after Ctrl-C too
        run_on_host(session, "reports", "speed", "--newest")


def make_implementation(session: nox.Session, implementation: Implementation) -> None:
    """Make the environment of an implementation. If that fails, the rows of the implementation say why."""
    pairing = implementation.environment
    if not implementation.pairing:  # its package has a Python
        return None
    if find_interpreter(pairing.python) is None:
        return session.warn(f"no Python {pairing.python} on this machine: {implementation.name} is absent")
    try:
        make_pairing_environment(session, pairing.name)
    except CommandFailed as error:
        session.warn(f"{implementation.name}: {error}")


def parity_peers(session: nox.Session) -> None:
    """Judge other libraries. Red ones make the session fail only if they were named behind --implementation."""
    chosen, narrowed = chosen_peers(session.posargs)
    make_minilm(session, make_environment(session, "host"))
    for one in chosen:
        make_implementation(session, one)
        if one.executable.exists():
            judge(session, one, narrowed)
    words = [one.word for one in chosen]
    strict = ["--strict"] * any(word.startswith("--implementation") for word in session.posargs)
    run_on_host(session, "reports", "peers", *words, *strict, *narrowed)


def judge(session: nox.Session, one: Implementation, narrowed: list[str]) -> None:
    """Record what an implementation computes. If that fails, its cells say so."""
    arguments = ("--implementation", one.word, "--record", *narrowed)
    try:
        run_module(
            session, str(one.executable), "bench.judge", *arguments, variables=one.environment.variables
        )
    except CommandFailed as error:
        shutil.rmtree(ROOT / "results" / "peers" / "records" / one.name, ignore_errors=True)
        session.warn(f"{one.name}: {error}")


for one in PAIRINGS + NIGHTLY:
    add_session(f"parity-{one.name}", f"Parity of {one.summary} with bert4keras 0.11.5.", parity, one.name)
for one in PAIRINGS:
    add_session(f"tests-{one.name}", f"The library's tests on {one.summary}.", library_tests, one.name)
    add_session(f"bench-{one.name}", f"Speed and memory of bert4keras3 on {one.summary}.", bench, one.name)
peers = "Speed and memory of bert4keras3 on Keras 3 beside the reference and other libraries."
add_session("bench-peers", peers, bench, "peers")
words = "Parity of other libraries with bert4keras 0.11.5, and of your own: -- --implementation module:Class."
add_session("parity-peers", words, parity_peers)
for name in PUBLISHED:
    words = f"bert4keras's published scripts with the import renamed, on {BY_NAME[name].summary}."
    add_session(f"published-{name}", words, published, name)


@nox.session
def table(session: nox.Session) -> None:
    """Judge the recorded pairings, keep the verdicts, and print them; red cells make it fail."""
    names = recorded or [
        one.name for one in known(path.name for path in (ROOT / "results" / "records").glob("*"))
    ]
    run_on_host(session, "reports", "table", *names, *session.posargs)


@nox.session
def report(session: nox.Session) -> None:
    """Write what was measured as HTML, Markdown, JUnit, CSV, Parquet; merge the folders named behind -- first."""
    folders = [str(Path(word).resolve()) for word in session.posargs]
    if folders:
        run_on_host(session, "reports", "merge", *folders, "--into", str(ROOT / "results"))
    run_on_host(session, "reports", "all")


def make_environments_of_speed(session: nox.Session) -> None:
    """Make the environments of the pairings behind `--speed`."""
    if "--speed" in session.posargs:
        for name in session.posargs[session.posargs.index("--speed") + 1 :]:
            if name in BY_NAME:
                make_pairing_environment(session, name)


@nox.session
def regress(session: nox.Session) -> None:
    """Has something become worse than the committed baseline? `-- --speed jax` also measures against its commit."""
    make_environments_of_speed(session)
    run_on_host(session, "reports", "regress", *session.posargs)


@nox.session
def bisect(session: nox.Session) -> None:
    """Which version or commit made something worse? `-- --pairing jax --case bert-mlm --package keras --good …`"""
    run_on_host(session, "reports", "bisect", "--directory", session.invoked_from, *session.posargs)


@nox.session
def compare(session: nox.Session) -> None:
    """What changed between two folders of results, pairings, versions or commits, named behind --."""
    words = list(session.posargs)
    for place, word in enumerate(words):
        if Path(word).exists() or words[place - 1] == "--markdown":
            words[place] = str(Path(word).resolve())
    make_environments_of_speed(session)
    run_on_host(session, "reports", "compare", *words)


@nox.session
def matrix(session: nox.Session) -> None:
    """Print the pairings as JSON, for the matrix of a CI: parity alone is run for some, and some may fail."""
    rows = [
        {
            "pairing": one.name,
            "python": one.python,
            "parity_alone": one in NIGHTLY,
            "may_fail": one.unpinned,
        }
        for one in in_order(PAIRINGS + NIGHTLY)
    ]
    print(json.dumps({"include": rows}))


@nox.session
def tests(session: nox.Session) -> None:
    """Run the library's tests on Keras 3 with JAX, and the harness's own."""
    library_tests(session, "jax")
    run_pytest(session, make_environment(session, "host"), {}, "tests/harness", *session.posargs)


@nox.session
def engines(session: nox.Session) -> None:
    """Run the tests of `bert4keras3.embed` on Ray and Spark, which no pairing has."""
    python = make_pairing_environment(session, "engines")
    files = [str(path) for path in sorted((ROOT / "tests" / "library").glob("test_embed*.py"))]
    variables = {**find("engines").variables, "OMP_NUM_THREADS": "1"}
    run_pytest(session, python, variables, *files, "-m", "slow or not slow", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Run everything, for hours: all tests and all cases, at full size too, in all pairings.

    `-- --shard 2/4` runs the second of four parts, which take about equal time. `nox -s report -- FOLDER …` merges
    their results.
    """
    parser = argparse.ArgumentParser(prog="nox -s nightly --", allow_abbrev=False)
    parser.add_argument("--shard", type=parse_shard, default=(1, 1), metavar="I/N")
    index, count = parser.parse_args(session.posargs).shard
    jobs = [*(one.name for one in PAIRINGS + NIGHTLY), "peers"]
    whole_jobs.extend(shard(jobs, committed_seconds(), index, count))
    if index == 1:
        session.notify("lint")
        session.notify("docs")
    for pairing in (one for one in PAIRINGS if one.name in whole_jobs):
        session.notify(f"tests-{pairing.name}", ["-m", "slow or not slow"])
        session.notify(f"parity-{pairing.name}", ["--everything"])
        session.notify(f"bench-{pairing.name}", ["--quick", "--systems"])
        if os.environ.get("BERT4KERAS_MIRROR") and pairing.name in PUBLISHED:
            session.notify(f"published-{pairing.name}")
    for pairing in (one for one in NIGHTLY if one.name in whole_jobs):
        session.notify(f"parity-{pairing.name}", ["--everything"])
    if "peers" in whole_jobs:
        session.notify("engines")
        session.notify("parity-peers")
        session.notify("bench-peers")
    if count == 1:
        session.notify("regress")
        session.notify("report")


@nox.session
def lint(session: nox.Session) -> None:
    """Check format, lint and types."""
    python = make_environment(session, "host")
    for command in (["ruff", "format", "--check"], ["ruff", "check"], ["mypy"]):
        session.run(python, "-m", *command, external=True, env=QUIET)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation's site into results/docs; a warning or a figure without its row makes it fail.

    `-- --write` first writes the figures of bench/results/ into the pages.
    """
    run_on_host(session, "reports", "docs", *session.posargs)
    options = ("--builder", "html", "--fail-on-warning", "--keep-going", "--quiet")
    paths = (str(ROOT / "docs"), str(ROOT / "results" / "docs"))
    python = make_environment(session, "docs")
    run_module(session, python, "sphinx", *options, *paths, variables={"KERAS_BACKEND": "jax"})
    session.log(f"open {ROOT / 'results' / 'docs' / 'index.html'}")


@nox.session
def golden(session: nox.Session) -> None:
    """Compute the goldens anew with the original library (minutes; the results are committed)."""
    for oracle in ORACLES:
        make_minilm(session, make_pairing_environment(session, oracle.name))
        run_in_pairing(session, oracle.name, f"parity.models.golden_{oracle.name}", *session.posargs)
    if session.posargs:
        return
    modules = (
        "parity.text.golden",
        "parity.layers.golden",
        "parity.models.golden_hdf5",
        "parity.public_names",
    )
    modules += ("parity.models.golden_saved_models", "parity.generation.golden", "parity.optimizers.golden")
    for module in (*modules, "bench.golden"):
        run_in_pairing(session, "reference", module)
    python, variables = make_pairing_environment(session, "reference"), BY_NAME["reference"].variables
    for module in ("parity.public_names", "parity.models.golden_saved_models"):  # the reference on tf.keras
        run_module(session, python, module, variables={**variables, "TF_KERAS": "1"})
    run_in_pairing(session, "tfkeras-tf2.2", "parity.optimizers.golden")
