"""Text from a text with one BERT, UniLM: segment 0 is read both ways, segment 1 is written."""

import numpy as np
from tiny import checkpoint_path, config_path, token_dict

from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
model = build_transformer_model(config_path, checkpoint_path, application="unilm")


class Title(AutoRegressiveDecoder):
    @AutoRegressiveDecoder.wraps(default_rtype="probas")
    def predict(self, inputs, output_ids, states):
        token_ids, segment_ids = inputs
        token_ids = np.concatenate([token_ids, output_ids], 1)
        segment_ids = np.concatenate([segment_ids, np.ones_like(output_ids)], 1)
        return self.last_token(model).predict([token_ids, segment_ids])

    def generate(self, text, topk=2):
        return self.beam_search(tokenizer.encode(text), topk=topk)


title = Title(start_id=None, end_id=tokenizer._token_end_id, maxlen=3)
best, only = title.generate("a b c", topk=3), title.generate("a b c", topk=1)


def score(output_ids):
    token_ids, segment_ids = tokenizer.encode("a b c")
    ids = np.array([token_ids + list(output_ids)])
    segments = np.array([segment_ids + [1] * len(output_ids)])
    probas = model.predict([ids, segments], verbose=0)[0, len(token_ids) - 1 : -1]
    return np.log(probas[np.arange(len(output_ids)), output_ids]).sum()


assert 1 <= len(best) <= 3
assert len(best) != len(only) or score(best) >= score(only) - 1e-5, "a wider beam finds no worse text"
print("title:", tokenizer.ids_to_tokens(best))
