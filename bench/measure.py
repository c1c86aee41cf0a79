"""Measure implementations on scenarios, side by side:

    python -m bench.measure jax [--quick] [--systems] [--scenario NAME] [--implementation NAME] [--rounds N]
                                [--device gpu] [--before WHEEL_OR_REVISION]

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

from bench.implementations import (
    BEFORE,
    CONTROL,
    Implementation,
    add_implementation_arguments,
    chosen_implementations,
)
from bench.roofline import Roofline
from bench.rows import ABSENT, MEASURED, Row, append_rows
from bench.runner import InterleavedRun
from bench.scenarios import BY_NAME, SCENARIOS, SYSTEM_SCENARIOS, YARDSTICK, Scenario
from bench.weights import free_disk, remove_weights
from pairings import session_command
from parity.store import ROOT, commit

RESULTS = ROOT / "results" / "bench"
LOGS = ROOT / ".cache" / "bench" / "logs"
ROUNDS, QUICK_ROUNDS, SYSTEM_ROUNDS = 10, 4, 6
# Bytes of disk. With less, the weights of a system are removed as soon as the run does not need them any more.
KEEP_FREE = 20 * 2**30
NO_GPU = "--device gpu: this machine has no NVIDIA GPU, so nothing is measured"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_implementation_arguments(parser)
    parser.add_argument("--scenario", action="append", choices=list(BY_NAME), help="only this; repeatable")
    parser.add_argument(
        "--rounds",
        type=int,
        help=f"interleaved rounds, {ROUNDS} by default, {QUICK_ROUNDS} with --quick, {SYSTEM_ROUNDS} with --systems",
    )
    parser.add_argument("--quick", action="store_true", help="one scenario, a few minutes")
    return parser.parse_args(arguments)


def rounds(options: argparse.Namespace, scenario: Scenario) -> int:
    usual = SYSTEM_ROUNDS if scenario.system else QUICK_ROUNDS if options.quick else ROUNDS
    return options.rounds or usual


def chosen_scenarios(options: argparse.Namespace) -> list[Scenario]:
    """Those that are named, or the usual ones, or with --systems the systems; --quick --systems measures both kinds."""
    usual = [one for one in SCENARIOS if one.quick or not (options.quick or options.systems)]
    systems = [one for one in SYSTEM_SCENARIOS if options.systems]
    usual = [] if options.systems and not options.quick else usual
    chosen = [BY_NAME[name] for name in options.scenario or ()] or usual + systems
    return [one._replace(leak_check_calls=0) for one in chosen] if options.quick else chosen


def measured_on(scenario: Scenario, implementations: list[Implementation]) -> list[Implementation]:
    """Implementations of a scenario: a system needs no A/A control, it is compared with nothing of its run."""
    return [one for one in implementations if not (scenario.system and one.name.endswith(CONTROL))]


def steps_of(options: argparse.Namespace, scenario: Scenario, implementations: list[Implementation]) -> int:
    chosen = measured_on(scenario, implementations)
    return len(scenario.modes) * InterleavedRun.steps(chosen, rounds(options, scenario))


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
        words += f" --rounds {rounds(options, scenario)} --device {options.device}"
        words += f" --before {options.before}" if options.before else ""
        return Row(
            run=self.name,
            started=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            commit=self.commit,
            command=session_command("bench", options.session, words),
            implementation=implementation.name,
            scenario=scenario.name,
            mode=mode,
            device=options.device,
            status=MEASURED,
            items=scenario.items,
            roofline_seconds=self.roofline.seconds(scenario, mode) if self.roofline else None,
        )

    def leave_absent(
        self, scenarios: list[Scenario], implementations: list[Implementation], reason: str
    ) -> None:
        """Write rows that say why nothing was measured."""
        rows = [
            self.make_row(who, one, mode)
            for one in scenarios
            for mode in one.modes
            for who in measured_on(one, implementations)
        ]
        append_rows(self.path, [row._replace(status=ABSENT, reason=reason) for row in rows])

    def measure(
        self, scenario: Scenario, implementations: list[Implementation], progress: Progress, task
    ) -> None:
        """Measure all modes of a scenario. Its rows are written in any case."""
        runs: list[InterleavedRun] = []
        settings = (rounds(self.options, scenario), LOGS, self.make_row)
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


def remove_unneeded_weights(scenario: Scenario, later: list[Scenario]) -> None:
    needed = any(one.variables == scenario.variables for one in later)
    if scenario.system and not needed and free_disk() < KEEP_FREE:
        remove_weights(scenario)


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parse(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    implementations = chosen_implementations(arguments)
    scenarios = chosen_scenarios(options)
    if options.device == "gpu" and shutil.which("nvidia-smi") is None:
        Run(options).leave_absent(scenarios, implementations, NO_GPU)
        console.print(NO_GPU)
        return 1
    interrupted = False
    texts = ("{task.description}", BarColumn(), "{task.fields[words]}")
    columns = (*texts, TimeElapsedColumn(), "left", TimeRemainingColumn())
    steps = sum(steps_of(options, one, implementations) for one in scenarios)
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("roofline", total=steps, words="")
        # of other systems not all matmuls are counted
        countable = [one for one in scenarios if one.system in ("", YARDSTICK)]
        roofline = Roofline(countable, options.device, lambda words: progress.update(task, words=words))
        run = Run(options, roofline)
        try:
            for number, scenario in enumerate(scenarios):
                run.measure(scenario, measured_on(scenario, implementations), progress, task)
                remove_unneeded_weights(scenario, scenarios[number + 1 :])
        except KeyboardInterrupt:
            interrupted = True
    end = " (interrupted)" if interrupted else ""
    console.print(f"rows: {run.path}{end}", highlight=False, soft_wrap=True)
    return 130 if interrupted else int(all(row.status != MEASURED for row in run.rows))


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # keeps what was measured, as Ctrl-C does
    sys.exit(main())
