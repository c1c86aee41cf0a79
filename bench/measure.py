"""Measure implementations on scenarios, side by side:

    python -m bench.measure jax [--quick] [--scenario NAME] [--implementation NAME] [--rounds N] [--device gpu]
                                [--before WHEEL_OR_REVISION]

`nox -s bench-jax -- …` makes the environments, runs this, and prints the tables. Rows go to results/bench/<run>.jsonl
when a scenario ends. Ctrl-C keeps what was measured.
"""

from __future__ import annotations

import argparse
import datetime
import shutil
import signal
import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from bench.implementations import BEFORE, Implementation, add_implementation_arguments, chosen_implementations
from bench.roofline import Roofline
from bench.rows import ABSENT, MEASURED, Row, append_rows
from bench.runner import InterleavedRun
from bench.scenarios import BY_NAME, SCENARIOS, Scenario
from parity.store import ROOT, commit

RESULTS = ROOT / "results" / "bench"
LOGS = ROOT / ".cache" / "bench" / "logs"
ROUNDS, QUICK_ROUNDS = 10, 4
NO_GPU = "--device gpu: this machine has no NVIDIA GPU, so nothing is measured"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_implementation_arguments(parser)
    parser.add_argument("--scenario", action="append", choices=list(BY_NAME), help="only this; repeatable")
    parser.add_argument(
        "--rounds", type=int, help=f"interleaved rounds, {ROUNDS} by default, {QUICK_ROUNDS} with --quick"
    )
    parser.add_argument("--quick", action="store_true", help="one scenario, a few minutes")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    return options


def chosen_scenarios(options: argparse.Namespace) -> list[Scenario]:
    names = options.scenario or [one.name for one in SCENARIOS if one.quick or not options.quick]
    chosen = [one for one in SCENARIOS if one.name in names]
    return [one._replace(leak_check_calls=0) for one in chosen] if options.quick else chosen


class Run:
    """One run: its name, its file, and what its rows have in common."""

    def __init__(self, options: argparse.Namespace, roofline: Roofline | None = None) -> None:
        self.options, self.roofline = options, roofline
        self.started = datetime.datetime.now(datetime.timezone.utc)
        self.name = f"{self.started:%Y%m%dT%H%M%SZ}-{options.session}"
        self.path = RESULTS / f"{self.name}.jsonl"
        self.commit = commit() or "unknown"
        self.rows: list[Row] = []

    def make_row(self, implementation: Implementation, scenario: Scenario, mode: str) -> Row:
        """Make the row of an implementation before anything is measured."""
        options = self.options
        words = f"--scenario {scenario.name} --implementation {implementation.word.replace(BEFORE, '')}"
        words += f" --rounds {options.rounds} --device {options.device}"
        words += f" --before {options.before}" if options.before else ""
        return Row(
            run=self.name,
            started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            commit=self.commit,
            command=f"nox -s bench-{options.session} -- {words}",
            implementation=implementation.name,
            scenario=scenario.name,
            mode=mode,
            device=options.device,
            status=MEASURED,
            items=scenario.items,
            roofline_seconds=self.roofline.seconds(scenario, mode) if self.roofline else None,
        )

    def measure(
        self, scenario: Scenario, implementations: list[Implementation], progress: Progress, task
    ) -> None:
        """Measure all modes of a scenario. Its rows are written in any case."""
        runs: list[InterleavedRun] = []
        settings = (self.options.rounds, LOGS, self.make_row)
        try:
            for mode in scenario.modes:
                progress.update(task, description=f"{scenario.name} {mode}")

                def on_progress(words: str, steps: int) -> None:
                    progress.update(task, advance=steps, words=words)

                runs.append(InterleavedRun(scenario, mode, implementations, *settings, on_progress))
                runs[-1].run()
        finally:
            rows = [row for run in runs for row in run.rows]
            append_rows(self.path, rows)
            self.rows += rows


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    implementations = chosen_implementations(arguments)
    scenarios = chosen_scenarios(options)
    if options.device == "gpu" and shutil.which("nvidia-smi") is None:
        run = Run(options)
        rows = [
            run.make_row(who, one, mode) for one in scenarios for mode in one.modes for who in implementations
        ]
        append_rows(run.path, [row._replace(status=ABSENT, reason=NO_GPU) for row in rows])
        console.print(NO_GPU)
        return 1
    interrupted = False
    texts = ("{task.description}", BarColumn(), "{task.fields[words]}")
    columns = (*texts, TimeElapsedColumn(), "left", TimeRemainingColumn())
    steps = sum(len(one.modes) for one in scenarios) * InterleavedRun.steps(implementations, options.rounds)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("roofline", total=steps, words="")
        roofline = Roofline(scenarios, options.device, lambda words: progress.update(task, words=words))
        run = Run(options, roofline)
        try:
            for scenario in scenarios:
                run.measure(scenario, implementations, progress, task)
        except KeyboardInterrupt:
            interrupted = True
    end = " (interrupted)" if interrupted else ""
    console.print(f"rows: {run.path}{end}", highlight=False, soft_wrap=True)
    return 130 if interrupted else int(all(row.status != MEASURED for row in run.rows))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # keeps what was measured, as Ctrl-C does
    sys.exit(main())
