"""Entities as spans: every run of the letter x, found with a GlobalPointer."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras, multilabel_categorical_crossentropy
from bert4keras3.layers import GlobalPointer
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, sequence_padding
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
data = [" ".join(np.random.choice(list("abxx"), np.random.randint(3, 10))) for _ in range(320)]


def spans_of(text):
    """(first, last) of each run of x, as places of tokens."""
    tokens = ["[CLS]"] + text.split() + ["[SEP]"]
    starts = [i for i, token in enumerate(tokens) if token == "x" and tokens[i - 1] != "x"]
    ends = [i for i, token in enumerate(tokens) if token == "x" and tokens[i + 1] != "x"]
    return set(zip(starts, ends))


class Batches(DataGenerator):
    def __iter__(self, random=False):
        batch = []
        for is_end, text in self.sample(random):
            token_ids, segment_ids = tokenizer.encode(text)
            labels = np.zeros((1, len(token_ids), len(token_ids)))
            for start, end in spans_of(text):
                labels[0, start, end] = 1
            batch.append((token_ids, segment_ids, labels))
            if len(batch) == self.batch_size or is_end:
                token_ids, segment_ids, labels = zip(*batch)
                inputs = [sequence_padding(one, length=12) for one in (token_ids, segment_ids)]
                yield inputs, sequence_padding(labels, length=[1, 12, 12], seq_dims=3)
                batch = []


def global_pointer_crossentropy(y_true, y_pred):
    """(batch, heads, length, length) → one row of labels for each sample and head."""
    rows = K.prod(K.shape(y_pred)[:2])
    y_true, y_pred = K.reshape(y_true, (rows, -1)), K.reshape(y_pred, (rows, -1))
    return K.mean(multilabel_categorical_crossentropy(y_true, y_pred))


bert = build_transformer_model(config_path)
output = GlobalPointer(heads=1, head_size=16)(bert.output)
model = keras.models.Model(bert.inputs, output)
model.compile(loss=global_pointer_crossentropy, optimizer=keras.optimizers.Adam(3e-3))

train = Batches(data[:256], 16)
model.fit(train.forfit(), steps_per_epoch=len(train), epochs=12, verbose=0)
right = found = true = 0
x, _ = next(iter(Batches(data[256:], 64)))
for text, scores in zip(data[256:], model.predict(x, verbose=0)):
    spans = set(zip(*np.where(scores[0] > 0)))
    right, found, true = right + len(spans & spans_of(text)), found + len(spans), true + len(spans_of(text))
f1 = 2.0 * right / (found + true)
assert f1 > 0.7, f1
print(f"F1 of the spans: {f1:.2f}")
