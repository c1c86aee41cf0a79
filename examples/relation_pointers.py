"""Triples by three pointers: entities, pairs of heads and pairs of tails. https://kexue.fm/archives/8888

Labels are the few places that are true, for each head of a pointer.
"""

import numpy as np
from tiny import config_path, relation_sentence, token_dict

from bert4keras3.backend import K, keras, sparse_multilabel_categorical_crossentropy
from bert4keras3.layers import EfficientGlobalPointer
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, sequence_padding, to_array
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
RELATIONS = "+-"


class Batches(DataGenerator):
    def __iter__(self, random=False):
        batch = []
        for is_end, (text, (subject, relation, thing)) in self.sample(random):
            token_ids, segment_ids = tokenizer.encode(text)
            entities = [[(subject, subject)], [(thing, thing)]]
            pairs = [[(0, 0)] for _ in RELATIONS]  # at least one label; the first token stands for none
            pairs[relation] = [(subject, thing)]
            batch.append((token_ids, segment_ids, entities, pairs, pairs))
            if len(batch) == self.batch_size or is_end:
                columns = list(zip(*batch))
                inputs = [sequence_padding(list(one), length=8) for one in columns[:2]]
                yield inputs, [sequence_padding(list(one), seq_dims=2) for one in columns[2:]]
                batch = []


def global_pointer_crossentropy(y_true, y_pred):
    """y_true: (batch, heads, labels, 2) places; y_pred: (batch, heads, length, length)."""
    y_true = K.cast(y_true, K.floatx())  # tf.keras hands over the integers as they are
    shape = K.shape(y_pred)
    y_true = y_true[..., 0] * K.cast(shape[2], K.floatx()) + y_true[..., 1]
    y_pred = K.reshape(y_pred, (shape[0], -1, K.prod(shape[2:])))
    return K.mean(K.sum(sparse_multilabel_categorical_crossentropy(y_true, y_pred, True), axis=1))


bert = build_transformer_model(config_path, return_keras_model=False)
options = dict(heads=len(RELATIONS), head_size=16, RoPE=False, tril_mask=False)
outputs = [
    EfficientGlobalPointer(heads=2, head_size=16)(bert.model.output),
    EfficientGlobalPointer(**options)(bert.model.output),
    EfficientGlobalPointer(**options)(bert.model.output),
]
model = keras.models.Model(bert.model.inputs, outputs)
model.compile(loss=global_pointer_crossentropy, optimizer=keras.optimizers.Adam(3e-3))
train = Batches([relation_sentence(np.random) for _ in range(256)], 32)
model.fit(train.forfit(), steps_per_epoch=len(train), epochs=25, verbose=0)


def extract(text):
    """Triples of a text, as places of tokens."""
    inputs = to_array(*[[one] for one in tokenizer.encode(text)])
    entities, heads, tails = [scores[0] for scores in model.predict(inputs, verbose=0)]
    entities[:, [0, -1]] = entities[:, :, [0, -1]] = -np.inf
    subjects, things = [list(zip(*np.where(scores > 0))) for scores in entities]
    return {
        (int(subject[0]), relation, int(thing[0]))
        for subject in subjects
        for thing in things
        for relation in range(len(RELATIONS))
        if heads[relation, subject[0], thing[0]] > 0 and tails[relation, subject[1], thing[1]] > 0
    }


right = found = true = 0
for text, triple in [relation_sentence(np.random) for _ in range(32)]:
    triples = extract(text)
    right, found, true = right + (triple in triples), found + len(triples), true + 1
f1 = 2.0 * right / (found + true)
assert f1 > 0.7, f1
print(f"F1 of the triples: {f1:.2f}")
