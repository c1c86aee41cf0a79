"""Vectors of sentences, compared by the cosine of their angle."""

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import GlobalAveragePooling1D, Lambda
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import sequence_padding
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
bert = build_transformer_model(config_path, checkpoint_path)
output = GlobalAveragePooling1D()(bert.output)
output = Lambda(lambda x: K.l2_normalize(x, axis=-1))(output)
encoder = keras.models.Model(bert.inputs, output)

texts = ["a b c", "a b c d", "7 8 9", "a b c"]
token_ids, segment_ids = zip(*[tokenizer.encode(text) for text in texts])
vectors = encoder.predict([sequence_padding(token_ids), sequence_padding(segment_ids)])
cosines = vectors @ vectors.T

np.testing.assert_allclose(np.diag(cosines), 1, rtol=1e-5)
np.testing.assert_allclose(cosines[0, 3], 1, rtol=1e-5)
assert cosines[0, 1] > cosines[0, 2]
print(f"most like the first: {texts[1 + cosines[0, 1:3].argmax()]!r}")
