"""One BERT with two heads: is there an x, and is there a digit?"""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import keras
from bert4keras3.layers import Dense
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.choice(list("abcdx12"), 4)) for _ in range(320)]
has_x = np.array([int("x" in text) for text in texts])
has_digit = np.array([int("1" in text or "2" in text) for text in texts])
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]

bert = build_transformer_model(config_path, with_pool="linear")
outputs = [Dense(2, activation="softmax", name=name)(bert.output) for name in ("letter", "digit")]
model = keras.models.Model(bert.inputs, outputs)
model.compile(
    loss=["sparse_categorical_crossentropy", "sparse_categorical_crossentropy"],
    loss_weights=[1.0, 0.5],
    optimizer=keras.optimizers.Adam(3e-3),
)
model.fit(
    [token_ids[:256], segment_ids[:256]], [has_x[:256], has_digit[:256]], epochs=12, batch_size=32, verbose=0
)

predicted = model.predict([token_ids[256:], segment_ids[256:]], verbose=0)
accuracies = [
    (probas.argmax(axis=-1) == labels[256:]).mean() for probas, labels in zip(predicted, (has_x, has_digit))
]
assert min(accuracies) > 0.8, accuracies
print("accuracy of both: {:.2f}, {:.2f}".format(*tuple(accuracies)))
