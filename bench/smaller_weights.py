"""Models with weights in bfloat16 and int8 beside float32: memory, time and accuracy, in one process.

    python -m bench.smaller_weights [--rounds 5]        in an environment with Keras 3 and bert4keras3

BERT-base predicts the scores of 128 tokens, a GPT-2 of that size writes 64, with the random weights of the bench.
Rounds are interleaved. "error": rms of the differences to the scores in float32, whose own error is 10,000 times
smaller, in units of those scores' rms; "same token": share of the tokens whose best one is that of float32. Random
weights leave less between the best two than trained ones do.

int8 weights: `model.quantize` with inputs left as they are; int8: with inputs rounded too, as it is by default. On
TensorFlow `predict` is compiled by XLA, without which int8 takes 2.9 times as long as float32.
"""

import os
import time
import warnings

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench.program import begin  # noqa: E402
from bench.scenarios import BY_NAME, make_inputs  # noqa: E402
from bench.subjects import bert4keras_models, ours  # noqa: E402
from bench.weights import make_weights, weights_folder  # noqa: E402
from bert4keras3.backend import framework, keras  # noqa: E402
from bert4keras3.generation import Generator  # noqa: E402

READS = BY_NAME["bert-base-1x128"]._replace(arguments=dict(with_mlm="linear"))
WRITES = BY_NAME["gpt2-base-64-tokens"]
FORMATS = ("float32", "bfloat16", "int8 weights", "int8")


def load(scenario, form):
    """The transformer with its weights in this form."""
    make_weights(scenario, ours)
    keras.config.set_dtype_policy("bfloat16" if form == "bfloat16" else "float32")
    folder = weights_folder(scenario, ours.FORMAT)
    transformer = bert4keras_models.load(ours.LIBRARY, scenario, folder).transformer
    keras.config.set_dtype_policy("float32")
    if form.startswith("int8"):
        quantizer = {} if form == "int8" else {"activation_quantizer": None}
        with warnings.catch_warnings():  # that layers without a matrix have no quantize
            warnings.simplefilter("ignore")
            transformer.model.quantize(config=keras.quantizers.Int8QuantizationConfig(**quantizer))
    transformer.model.jit_compile = framework != "torch"
    return transformer


def megabytes(model):
    return sum(np.prod(one.shape) * np.dtype(one.dtype).itemsize for one in model.variables) / 1e6


def scores_of(transformer):
    """(length, vocabulary) of the text of the scenario, as a function that computes them anew."""
    inputs = make_inputs(READS)
    return lambda: np.asarray(transformer.model.predict(inputs, verbose=0)[0], "float64")


def written_by(transformer):
    generator, prompt = Generator(transformer), make_inputs(WRITES)[0]
    return lambda: generator.generate(prompt, max_tokens=WRITES.new_tokens)[0]


def measure(functions, rounds):
    """{name: (median seconds, what it gave)} of functions that take their turns, after a call that compiles."""
    results = {name: function() for name, function in functions.items()}
    seconds = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds[name].append(time.perf_counter() - start)
    return {name: (float(np.median(seconds[name])), results[name]) for name in functions}


def rms(x):
    return float(np.sqrt(np.square(x).mean()))


def main():
    rounds = begin(__doc__, 5, "%s on %s" % (keras.__version__, framework))

    print("\n%s, scores of a vocabulary" % READS.name)
    models = {form: load(READS, form) for form in FORMATS}
    found = measure({form: scores_of(one) for form, one in models.items()}, rounds)
    base_seconds, base = found["float32"]
    for form, (seconds, scores) in found.items():
        print(
            "%-13s %5.0f MB %6.0f ms  %.2f x float32   error %.1e   same token %5.1f %%"
            % (
                form,
                megabytes(models[form].model),
                1000 * seconds,
                seconds / base_seconds,
                rms(scores - base) / rms(base),
                100 * (scores.argmax(-1) == base.argmax(-1)).mean(),
            )
        )

    print("\n%s" % WRITES.name)
    models = {form: load(WRITES, form) for form in FORMATS}
    found = measure({form: written_by(one) for form, one in models.items()}, rounds)
    base_seconds, base = found["float32"]
    for form, (seconds, tokens) in found.items():
        different = np.flatnonzero(tokens != base)
        print(
            "%-13s %5.0f MB %6.1f tokens/s  %.2f x as fast as float32   equal up to token %d of %d"
            % (
                form,
                megabytes(models[form].model),
                WRITES.new_tokens / seconds,
                base_seconds / seconds,
                different[0] if len(different) else len(base),
                len(base),
            )
        )


if __name__ == "__main__":
    main()
