"""The tokens that the library under test generates: with a cache where it has one, else with its search loop."""

import importlib

import numpy as np

from parity.generation.cases import CASES, NO_END, predict_function
from parity.generation.compare import sequences_of
from parity.models import build
from parity.store import release_paths

BY_NAME = {case.name: case for case in CASES}


def record(kind, library, flavour, name):
    """[the new tokens of each sequence of the golden]"""
    case = BY_NAME[name.split("-beams-")[0]]
    config_path, checkpoint = release_paths(case.checkpoint)
    transformer = build.transformer(library, str(config_path), case)
    transformer.load_weights_from_checkpoint(str(checkpoint))
    # the cache needs Keras 3 with a backend that trains; others have the search loop of bert4keras
    cached = flavour == "keras3" and library.keras.backend.backend() in ("jax", "tensorflow", "torch")
    new_tokens = (cached_generator if cached else search_loop)(library, case, transformer)
    return [new_tokens(one["prompt"], one["beams"], one["end"]) for one in sequences_of(name)]


def cached_generator(library, case, transformer):
    generator = importlib.import_module(library.name + ".generation").Generator(transformer)

    def new_tokens(prompt, beams, end):
        generator.end_tokens = () if end == NO_END else (end,)
        return generator.generate([prompt], max_tokens=case.max_tokens, beams=beams)[0].tolist()

    return new_tokens


def search_loop(library, case, transformer):
    snippets = importlib.import_module(library.name + ".snippets")
    outputs, start = predict_function(case, transformer), 0 if hasattr(transformer, "encoder") else None

    class Decoder(snippets.AutoRegressiveDecoder):
        @snippets.AutoRegressiveDecoder.wraps()
        def predict(self, inputs, output_ids, states):
            return outputs(inputs[0], output_ids)

    def new_tokens(prompt, beams, end):
        decoder = Decoder(start, end, maxlen=case.max_tokens)
        return decoder.beam_search([np.array(prompt)], beams)[0 if start is None else 1 :].tolist()

    return new_tokens
