"""Vectors of a text, from a model that is saved and loaded on the way."""

import os
import tempfile

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.backend import keras
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import to_array
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
model = build_transformer_model(config_path, checkpoint_path)

token_ids, segment_ids = tokenizer.encode("a b c")
token_ids, segment_ids = to_array([token_ids], [segment_ids])
features = model.predict([token_ids, segment_ids])

with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "model.keras")
    model.save(path)
    loaded = keras.models.load_model(path)

np.testing.assert_allclose(loaded.predict([token_ids, segment_ids]), features, rtol=1e-5, atol=1e-6)
print("features of 5 tokens:", features.shape)
