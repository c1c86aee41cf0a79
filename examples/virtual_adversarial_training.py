"""Few labels, many texts: texts without one teach the model to answer the same nearby. https://arxiv.org/abs/1704.03976

For a text without a label, the answer of the model is the target, and the step in the table of embeddings is the one
that changes that answer most.
"""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.gradients import gradients
from bert4keras3.layers import Dense, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.choice(list("abcdefgx"), 6)) for _ in range(448)]
labels = np.eye(2)[[int("x" in text) for text in texts]]
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]
EPSILON, XI = 0.1, 1.0

bert = build_transformer_model(config_path)
output = Dense(2, activation="softmax")(Lambda(lambda x: x[:, 0])(bert.output))
model = keras.models.Model(bert.inputs, output)
model.compile(keras.optimizers.Adam(3e-3), "kld", metrics=["categorical_accuracy"])
model_vat = keras.models.Model(bert.inputs, output)  # the same layers with an optimizer of its own
model_vat.compile(keras.optimizers.Adam(1e-3), "kld")
table = bert.get_layer("Embedding-Token").embeddings


def normalize(step):
    return step / (np.sqrt((step**2).sum()) + 1e-8)


class VirtualAdversarialTraining(keras.callbacks.Callback):
    def __init__(self, x):
        super().__init__()
        self.x, self.losses = x, []

    def on_batch_end(self, batch, logs=None):
        assert self.model is model  # through self: now the weights are those after this batch
        if batch % 4:  # in graphs of TensorFlow 1 each call makes the gradient anew
            return
        x = [part[np.random.permutation(len(part))[:32]] for part in self.x]
        answers = model_vat.predict_on_batch(x)
        before = K.get_value(table)
        K.set_value(table, before + XI * normalize(np.random.randn(*before.shape)).astype("float32"))

        def divergence():
            predicted = model_vat([K.constant(part) for part in x])
            return -K.mean(K.sum(K.constant(answers) * K.log(predicted + 1e-8), axis=-1))

        (gradient,) = gradients(divergence, [table])
        step = EPSILON * normalize(gradient)
        K.set_value(table, before + step)
        self.losses.append(model_vat.train_on_batch(x, answers))
        K.set_value(table, K.get_value(table) - step)


unlabeled = VirtualAdversarialTraining([token_ids[:256], segment_ids[:256]])
x, y = [token_ids[256:384], segment_ids[256:384]], labels[256:384]
model.fit(x, y, epochs=25, batch_size=32, callbacks=[unlabeled], verbose=0)
_, accuracy = model.evaluate([token_ids[384:], segment_ids[384:]], labels[384:], verbose=0)
assert np.isfinite(unlabeled.losses).all() and max(unlabeled.losses) > 0
assert accuracy > 0.8, accuracy
print(f"accuracy on new texts: {accuracy:.2f}")
