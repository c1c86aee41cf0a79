"""Text at random: a token at a time is masked and drawn anew from what the model thinks of its place."""

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import to_array
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
model = build_transformer_model(config_path, checkpoint_path, with_mlm=True)
np.random.seed(0)

first_ids, segment_ids = tokenizer.encode("a b c d e f")
token_ids = list(first_ids)
for _ in range(30):
    i = np.random.choice(len(token_ids) - 2) + 1  # not the first and the last token
    token_ids[i] = tokenizer._token_mask_id
    probas = model.predict(to_array([token_ids], [segment_ids]), verbose=0)[0, i].astype("float64")
    token_ids[i] = int(np.random.choice(len(probas), p=probas / probas.sum()))

assert len(token_ids) == len(first_ids) and token_ids[1:-1] != first_ids[1:-1]
assert (token_ids[0], token_ids[-1]) == (tokenizer._token_start_id, tokenizer._token_end_id)
print("after 30 steps:", tokenizer.ids_to_tokens(token_ids))
