"""Recompute: what RECOMPUTE=1 saves and costs in a training step, by memory, time and gradients.

    python -m bench.studies.recompute [--rounds 3]        in an environment with bert4keras3, with a pairing's variables

Each measurement is a process of its own. "memory": the peak above the memory before the first step. "gradient
difference": rms of the difference of the first steps of SGD, in units of the rms of the step. The model is a BERT of 6
layers, hidden size 256, for 16 sequences of 256 tokens, without dropout.
"""

import os
import subprocess
import sys
import tempfile
import time

import numpy as np

from bench.studies import Study, interleave, read_rounds
from bench.trackers import resident_memory
from parity.machine import peak_memory, reset_peak_memory

BATCH, LENGTH = 16, 256
NUMBERS = dict(vocab_size=1000, hidden_size=256, num_hidden_layers=6, num_attention_heads=4)
NUMBERS.update(intermediate_size=1024, max_position_embeddings=LENGTH)
SIZES = dict(NUMBERS, hidden_act="gelu", dropout_rate=0.0)
STEPS = 3


def train(path):
    """Write bytes and seconds of a step, and what the first step adds to the weights, to a `.npz` file."""
    from bert4keras3.backend import keras
    from bert4keras3.models import build_transformer_model

    model = build_transformer_model(with_mlm="linear", **SIZES)
    random = np.random.RandomState(0)
    before = [random.normal(0, 0.05, value.shape) for value in model.get_weights()]
    model.set_weights(before)
    model.compile(keras.optimizers.SGD(100.0), "mse")
    tokens = random.randint(1, SIZES["vocab_size"], (BATCH, LENGTH))
    targets = random.normal(size=(BATCH, LENGTH, SIZES["vocab_size"])).astype("float32")
    memory_before, seconds = resident_memory(), []
    reset_peak_memory()
    for step in range(1 + STEPS):
        model.set_weights(before)
        start = time.perf_counter()
        model.train_on_batch([tokens, 0 * tokens], targets)
        seconds.append(time.perf_counter() - start)
        if step == 0:
            added = [new - old for new, old in zip(model.get_weights(), before)]
    np.savez(
        path,
        keras=getattr(keras, "__version__", "of TensorFlow"),
        memory=peak_memory() - memory_before,
        seconds=np.median(seconds[1:]),
        added=np.concatenate([one.ravel() for one in added]),
    )


def measured(recompute):
    """Train in a process of its own. Returns: the content of its file."""
    variables = dict(os.environ, RECOMPUTE=recompute, TF_CPP_MIN_LOG_LEVEL="3")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "found.npz")
        command = [sys.executable, "-m", "bench.studies.recompute", path]
        subprocess.run(
            command, env=variables, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with np.load(path) as found:
            return dict(found)


def main():
    rounds = read_rounds(__doc__, 3)
    candidates = {"kept": lambda: measured("0"), "recomputed": lambda: measured("1")}
    found = interleave(candidates, rounds, warm_up=0)
    study = Study("recompute", rounds, keras=str(found["kept"][0]["keras"]))
    for metric, key, scale, unit in (("memory", "memory", 1e-6, "MB"), ("time", "seconds", 1e3, "ms")):
        values = {name: [scale * float(one[key]) for one in results] for name, results in found.items()}
        study.add_times("training step", values, {"recomputed": "kept"}, metric, unit)
    kept, recomputed = (found[name][0]["added"] for name in candidates)
    difference = np.sqrt(np.mean((kept - recomputed) ** 2) / np.mean(kept**2))
    study.add("training step", "recomputed", "gradient difference", difference)
    study.write()


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].endswith(".npz"):
        train(sys.argv[1])
    else:
        main()
