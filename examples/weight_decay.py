"""Fine-tuning as published scripts do it: weight decay, a warm-up and a line down, and the average for evaluation."""

import numpy as np
from tiny import config_path

from bert4keras3.backend import keras
from bert4keras3.layers import Dense, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.optimizers import (
    Adam,
    extend_with_exponential_moving_average,
    extend_with_piecewise_linear_lr,
    extend_with_weight_decay,
)

np.random.seed(0)
token_ids = np.random.randint(5, 100, (320, 8))
labels = (token_ids[:, 1] > 50).astype(int)
inputs = [token_ids, 0 * token_ids]

bert = build_transformer_model(config_path)
output = Dense(2, activation="softmax")(Lambda(lambda x: x[:, 0])(bert.output))
model = keras.models.Model(bert.inputs, output)

AdamW = extend_with_weight_decay(Adam, name="AdamW")
AdamWLR = extend_with_piecewise_linear_lr(AdamW, name="AdamWLR")
AdamEMA = extend_with_exponential_moving_average(AdamWLR, name="AdamEMA")
optimizer = AdamEMA(
    learning_rate=1e-2,
    weight_decay_rate=0.01,
    exclude_from_weight_decay=["Norm", "bias"],
    lr_schedule={20: 1, 200: 0.1},
    ema_momentum=0.9,
)
model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])


class Evaluator(keras.callbacks.Callback):
    accuracies: list = []

    def on_epoch_end(self, epoch, logs=None):
        optimizer.apply_ema_weights()
        self.accuracies.append((model.predict(inputs, verbose=0).argmax(axis=1) == labels).mean())
        optimizer.reset_old_weights()


evaluator = Evaluator()
model.fit(inputs, labels, batch_size=32, epochs=20, callbacks=[evaluator], verbose=0)
assert evaluator.accuracies[-1] > 0.8, evaluator.accuracies
print(f"accuracy of the averaged weights: {evaluator.accuracies[-1]:.2f}")
