"""What processes_jax, processes_torch, processes_tensorflow and processes_ray train: is there an x in the text?

With a configuration and a checkpoint, that model is trained in place of a tiny one.
"""

import argparse
import os
import tempfile

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.backend import keras
from bert4keras3.layers import Dense, Dropout, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, sequence_padding
from bert4keras3.tokenizers import Tokenizer

parser = argparse.ArgumentParser()
parser.add_argument("--config", default=config_path)
parser.add_argument("--checkpoint", default=checkpoint_path)
parser.add_argument("--backup", default=os.path.join(tempfile.mkdtemp(), "backup.npz"))
parser.add_argument("--every", type=int, default=5, help="steps from one backup to the next")
parser.add_argument("--epochs", type=int, default=4)
parser.add_argument("--dropout", type=float, default=0.1)
parser.add_argument("--engine", choices=["ddp", "fsdp"], default="ddp", help="of PyTorch")
options = parser.parse_args()

BATCH, RATE = 32, 3e-3  # of all processes together
random = np.random.RandomState(0)
texts = [" ".join(random.choice(list("abcdx"), random.randint(2, 8))) for _ in range(256)]
data = [(text, int("x" in text)) for text in texts]
tokenizer = Tokenizer(token_dict, do_lower_case=True)


class Batches(DataGenerator):
    def __iter__(self, random=False):
        token_ids, segment_ids, labels = [], [], []
        for is_end, (text, label) in self.sample(random):
            ids, segments = tokenizer.encode(text, maxlen=12)
            token_ids.append(ids)
            segment_ids.append(segments)
            labels.append([label])
            if len(token_ids) == self.batch_size or is_end:
                yield [sequence_padding(one, length=12) for one in (token_ids, segment_ids)], np.array(labels)
                token_ids, segment_ids, labels = [], [], []


def make_batches(index, count):
    """The batches of one of several processes."""
    return Batches(data, BATCH // count, shard=(index, count))


def make_model():
    """A classifier, with equal weights in each process."""
    keras.utils.set_random_seed(0)
    rates = dict(dropout_rate=options.dropout, attention_dropout_rate=options.dropout)
    bert = build_transformer_model(options.config, options.checkpoint, return_keras_model=False, **rates)
    output = Lambda(lambda x: x[:, 0], name="CLS-token")(bert.model.output)
    output = Dropout(options.dropout)(output)
    output = Dense(2, activation="softmax", kernel_initializer="zeros")(output)
    return keras.models.Model(bert.model.input, output)


def report(step, loss):
    print(f"step {step}: loss {loss:.9f}", flush=True)
