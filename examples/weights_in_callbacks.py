"""A mean of the weights over the batches, kept by a callback; after an epoch it is the one that predicts.

Within an epoch, JAX keeps the weights to itself until a callback asks for its `self.model`; so ask it first.
"""

import numpy as np
from tiny import config_path

from bert4keras3.backend import K, keras
from bert4keras3.layers import Dense, Lambda
from bert4keras3.models import build_transformer_model

np.random.seed(0)
RATE, STEPS = 0.1, 4
token_ids = np.random.randint(5, 100, (32 * STEPS, 8))
labels = (token_ids[:, 0] > 50).astype(int)

bert = build_transformer_model(config_path)
dense = Dense(2, activation="softmax", kernel_initializer="zeros")
model = keras.models.Model(bert.inputs, dense(Lambda(lambda x: x[:, 0])(bert.output)))
model.compile(keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy")


class MeanOfWeights(keras.callbacks.Callback):
    def on_train_begin(self, logs=None):
        self.sum, self.seen, self.predicted = 0, [], None

    def on_batch_end(self, batch, logs=None):
        weights = self.model.trainable_weights  # through self: now they are those after this batch
        self.seen.append(K.get_value(dense.kernel))
        self.sum = self.sum + np.concatenate([value.ravel() for value in K.batch_get_value(weights)])

    def on_epoch_end(self, epoch, logs=None):
        old = K.get_value(dense.kernel)
        assert np.array_equal(old, self.seen[-1]), "after an epoch they are those of the last batch"
        K.set_value(dense.kernel, np.mean(self.seen, axis=0))
        self.predicted = model.predict([token_ids, 0 * token_ids], verbose=0)
        K.set_value(dense.kernel, old)


mean = MeanOfWeights()
model.fit([token_ids, 0 * token_ids], labels, batch_size=32, epochs=1, callbacks=[mean], verbose=0)
last = model.predict([token_ids, 0 * token_ids], verbose=0)
assert len(mean.seen) == STEPS
assert all(np.abs(now - before).max() > 0 for before, now in zip(mean.seen, mean.seen[1:])), (
    "each batch counts"
)
assert np.isfinite(mean.sum).all() and np.abs(mean.predicted - last).max() > 0
print(f"weights after each of {STEPS} batches, largest: {np.abs(mean.seen[-1]).max():.4f}")
