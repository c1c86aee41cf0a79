"""Time to read every variable of a BERT-base checkpoint: ours against TensorFlow's reader, in one process.

    python -m bench.read_checkpoint [ROUNDS]        in an environment with TensorFlow and bert4keras3

Rounds are interleaved and the file is in the system's cache; the ratio is what counts. Three readers: TensorFlow
(`get_tensor` copies), ours (arrays mapped from the file, checksums checked), and ours with a copy of each array.
"""

import os
import platform
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from bert4keras3.checkpoints import open_checkpoint, save_checkpoint
from parity.releases import Release
from parity.variables import release_variables

BERT_BASE = dict(
    vocab_size=21128,
    hidden_size=768,
    intermediate_size=3072,
    max_position_embeddings=512,
    num_attention_heads=12,
    num_hidden_layers=12,
    type_vocab_size=2,
)


def tensorflow_reader(prefix):
    reader = tf.train.load_checkpoint(prefix)
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def our_reader(prefix):
    checkpoint = open_checkpoint(prefix)
    return {name: checkpoint[name] for name in checkpoint}


def our_reader_and_copy(prefix):
    return {name: np.array(value) for name, value in our_reader(prefix).items()}


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    readers = (tensorflow_reader, our_reader, our_reader_and_copy)
    seconds = {reader: [] for reader in readers}
    with tempfile.TemporaryDirectory() as folder:
        prefix = os.path.join(folder, "bert_model.ckpt")
        random = np.random.RandomState(0)
        variables = release_variables(Release("bert_base", "google_bert", "bert", BERT_BASE))
        save_checkpoint(
            prefix, ((name, random.normal(size=shape).astype("float32")) for name, shape in variables)
        )
        size = os.path.getsize(prefix + ".data-00000-of-00001")
        theirs, ours = tensorflow_reader(prefix), our_reader(prefix)
        assert set(theirs) == set(ours) and all(np.array_equal(theirs[name], ours[name]) for name in theirs)
        for _ in range(rounds):
            for reader in readers:
                start = time.perf_counter()
                reader(prefix)
                seconds[reader].append(time.perf_counter() - start)
    print("TensorFlow %s, NumPy %s, Python %s" % (tf.__version__, np.__version__, platform.python_version()))
    print("%d MB, %d variables, median of %d interleaved rounds" % (size / 1e6, len(variables), rounds))
    base = np.array(seconds[tensorflow_reader])
    for reader in readers:
        ratio = np.array(seconds[reader]) / base
        name = reader.__name__.replace("_", " ")
        print(
            "%-20s %.3f s   %.2f x TensorFlow (%.2f to %.2f)"
            % (name, np.median(seconds[reader]), np.median(ratio), ratio.min(), ratio.max())
        )


if __name__ == "__main__":
    main()
