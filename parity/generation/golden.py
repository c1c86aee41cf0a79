"""What bert4keras 0.11.5 writes with its AutoRegressiveDecoder, greedily and with beams: `goldens/generation.json`.

In the environment of the reference: `python -m parity.generation.golden`. With each text stands the smallest distance
at each step between neighbours among the best candidates, one more than there are beams. Where that is not above the
rounding error, another text is as right.
"""

import numpy as np

from parity.adapter import open_library, reference_versions
from parity.generation.cases import BEAMS, CASES, NO_END, PROMPTS, predict_function
from parity.models import build
from parity.store import GOLDENS, release_paths, write_json


def recording_decoder(case, transformer, end_id):
    from bert4keras.snippets import AutoRegressiveDecoder

    predict_outputs = predict_function(case, transformer)

    class Recording(AutoRegressiveDecoder):
        """Keeps the distance between candidates at each step."""

        def predict(self, inputs, output_ids, states, temperature=1, rtype="logits"):
            scores = np.log(predict_outputs(inputs[0], output_ids) + 1e-12)
            for row, text in zip(scores, output_ids):
                self.scores[tuple(text)] = row
            totals = [[self.total(text)] for text in output_ids] + scores
            best = np.sort(totals.ravel())[::-1][: self.width + 1]
            self.gaps.append(float((best[:-1] - best[1:]).min()))
            return scores, states

        def total(self, text):
            """Sum of the logarithms of the probabilities of the tokens that were chosen."""
            start = len(self.first_output_ids[0])
            return sum(self.scores[tuple(text[:i])][text[i]] for i in range(start, len(text)))

    start_id = 0 if hasattr(transformer, "encoder") else None
    return Recording(start_id=start_id, end_id=end_id, maxlen=case.max_tokens)


def write(case, transformer, prompt, beams, end_id):
    decoder = recording_decoder(case, transformer, end_id)
    decoder.scores, decoder.gaps, decoder.width = {}, [], beams
    text = decoder.beam_search([np.array(prompt)], beams)
    new = [int(token) for token in text[len(decoder.first_output_ids[0]) :]]
    return {"prompt": prompt, "beams": beams, "end": end_id, "tokens": new, "gaps": decoder.gaps}


def main():
    library, texts = open_library("bert4keras"), {}
    for case in CASES:
        config_path, checkpoint = release_paths(case.checkpoint)
        transformer = build.transformer(library, str(config_path), case)
        transformer.load_weights_from_checkpoint(str(checkpoint))
        texts[case.name] = []
        for prompt in PROMPTS:
            greedy = write(case, transformer, prompt, 1, NO_END)
            ends = (NO_END, greedy["tokens"][3])  # with the second one, texts end
            pairs = [(beams, end) for end in ends for beams in BEAMS]
            texts[case.name] += [write(case, transformer, prompt, *pair) for pair in pairs]
        library.K.clear_session()
        print(case.name, [text["tokens"] for text in texts[case.name]], flush=True)
    write_json(GOLDENS / "generation.json", {"texts": texts, "provenance": reference_versions()})


if __name__ == "__main__":
    main()
