"""Make the goldens: write the checkpoints with TensorFlow 1.15, run the reference in float32 and in float64.

python -m parity.models.golden_reference [--case bert-mlm ...]        in the environment of the reference
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from parity.adapter import open_library
from parity.machine import provenance
from parity.models import record
from parity.models.build import case_weights
from parity.models.cases import add_case_arguments, case_words, chosen_cases
from parity.models.golden import checkpoint_checksums, write_golden
from parity.models.random_weights import random_value
from parity.models.releases import FULL_SIZE, RELEASES
from parity.models.training import record_training
from parity.models.variables import release_variables
from parity.store import CHECKPOINTS, golden_folder, read_arrays, read_json, write_arrays, write_json

PRECISIONS = ("float32", "float64")


def write_release(release):
    """Write a release's configuration and, unless its weights are random, its checkpoint."""
    folder = CHECKPOINTS / release.name
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / release.config_name, release.config)
    if not release.full_size:
        write_checkpoint(release, folder)


def write_checkpoint(release, folder):
    """Write a checkpoint with TensorFlow's own Saver."""
    import tensorflow as tf

    devices = tf.compat.v1.ConfigProto(device_count={"CPU": release.shards})
    with tf.Graph().as_default(), tf.compat.v1.Session(config=devices) as session:
        variables = []
        for i, (name, shape) in enumerate(release_variables(release)):
            with tf.device(f"/cpu:{i % release.shards}"):  # a sharded Saver writes a file for each device
                variables.append(tf.compat.v1.get_variable(name, initializer=random_value(name, shape)))
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(variables, sharded=release.shards > 1)
        saver.save(session, str(folder / release.prefix), write_meta_graph=False, write_state=False)


class ReferenceWeights(dict):
    """Weights as a dict, which the reference takes, in a precision of their own.

    In float64, whatever the reference computes from them while loading is in float64 too.
    """

    def __init__(self, weights, floatx):
        super().__init__(weights)
        self.floatx = floatx

    def __getitem__(self, name):
        value = np.asarray(super().__getitem__(name))
        return value.astype(self.floatx) if value.dtype.kind == "f" else value

    def __missing__(self, name):
        error = KeyError(name)
        error.message = f"no {name}"  # the reference prints it
        raise error


def reference_weights(case, floatx):
    """What the reference loads: TensorFlow's file itself, or all of it in float64, or random weights."""
    import tensorflow as tf

    weights = case_weights(case)
    if case.slow:
        return ReferenceWeights(weights, floatx)
    if floatx == "float32":
        return weights
    reader = tf.train.load_checkpoint(weights)
    names = reader.get_variable_to_shape_map()
    return ReferenceWeights({name: reader.get_tensor(name) for name in names}, floatx)


def record_precision(cases, floatx, folder, train):
    """Record the cases with the reference at one precision, and train them; runs in a process of its own."""
    library = open_library("bert4keras")
    library.K.set_floatx(floatx)
    for case in cases:
        try:
            weights = reference_weights(case, floatx)
            arrays, info = record.record_case(library, case, weights)
            if train and case.trained:
                arrays.update(record_training(library, case, weights))
        except Exception as error:
            if not case.user_checkpoint:
                raise
            print(f"{case.name}: the reference refuses it: {error}", flush=True)
            continue
        write_arrays(folder / (f"{case.name}.{floatx}.npz"), arrays)
        write_json(folder / (f"{case.name}.{floatx}.json"), info)
        library.K.clear_session()
        print(f"{case.name} {floatx}", flush=True)
    write_json(folder / "provenance.json", provenance("bert4keras"))


def is_golden_of_these_files(case):
    """Whether the golden of a user's file is there already."""
    path = golden_folder(case) / (case.name + ".json")
    return path.exists() and read_json(path)["checkpoint"] == checkpoint_checksums(case)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_case_arguments(parser)
    parser.add_argument("--floatx", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    cases = [case for case in chosen_cases(options) if case.oracle == "reference"]
    if options.floatx:
        return record_precision(cases, options.floatx, Path(options.folder), options.train)
    if options.weights:
        cases = [case for case in cases if not is_golden_of_these_files(case)]
    chosen_releases = {case.release for case in cases}
    for release in RELEASES + FULL_SIZE:
        if release.name in chosen_releases:
            write_release(release)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for floatx in PRECISIONS if cases else ():
            options = ["--floatx", floatx, "--folder", name, "--train"]
            command = [sys.executable, "-m", "parity.models.golden_reference"] + options + case_words(cases)
            subprocess.run(command, check=True, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"))
        for case in cases:
            info = folder / (f"{case.name}.float64.json")
            if info.exists():
                both = (read_arrays(folder / f"{case.name}.{floatx}.npz") for floatx in PRECISIONS)
                write_golden(case, *both, read_json(info), read_json(folder / "provenance.json"))


if __name__ == "__main__":
    main()
