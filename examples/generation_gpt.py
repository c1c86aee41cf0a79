"""Text from a model of the GPT kind: beam search and random sampling."""

import numpy as np
from tiny import checkpoint, token_dict

from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
model = build_transformer_model(*checkpoint("cdial_gpt", "gpt_config.json", "gpt_model.ckpt"), model="gpt")


class Continuation(AutoRegressiveDecoder):
    @AutoRegressiveDecoder.wraps(default_rtype="probas")
    def predict(self, inputs, output_ids, states):
        token_ids = np.concatenate([inputs[0], output_ids], axis=1)
        return self.last_token(model).predict([token_ids, np.zeros_like(token_ids)])


start, _ = tokenizer.encode("a b c")
decoder = Continuation(start_id=None, end_id=tokenizer._token_end_id, maxlen=3)
np.random.seed(0)
samples = decoder.random_sample([start[:-1]], n=3, topp=0.9)
found = decoder.beam_search([start[:-1]], topk=1)

greedy = list(start[:-1])
for _ in found:
    probas = model.predict([np.array([greedy]), np.zeros((1, len(greedy)))], verbose=0)[0, -1]
    greedy.append(int(probas.argmax()))
assert greedy[len(start) - 1 :] == list(found), "a beam of 1 takes the best token each time"
assert len(samples) == 3
print("continuation:", tokenizer.ids_to_tokens(found))
