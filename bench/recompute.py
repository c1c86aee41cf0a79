"""What RECOMPUTE=1 saves and costs: memory and time of a training step, and whether its gradients are the same.

    python -m bench.recompute [ROUNDS]        in an environment with bert4keras3; TF_KERAS and KERAS_BACKEND choose

A process without it and one with it, started in turns. "memory": the most that the process held above what it held
before the first step. "gradients": rms of the differences of what a step of SGD adds to the weights, in units of its
rms. A BERT of 6 layers, hidden size 256, 16 sequences of 256 tokens, no dropout.
"""

import os
import platform
import subprocess
import sys
import tempfile
import time

import numpy as np

from bench.trackers import peak_memory, reset_peak_memory, resident_memory

BATCH, LENGTH = 16, 256
SIZES = dict(
    vocab_size=1000,
    hidden_size=256,
    num_hidden_layers=6,
    num_attention_heads=4,
    intermediate_size=1024,
    hidden_act="gelu",
    max_position_embeddings=LENGTH,
    dropout_rate=0.0,
)
STEPS = 3


def train(path):
    """Write bytes and seconds of a step, and what the first step adds to the weights, to a `.npz`."""
    from bert4keras3.backend import FLAVOUR, framework, keras
    from bert4keras3.models import build_transformer_model

    model = build_transformer_model(with_mlm="linear", **SIZES)
    random = np.random.RandomState(0)
    before = [random.normal(0, 0.05, value.shape) for value in model.get_weights()]
    model.set_weights(before)
    model.compile(keras.optimizers.SGD(100.0), "mse")
    tokens = random.randint(1, SIZES["vocab_size"], (BATCH, LENGTH))
    targets = random.normal(size=(BATCH, LENGTH, SIZES["vocab_size"])).astype("float32")
    there, seconds = resident_memory(), []
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
        kind="Keras %s (%s) on %s" % (getattr(keras, "__version__", "of TensorFlow"), FLAVOUR, framework),
        memory=peak_memory() - there,
        seconds=np.median(seconds[1:]),
        added=np.concatenate([one.ravel() for one in added]),
    )


def measured(recompute):
    """What a process of its own found."""
    variables = dict(os.environ, RECOMPUTE=recompute, TF_CPP_MIN_LOG_LEVEL="3")
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "found.npz")
        subprocess.run(
            [sys.executable, "-m", "bench.recompute", path],
            env=variables,
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with np.load(path) as found:
            return dict(found)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    pairs = [(measured("0"), measured("1")) for _ in range(rounds)]
    kept, again = pairs[0]
    print(
        "%s, Python %s, %d cores, load %.1f, %d interleaved rounds"
        % (kept["kind"], platform.python_version(), os.cpu_count() or 0, os.getloadavg()[0], rounds)
    )
    for name, one in (("kept", [a for a, _ in pairs]), ("recomputed", [b for _, b in pairs])):
        memory, seconds = [np.median([found[key] for found in one]) for key in ("memory", "seconds")]
        print("%-11s %6.0f MB  %6.0f ms a step" % (name, memory / 1e6, 1000 * seconds))
    ratios = [[float(b[key] / a[key]) for a, b in pairs] for key in ("memory", "seconds")]
    difference = np.sqrt(np.mean((kept["added"] - again["added"]) ** 2) / np.mean(kept["added"] ** 2))
    print("memory x %.2f, time x %.2f, gradients differ by %.1e\n" % (*map(np.median, ratios), difference))


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].endswith(".npz"):
        train(sys.argv[1])
    else:
        main()
