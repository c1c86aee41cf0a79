"""UniLM learns to write letters as digits: a loss layer sees inputs, outputs and masks."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Loss
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import sequence_padding
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
letters = ["".join(np.random.choice(list("abcd"), 3)) for _ in range(256)]
pairs = [(" ".join(text), " ".join(str("abcd".index(letter)) for letter in text)) for text in letters]


class CrossEntropy(Loss):
    """Of the tokens of segment 1, each predicted from what stands before it."""

    def compute_loss(self, inputs, mask=None):
        y_true, y_mask, y_pred = inputs
        y_mask = K.cast(mask[2], K.floatx())[:, 1:] * y_mask[:, 1:]
        y_true, y_pred = y_true[:, 1:], y_pred[:, :-1]
        right = K.cast(K.equal(y_true, K.cast(K.argmax(y_pred), K.floatx())), K.floatx())
        self.add_metric(K.sum(right * y_mask) / K.sum(y_mask), name="accuracy")
        loss = K.sparse_categorical_crossentropy(y_true, y_pred)
        return K.sum(loss * y_mask) / K.sum(y_mask)


bert = build_transformer_model(config_path, application="unilm")
output = CrossEntropy(2)([bert.inputs[0], bert.inputs[1], bert.outputs[0]])
model = keras.models.Model(bert.inputs, output)
model.compile(optimizer=keras.optimizers.Adam(3e-3))

encoded = [tokenizer.encode(source, target) for source, target in pairs]
x = [sequence_padding([one[i] for one in encoded], length=12) for i in (0, 1)]
history = model.fit(x, epochs=25, batch_size=32, verbose=0).history
assert history["accuracy"][-1] > 0.6 and history["loss"][-1] < history["loss"][0] / 2, history["accuracy"]
print("tokens right at the end: {:.2f}".format(history["accuracy"][-1]))
