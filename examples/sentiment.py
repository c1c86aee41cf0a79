"""Sentiment of Chinese reviews: a small BERT from scratch, trained as with bert4keras but for the import.

    python examples/sentiment.py sentiment.zip [epochs] [seed] [packed]

sentiment.zip: https://github.com/bojone/bert4keras/tree/master/examples/datasets, `text<TAB>0 or 1` a line.
With "packed", several texts share a row in training, so that no padding is computed.
Prints the test accuracy and the seconds of each epoch.
"""

import collections
import sys
import time
import zipfile

import numpy as np

from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, sequence_padding
from bert4keras3.tokenizers import Tokenizer

LENGTH, BATCH, CHARACTERS = 100, 32, 4000


def read(archive, part):
    text = zipfile.ZipFile(archive).read(f"sentiment/sentiment.{part}.data").decode("utf-8")
    rows = [line.split("\t") for line in text.split("\n") if "\t" in line]
    return [(text, int(label)) for text, label in rows]


def character_tokenizer(texts):
    """A tokenizer of the most frequent characters."""
    counts = collections.Counter(
        character for text in texts for character in text.lower() if character.strip()
    )
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"] + [name for name, _ in counts.most_common(CHARACTERS - 4)]
    return Tokenizer({name: i for i, name in enumerate(names)}, do_lower_case=True)


class Reviews(DataGenerator):
    def __iter__(self, random=False):
        token_ids, segment_ids, labels = [], [], []
        for is_end, (text, label) in self.sample(random):
            tokens, segments = tokenizer.encode(text, maxlen=LENGTH)
            token_ids.append(tokens)
            segment_ids.append(segments)
            labels.append([label])
            if len(token_ids) == self.batch_size or is_end:
                padded = [
                    sequence_padding(token_ids, length=LENGTH),
                    sequence_padding(segment_ids, length=LENGTH),
                ]
                yield padded, sequence_padding(labels)
                token_ids, segment_ids, labels = [], [], []


class Report(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        self.start = time.time()

    def on_epoch_end(self, epoch, logs=None):
        seconds, right, count = time.time() - self.start, 0, 0
        for inputs, labels in test:
            right += (model.predict(inputs, verbose=0).argmax(axis=1) == labels[:, 0]).sum()
            count += len(labels)
        print(f"epoch {epoch + 1}: test accuracy {right / count:.3f}, {seconds:.1f} s", flush=True)


archive = sys.argv[1]
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 4
seed = int(sys.argv[3]) if len(sys.argv) > 3 else 0
np.random.seed(seed)
if hasattr(keras.utils, "set_random_seed"):
    keras.utils.set_random_seed(seed)
rows = read(archive, "train")
tokenizer = character_tokenizer(text for text, _ in rows)
train, test = Reviews(rows, BATCH), Reviews(read(archive, "test"), BATCH)

bert = build_transformer_model(
    vocab_size=CHARACTERS,
    hidden_size=128,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=512,
    hidden_act="gelu",
    max_position=LENGTH,
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    with_pool=True,
    return_keras_model=False,
)
dropout, dense = keras.layers.Dropout(0.1), keras.layers.Dense(2, activation="softmax")
model = keras.models.Model(bert.input, dense(dropout(bert.output)))
trained = model
options = {}
if sys.argv[4:] == ["packed"]:
    from bert4keras3.packing import packed_transformer

    train.packed = packed_transformer(bert, pooling="pooler", row_length=2 * LENGTH, max_texts=8)
    trained = keras.models.Model(train.packed.input, dense(dropout(train.packed.output)))  # the same weights
    if keras.__version__.startswith("2."):
        options["sample_weight_mode"] = "temporal"  # a weight for each text of a row
trained.compile(loss="sparse_categorical_crossentropy", optimizer=keras.optimizers.Adam(3e-4), **options)
trained.fit(train.forfit(), steps_per_epoch=len(train), epochs=epochs, callbacks=[Report()], verbose=0)
