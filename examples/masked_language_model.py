"""What stands behind a mask."""

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import to_array
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
model = build_transformer_model(config_path, checkpoint_path, with_mlm=True)

token_ids, segment_ids = tokenizer.encode("a b c d e f")
token_ids[3] = token_ids[4] = tokenizer._token_mask_id
token_ids, segment_ids = to_array([token_ids], [segment_ids])
probas = model.predict([token_ids, segment_ids])[0]

assert probas.shape == (8, len(token_dict))
np.testing.assert_allclose(probas.sum(axis=1), 1, rtol=1e-5)
print("behind the masks:", tokenizer.decode(probas[3:5].argmax(axis=1)))
