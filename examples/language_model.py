"""A BERT with a causal mask learns the order of the letters."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Loss
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
alphabet = "abcdefghijklmnopqrstuvwxyz"
starts = np.random.randint(0, 18, 256)
encoded = [tokenizer.encode(" ".join(alphabet[start : start + 8])) for start in starts]
token_ids, segment_ids = [np.array(one) for one in zip(*encoded)]


class NextToken(Loss):
    def compute_loss(self, inputs, mask=None):
        y_true, y_pred = inputs
        y_mask = K.cast(mask[1], K.floatx())[:, 1:]
        loss = K.sparse_categorical_crossentropy(y_true[:, 1:], y_pred[:, :-1])
        return K.sum(loss * y_mask) / K.sum(y_mask)


lm = build_transformer_model(config_path, application="lm")
model = keras.models.Model(lm.inputs, NextToken(1)([lm.inputs[0], lm.outputs[0]]))
model.compile(optimizer=keras.optimizers.Adam(3e-3))
model.fit([token_ids, segment_ids], epochs=15, batch_size=32, verbose=0)

probas = lm.predict([token_ids, segment_ids], verbose=0)
accuracy = (probas[:, 1:-2].argmax(axis=-1) == token_ids[:, 2:-1]).mean()
assert accuracy > 0.8, accuracy
print(f"next letters right: {accuracy:.2f}")
