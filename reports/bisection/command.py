"""Which version or commit made something worse? A binary search that judges both ends first; Ctrl-C and it goes on.

python -m reports bisect --pairing jax --case bert-mlm --package keras --good 3.12.0 --bad 3.15.1
python -m reports bisect --pairing jax --case bert-mlm --good good.txt --bad bad.txt
python -m reports bisect --pairing jax --scenario bert-base-1x128 --commit v2.0..HEAD
python -m reports bisect --run "python check.py" --package numpy --good 2.0.0 --bad 2.4.0
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Callable
from math import ceil, log2
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.markup import escape

from bench.scenarios import BY_NAME as SCENARIOS
from pairings import find, requirements
from pairings.environments import HOST_PYTHON, NotMade, Program, make_minilm
from parity.kinds import KINDS_BY_NAME
from parity.models.cases import CASES_BY_NAME
from parity.store import ROOT, write_json
from reports.bisection import candidates as choices
from reports.bisection import places as where
from reports.bisection.candidates import Candidate
from reports.bisection.judges import LATENCY, MEMORY, Command, Judge, Parity, Speed
from reports.bisection.search import ABSENT, BAD, FLICKERS, MOST_RUNS, Answer, EndsDiffer, Log, Run, Search
from reports.formatting import number
from reports.terminal import make_table

PARITY_RUNS = 3  # two processes on one machine give equal bits
TIMEOUT = 600  # seconds of a command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--pairing", metavar="PAIRING", help="its environment, with other pins")
    judged = parser.add_mutually_exclusive_group(required=True)
    cases = "judge this case or kind by parity; repeatable"
    judged.add_argument(
        "--case", action="append", choices=[*CASES_BY_NAME, *KINDS_BY_NAME], help=cases, metavar="CASE"
    )
    judged.add_argument("--scenario", choices=list(SCENARIOS), help="judge the speed or memory of a scenario")
    judged.add_argument(
        "--run", dest="shell", metavar="COMMAND", help="exit code 0 is good, 125 cannot be judged"
    )
    judged.add_argument("--measure", metavar="COMMAND", help="its last line is the number that is judged")
    add(
        "--judge",
        choices=("red", "worse"),
        default="red",
        help="of a case; worse: newly red, or a ratio that has doubled",
    )
    add("--mode", help="of the scenario, where not its first")
    add("--metric", choices=(LATENCY, MEMORY), default=LATENCY, help="of the scenario")
    add("--package", help="whose versions are searched; without it --good and --bad are lock files")
    add("--good", metavar="VERSION_OR_LOCK")
    add("--bad", metavar="VERSION_OR_LOCK")
    add("--commit", metavar="GOOD..BAD", help="search commits, in place of versions")
    add("--repository", type=Path, default=ROOT, help="of the commits, for --run and --measure")
    add("--directory", type=Path, default=Path.cwd(), help="where a command runs, and where lock files are")
    add("--python", default=HOST_PYTHON, help="of environments without a pairing")
    add("--runs", type=int, help=f"of one candidate, at most: {PARITY_RUNS} of a case, else {MOST_RUNS}")
    add("--timeout", type=float, default=TIMEOUT, help="seconds of a run of a command")
    add("--fresh", action="store_true", help="forget the runs of an earlier bisect with the same arguments")


class Question(NamedTuple):
    """What is searched: candidates from good to bad. packages, good, bad: of two lock files."""

    candidates: list[Candidate]
    make: Callable[[Candidate], where.Place]
    packages: list[str] = []
    good: dict[str, str] = {}
    bad: dict[str, str] = {}


def run(options: argparse.Namespace, console: Console) -> int:
    """The exit code: 0 if one version or commit is named, 1 if none is, 130 after Ctrl-C."""
    try:
        check(options)
        question = ask(options)
        places = where.Places(question.candidates, question.make)
        search = make_search(options, question, places, console)
        search.check_ends()
        shown, answer = question.candidates, search.find([one.name for one in question.candidates])
        if question.packages and not answer.between:
            more = versions_of_package(options, question, answer)
            if more:
                places.add(more)
                answer = search.find([one.name for one in more])
                shown = [*shown, *more]
    except KeyboardInterrupt:
        console.print("interrupted: the same command goes on after the last run")
        return 130
    except EndsDiffer as reason:
        console.print(f"[red]nothing to search[/]: {escape(str(reason))}", highlight=False, soft_wrap=True)
        return 1
    except (ValueError, NotMade) as reason:
        console.print(f"[red]bisect[/]: {escape(str(reason))}", highlight=False, soft_wrap=True)
        return 1
    report(options, search, places, shown, answer, console)
    return int(bool(answer.between))


def check(options: argparse.Namespace) -> None:
    """Raises ValueError for options that do not go together."""
    if options.commit is None and not (options.good and options.bad):
        raise ValueError(
            "give --good and --bad (versions of --package, or two lock files), or --commit GOOD..BAD"
        )
    if options.commit and (options.package or options.good or options.bad):
        raise ValueError("--commit names both ends: leave --package, --good and --bad out")
    if (options.case or options.scenario) and not options.pairing:
        raise ValueError("--case and --scenario need --pairing")
    if options.pairing:
        find(options.pairing)
    if options.scenario and options.mode not in (None, *SCENARIOS[options.scenario].modes):
        modes = ", ".join(SCENARIOS[options.scenario].modes)
        raise ValueError(f"--mode {options.mode}: {options.scenario} has {modes}")
    if options.runs is not None and options.runs < 1:
        raise ValueError(f"--runs {options.runs}: expected at least 1")


def ask(options: argparse.Namespace) -> Question:
    """The candidates of the options, and what makes their places. Raises ValueError or NotMade."""
    folder = options.directory.resolve()
    if options.commit:
        if options.case or options.scenario:
            made = where.library_at_commit(options.pairing, folder)
            return Question(choices.commits(ROOT, options.commit, ["bert4keras3"]), made)
        repository = (folder / options.repository).resolve()
        return Question(
            choices.commits(repository, options.commit), where.checkout(repository, options.pairing)
        )
    pairing = options.pairing
    make = where.pinned_pairing(pairing, folder) if pairing else where.pinned_alone(options.python, folder)
    if options.package:
        good = choices.version_candidates(options.package, [options.good], {})[0]
        names = choices.versions(options.package, options.good, options.bad, str(make(good).python))
        return Question(choices.version_candidates(options.package, names, {}), make)
    locks = [choices.read_lock(folder / name) for name in (options.good, options.bad)]
    if pairing:  # what both share is pinned if the pairing pins it; the environment's name holds all pins
        named = {line.split("==")[0] for line in requirements(find(pairing).environment)}
        locks = [
            {name: version for name, version in one.items() if name in named or other.get(name) != version}
            for one, other in zip(locks, reversed(locks), strict=True)
        ]
    states, packages = choices.lock_candidates(*locks)
    return Question(states, make, packages, *locks)


def versions_of_package(options: argparse.Namespace, question: Question, answer: Answer) -> list[Candidate]:
    """The releases of the package that turned, beside what the other packages were then; none if it came or went."""
    names = [one.name for one in question.candidates]
    package = question.packages[names.index(answer.bad) - 1]
    good, bad = question.good.get(package), question.bad.get(package)
    if good is None or bad is None:
        return []
    state = question.candidates[names.index(answer.bad)]
    others = dict(pin.split("==") for pin in state.pins)
    found = choices.versions(package, good, bad, str(question.make(state).python))
    return choices.version_candidates(package, found, others)


def make_search(
    options: argparse.Namespace, question: Question, places: where.Places, console: Console
) -> Search:
    folder = state_folder(options, question)
    if options.fresh:
        shutil.rmtree(folder, ignore_errors=True)
    runs = Log(folder / "runs.jsonl")
    if runs.runs:
        console.print(f"{len(runs.runs)} runs are known from {folder}", highlight=False, soft_wrap=True)
    ends = question.candidates[0].name, question.candidates[-1].name

    def on_run(run: Run) -> None:
        words = "cannot be judged" if run.absent else "failed" if run.failed else "ran"
        value = "" if run.value is None else f" {run.value:.3g}"
        title = places.candidates[run.candidate].title
        line = f"{title}: {words}{value}  {run.note}".strip()
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    most = options.runs or (PARITY_RUNS if options.case else MOST_RUNS)
    return Search(runs, make_judge(options, places, ends[0]), *ends, most, on_run)


def make_judge(options: argparse.Namespace, places: where.Places, reference: str) -> Judge:
    if options.case:
        if any(case.startswith("minilm") for case in options.case):
            make_minilm(Program(), str(places[reference].python))
        return Parity(places, reference, options.case, options.judge == "worse")
    if options.scenario:
        scenario = SCENARIOS[options.scenario]
        return Speed(places, reference, scenario, options.mode or scenario.modes[0], options.metric)
    return Command(
        places, reference, options.shell or options.measure, bool(options.measure), options.timeout
    )


def state_folder(options: argparse.Namespace, question: Question) -> Path:
    """Where the runs of this question are kept. Another library, or other candidates, are another question."""
    names = ("pairing", "case", "judge", "scenario", "mode", "metric", "shell", "measure", "python")
    asked: dict[str, Any] = {name: getattr(options, name) for name in names}
    asked["candidates"] = [one.name for one in question.candidates]
    asked["directory"] = str(options.directory.resolve())
    asked["library"] = where.library_checksum(ROOT) if options.pairing and not options.commit else None
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
    folder = options.results / "bisect" / digest
    write_json(folder / "question.json", asked)
    return folder


def report(
    options: argparse.Namespace,
    search: Search,
    places: where.Places,
    shown: list[Candidate],
    answer: Answer,
    console: Console,
) -> None:
    """One sentence, what could not be judged, how many environments it took, and the table."""
    console.print()
    words = escape(sentence(options, search, places, answer))
    console.print(f"[bold]{words}[/]", highlight=False, soft_wrap=True)
    names = list(dict.fromkeys(one.name for one in shown))
    for name in names:
        if search.log.of(name) and search.verdict(name) == ABSENT:
            reason = search.log.of(name)[-1].note
            console.print(
                f"{places.candidates[name].title}: not judged: {reason}", highlight=False, markup=False
            )
    tried = [name for name in names if search.log.of(name)]
    between = len(tried) - 2
    kind = "commits" if options.commit else "environments"
    steps = ceil(log2(len(names) - 1)) if len(names) > 1 else 0
    console.print(
        f"{len(names)} candidates, {len(tried)} {kind}: 2 for the ends and {between} between; "
        f"a binary search of {len(names) - 1} suspects takes {steps}",
        highlight=False,
    )
    console.print(steps_table(search, places, tried))


def sentence(options: argparse.Namespace, search: Search, places: where.Places, answer: Answer) -> str:
    """Who is the last good one, who the first bad one, and by how much."""
    subject = options.shell or options.measure or ", ".join(options.case or [])
    if options.scenario:
        mode = options.mode or SCENARIOS[options.scenario].modes[0]
        subject = f"{options.metric} of {options.scenario} {mode}"
    subject += f" on {options.pairing}" if options.pairing else ""
    good, bad = (places.candidates[name].title for name in (answer.good, answer.bad))
    runs, failed = search.log.of(answer.bad), search.failures(answer.bad)
    if search.measured:
        how = f"{median([run.value for run in runs])} times the good end"
    else:
        how = next(run.note for run, fails in reversed([*zip(runs, failed, strict=True)]) if fails)
        how = how if all(failed) else f"{sum(failed)} of {len(failed)} runs failed ({how})"
    unknown = f"; {len(answer.between)} between them could not be judged" if answer.between else ""
    return f"{subject}: good with {good}, bad from {bad} on: {how}{unknown}"


def steps_table(search: Search, places: where.Places, names: list[str]):
    table = make_table("what was judged")
    for column in ("candidate", "verdict"):
        table.add_column(column, overflow="fold")
    for column in ("failed", "median"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("last run", overflow="fold")
    for name in names:
        runs, verdict = search.log.of(name), search.verdict(name)
        failed = "" if verdict == ABSENT else f"{sum(search.failures(name))} of {len(runs)}"
        style = {BAD: "red", ABSENT: "dim", FLICKERS: "yellow"}.get(verdict or "")
        values = median([run.value for run in runs])
        title, note = escape(places.candidates[name].title), escape(runs[-1].note)
        table.add_row(title, verdict, failed, values, note, style=style)
    return table


def median(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return number(float(np.median(known)) if known else None, "%.3g")
