"""Accuracy and time on real data: examples/sentiment.py in several pairings, and the same script on bert4keras.

    python -m bench.sentiment sentiment.zip [--pairing jax ...] [--seeds 3] [--epochs 4]

For the reference only the import is renamed. Each run is a process of its own; seed by seed all pairings take their
turn, so that their times may be compared. Each finished run is a line of JSON in bench/results/sentiment.jsonl, and
what is there already is not run again; a run beside other work keeps no seconds there. The environments are those of
nox.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pairings import BY_NAME
from parity.files import ROOT

ENVIRONMENTS = Path(os.environ.get("BERT4KERAS3_ENVIRONMENTS", ROOT / ".nox"))
RESULTS = ROOT / "bench" / "results" / "sentiment.jsonl"
EPOCH = re.compile(r"epoch \d+: test accuracy ([\d.]+), ([\d.]+) s")
DEFAULT = ("reference", "keras2.3.1-tf1.15", "tfkeras-tf2.15", "tensorflow", "jax", "torch")


def run(name, archive, epochs, seed):
    """{accuracy: [...], seconds: [...]} of each epoch of one training. Raises RuntimeError with what it printed."""
    pairing = BY_NAME[name]
    script = (ROOT / "examples" / "sentiment.py").read_text(encoding="utf-8")
    python = ENVIRONMENTS / pairing.environment / "bin" / "python"
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
        raise RuntimeError("%s, seed %d:\n%s%s" % (name, seed, done.stdout, done.stderr[-3000:]))
    accuracy, seconds = zip(*(map(float, one) for one in found))
    return {"accuracy": accuracy, "seconds": seconds}


def read_results():
    if not RESULTS.exists():
        return []
    return [json.loads(line) for line in RESULTS.read_text().splitlines()]


def print_table(rows, epochs):
    """Mean and spread of the accuracies; seconds as a ratio to the first pairing's, seed by seed."""
    table = Table(title="test accuracy after each epoch: mean ± standard deviation over seeds")
    table.add_column("pairing")
    for epoch in range(epochs):
        table.add_column("%d" % (epoch + 1), justify="right")
    for column in ("seeds", "s an epoch", "ratio"):
        table.add_column(column, justify="right")
    names = list(dict.fromkeys(row["pairing"] for row in rows))
    seconds = {}
    for name in names:
        runs = [row for row in rows if row["pairing"] == name]
        accuracy = np.array([row["accuracy"] for row in runs])
        seconds[name] = {
            row["seed"]: np.median(row["seconds"][1:] or row["seconds"]) for row in runs if "seconds" in row
        }
        both = seconds[name].keys() & seconds[names[0]].keys()
        ratios = [seconds[name][seed] / seconds[names[0]][seed] for seed in both]
        spread = accuracy.std(axis=0, ddof=1) if len(runs) > 1 else np.full(epochs, np.nan)
        cells = ["%.3f ± %.3f" % pair for pair in zip(accuracy.mean(axis=0), spread)]
        times = [
            "%.*f" % (digits, np.median(values)) if values else "–"
            for digits, values in ((1, list(seconds[name].values())), (2, ratios))
        ]
        table.add_row(name, *cells, str(len(runs)), *times)
    Console(width=120).print(table)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive", help="sentiment.zip")
    parser.add_argument("--pairing", action="append", choices=sorted(BY_NAME))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4)
    options = parser.parse_args()
    archive, names = str(Path(options.archive).resolve()), options.pairing or DEFAULT
    wanted = [(seed, name) for seed in range(options.seeds) for name in names]
    known = {(row["seed"], row["pairing"]): row for row in read_results() if row["epochs"] == options.epochs}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    for seed, name in track([one for one in wanted if one not in known], "training"):
        row = dict(pairing=name, seed=seed, epochs=options.epochs, **run(name, archive, options.epochs, seed))
        with open(RESULTS, "a") as file:
            file.write(json.dumps(row) + "\n")
        known[seed, name] = row
    print_table([known[one] for one in wanted], options.epochs)


if __name__ == "__main__":
    main()
