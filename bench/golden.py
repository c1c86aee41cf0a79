"""Goldens: what the reference computes for each scenario, in float64 and float32, as small files in `goldens/`.

python -m bench.golden [--scenario bert-base-1x128 ...]        in the environment of the reference
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.scenarios import BY_NAME, GENERATE, PREDICT, TRAIN, TRAIN_STEPS, make_inputs
from bench.weights import weights_folder
from parity.store import read_arrays, read_json, sha256, write_arrays, write_json
from parity.subsample import is_distribution, judged, rms, sample_output, unpadded

GOLDENS = Path(__file__).parent / "goldens"
PRECISIONS = ("float32", "float64")
UNTRAINED = "bert-base-8x128"  # the scenario with the inputs of the one that trains


def compute(scenario, floatx, path):
    """Write {"output/0": …} as the reference computes it in one precision. It needs a process of its own."""
    from bert4keras.backend import K

    from bench.implementations.reference import Reference
    from parity.machine import provenance
    from parity.models import random_weights
    from parity.models.golden_reference import ReferenceWeights

    K.set_floatx(floatx)
    keep_position_buckets()
    folder = weights_folder(scenario, "configuration")
    write_json(folder / "config.json", scenario.release.config)
    weights = random_weights.release_weights(scenario.release)
    model = Reference()
    model.load(scenario, folder, ReferenceWeights(weights, floatx))
    mode = GENERATE if GENERATE in scenario.modes else PREDICT
    feed, compute = model.feed(PREDICT, make_inputs(scenario)), model.function(mode)
    arrays = {}
    if TRAIN in scenario.modes:
        step = model.function(TRAIN)
        arrays["losses"] = np.array([step(feed) for _ in range(TRAIN_STEPS)])
    arrays["output/0"] = model.arrays(compute(feed))[0]
    write_arrays(path, {name: np.asarray(value) for name, value in arrays.items()})
    record_info = dict(weights=random_weights.digest(weights), provenance=provenance("bert4keras"))
    write_json(path.with_suffix(".json"), record_info)


def keep_position_buckets():
    """Have a T5 choose the buckets of its relative positions in float32, whatever precision it computes in.

    Distances of 16, 32 and 64 lie on the border of two buckets, so that rounding decides. With float64's own choice the
    noise of 128 tokens was two thirds of the output, and no wrong T5 would have been told from a right one.
    """
    from bert4keras.backend import K
    from bert4keras.layers import RelativePositionEmbeddingT5

    in_own_precision = RelativePositionEmbeddingT5.compute_position_ids

    def compute_position_ids(self, inputs):
        floatx = K.floatx()
        K.set_floatx("float32")
        try:
            return in_own_precision(self, inputs)
        finally:
            K.set_floatx(floatx)

    RelativePositionEmbeddingT5.compute_position_ids = compute_position_ids


def write_golden(scenario, single, double, record_info):
    """Write arrays as parity.compare takes them: "<length>/input/<i>", "<length>/output/0", "…@noise"."""
    length = f"{scenario.length}/"
    arrays = {f"{length}input/{i}": value for i, value in enumerate(make_inputs(scenario))}
    value, rounded, name = double["output/0"], single["output/0"], length + "output/0"
    metadata = dict(record_info, scenario=scenario.name, token_input=0, distributions=[], layers=[])
    metadata["shapes"] = {name: list(value.shape)}
    is_probability = is_distribution(value)
    if is_probability:
        metadata["distributions"].append(name)
    if scenario.new_tokens:
        if not np.array_equal(value, rounded):
            raise SystemExit(f"{scenario.name}: float32 and float64 generate different tokens")
        arrays[name] = value
    else:
        tokens = arrays[length + "input/0"]
        arrays[name] = sample_output(value, tokens)
        noise = judged(rounded, is_probability) - judged(value, is_probability)
        arrays[name + "@noise"] = np.array(rms([unpadded(noise, tokens)]))
    if "losses" in double:
        before = read_arrays(GOLDENS / (UNTRAINED + ".npz"))[name]
        change = rms([arrays[name] - before]) / float(arrays[name + "@noise"])
        metadata.update(losses=double["losses"].tolist(), change_by_training=change)  # as an error ratio
    path = GOLDENS / (scenario.name + ".npz")
    write_arrays(path, arrays)
    write_json(path.with_suffix(".json"), dict(metadata, sha256=sha256(path)))


def golden_name(scenario):
    """The first scenario that computes the same; its golden is the golden of all of them."""
    return next(one.name for one in BY_NAME.values() if one.computation == scenario.computation)


def read_golden(scenario):
    """(arrays, metadata) of a golden. Raises ValueError if the file is missing or its checksum differs."""
    path = GOLDENS / (golden_name(scenario) + ".npz")
    if not path.exists():
        raise ValueError(f"no golden {path.name}: run `nox -s golden`")
    metadata = read_json(path.with_suffix(".json"))
    if sha256(path) != metadata["sha256"]:
        raise ValueError(f"golden {path.name} does not have the checksum in its .json")
    return read_arrays(path), metadata


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenario", action="append", choices=list(BY_NAME))
    parser.add_argument("--floatx", help=argparse.SUPPRESS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.floatx:
        return compute(BY_NAME[options.scenario[0]], options.floatx, Path(options.path))
    names = options.scenario or [one.name for one in BY_NAME.values() if golden_name(one) == one.name]
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            paths = [Path(folder) / (floatx + ".npz") for floatx in PRECISIONS]
            for floatx, path in zip(PRECISIONS, paths):
                command = [sys.executable, "-m", "bench.golden", "--scenario", name]
                command += ["--floatx", floatx, "--path", str(path)]
                subprocess.run(command, check=True, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"))
            single, double = map(read_arrays, paths)
            write_golden(BY_NAME[name], single, double, read_json(paths[1].with_suffix(".json")))
        print(name, flush=True)


if __name__ == "__main__":
    main()
