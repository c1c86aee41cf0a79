"""Run the cases inside a pairing and write what the library computed: outputs, every layer, time and memory.

    python -m parity.record --pairing jax [--case bert-mlm ...]

A case that crashes, hangs or runs out of memory costs only itself: the cases run in a worker process, the
parent (which imports no framework) starts another one for those that are left. An interrupted run goes on.
"""

import argparse
import importlib.util
import platform
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pairings import BY_NAME
from parity import builders, inputs, seeded
from parity.cases import add_case_arguments, case_words, chosen_cases
from parity.files import (
    checkpoint_folder,
    golden_folder,
    read_json,
    record_folder,
    release_paths,
    sha256,
    write_arrays,
    write_json,
)
from parity.sampling import sample_layers

SECONDS_A_CASE = 300
LATENCY_RUNS = 10
IDENTITY_LAYERS = ("InputLayer", "Dropout")


def open_library(name):
    """The modules of a library under test, bert4keras or bert4keras3."""
    modules = {
        part: importlib.import_module("%s.%s" % (name, part)) for part in ("backend", "layers", "models")
    }
    tokenizers = importlib.import_module(name + ".tokenizers")
    return SimpleNamespace(
        name=name,
        keras=modules["backend"].keras,
        K=modules["backend"].K,
        backend=modules["backend"],
        set_gelu=modules["backend"].set_gelu,
        layers=modules["layers"],
        build_transformer_model=modules["models"].build_transformer_model,
        Tokenizer=tokenizers.Tokenizer,
        load_vocab=tokenizers.load_vocab,
    )


def record_case(library, case, weights=None):
    """(arrays, facts) of one case. arrays: "<length>/input/<i>", ".../output/<i>", ".../layer/<name>".

    weights: what the library loads in place of the case's checkpoint.
    """
    reset_peak_memory()
    transformer, model = build_case(library, case)
    weights = case_weights(case) if weights is None else weights
    seconds = load_case(transformer, case, weights)
    # random weights are made while they are loaded, so their time says nothing
    facts = {"random_weights": seeded.digest(weights)} if case.slow else {"load_seconds": seconds}
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
    facts["latency_seconds"] = latency(model, feed)
    facts["peak_memory_bytes"] = peak_memory()
    facts["layers"] = [layer for layer, _ in nodes]
    facts["token_input"] = max(i for i, x in enumerate(model.inputs) if input_name(x).endswith("Token"))
    facts["model_layers"] = [layer.name for layer in model.layers]
    return arrays, facts


def build_case(library, case):
    """(transformer, Keras model) of a case, with the weights that its layers began with."""
    config_path, _ = release_paths(case.checkpoint)
    library.set_gelu(case.gelu)
    return getattr(builders, case.build)(library, str(config_path), case)


def case_weights(case):
    """Prefix of the case's checkpoint, or its random weights."""
    return seeded.seeded_weights(case.checkpoint) if case.slow else str(release_paths(case.checkpoint)[1])


def load_case(transformer, case, weights):
    """Set the weights of a case; returns the seconds that the checkpoint took."""
    start = time.perf_counter()
    transformer.load_weights_from_checkpoint(weights)
    seconds = time.perf_counter() - start
    fill_weights(transformer, case)
    return seconds


def make_inputs(library, case, length, transformer, model):
    if case.release == "minilm":
        vocabulary = checkpoint_folder(case.checkpoint) / "vocab.txt"
        return inputs.real_sentences(library.Tokenizer(str(vocabulary), do_lower_case=True).encode, length)
    positions = 40 if case.arguments.get("hierarchical_position") else 12
    return [
        inputs.random_input(input_name(x), length, transformer.vocab_size, known_shape(x), positions)
        for x in model.inputs
    ]


def input_name(tensor):
    return tensor._keras_history[0].name


def known_shape(tensor):
    """Shape as a tuple of int or None; TensorFlow 1 has Dimension objects."""
    return tuple(getattr(size, "value", size) for size in tensor.shape)


def fill_weights(transformer, case):
    """Give weights that no checkpoint has the same random numbers on both sides."""
    for name, first in case.fill.items():
        layer = transformer.layers.get(transformer.prefixed(name))
        if layer is None:
            continue
        random = np.random.RandomState(len(name))
        values = layer.get_weights()
        filled = [random.normal(scale=0.3, size=value.shape).astype(value.dtype) for value in values[first:]]
        layer.set_weights(values[:first] + filled)


def layer_nodes(library, model):
    """[(name, tensor)] of every call of a layer that computes something, in the order of computation."""

    def inputs_known(node):
        # Keras 3 lists masks too, which no layer made.
        tensors = [
            x
            for x in listed(node.input_tensors)
            if isinstance(x._keras_history[0], library.keras.layers.Layer)
        ]
        return all(id(x) in known for x in tensors)

    known = {id(tensor) for tensor in listed(model.inputs)}
    found, before = [], -1
    while len(found) != before:
        before = len(found)
        for layer in model.layers:
            for i, node in enumerate(layer._inbound_nodes):
                outputs = listed(node.output_tensors)
                if id(outputs[0]) in known or not inputs_known(node):
                    continue
                known.update(id(tensor) for tensor in outputs)
                for j, tensor in enumerate(outputs):
                    found.append((output_name(layer, i, j), tensor, layer))
    return [(name, tensor) for name, tensor, layer in found if type(layer).__name__ not in IDENTITY_LAYERS]


