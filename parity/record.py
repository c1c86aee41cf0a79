"""Run cases and kinds inside a pairing and write what the library computed.

    python -m parity.record --pairing jax [--case bert-mlm ...]

A case that crashes, hangs or runs out of memory costs only itself: the cases run in a worker process, the
parent (which imports no framework) starts another one for those that are left. An interrupted run goes on.
"""

import argparse
import importlib.util
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

from pairings import find
from parity.adapter import OneDevice, open_library
from parity.kinds import Kind, chosen_kinds, golden_checksums, record_kind
from parity.machine import describe_exit, provenance
from parity.mesh import Mesh
from parity.models.cases import add_case_arguments, case_words, chosen_cases, trained_cases
from parity.models.record import record_and_train
from parity.processes import ENGINES
from parity.store import (
    commit,
    golden_folder,
    read_json,
    record_folder,
    replay_folder,
    sha256,
    write_arrays,
    write_json,
)

SECONDS_A_CASE = 300


def golden_checksum(case):
    """Checksum of the golden that a record is made for; None if there is none."""
    if isinstance(case, Kind):
        return golden_checksums(case)
    golden = golden_folder(case) / (case.name + ".npz")
    return sha256(golden) if golden.exists() else None


def work(pairing, jobs, trained, everything):
    """Record the jobs one after the other in this process, and train some of the cases."""
    library, devices = None, devices_of(find(pairing))
    for job in jobs:
        library = record_job(library, devices, pairing, job, job in trained, everything)
        if library is not None:
            library.K.clear_session()


def devices_of(pairing):
    """What runs the models of a pairing."""
    if pairing.mesh:
        return Mesh(pairing.mesh)
    return ENGINES[pairing.environment]() if pairing.processes > 1 else OneDevice()


def record_job(library, devices, pairing, job, train, everything):
    """Write the record of a job, or why there is none. Returns the library, which is opened for the first job."""
    folder = record_folder(job, pairing)
    info = {"case": job.name, "pairing": pairing, "golden": golden_checksum(job), "commit": commit()}
    info["recorded"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    arrays, started = {}, time.monotonic()
    try:
        library = library or open_library(find(pairing).library, devices)
        if isinstance(job, Kind):
            arrays, measured = record_kind(job, library, pairing, everything)
        else:
            with devices.scope():
                arrays, measured = record_and_train(library, pairing, job, train)
        info.update(measured, status="recorded", provenance=provenance(library.name))
    except Exception as error:
        info.update(status="failed", reason=f"{type(error).__name__}: {error}")
        info["traceback"] = traceback.format_exc()
    if devices.writes:
        info["seconds"] = round(time.monotonic() - started, 1)
        if arrays:
            write_arrays(folder / (job.name + ".npz"), arrays)
        write_json(folder / (job.name + ".json"), info)
        print(f"{pairing} {job.name}: {info.get('reason', 'recorded')}", flush=True)
    if find(pairing).processes > 1 and info["status"] == "failed":
        # The other processes are somewhere else: all begin anew with the next job.
        raise SystemExit(info["traceback"])
    return library


def worker_command(pairing, cases, trained, everything):
    words = [word for case in trained for word in ("--train", case.name)]
    command = [sys.executable, "-m", "parity.record", "--worker", "--pairing", pairing]
    if find(pairing).processes > 1:
        command[1:1] = ["-m", "bert4keras3.launch", "--processes", str(find(pairing).processes)]
    return command + words + ["--everything"] * everything + case_words(cases)


def supervise(pairing, cases, trained=(), everything=False):
    """Keep workers going until every case has its record, or a reason why it has none."""

    def command(unrecorded):
        return worker_command(pairing, unrecorded, trained, everything)

    record_all(cases, lambda case: record_folder(case, pairing) / (case.name + ".json"), command, pairing)


def record_all(cases, path_of, command, name):
    """Run `command(unrecorded cases)` again and again until each case has its file, here with the reason if need be."""

    def unrecorded():
        return [case for case in cases if not path_of(case).exists()]

    while unrecorded():
        worker = subprocess.Popen(command(unrecorded()))
        reason = watch(worker, unrecorded)
        if unrecorded():
            case = unrecorded()[0]
            info = {"case": case.name, "pairing": name, "status": "failed", "reason": reason}
            write_json(path_of(case), info)
            print(f"{name} {case.name}: {reason}", flush=True)


def watch(worker, unrecorded):
    """Wait for the worker to end, or end it when it stays with one case too long; returns how it ended."""
    current, seconds, deadline = None, 0, 0.0
    while worker.poll() is None:
        waiting = unrecorded()[:1]
        if waiting != current:
            seconds = SECONDS_A_CASE * (4 if any(case.slow for case in waiting) else 1)
            current, deadline = waiting, time.monotonic() + seconds
        if time.monotonic() > deadline:
            worker.kill()
            worker.wait()
            return f"no result after {seconds} s"
        time.sleep(0.2)
    return f"the process ended with {describe_exit(worker.returncode)}"


def fingerprint(cases, trained, everything):
    """What decides whether an unfinished run may go on: the installed library, the goldens and the cases."""
    package = Path(importlib.util.find_spec("bert4keras3").origin).parent
    return {
        "library": [sha256(path) for path in sorted(package.rglob("*.py"))],
        "cases": [case.name for case in cases],
        "trained": [case.name for case in trained],
        "everything": everything,
        "goldens": [golden_checksum(case) for case in cases],
    }


def start_or_resume(folder, mark):
    """Empty the folder, unless an unfinished run of the very same things lies there."""
    unfinished = folder / "unfinished.json"
    if not (unfinished.exists() and read_json(unfinished) == mark):
        shutil.rmtree(str(folder), ignore_errors=True)
        shutil.rmtree(str(replay_folder(folder.name)), ignore_errors=True)
        write_json(unfinished, mark)
    return unfinished


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairing", required=True)
    add_case_arguments(parser)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--train", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    jobs = chosen_kinds(options, options.pairing) + chosen_cases(options)
    if options.worker:
        trained = [job for job in jobs if job.name in options.train]
        return work(options.pairing, jobs, trained, options.everything)
    if not jobs:
        raise SystemExit(f"{options.pairing}: nothing to record of what was asked for")
    trained = trained_cases(options)
    mark = fingerprint(jobs, trained, options.everything)
    unfinished = start_or_resume(record_folder(jobs[0], options.pairing), mark)
    supervise(options.pairing, jobs, trained, options.everything)
    unfinished.unlink()


if __name__ == "__main__":
    main()
