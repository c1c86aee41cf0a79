"""Measure subjects on scenarios, side by side:

    python -m bench.measure jax [--quick] [--scenario NAME] [--subject NAME] [--rounds N] [--device gpu]

by `nox -s bench-jax -- …`, which makes the environments first and prints the table after it. Rows go to
results/bench/<run>.jsonl as each scenario ends; Ctrl-C keeps what was measured.
"""

import argparse
import datetime
import shutil
import signal
import sys
from typing import Optional

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bench.contest import Contest
from bench.limit import Limits
from bench.rows import ABSENT, MEASURED, Row, append_rows
from bench.scenarios import BY_NAME, SCENARIOS, Scenario
from bench.subjects import Subject, add_subject_arguments, chosen_subjects
from parity.files import ROOT, commit

RESULTS = ROOT / "results" / "bench"
LOGS = ROOT / ".cache" / "bench" / "logs"
ROUNDS, QUICK_ROUNDS = 10, 4
NO_GPU = "--device gpu: this machine has no NVIDIA GPU, so nothing is measured"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_subject_arguments(parser)
    parser.add_argument("--scenario", action="append", choices=list(BY_NAME), help="only this; repeatable")
    parser.add_argument("--rounds", type=int, help=f"of all subjects in turn, {ROUNDS} unless --quick")
    parser.add_argument("--quick", action="store_true", help="one scenario, a few minutes")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def chosen_scenarios(options: argparse.Namespace) -> list[Scenario]:
    chosen = [
        scenario
        for scenario in SCENARIOS
        if (scenario.name in options.scenario if options.scenario else scenario.quick or not options.quick)
    ]
    return [one._replace(slope_calls=0) for one in chosen] if options.quick else chosen


class Run:
    """One run: its name, its file, and what all its rows say."""

    def __init__(self, options: argparse.Namespace, limits: Optional[Limits] = None) -> None:
        self.options, self.limits = options, limits
        self.started = datetime.datetime.now(datetime.timezone.utc)
        self.name = f"{self.started:%Y%m%dT%H%M%SZ}-{options.session}"
        self.path = RESULTS / f"{self.name}.jsonl"
        self.commit = commit() or "unknown"
        self.rows: list[Row] = []

    def make_row(self, subject: Subject, scenario: Scenario, mode: str) -> Row:
        """A row before anything was measured."""
        options = self.options
        words = ["--scenario", scenario.name, "--subject", subject.name, "--rounds", str(options.rounds)]
        words += ["--device", options.device]
        return Row(
            run=self.name,
            started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            commit=self.commit,
            command=f"nox -s bench-{options.session} -- {' '.join(words)}",
            subject=subject.name,
            scenario=scenario.name,
            mode=mode,
            device=options.device,
            status=MEASURED,
            items=scenario.items,
            limit_seconds=self.limits.seconds(scenario, mode) if self.limits else None,
        )

    def leave_out(self, scenarios: list[Scenario], subjects: list[Subject], reason: str) -> None:
        """Rows that say why nothing was measured."""
        rows = [
            self.make_row(subject, scenario, mode)._replace(status=ABSENT, reason=reason)
            for scenario in scenarios
            for mode in scenario.modes
            for subject in subjects
        ]
        append_rows(self.path, rows)

    def measure(self, scenario: Scenario, subjects: list[Subject], progress: Progress, task) -> None:
        """All modes of a scenario; its rows are written whatever happens."""
        rows = []
        try:
            for mode in scenario.modes:
                progress.update(task, description=f"{scenario.name} {mode}")

                def tell(words: str, steps: int) -> None:
                    progress.update(task, advance=steps, words=words)

                contest = Contest(scenario, mode, subjects, self.options.rounds, LOGS, self.make_row, tell)
                try:
                    contest.run()
                finally:
                    rows += contest.rows
        finally:
            append_rows(self.path, rows)
            self.rows += rows


def main(arguments: Optional[list[str]] = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    subjects = chosen_subjects(arguments)
    scenarios = chosen_scenarios(options)
    if options.device == "gpu" and shutil.which("nvidia-smi") is None:
        Run(options).leave_out(scenarios, subjects, NO_GPU)
        console.print(NO_GPU)
        return 1
    interrupted = False
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[words]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    steps = sum(len(one.modes) for one in scenarios) * Contest.steps(subjects, options.rounds)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("this machine's limit", total=steps, words="")
        limits = Limits(scenarios, options.device, lambda words: progress.update(task, words=words))
        run = Run(options, limits)
        try:
            for scenario in scenarios:
                run.measure(scenario, subjects, progress, task)
        except KeyboardInterrupt:
            interrupted = True
    console.print(
        f"rows: {run.path}{' (interrupted)' if interrupted else ''}", highlight=False, soft_wrap=True
    )
    if interrupted:
        return 130
    return 0 if any(row.status == MEASURED for row in run.rows) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what is measured is kept then too
    sys.exit(main())
