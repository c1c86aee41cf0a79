"""Subject first, then its objects by relation: a norm steered by the subject. https://kexue.fm/archives/7161"""

import numpy as np
from tiny import config_path, relation_sentence, token_dict

from bert4keras3.backend import K, batch_gather, keras
from bert4keras3.layers import Dense, Input, Lambda, LayerNormalization, Loss, Reshape
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
            subject_labels = np.zeros((len(token_ids), 2))
            subject_labels[subject] = 1  # first and last token are the same here
            object_labels = np.zeros((len(token_ids), len(RELATIONS), 2))
            object_labels[thing, relation] = 1
            batch.append((token_ids, segment_ids, subject_labels, [subject, subject], object_labels))
            if len(batch) == self.batch_size or is_end:
                columns = list(zip(*batch))
                yield (
                    [sequence_padding(list(one), length=8) for one in columns[:3]]
                    + [
                        np.array(columns[3]),
                        sequence_padding(list(columns[4]), length=8),
                    ],
                    None,
                )
                batch = []


def extract_subject(inputs):
    """Vectors of the subject's first and last token, (batch, 2 · size)."""
    x, subject_ids = inputs
    subject_ids = K.cast(subject_ids, "int32")
    start, end = batch_gather(x, subject_ids[:, :1]), batch_gather(x, subject_ids[:, 1:])
    return K.concatenate([start, end], 2)[:, 0]


class TotalLoss(Loss):
    """Binary cross entropy of subjects and objects over the tokens that are no padding."""

    def compute_loss(self, inputs, mask=None):
        subject_labels, object_labels, subject_preds, object_preds, _ = inputs
        seen = K.cast(mask[4], K.floatx())
        subject_loss = K.mean(K.binary_crossentropy(subject_labels, subject_preds), 2)
        object_loss = K.sum(K.mean(K.binary_crossentropy(object_labels, object_preds), 3), 2)
        return K.sum((subject_loss + object_loss) * seen) / K.sum(seen)


subject_labels = Input(shape=(None, 2), name="Subject-Labels")
subject_ids = Input(shape=(2,), name="Subject-Ids")
object_labels = Input(shape=(None, len(RELATIONS), 2), name="Object-Labels")
bert = build_transformer_model(config_path, return_keras_model=False)

x = Dense(2, activation="sigmoid", kernel_initializer=bert.initializer)(bert.model.output)
subject_preds = Lambda(lambda x: x**2)(x)
subject_model = keras.models.Model(bert.model.inputs, subject_preds)

x = bert.model.layers[-2].get_output_at(-1)  # what goes into the last norm
subject = Lambda(extract_subject)([x, subject_ids])
x = LayerNormalization(conditional=True)([x, subject])
x = Dense(len(RELATIONS) * 2, activation="sigmoid", kernel_initializer=bert.initializer)(x)
object_preds = Reshape((-1, len(RELATIONS), 2))(Lambda(lambda x: x**4)(x))
object_model = keras.models.Model(bert.model.inputs + [subject_ids], object_preds)

joined = [
    subject_labels,
    object_labels,
    subject_preds,
    object_preds,
    bert.model.output,
]  # the last has the mask
outputs = TotalLoss([2, 3])(joined)
train_model = keras.models.Model(bert.model.inputs + [subject_labels, subject_ids, object_labels], outputs)
train_model.compile(optimizer=keras.optimizers.Adam(2e-3))
train = Batches([relation_sentence(np.random) for _ in range(256)], 32)
train_model.fit(train.forfit(), steps_per_epoch=len(train), epochs=40, verbose=0)


def extract(text):
    """Triples of a text, as places of tokens."""
    token_ids, segment_ids = tokenizer.encode(text)
    scores = subject_model.predict(to_array([token_ids], [segment_ids]), verbose=0)[0]
    subjects = [start for start in np.where(scores[:, 0] > 0.5)[0] if scores[start, 1] > 0.5]
    if not subjects:
        return set()
    pairs = np.array([[start, start] for start in subjects])
    inputs = [np.repeat([one], len(subjects), axis=0) for one in (token_ids, segment_ids)] + [pairs]
    found = object_model.predict(inputs, verbose=0)
    return {
        (int(subject), int(relation), int(thing))
        for subject, scores in zip(subjects, found)
        for thing, relation in zip(*np.where(scores[..., 0] > 0.5))
    }


right = found = true = 0
for text, triple in [relation_sentence(np.random) for _ in range(32)]:
    triples = extract(text)
    right, found, true = right + (triple in triples), found + len(triples), true + 1
f1 = 2.0 * right / (found + true)
assert f1 > 0.7, f1
print(f"F1 of the triples: {f1:.2f}")
