"""Sentiment: accuracy and time of examples/sentiment.py on real data, in several pairings and on bert4keras.

    python -m bench.studies.sentiment sentiment.zip [--pairing jax ...] [--seeds 3] [--epochs 4]

It runs on the host side, in the environments of nox. For the reference only the import is renamed. Each training is a
process of its own. A round is one seed.
"""

import argparse
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from bench.studies import Study, interleave, ratio_to
from pairings import BY_NAME
from pairings.environments import python_path
from parity.store import ROOT

EPOCH = re.compile(r"epoch \d+: test accuracy ([\d.]+), ([\d.]+) s")
DEFAULT = ("reference", "keras2.3.1-tf1.15", "tfkeras-tf2.15", "tensorflow", "jax", "torch")


def run(name, archive, epochs, seed):
    """Train once: "accuracy" and "seconds" of each epoch. Raises RuntimeError with the output if it failed."""
    pairing = BY_NAME[name]
    script = (ROOT / "examples" / "sentiment.py").read_text(encoding="utf-8")
    python = python_path(pairing.environment)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sentiment.py"
        path.write_text(script.replace("bert4keras3", pairing.library), encoding="utf-8")
        done = subprocess.run(
            [python, path, archive, str(epochs), str(seed)],
            env={**os.environ, **pairing.variables, "TF_CPP_MIN_LOG_LEVEL": "2"},
            cwd=folder,
            capture_output=True,
            text=True,
        )
    found = EPOCH.findall(done.stdout)
    if done.returncode or len(found) != epochs:
        raise RuntimeError(f"{name}, seed {seed}:\n{done.stdout}{done.stderr[-3000:]}")
    accuracy, seconds = zip(*(map(float, one) for one in found))
    return {"accuracy": accuracy, "seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="sentiment.zip")
    parser.add_argument("--pairing", action="append", choices=sorted(BY_NAME))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    archive, names = str(Path(options.archive).resolve()), options.pairing or DEFAULT
    study = Study("sentiment", options.seeds)
    seeds = {name: iter(range(options.seeds)) for name in names}
    trainings = {
        name: lambda name=name: run(name, archive, options.epochs, next(seeds[name])) for name in names
    }
    found = interleave(trainings, options.seeds, warm_up=0)
    for name, results in found.items():
        for seed, one in enumerate(results):
            for epoch, accuracy in enumerate(one["accuracy"]):
                study.add(f"seed {seed}, epoch {epoch + 1}", name, "accuracy", accuracy, pairing=name)
        seconds = [[np.median(one["seconds"]) for one in found[one]] for one in (names[0], name)]
        against = ratio_to(*seconds, names[0])
        study.add("an epoch", name, "time", np.median(seconds[1]), "s", pairing=name, **against)
    study.write()


if __name__ == "__main__":
    main()
