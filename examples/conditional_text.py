"""Letters or digits, as a class says that steers every layer normalization of a language model."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Embedding, Input, Loss, Reshape
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
labels = np.random.randint(0, 2, 256)
texts = [" ".join(np.random.choice(list(("abcd", "1234")[label]), 5)) for label in labels]
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]

class_input = Input(shape=(1,))
condition = Reshape((16,))(Embedding(2, 16)(class_input))
lm = build_transformer_model(
    config_path,
    application="lm",
    layer_norm_cond=condition,
    additional_input_layers=class_input,
)


class NextToken(Loss):
    def compute_loss(self, inputs, mask=None):
        y_true, y_pred = inputs
        return K.sparse_categorical_crossentropy(y_true[:, 1:], y_pred[:, :-1])


model = keras.models.Model(lm.inputs, NextToken(1)([lm.inputs[0], lm.outputs[0]]))
model.compile(optimizer=keras.optimizers.Adam(3e-3))
x = [token_ids, segment_ids, labels[:, None]]
model.fit(x, epochs=10, batch_size=32, verbose=0)

start = [np.full((2, 1), tokenizer._token_start_id), np.zeros((2, 1)), np.array([[0], [1]])]
probas = lm.predict(start, verbose=0)[:, 0]
letters, digits = [probas[:, tokenizer.tokens_to_ids(list(kind))].sum(axis=1) for kind in ("abcd", "1234")]
assert letters[0] > 0.7 and digits[1] > 0.7, (letters, digits)
print(f"letters in class 0: {letters[0]:.2f}, digits in class 1: {digits[1]:.2f}")
