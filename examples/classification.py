"""Is there an x in the text? Batches from a generator, the best weights kept by a callback."""

import os
import tempfile

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import keras
from bert4keras3.layers import Dense, Dropout, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, sequence_padding
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.choice(list("abcdx"), np.random.randint(2, 8))) for _ in range(320)]
data = [(text, int("x" in text)) for text in texts]
weights_path = os.path.join(tempfile.mkdtemp(), "best.weights.h5")


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


bert = build_transformer_model(config_path, return_keras_model=False)
output = Lambda(lambda x: x[:, 0], name="CLS-token")(bert.model.output)
output = Dropout(0.1)(output)
output = Dense(2, activation="softmax", kernel_initializer=bert.initializer)(output)
model = keras.models.Model(bert.model.input, output)
model.compile(
    loss="sparse_categorical_crossentropy",
    optimizer=keras.optimizers.Adam(3e-3),
    metrics=["accuracy"],
)


class Evaluator(keras.callbacks.Callback):
    best = 0.0

    def on_epoch_end(self, epoch, logs=None):
        right = [
            (model.predict(x, verbose=0).argmax(axis=1) == y[:, 0]).mean() for x, y in Batches(data[256:], 32)
        ]
        if np.mean(right) > self.best:
            self.best = np.mean(right)
            model.save_weights(weights_path)


train, evaluator = Batches(data[:256], 32), Evaluator()
model.fit(train.forfit(), steps_per_epoch=len(train), epochs=8, callbacks=[evaluator], verbose=0)
model.load_weights(weights_path)
assert evaluator.best > 0.8, evaluator.best
print(f"accuracy on new texts: {evaluator.best:.2f}")
