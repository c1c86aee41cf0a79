"""Small gradients by the embeddings: their square is part of the loss.

Labels are one-hot, since TensorFlow 1 has no second derivative of the sparse cross entropy.
"""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import keras
from bert4keras3.gradients import gradient_penalty
from bert4keras3.layers import Dense, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.choice(list("abcdefgx"), 6)) for _ in range(320)]
labels = keras.utils.to_categorical([int("x" in text) for text in texts], 2)
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]

bert = build_transformer_model(config_path)
output = Dense(2, activation="softmax")(Lambda(lambda x: x[:, 0])(bert.output))
model = keras.models.Model(bert.inputs, output)
model.compile(keras.optimizers.Adam(1e-3), "categorical_crossentropy", metrics=["accuracy"])
gradient_penalty(model, "Embedding-Token", 0.01)
model.fit([token_ids[:256], segment_ids[:256]], labels[:256], epochs=20, batch_size=32, verbose=0)

_, accuracy = model.evaluate([token_ids[256:], segment_ids[256:]], labels[256:], verbose=0)
assert accuracy > 0.8, accuracy
print(f"accuracy on new texts: {accuracy:.2f}")
