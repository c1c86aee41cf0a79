"""One subject in a process of its own, inside its environment: reads requests, writes replies, a line of JSON each.

    python -m bench.worker SUBJECT        started by measure.py

Between two requests it waits for its standard input; what libraries print goes to standard error.
"""

import ctypes
import importlib
import json
import os
import signal
import sys
import time
import traceback

import numpy as np

from bench import trackers
from bench.scenarios import BY_NAME, LOAD, TRAIN, TRAIN_STEPS, make_inputs
from bench.subjects import Unsupported, subject_named
from bench.weights import make_weights, weights_folder

MEMORY_SAMPLES = 40
NO_GPU = "there is no GPU here, or the framework does not see it"


class Worker(object):
    """The requests are its methods; each takes keywords and returns what the reply holds."""

    def __init__(self, subject):
        self.adapter = importlib.import_module("bench.subjects." + subject_named(subject).adapter)

    def convert(self, scenario):
        """Make the weights, once for all runs: who did needs a fresh process to be measured in."""
        return {"made": make_weights(BY_NAME[scenario], self.adapter)}

    def prepare(self, scenario, mode, device, outputs):
        """Load, call for the first time, and write the outputs that are judged to a file `outputs`."""
        if device == "gpu" and not has_gpu():
            raise Unsupported(NO_GPU)
        self.scenario, self.mode, self.device = BY_NAME[scenario], mode, device
        trackers.reset_peak_memory()
        folder = weights_folder(self.scenario, self.adapter.FORMAT)
        start = time.perf_counter()
        model = self.adapter.load(self.scenario, folder)
        loaded = time.perf_counter() - start
        self.compilations = trackers.CompilationCounter()
        if mode == LOAD:
            self.function, self.feed = lambda _: self.adapter.load(self.scenario, folder), None
        else:
            self.function = self.adapter.function(model, self.scenario, mode)
            self.feed = self.adapter.feed(model, mode, make_inputs(self.scenario))
        self.model = model
        start = time.perf_counter()
        result = self.function(self.feed)
        first = time.perf_counter() - start
        if mode == LOAD:
            model = result
        for _ in range(TRAIN_STEPS - 1 if mode == TRAIN else 0):
            self.function(self.feed)
        if mode in (TRAIN, LOAD):  # what the model computes now
            check = self.adapter.CHECK
            result = self.adapter.function(model, self.scenario, check)(
                self.adapter.feed(model, check, make_inputs(self.scenario))
            )
        np.savez(outputs, *self.adapter.arrays(result))
        settings = trackers.settings()
        if hasattr(self.adapter, "settings"):
            settings.update(self.adapter.settings(model))
        return {"load_seconds": loaded, "first_call_seconds": first, "settings": settings}

    def run(self, calls):
        """Seconds of some calls, after one that is not counted: others had the caches in between."""
        if self.mode not in (TRAIN, LOAD):
            self.function(self.feed)
        seconds = []
        for _ in range(calls):
            start = time.perf_counter()
            self.function(self.feed)
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def memory(self):
        """Peaks so far."""
        return {
            "peak_rss_bytes": trackers.peak_memory(),
            "peak_device_bytes": trackers.peak_device_memory(self.device),
        }

    def lengths(self):
        """Compilations since the model was loaded, after a call at each further length."""
        for length in self.scenario.lengths:
            self.function(self.adapter.feed(self.model, self.mode, make_inputs(self.scenario, length)))
        return {"compilations": self.compilations.count()}

    def slope(self, calls):
        """Resident memory after each of some groups of calls: [[call, bytes], …]."""
        points, done = [], 0
        while done < calls:
            for _ in range(max(calls // MEMORY_SAMPLES, 1)):
                self.function(self.feed)
                done += 1
            points.append([done, trackers.resident_memory()])
        return {"points": points}


def has_gpu():
    """Whether the framework that the subject has imported sees one."""
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


def answer(worker, request):
    """One reply; an error becomes one too."""
    name = request.pop("do")
    try:
        return dict(getattr(worker, name)(**request), status="done")
    except Unsupported as reason:
        return {"status": "unsupported", "reason": str(reason)}
    except Exception as error:
        traceback.print_exc()
        return {"status": "failed", "reason": "%s: %s" % (type(error).__name__, str(error)[:500])}


def serve(make_worker, requests, replies):
    """Answer line by line until there are no more."""
    worker = None
    for line in iter(requests.readline, ""):
        try:
            worker = worker or make_worker()
        except Exception as error:
            traceback.print_exc()
            reply = {"status": "failed", "reason": "%s: %s" % (type(error).__name__, str(error)[:500])}
        else:
            reply = answer(worker, json.loads(line))
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def die_with_parent():
    """A worker that is halted between its turns would outlive a parent that was killed; Linux can prevent it."""
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
