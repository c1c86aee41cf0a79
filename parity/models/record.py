"""Run the cases inside a pairing and write what the library computed: outputs, every layer, time and memory.

    python -m parity.models.record --pairing jax [--case bert-mlm ...]

A case that crashes, hangs or runs out of memory costs only itself: the cases run in a worker process, the
parent (which imports no framework) starts another one for those that are left. An interrupted run goes on.
"""

import argparse
import importlib.util
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

import numpy as np

from pairings import BY_NAME
from parity.adapter import evaluate, layer_nodes, listed, open_library, token_input
from parity.machine import peak_memory, provenance, reset_peak_memory
from parity.models.build import build_case, case_weights, load_case, make_inputs
from parity.models.cases import add_case_arguments, case_words, chosen_cases, trained_cases
from parity.models.random_weights import digest
from parity.models.training import record_training
from parity.store import commit, golden_folder, read_json, record_folder, sha256, write_arrays, write_json
from parity.subsample import sample_arrays

SECONDS_A_CASE = 300
LATENCY_RUNS = 10


def record_case(library, case, weights=None):
    """(arrays, info) of one case. arrays: "<length>/input/<i>", ".../output/<i>", ".../layer/<name>".

    weights: what the library loads in place of the case's checkpoint.
    """
    reset_peak_memory()
    transformer, model = build_case(library, case)
    weights = case_weights(case) if weights is None else weights
    seconds = load_case(transformer, case, weights)
    # random weights are made while they are loaded, so their time says nothing
    info = {"random_weights": digest(weights)} if case.slow else {"load_seconds": seconds}
    nodes = layer_nodes(library, model)
    probe = library.keras.models.Model(model.input, [tensor for _, tensor in nodes])

    arrays = {}
    for length in case.lengths:
        values = make_inputs(library, case, length, transformer, model)
        for i, value in enumerate(values):
            arrays["%d/input/%d" % (length, i)] = value
        feed = values if len(values) > 1 else values[0]
        for i, output in enumerate(listed(model.predict(feed, verbose=0))):
            arrays["%d/output/%d" % (length, i)] = output
        for (layer, _), value in zip(nodes, evaluate(library, probe, feed)):
            arrays["%d/layer/%s" % (length, layer)] = value
    info["latency_seconds"] = latency(model, feed)
    info["peak_memory_bytes"] = peak_memory()
    info["layers"] = [layer for layer, _ in nodes]
    info["token_input"] = token_input(model)
    info["model_layers"] = [layer.name for layer in model.layers]
    return arrays, info


def latency(model, values):
    """Median seconds of `predict_on_batch` on the last inputs, after a call that compiles."""
    model.predict_on_batch(values)
    seconds = []
    for _ in range(LATENCY_RUNS):
        start = time.perf_counter()
        model.predict_on_batch(values)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def golden_checksum(case):
    """Checksum of the golden that a record is made for; None where there is none."""
    golden = golden_folder(case) / (case.name + ".npz")
    return sha256(golden) if golden.exists() else None


def work(pairing, cases, trained):
    """Record the cases one after the other in this process, and train some of them."""
    library_name, limitations = BY_NAME[pairing].library, BY_NAME[pairing].limitations
    library, sources = None, commit()
    for case in cases:
        folder = record_folder(case, pairing)
        info = {"case": case.name, "pairing": pairing, "golden": golden_checksum(case), "commit": sources}
        info["recorded"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            library = library or open_library(library_name)
            arrays, measured = record_case(library, case)
            trains = case in trained and "training" not in limitations
            if trains:
                arrays.update(record_training(library, case, case_weights(case)))
            elif case in trained:
                expect_limitation("training", record_training, library, case, case_weights(case))
            info.update(measured, status="recorded", trained=trains, provenance=provenance(library_name))
            write_arrays(folder / (case.name + ".npz"), sample_arrays(arrays))
        except Exception as error:
            info.update(status="failed", reason="%s: %s" % (type(error).__name__, error))
            info["traceback"] = traceback.format_exc()
        write_json(folder / (case.name + ".json"), info)
        if library is not None:
            library.K.clear_session()
        print("%s %s: %s" % (pairing, case.name, info.get("reason", "recorded")), flush=True)


def expect_limitation(what, function, *arguments):
    """Raise ValueError where the function does what the pairing is declared not to do."""
    try:
        function(*arguments)
    except NotImplementedError:
        return
    raise ValueError("%s works here by now: take it from the limitations in pairings/__init__.py" % what)


def worker_command(pairing, cases, trained):
    words = [word for case in trained for word in ("--train", case.name)]
    command = [sys.executable, "-m", "parity.models.record", "--worker", "--pairing", pairing]
    return command + words + case_words(cases)


def supervise(pairing, cases, trained=()):
    """Keep workers going until every case has its record, or a reason why it has none."""

    def unrecorded():
        return [case for case in cases if not (record_folder(case, pairing) / (case.name + ".json")).exists()]

    while unrecorded():
        worker = subprocess.Popen(worker_command(pairing, unrecorded(), trained))
        reason = watch(worker, unrecorded)
        if unrecorded():
            give_up(pairing, unrecorded()[0], reason)


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
            return "no result after %d s" % seconds
        time.sleep(0.2)
    return "the process ended with %s" % describe_exit(worker.returncode)


def describe_exit(code):
    return "signal %s" % signal.Signals(-code).name if code < 0 else "exit code %d" % code


def give_up(pairing, case, reason):
    info = {"case": case.name, "pairing": pairing, "status": "failed", "reason": reason}
    write_json(record_folder(case, pairing) / (case.name + ".json"), info)
    print("%s %s: %s" % (pairing, case.name, reason), flush=True)


def fingerprint(cases, trained):
    """What decides whether an unfinished run may go on: the installed library, the goldens and the cases."""
    package = Path(importlib.util.find_spec("bert4keras3").origin).parent
    return {
        "library": [sha256(path) for path in sorted(package.rglob("*.py"))],
        "cases": [case.name for case in cases],
        "trained": [case.name for case in trained],
        "goldens": [golden_checksum(case) for case in cases],
    }


def start_or_resume(folder, mark):
    """Empty the folder, unless an unfinished run of the very same things lies there."""
    unfinished = folder / "unfinished.json"
    if not (unfinished.exists() and read_json(unfinished) == mark):
        shutil.rmtree(str(folder), ignore_errors=True)
        write_json(unfinished, mark)
    return unfinished


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairing", required=True)
    add_case_arguments(parser)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--train", action="append", default=[], help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = chosen_cases(options)
    if options.worker:
        return work(options.pairing, cases, [case for case in cases if case.name in options.train])
    trained = trained_cases(options)
    unfinished = start_or_resume(record_folder(cases[0], options.pairing), fingerprint(cases, trained))
    supervise(options.pairing, cases, trained)
    unfinished.unlink()


if __name__ == "__main__":
    main()
