"""A model without capitals learns to tell them apart: new tokens that begin as copies of the old ones."""

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import to_array
from bert4keras3.tokenizers import Tokenizer

cased, compound_tokens = dict(token_dict), []
for token, i in sorted(token_dict.items(), key=lambda item: item[1]):
    if token.isalpha() and token.upper() not in cased:
        compound_tokens.append([i])
        cased[token.upper()] = len(cased)

tokenizer = Tokenizer(cased, do_lower_case=False)
model = build_transformer_model(config_path, checkpoint_path, compound_tokens=compound_tokens)
assert tokenizer.tokenize("a B") == ["[CLS]", "a", "B", "[SEP]"]

(upper, segment_ids), (lower, _) = tokenizer.encode("a B"), tokenizer.encode("a b")
assert upper != lower
inputs = to_array([upper, lower], [segment_ids, segment_ids])
outputs = model.predict(inputs, verbose=0)
assert np.abs(outputs[0] - outputs[1]).max() < 1e-5  # they begin the same
print(f"{len(compound_tokens)} new tokens, which begin as copies")
