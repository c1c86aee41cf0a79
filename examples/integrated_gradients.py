"""Which token decided? Gradients added up while the embeddings grow from 0: https://arxiv.org/abs/1703.01365"""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.gradients import gradients
from bert4keras3.layers import Dense, GlobalAveragePooling1D
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.permutation(list("abcdefgx"))[:5]) for _ in range(256)]
labels = np.array([int("x" in text) for text in texts])
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]

bert = build_transformer_model(config_path)
output = Dense(2, activation="softmax")(GlobalAveragePooling1D()(bert.output))
model = keras.models.Model(bert.inputs, output)
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy")
model.fit([token_ids, segment_ids], labels, epochs=3, batch_size=32, verbose=0)

chosen = int(np.argmax(labels))  # a text with an x
inputs = [K.constant(one[chosen : chosen + 1]) for one in (token_ids, segment_ids)]
table = model.get_layer("Embedding-Token").trainable_weights[0]
full, total = K.get_value(table), 0
for point, weight in zip(*np.polynomial.legendre.leggauss(30)):  # from -1 to 1
    K.set_value(table, full * (point + 1) / 2)
    total = total + weight / 2 * gradients(lambda: K.sum(model(inputs)[:, 1]), [table])[0]
scores = []
for factor in (0, 1):
    K.set_value(table, full * factor)
    scores.append(model.predict([token_ids[chosen : chosen + 1], segment_ids[chosen : chosen + 1]])[0, 1])

attribution = (full * total).sum(axis=1)  # (vocabulary,)
np.testing.assert_allclose(attribution.sum(), scores[1] - scores[0], atol=0.05)
best = max(texts[chosen].split(), key=lambda token: attribution[token_dict[token]])
assert best == "x", best
print(f"what decided for {texts[chosen]!r}: {best!r}")
