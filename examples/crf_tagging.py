"""Digits are tagged as entities, with a CRF; its transitions go into a Viterbi decoder after each epoch."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import ConditionalRandomField, Dense
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import DataGenerator, ViterbiDecoder, sequence_padding
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
data = [" ".join(np.random.choice(list("abc12"), np.random.randint(4, 10))) for _ in range(160)]


def tags_of(text):
    """0 outside, 1 for the first digit of some in a row, 2 for the others; also of [CLS] and [SEP]."""
    digit = [False] + [token.isdigit() for token in text.split()] + [False]
    return [int(now) + int(now and before) for before, now in zip([False] + digit, digit)]


class Batches(DataGenerator):
    def __iter__(self, random=False):
        batch = []
        for is_end, text in self.sample(random):
            batch.append(tokenizer.encode(text) + (tags_of(text),))
            if len(batch) == self.batch_size or is_end:
                token_ids, segment_ids, tags = [sequence_padding(one, length=12) for one in zip(*batch)]
                yield [token_ids, segment_ids], tags
                batch = []


bert = build_transformer_model(config_path)
output = Dense(3)(bert.output)
CRF = ConditionalRandomField(lr_multiplier=10)
output = CRF(output)
model = keras.models.Model(bert.inputs, output)
model.compile(loss=CRF.sparse_loss, optimizer=keras.optimizers.Adam(3e-3), metrics=[CRF.sparse_accuracy])
recognizer = ViterbiDecoder(trans=np.zeros((3, 3)), starts=[0], ends=[0])


class Evaluator(keras.callbacks.Callback):
    exact = 0

    def on_epoch_end(self, epoch, logs=None):
        recognizer.trans = K.eval(CRF.trans)
        (x, _), texts = next(iter(Batches(data[128:]))), data[128:]
        pairs = [(scores, tags_of(text)) for scores, text in zip(model.predict(x, verbose=0), texts)]
        self.exact = np.mean([list(recognizer.decode(scores[: len(tags)])) == tags for scores, tags in pairs])


train, evaluator = Batches(data[:128], 16), Evaluator()
model.fit(train.forfit(), steps_per_epoch=len(train), epochs=8, callbacks=[evaluator], verbose=0)
assert np.abs(recognizer.trans).max() > 0 and evaluator.exact > 0.8, evaluator.exact
print(f"texts tagged without a mistake: {evaluator.exact:.2f}")
