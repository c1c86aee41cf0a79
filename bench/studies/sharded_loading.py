"""Loading and saving a shard each: peak host memory of BERT-large on eight devices, in one process and in two.

    python -m bench.studies.sharded_loading [--rounds 3]        in an environment with JAX

Each measurement starts new processes with virtual CPU devices: one process with eight, or two with four each, which
exchange data over gloo. The weights are random. "share": the bytes of the model ÷ processes.

The other figures are memory ÷ share, above what the process holds once a BERT of the same depth with 1/250 of the
weights was loaded and dropped: the framework and its compiled programs. "loading" is the peak of the resident memory,
"anonymous" leaves out the pages of mapped files (sampled every 2 ms), "loaded" is what stays, and "saving" the peak
while a TensorFlow checkpoint is written. "with framework" is the peak of loading above the bare import. Of two
processes the larger figure counts.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time

import numpy as np

from bench.studies import Study, interleave, read_rounds
from bert4keras3.launch import HOST, free_ports
from parity.machine import peak_memory, reset_peak_memory

SIZES = dict(vocab_size=21128, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16)
SIZES.update(intermediate_size=4096, max_position_embeddings=512)
BERT_LARGE = dict(SIZES, hidden_act="gelu", with_mlm=True)
SMALL = dict(BERT_LARGE, vocab_size=2112, hidden_size=64, num_attention_heads=8, intermediate_size=256)
DEVICES = 8
FILES = {
    "TensorFlow checkpoint": "bert_model.ckpt",
    "safetensors": "whole",
    "sharded safetensors": "shards",
}
CASES = {f"{processes} × {DEVICES // processes} devices": processes for processes in (1, 2)}
FIGURES = ("share", "loading", "anonymous", "loaded", "saving", "with framework", "seconds")


def write_files(folder):
    """The files of a BERT-large with random weights, by our writers."""
    from bert4keras3.models import build_transformer_model

    transformer = build_transformer_model(return_keras_model=False, **BERT_LARGE)
    random = np.random.RandomState(0)
    for weight in transformer.model.weights:
        weight.assign(random.standard_normal(weight.shape).astype("float32"))
    transformer.save_weights_as_checkpoint(os.path.join(folder, FILES["TensorFlow checkpoint"]))
    transformer.save_pretrained(os.path.join(folder, FILES["safetensors"]))
    transformer.save_pretrained(os.path.join(folder, FILES["sharded safetensors"]), max_shard_size="200MB")


class MemoryMeter:
    """Peak of the anonymous memory since `start`, by a thread; the kernel knows the peak of the whole."""

    def __init__(self):
        self.before = memory_of("VmRSS"), memory_of("RssAnon")
        self.start()
        threading.Thread(target=self.sample, daemon=True).start()

    def start(self):
        reset_peak_memory()
        self.peak = 0

    def sample(self):
        while True:
            self.peak = max(self.peak, memory_of("RssAnon"))
            time.sleep(0.002)

    def read(self):
        """(peak of the resident memory, peak of the anonymous memory) in bytes above the first ones."""
        return peak_memory() - self.before[0], self.peak - self.before[1]


def memory_of(name):
    """A figure of /proc/self/status in bytes."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name + ":"))


def work(weights, folder, processes, process, address):
    """Load and save in this process, and print the figures as JSON."""
    import jax

    from bert4keras3.backend import keras
    from bert4keras3.models import build_transformer_model
    from bert4keras3.parallel import layout_map

    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        keras.distribution.initialize(address, processes, process)
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, DEVICES), ("data", "model"), devices)
    distribution = keras.distribution.ModelParallel(
        layout_map=layout_map("bert", mesh), batch_dim_name="data"
    )
    imported, saved = memory_of("VmRSS"), os.path.join(folder, "saved.ckpt")

    def build(**arguments):
        with distribution.scope():
            return build_transformer_model(return_keras_model=False, **arguments)

    build(**SMALL).save_weights_as_checkpoint(saved)
    build(checkpoint_path=saved, **SMALL)
    gc.collect()
    meter, start = MemoryMeter(), time.perf_counter()
    transformer = build(checkpoint_path=weights, **BERT_LARGE)
    seconds = time.perf_counter() - start
    loading, anonymous = meter.read()
    figures = dict(loading=loading, anonymous=anonymous, loaded=memory_of("VmRSS") - meter.before[0])
    figures["with framework"] = loading + meter.before[0] - imported
    meter.start()
    transformer.save_weights_as_checkpoint(saved)
    figures["saving"], _ = meter.read()
    share = sum(4 * int(np.prod(one.shape)) for one in transformer.model.weights) / processes
    figures = {name: value / share for name, value in figures.items()}
    print(json.dumps(dict(figures, share=share / 1e6, seconds=seconds)))


def measured(weights, folder, processes):
    """Start the processes. Returns: the largest of their figures."""
    address = f"{HOST}:{free_ports(1)[0]}"
    flags = f"--xla_force_host_platform_device_count={DEVICES // processes}"
    variables = dict(os.environ, XLA_FLAGS=flags, KERAS_BACKEND="jax")
    command = [sys.executable, "-m", "bench.studies.sharded_loading", "work", weights, folder]
    started = [
        subprocess.Popen(
            [*command, str(processes), str(process), address], env=variables, stdout=subprocess.PIPE
        )
        for process in range(processes)
    ]
    outputs = [one.communicate()[0] for one in started]
    if any(one.returncode for one in started):
        raise RuntimeError(f"{weights}: a process failed, see above")
    found = [json.loads(one.splitlines()[-1]) for one in outputs]
    return {name: max(one[name] for one in found) for name in FIGURES}


def main():
    rounds = read_rounds(__doc__, 3)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "bench.studies.sharded_loading", "write", folder], check=True)
        candidates = {
            (case, form): lambda name=name, processes=processes: measured(
                os.path.join(folder, name), folder, processes
            )
            for case, processes in CASES.items()
            for form, name in FILES.items()
        }
        results = interleave(candidates, rounds, warm_up=0)
    study = Study("sharded_loading", rounds)
    for (case, form), found in results.items():
        for figure in FIGURES:
            unit = {"share": "MB", "seconds": "s"}.get(figure, "× share")
            study.add(case, form, figure, max(one[figure] for one in found), unit)
    study.write()


if __name__ == "__main__":
    if sys.argv[1:2] == ["write"]:
        write_files(sys.argv[2])
    elif sys.argv[1:2] == ["work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]), sys.argv[6])
    else:
        main()
