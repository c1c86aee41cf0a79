"""Text with cached keys and values, on Keras 3: each token costs one token, whatever stands before it."""

import numpy as np
from tiny import checkpoint, token_dict

from bert4keras3.generation import CachedModel, Generator
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder
from bert4keras3.tokenizers import Tokenizer

tokenizer = Tokenizer(token_dict, do_lower_case=True)
gpt = build_transformer_model(
    *checkpoint("cdial_gpt", "gpt_config.json", "gpt_model.ckpt"), model="gpt", return_keras_model=False
)
prompts = [tokenizer.encode(text)[0][:-1] for text in ("a b c", "b")]

# The whole loop is compiled; prompts of any lengths are written to together.
generator = Generator(gpt, end_tokens=tokenizer._token_end_id)
greedy = generator.generate(prompts, max_tokens=5)
sampled = generator.generate(prompts, max_tokens=5, sample=True, top_k=10, top_p=0.9, temperature=0.8, seed=0)
beams = generator.generate(prompts, max_tokens=5, beams=3)
generator.generate(
    prompts[:1], max_tokens=5, stream=lambda new: print("new:", tokenizer.ids_to_tokens(new[0]))
)


# A decoder of one's own gets fast with a cached model in place of the model.
class Continuation(AutoRegressiveDecoder):
    cached = CachedModel(gpt)

    @AutoRegressiveDecoder.wraps(default_rtype="probas")
    def predict(self, inputs, output_ids, states):
        token_ids = np.concatenate([inputs[0], output_ids], axis=1)
        return self.last_token(self.cached).predict([token_ids, np.zeros_like(token_ids)])


decoder = Continuation(start_id=None, end_id=tokenizer._token_end_id, maxlen=5)
assert list(decoder.beam_search([prompts[0]], topk=1)) == list(greedy[0])
assert list(decoder.beam_search([prompts[0]], topk=3)) == list(beams[0])
assert all(len(text) <= 5 for text in sampled)
print("continuations:", [tokenizer.ids_to_tokens(text) for text in greedy])
