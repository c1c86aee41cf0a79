"""One implementation in a process of its own, inside its environment: it reads requests and writes replies.

    python -m bench.worker IMPLEMENTATION        process.py starts it

A request and a reply are a line of JSON each. Output that libraries print goes to standard error.
"""

import ctypes
import json
import os
import signal
import sys
import time
import traceback

import numpy as np

from bench import trackers
from bench.implementations import Unsupported, implementation_named
from bench.implementations.adapter import adapter_class, loaded
from bench.scenarios import BY_NAME, LOAD, TRAIN, TRAIN_STEPS, make_inputs
from bench.weights import make_weights, weights_folder
from parity.machine import peak_memory, reset_peak_memory

MEMORY_SAMPLES = 40
NO_GPU = "there is no GPU here, or the framework does not see it"


class Worker:
    """Its methods are the requests. Each takes keywords and returns the content of the reply."""

    def __init__(self, implementation):
        self.adapter = adapter_class(implementation_named(implementation).adapter)

    def convert(self, scenario):
        """Make the weights, once for all runs. A process that made them is not fit to be measured."""
        return {"made": make_weights(BY_NAME[scenario], self.adapter())}

    def prepare(self, scenario, mode, device, outputs):
        """Load, call for the first time, and write the outputs for the accuracy gate to the file `outputs`."""
        if device == "gpu" and not has_gpu():
            raise Unsupported(NO_GPU)
        self.scenario, self.mode, self.device = BY_NAME[scenario], mode, device
        reset_peak_memory()
        imported = trackers.resident_memory()
        folder = weights_folder(self.scenario, self.adapter.FORMAT)
        start = time.perf_counter()
        model = self.loaded(folder)
        loaded = time.perf_counter() - start
        self.compilations, self.counter = trackers.CompilationCounter(), trackers.CallCounter()
        if mode == LOAD:
            self.function, self.feed = lambda _: self.loaded(folder), None
        else:
            self.function = model.function(mode)
            self.feed = model.feed(mode, make_inputs(self.scenario))
        self.model = model
        start = time.perf_counter()
        result = self.function(self.feed)
        first = time.perf_counter() - start
        if mode == LOAD:
            model = result
        for _ in range(TRAIN_STEPS - 1 if mode == TRAIN else 0):
            self.function(self.feed)
        # after training and loading, the accuracy gate sees what the model computes now
        computes = mode not in (TRAIN, LOAD)
        outputs_now = model.arrays(result) if computes else model.outputs(make_inputs(self.scenario))
        np.savez(outputs, *outputs_now)
        settings = {**trackers.settings(), **model.settings()}
        measured = {"load_seconds": loaded, "first_call_seconds": first, "framework_rss_bytes": imported}
        return dict(measured, settings=settings)

    def loaded(self, folder):
        """A new model of the implementation."""
        return loaded(self.adapter, self.scenario, folder)

    def run(self, calls):
        """Seconds of some calls. One call before them does not count: other processes have used the caches."""
        if self.mode not in (TRAIN, LOAD):
            self.function(self.feed)
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            self.function(self.feed)
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def memory(self):
        """Peak memory so far, in bytes."""
        device = trackers.peak_device_memory(self.device)
        return {"peak_rss_bytes": peak_memory(), "peak_device_bytes": device}

    def counts(self):
        """What a call does, in numbers without noise."""
        return {"counts": {} if self.mode == LOAD else self.counter.count(lambda: self.function(self.feed))}

    def lengths(self):
        """How many compilations there were since the model was loaded, after a call at each further length."""
        for length in self.scenario.lengths:
            self.function(self.model.feed(self.mode, make_inputs(self.scenario, length)))
        return {"compilations": self.compilations.count()}

    def leak_check(self, calls):
        """Resident memory after each of some groups of calls: [[calls so far, bytes], …]."""
        points, done = [], 0
        while done < calls:
            for _ in range(max(calls // MEMORY_SAMPLES, 1)):
                self.function(self.feed)
                done += 1
            points.append([done, trackers.resident_memory()])
        return {"points": points}


def has_gpu():
    """Whether the framework that the implementation has imported sees a GPU."""
    if "jax" in sys.modules:
        import jax

        return jax.default_backend() != "cpu"
    if "torch" in sys.modules:
        import torch

        return torch.cuda.is_available()
    if "tensorflow" in sys.modules:
        import tensorflow as tf

        return bool(tf.config.experimental.list_physical_devices("GPU"))
    return False


def serve(make_worker, requests, replies):
    """Answer line by line until the requests end; an error becomes a reply too."""
    worker = None
    for line in iter(requests.readline, ""):
        request = json.loads(line)
        try:
            worker = worker or make_worker()
            reply = dict(getattr(worker, request.pop("do"))(**request), status="done")
        except Unsupported as reason:
            reply = {"status": "unsupported", "reason": str(reason)}
        except Exception as error:
            traceback.print_exc()
            reply = {"status": "failed", "reason": f"{type(error).__name__}: {str(error)[:500]}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def die_with_parent():
    """Have Linux end this process with its parent: a halted worker would outlive a parent that was killed."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    except (OSError, AttributeError):
        pass


def main():
    die_with_parent()
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    serve(lambda: Worker(sys.argv[1]), sys.stdin, replies)


if __name__ == "__main__":
    main()
