"""Make the goldens: write the checkpoints with TensorFlow 1.15, run the reference in float32 and in float64.

python -m parity.golden_reference [--case bert-mlm ...]        in the environment of the reference
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np

from parity import record
from parity.cases import CASES_BY_NAME, add_case_arguments, chosen_cases
from parity.files import CHECKPOINTS, read_arrays, read_json, write_arrays, write_json
from parity.golden import write_golden
from parity.releases import RELEASES
from parity.variables import release_variables

PRECISIONS = ("float32", "float64")


def write_checkpoint(release):
    """Write a release's checkpoint with TensorFlow's own Saver, and its configuration."""
    import tensorflow as tf

    folder = CHECKPOINTS / release.name
    shutil.rmtree(str(folder), ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / release.config_name, release.config)
    devices = tf.compat.v1.ConfigProto(device_count={"CPU": release.shards})
    with tf.Graph().as_default(), tf.compat.v1.Session(config=devices) as session:
        variables = []
        for i, (name, shape) in enumerate(release_variables(release)):
            with tf.device("/cpu:%d" % (i % release.shards)):  # a sharded Saver writes a file for each device
                variables.append(tf.compat.v1.get_variable(name, initializer=random_value(name, shape)))
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(variables, sharded=release.shards > 1)
        saver.save(session, str(folder / release.prefix), write_meta_graph=False, write_state=False)


def random_value(name, shape):
    """A value of real size, so that every mistake shows: kernels keep the scale of what they multiply, gammas
    stand around 1, betas and biases around 0 but not at it."""
    random = np.random.RandomState(zlib.crc32(name.encode()) % 2**31)
    if name == "global_step":
        return np.int64(1000000)
    if name.endswith(("gamma", "scale")):
        return random.normal(1.0, 0.15, shape).astype("float32")
    if len(shape) == 1 or name.endswith("bias"):
        return random.normal(0.0, 0.2, shape).astype("float32")
    if "embed" in name and "kernel" not in name:
        return random.normal(0.0, 0.6, shape).astype("float32")
    fan_in = shape[-1] if name == "cls/seq_relationship/output_weights" else shape[0]
    return random.normal(0.0, fan_in**-0.5, shape).astype("float32")


class Float64Checkpoint(dict):
    """A checkpoint in float64, so that whatever the reference computes from it while loading is in float64 too."""

    def __init__(self, prefix):
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(prefix))
        for name in reader.get_variable_to_shape_map():
            value = reader.get_tensor(name)
            self[name] = value.astype("float64") if value.dtype.kind == "f" else value

    def __missing__(self, name):
        error = KeyError(name)
        error.message = "no %s" % name  # the reference prints it
        raise error


def record_precision(names, floatx, folder):
    """Record the cases with the reference at one precision; runs in a process of its own."""
    library = record.open_library("bert4keras")
    library.K.set_floatx(floatx)
    open_checkpoint = Float64Checkpoint if floatx == "float64" else str
    for name in names:
        arrays, facts = record.record_case(library, CASES_BY_NAME[name], open_checkpoint)
        write_arrays(folder / ("%s.%s.npz" % (name, floatx)), arrays)
        write_json(folder / ("%s.%s.json" % (name, floatx)), facts)
        library.K.clear_session()
        print("%s %s" % (name, floatx), flush=True)
    write_json(folder / "provenance.json", record.provenance("bert4keras"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_case_arguments(parser)
    parser.add_argument("--floatx", help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = [case.name for case in chosen_cases(options) if case.oracle == "reference"]
    if options.floatx:
        return record_precision(names, options.floatx, Path(options.folder))
    for release in RELEASES:
        if any(CASES_BY_NAME[name].release == release.name for name in names):
            write_checkpoint(release)
    with tempfile.TemporaryDirectory() as folder:
        chosen = [word for name in names for word in ("--case", name)]
        for floatx in PRECISIONS:
            command = [
                sys.executable,
                "-m",
                "parity.golden_reference",
                "--floatx",
                floatx,
                "--folder",
                folder,
            ]
            subprocess.run(command + chosen, check=True, env=dict(os.environ, TF_CPP_MIN_LOG_LEVEL="2"))
        provenance = read_json(Path(folder) / "provenance.json")
        for name in names:
            single, double = (read_arrays(Path(folder) / ("%s.%s.npz" % (name, x))) for x in PRECISIONS)
            facts = read_json(Path(folder) / ("%s.float64.json" % name))
            write_golden(CASES_BY_NAME[name], single, double, facts, provenance)


if __name__ == "__main__":
    main()