def output_name(layer, call, output):
    """Name of an output of a layer's call: `layer#<call>.<output>`, zeros left out."""
    return layer.name + ("#%d" % call if call else "") + (".%d" % output if output else "")


def evaluate(library, model, values):
    """Outputs as arrays. Keras 3 runs the model operation by operation: to compile each probe would take longer."""
    if not hasattr(library.keras, "ops"):
        return listed(model.predict_on_batch(values))
    return [library.keras.ops.convert_to_numpy(x) for x in listed(model(values, training=False))]


def latency(model, values):
    """Median seconds of `predict_on_batch` on the last inputs, after a call that compiles."""
    model.predict_on_batch(values)
    seconds = []
    for _ in range(LATENCY_RUNS):
        start = time.perf_counter()
        model.predict_on_batch(values)
        seconds.append(time.perf_counter() - start)
    return float(np.median(seconds))


def reset_peak_memory():
    """Start a new peak of the resident memory, where the kernel allows it."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass


def peak_memory():
    """Peak resident memory in bytes since the last reset (of the whole process where there is no /proc)."""
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def listed(value):
    if not isinstance(value, (list, tuple)):
        return [value]
    return [item for items in value for item in listed(items)]


def provenance(library_name):
    """Versions and machine of this process."""
    names = (library_name, "keras", "tensorflow", "jax", "torch", "transformers", "numpy")
    modules = {name: sys.modules.get(name) for name in names}
    versions = {name: getattr(module, "__version__", None) for name, module in modules.items() if module}
    return {
        "versions": versions,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor_name(),
    }


def processor_name():
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def golden_checksum(case):
    """Checksum of the golden that a record is made for; None where there is none."""
    golden = golden_folder(case) / (case.name + ".npz")
    return sha256(golden) if golden.exists() else None


def work(pairing, cases):
    """Record the cases one after the other in this process."""
    library_name = BY_NAME[pairing].library
    library = None
    for case in cases:
        folder = record_folder(case, pairing)
        facts = {"case": case.name, "pairing": pairing, "golden": golden_checksum(case)}
        try:
            library = library or open_library(library_name)
            arrays, measured = record_case(library, case)
            facts.update(measured, status="recorded", provenance=provenance(library_name))
            write_arrays(folder / (case.name + ".npz"), sample_layers(arrays))
        except Exception as error:
            facts.update(status="failed", reason="%s: %s" % (type(error).__name__, error))
            facts["traceback"] = traceback.format_exc()
        write_json(folder / (case.name + ".json"), facts)
        if library is not None:
            library.K.clear_session()
        print("%s %s: %s" % (pairing, case.name, facts.get("reason", "recorded")), flush=True)


def worker_command(pairing, cases):
    return [sys.executable, "-m", "parity.record", "--worker", "--pairing", pairing] + case_words(cases)


def supervise(pairing, cases):
    """Keep workers going until every case has its record, or a reason why it has none."""

    def unrecorded():
        return [case for case in cases if not (record_folder(case, pairing) / (case.name + ".json")).exists()]

    while unrecorded():
        worker = subprocess.Popen(worker_command(pairing, unrecorded()))
        reason = watch(worker, unrecorded)
        if unrecorded():
            give_up(pairing, unrecorded()[0], reason)


def watch(worker, unrecorded):
    """Wait for the worker to end, or end it when it stays with one case too long; returns how it ended."""
    current, deadline = None, 0.0
    while worker.poll() is None:
        waiting = unrecorded()[:1]
        if waiting != current:
            current, deadline = waiting, time.monotonic() + SECONDS_A_CASE
        if time.monotonic() > deadline:
            worker.kill()
            worker.wait()
            return "no result after %d s" % SECONDS_A_CASE
        time.sleep(0.2)
    return "the process ended with %s" % describe_exit(worker.returncode)


def describe_exit(code):
    return "signal %s" % signal.Signals(-code).name if code < 0 else "exit code %d" % code


def give_up(pairing, case, reason):
    facts = {"case": case.name, "pairing": pairing, "status": "failed", "reason": reason}
    write_json(record_folder(case, pairing) / (case.name + ".json"), facts)
    print("%s %s: %s" % (pairing, case.name, reason), flush=True)


def fingerprint(cases):
    """What decides whether an unfinished run may go on: the installed library, the goldens and the cases."""
    package = Path(importlib.util.find_spec("bert4keras3").origin).parent
    return {
        "library": [sha256(path) for path in sorted(package.rglob("*.py"))],
        "cases": [case.name for case in cases],
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
    options = parser.parse_args()
    cases = chosen_cases(options)
    if options.worker:
        return work(options.pairing, cases)
    unfinished = start_or_resume(record_folder(cases[0], options.pairing), fingerprint(cases))
    supervise(options.pairing, cases)
    unfinished.unlink()


if __name__ == "__main__":
    main()
