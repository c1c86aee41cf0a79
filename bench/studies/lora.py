"""LoRA: trainable parameters, optimizer memory, peak memory and time of a training step of BERT-base with AdamW.

    python -m bench.studies.lora [--rounds 3]        in the environment of a pairing on Keras 3, with its variables

Each measurement is a process of its own. "trained" and "state" are counted: the parameters that train, and the bytes of
the optimizer's slots. "file" is the size of the adapter's file, for full training the size of all weights. "memory" is
the peak above the memory before the model is compiled. Batches have 4 texts of 64 tokens, without dropout.
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

BATCH, LENGTH, STEPS, RANK = 4, 64, 2, 8
NUMBERS = dict(vocab_size=21128, hidden_size=768, num_hidden_layers=12, num_attention_heads=12)
SIZES = dict(
    NUMBERS, intermediate_size=3072, max_position_embeddings=512, hidden_act="gelu", dropout_rate=0.0
)
CANDIDATES = ("all weights", "attention", "all-linear")


def train(layers, path):
    """Write what a step of training takes to a `.npz` file."""
    from bert4keras3 import lora
    from bert4keras3.backend import Model, keras
    from bert4keras3.models import build_transformer_model

    transformer = build_transformer_model(return_keras_model=False, **SIZES)
    if layers != "all weights":
        lora.enable(transformer, rank=RANK, layers=layers)
    first = keras.layers.Lambda(lambda x: x[:, 0], output_shape=(SIZES["hidden_size"],))(transformer.output)
    model = Model(transformer.input, keras.layers.Dense(2, activation="softmax")(first))
    tokens = np.random.RandomState(0).randint(1, SIZES["vocab_size"], (BATCH, LENGTH))
    before, seconds = resident_memory(), []
    reset_peak_memory()
    model.compile(keras.optimizers.AdamW(1e-4), "sparse_categorical_crossentropy")
    for _ in range(1 + STEPS):
        start = time.perf_counter()
        model.train_on_batch([tokens, 0 * tokens], np.arange(BATCH) % 2)
        seconds.append(time.perf_counter() - start)
    memory = peak_memory() - before
    size = sum(4 * int(np.prod(one.shape)) for one in transformer.model.weights)
    if layers != "all weights":
        with tempfile.TemporaryDirectory() as folder:
            lora.save(transformer, folder)
            size = os.path.getsize(os.path.join(folder, "adapter_model.safetensors"))
    np.savez(
        path,
        keras=keras.__version__,
        trained=sum(int(np.prod(one.shape)) for one in model.trainable_variables),
        state=sum(4 * int(np.prod(one.shape)) for one in model.optimizer.variables if len(one.shape)),
        file=size,
        memory=memory,
        seconds=np.median(seconds[1:]),
    )


def measured(layers):
    """Train in a process of its own. Returns: the content of its file."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "found.npz")
        command = [sys.executable, "-m", "bench.studies.lora", layers, path]
        variables = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
        subprocess.run(command, env=variables, check=True, stdout=subprocess.DEVNULL)
        with np.load(path) as found:
            return dict(found)


def main():
    rounds = read_rounds(__doc__, 3)
    candidates = {name: lambda name=name: measured(name) for name in CANDIDATES}
    found = interleave(candidates, rounds, warm_up=0)
    study = Study("lora", rounds, keras=str(found[CANDIDATES[0]][0]["keras"]))
    bases = dict.fromkeys(CANDIDATES[1:], CANDIDATES[0])
    for metric, key, scale, unit in (
        ("trained", "trained", 1e-6, "M"),
        ("state", "state", 1e-6, "MB"),
        ("file", "file", 1e-6, "MB"),
        ("memory", "memory", 1e-6, "MB"),
        ("time", "seconds", 1e3, "ms"),
    ):
        values = {name: [scale * float(one[key]) for one in results] for name, results in found.items()}
        study.add_times("bert-base training step", values, bases, metric, unit)
    study.write()


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[2].endswith(".npz"):
        train(*sys.argv[1:3])
    else:
        main()
