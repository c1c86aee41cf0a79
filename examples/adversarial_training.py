"""Trained where the embeddings hurt most: with a step along the gradient before each batch."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import keras
from bert4keras3.gradients import adversarial_training
from bert4keras3.layers import Dense, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.choice(list("abcdefgx"), 6)) for _ in range(320)]
labels = np.array([int("x" in text) for text in texts])
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]

bert = build_transformer_model(config_path)
output = Dense(2, activation="softmax")(Lambda(lambda x: x[:, 0])(bert.output))
model = keras.models.Model(bert.inputs, output)
model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
adversarial_training(model, "Embedding-Token", 0.1)
model.fit([token_ids[:256], segment_ids[:256]], labels[:256], epochs=12, batch_size=32, verbose=0)

_, accuracy = model.evaluate([token_ids[256:], segment_ids[256:]], labels[256:], verbose=0)
assert accuracy > 0.8, accuracy
print(f"accuracy on new texts: {accuracy:.2f}")
