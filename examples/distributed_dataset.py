"""Several GPUs on TensorFlow: `to_dataset` and tf.distribute. With one device, as here, it trains the same."""

import numpy as np
import tensorflow as tf
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Loss
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
letters = ["".join(np.random.choice(list("abcd"), 3)) for _ in range(256)]
pairs = [(" ".join(text), " ".join(str("abcd".index(letter)) for letter in text)) for text in letters]


class Samples(DataGenerator):
    """Single samples: the dataset makes batches of them."""

    def __iter__(self, random=False):
        for _, (source, target) in self.sample(random):
            yield tokenizer.encode(source, target)


class CrossEntropy(Loss):
    """Of the tokens of segment 1, each predicted from what stands before it."""

    def compute_loss(self, inputs, mask=None):
        y_true, y_mask, y_pred = inputs
        y_true, y_mask, y_pred = y_true[:, 1:], y_mask[:, 1:], y_pred[:, :-1]
        loss = K.sparse_categorical_crossentropy(y_true, y_pred)
        return K.sum(loss * y_mask) / K.sum(y_mask)


with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():  # without the list: all GPUs
    bert = build_transformer_model(config_path, application="unilm", return_keras_model=False)
    model = keras.models.Model(bert.model.inputs, CrossEntropy(2)(bert.model.inputs + bert.model.outputs))
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    bert.load_weights_from_checkpoint(checkpoint_path)

dataset = Samples(pairs, batch_size=32).to_dataset(
    types=("float32", "float32"),
    shapes=([None], [None]),
    names=("Input-Token", "Input-Segment"),
    padded_batch=True,
)
history = model.fit(dataset, steps_per_epoch=8, epochs=6, verbose=0).history
assert history["loss"][-1] < history["loss"][0] / 2, history["loss"]
print("loss from {:.2f} to {:.2f}".format(history["loss"][0], history["loss"][-1]))
