"""Checkpoint loading: the time to read every variable of BERT-base, by ours and by TensorFlow's reader.

    python -m bench.studies.checkpoint_loading [--rounds 7]        in an environment with TensorFlow

The file is in the system's cache. Three readers: TensorFlow (`get_tensor` copies), ours (arrays mapped from the file,
checksums checked), and ours with a copy of each array.
"""

import os
import tempfile

import numpy as np
import tensorflow as tf

from bench.studies import Study, interleave, read_rounds, timed
from bert4keras3.checkpoints import open_checkpoint, save_checkpoint
from parity.models.releases import BY_NAME
from parity.models.variables import release_variables


def read_by_tensorflow(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def read_by_ours(prefix):
    checkpoint = open_checkpoint(prefix)
    return {name: checkpoint[name] for name in checkpoint}


READERS = {
    "TensorFlow": read_by_tensorflow,
    "bert4keras3": read_by_ours,
    "bert4keras3, copied": lambda prefix: {name: np.array(one) for name, one in read_by_ours(prefix).items()},
}


def main():
    rounds = read_rounds(__doc__, 7)
    study = Study("checkpoint_loading", rounds)
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "bert_model.ckpt")
        random = np.random.RandomState(0)
        variables = release_variables(BY_NAME["bert_base"])
        values = ((name, random.normal(size=shape).astype("float32")) for name, shape in variables)
        save_checkpoint(prefix, values)
        expected, found = read_by_tensorflow(prefix), read_by_ours(prefix)
        assert set(expected) == set(found)
        assert all(np.array_equal(expected[name], found[name]) for name in expected)
        candidates = {name: timed(lambda read=read: read(prefix)) for name, read in READERS.items()}
        seconds = interleave(candidates, rounds, warm_up=0)
        study.add_times("BERT-base", seconds, {name: "TensorFlow" for name in list(READERS)[1:]})
    study.write()


if __name__ == "__main__":
    main()
