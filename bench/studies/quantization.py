"""Quantization: models with weights in bfloat16 and int8 beside float32, by memory, time and accuracy.

    python -m bench.studies.quantization [--rounds 5]        in an environment with Keras 3

BERT-base predicts the scores of 128 tokens, and a GPT-2 of that size generates 64, with the random weights of the
bench. "error": rms of the differences to the scores in float32, in units of the rms of the float32 scores. "same
token": percentage of the tokens whose best token is the best one in float32. The best two
tokens lie closer together with random weights than with trained ones.

"int8 weights": `model.quantize` leaves the inputs as they are. "int8": it rounds the inputs too, which is its default.
On TensorFlow XLA compiles `predict`: without XLA int8 takes 2.9 times as long as float32.
"""

import os

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench.implementations.bert4keras_models import Bert4kerasModels  # noqa: E402
from bench.implementations.ours import Ours  # noqa: E402
from bench.scenarios import BY_NAME, make_inputs  # noqa: E402
from bench.studies import Study, interleave, ratio_to, read_rounds, timed  # noqa: E402
from bench.studies.formats import build_in_format  # noqa: E402
from bench.weights import make_weights, weights_folder  # noqa: E402
from bert4keras3.backend import framework  # noqa: E402
from bert4keras3.generation import Generator  # noqa: E402
from parity.subsample import rms  # noqa: E402

ENCODER = BY_NAME["bert-base-1x128"]._replace(arguments=dict(with_mlm="linear"))
DECODER = BY_NAME["gpt2-base-64-tokens"]
FORMATS = ("float32", "bfloat16", "int8 weights", "int8")
BASE = FORMATS[0]


def load(scenario, form):
    """The transformer with its weights in this format."""
    make_weights(scenario, Ours())
    folder = weights_folder(scenario, Ours.FORMAT)

    def build():
        model = Ours()
        Bert4kerasModels.load(model, scenario, folder)  # its calls are not compiled
        return model.transformer

    transformer = build_in_format(form, build, lambda one: one.model)
    transformer.model.jit_compile = framework != "torch"
    return transformer


def encode(transformer):
    """A function that computes the scores (length, vocabulary) of the tokens."""
    inputs = make_inputs(ENCODER)
    return lambda: np.asarray(transformer.model.predict(inputs, verbose=0)[0], "float64")


def generate(transformer):
    """A function that generates ids."""
    generator, prompt = Generator(transformer), make_inputs(DECODER)[0]
    return lambda: generator.generate(prompt, max_tokens=DECODER.new_tokens)[0]


def measure(study, scenario, make, rounds):
    """Add memory and time of each format. Returns: {format: the result of its function}."""
    transformers = {form: load(scenario, form) for form in FORMATS}
    functions = {form: make(one) for form, one in transformers.items()}
    results = {form: function() for form, function in functions.items()}  # compiles too
    seconds = interleave({form: timed(one) for form, one in functions.items()}, rounds, warm_up=0)
    memory = {}
    for form, one in transformers.items():
        memory[form] = sum(np.prod(x.shape) * np.dtype(x.dtype).itemsize for x in one.model.variables) / 1e6
        ratio = memory[form] / memory[BASE]
        study.add(scenario.name, form, "memory", memory[form], "MB", ratio=ratio, base=BASE)
    study.add_times(scenario.name, seconds, dict.fromkeys(FORMATS, BASE), unit="ms", scale=1000)
    return results, seconds


def main():
    rounds = read_rounds(__doc__, 5)
    study = Study("quantization", rounds)
    scores, _ = measure(study, ENCODER, encode, rounds)
    for form, found in scores.items():
        error = rms([found - scores[BASE]]) / rms([scores[BASE]])
        study.add(ENCODER.name, form, "error", error)
        same = (found.argmax(-1) == scores[BASE].argmax(-1)).mean()
        study.add(ENCODER.name, form, "same token", 100 * same, "%")

    tokens, seconds = measure(study, DECODER, generate, rounds)
    for form, found in tokens.items():
        speed = DECODER.new_tokens / np.median(seconds[form])
        ratio = ratio_to(seconds[form], seconds[BASE], BASE)
        study.add(DECODER.name, form, "speed", speed, "tokens/s", **ratio)
        different = np.flatnonzero(found != tokens[BASE])
        equal = different[0] if len(different) else len(found)
        study.add(DECODER.name, form, "equal tokens", equal, f"of {len(found)}")
    study.write()


if __name__ == "__main__":
    main()
