"""Accelerate: what each path of bert4keras3/backend/accelerate/ gains over accelerate/plain.py, each in its own case.

    python -m bench.studies.accelerate [--rounds 9] [--case int8]     in the environment of jax, tensorflow or torch

On PyTorch the kernels of one matmul stand beside the choice of the table, kernels.TABLE. Sizes are those of BERT-base;
"1 row" is one generated token, "128 rows" one sequence. `--case` measures the cases whose name begins so.
"""

import argparse
import functools
import os

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from bench.studies import Study, interleave, timed  # noqa: E402
from bert4keras3.backend import framework, functions, keras, ops  # noqa: E402
from bert4keras3.backend.accelerate import compiled_model, implementation, plain  # noqa: E402
from bert4keras3.models import build_transformer_model  # noqa: E402

SIZE, INNER, VOCABULARY, HEADS = 768, 3072, 21128, 12
REPEATS = 10  # calls in one measurement
BASE = "float32"  # of int8


def random(*shape):
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def compiled(function, variables, decodes):
    """The function as predict compiles it, or as generation does; its outputs are finished when it returns."""
    if framework == "jax":
        import jax

        def call(values, *inputs):  # weights are arguments: XLA would compute with constants beforehand
            with keras.StatelessScope(list(zip(variables, values))):
                return function(*inputs)

        call = jax.jit(call)
        return lambda *inputs: jax.block_until_ready(call([one.value for one in variables], *inputs))
    if framework == "tensorflow":
        import tensorflow as tf

        function = tf.function(function, autograph=False, jit_compile=decodes)
        return lambda *inputs: [one.numpy() for one in tf.nest.flatten(function(*inputs))]
    import torch

    return torch.no_grad()(function)


def repeated(call):
    """() → None, REPEATS calls with the number of the call."""
    return lambda: [call(number) for number in range(REPEATS)]


def both(function, *inputs, layers=(), decodes=False):
    """{candidate: () → None}. function takes a path, then the inputs as tensors; it computes with these layers."""
    tensors = [ops.convert_to_tensor(one) for one in inputs]
    variables = [variable for layer in layers for variable in layer.variables]

    def candidate(path):
        call = compiled(lambda *values: function(path, *values), variables, decodes)
        return repeated(lambda number: call(*tensors))

    return {"plain": candidate(plain), "accelerated": candidate(implementation(framework))}


def dense(units, size, activation, dtype):
    layer = keras.layers.Dense(units, activation=activation, dtype=dtype)
    layer.build((None, size))
    layer.set_weights([random(size, units) / size**0.5, random(units)])
    return layer


def matmuls(*dtypes):
    """{case: candidates} of logits and of the dense layers of a BERT-base's feed-forward layers.

    One row passes twelve of them, as in generation: the weights of one would stay in the caches of a core.
    """
    cases = {}
    for dtype in dtypes:
        for rows, count in ((1, 12), (128, 1)):
            chain = [
                layer
                for _ in range(count)
                for layer in (
                    dense(INNER, SIZE, functions.gelu_erf, dtype),
                    dense(SIZE, INNER, None, dtype),
                )
            ]
            cases[f"dense, {dtype}, {rows} rows"] = both(
                lambda path, x, chain=chain: functools.reduce(lambda x, one: path.dense(one, x), chain, x),
                ops.cast(random(1, rows, SIZE), dtype),
                layers=chain,
                decodes=rows == 1,
            )
        table = keras.layers.Embedding(VOCABULARY, SIZE, dtype=dtype)
        table.build(None)
        cases[f"logits, {dtype}, 1 rows"] = both(
            lambda path, x, table=table: path.logits(
                table, x, ops.cast(table.embeddings, table.compute_dtype)
            ),
            ops.cast(random(1, 1, SIZE), dtype),
            layers=[table],
            decodes=True,
        )
    return cases


def on_jax():
    layer = keras.layers.Dropout(0.1, seed=1)
    state = layer.seed_generator.state

    def dropout(path, x):
        with keras.StatelessScope([(state, state.value)]):  # JAX compiles pure functions alone
            return path.dropout(layer, x)

    cases = matmuls("float32", "bfloat16")
    cases["dropout, attention weights"] = both(dropout, random(8, HEADS, 128, 128))
    return {**cases, "gelu": both(lambda path, x: path.gelu(x), random(8, 128, INNER))}


def on_torch():
    gamma, beta = keras.Variable(random(SIZE)), keras.Variable(random(SIZE))
    cases = matmuls("float32", "bfloat16")
    for length in (16, 128, 512):
        heads = random(1, length, HEADS, SIZE // HEADS)
        cases[f"attention, {length} tokens"] = both(
            lambda path, q, k, v: path.attention(q, k, v, None, 0.125), heads, heads, heads
        )
    cases["layer_norm, 128 rows"] = both(
        lambda path, x: path.layer_norm(x, gamma, beta, 1e-12), random(1, 128, SIZE)
    )
    return {**cases, "predict of one batch": short_predicts(), **kernel_cases(), **int8_cases()}


def kernel_cases():
    """Each kernel of one matmul, beside the table's choice: a name with " (table)" behind it."""
    import torch

    from bert4keras3.backend.accelerate import kernels
    from bert4keras3.backend.accelerate import torch as path

    cases = {}
    for dtype in (torch.float32, torch.bfloat16):
        for rows in (1, 8, 128, 1024):
            for size, units in ((SIZE, SIZE), (SIZE, INNER), (INNER, SIZE)):
                inputs = torch.rand(rows, size).to(dtype)
                # several weights, so that a core's caches do not hold the weights of one row
                weights = [torch.rand(size, units).to(dtype).t() for _ in range(8 if rows == 1 else 1)]
                with torch.no_grad():
                    candidates = path.kernel_candidates(inputs, weights[0])
                    chosen = kernels.select_kernel(candidates, inputs, weights[0], None)

                def calls(kernel, inputs=inputs, weights=weights):
                    return repeated(lambda number: kernel(inputs, weights[number % len(weights)], None))

                cases[f"{str(dtype)[6:]}, {rows} x {size} x {units}"] = {
                    one.__name__ + " (table)" * (one is chosen): torch.no_grad()(calls(one))
                    for one in candidates
                }
    return cases


def int8_cases():
    """The six matmuls of a block of BERT-base in int8, by each kernel, beside float32."""
    import torch

    from bert4keras3.backend.accelerate import torch as path
    from bert4keras3.backend.accelerate import torch_int8

    sizes = [(SIZE, SIZE)] * 4 + [(SIZE, INNER), (INNER, SIZE)]
    exact, int8 = ([dense(units, size, None, "float32") for size, units in sizes] for _ in range(2))
    for layer in int8:
        layer.quantize("int8")
    kernels = {"FBGEMM": torch_int8.fbgemm_int8}
    if torch_int8.has_int8_instructions:
        kernels["oneDNN"] = torch_int8.onednn_int8
    cases = {}
    for rows in (64, 128, 1024, 4096):
        inputs = {size: torch.rand(rows, size) for size in (SIZE, INNER)}

        def calls(layers, kernel, inputs=inputs):
            return repeated(
                lambda number: [kernel(layer, inputs[size]) for layer, (size, _) in zip(layers, sizes)]
            )

        case = {BASE: torch.no_grad()(calls(exact, path.dense))}
        for name, kernel in kernels.items():
            case[name] = torch.no_grad()(calls(int8, lambda layer, x, kernel=kernel: kernel([layer], x)))
        cases[f"int8, {rows} rows"] = case
    return cases


def short_predicts():
    """predict of one short sequence by a small BERT, with and without the path of compiled_model.py."""
    sizes = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=512)
    sizes.update(vocab_size=1000, max_position=64)
    inputs = [np.ones((1, 16), "int32"), np.zeros((1, 16), "int32")]
    name = "may_compile" if framework == "torch" else "is_one_batch"
    original = getattr(compiled_model, name)

    def predicts():
        model = build_transformer_model(model="bert", hidden_act="gelu", **sizes)
        return repeated(lambda number: model.predict(inputs, verbose=0))

    accelerated, plain = predicts(), predicts()

    def without():
        setattr(compiled_model, name, lambda *arguments: False)
        try:
            plain()
        finally:
            setattr(compiled_model, name, original)

    return {"plain": without, "accelerated": accelerated}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--case", default="", help="default: all")
    options = parser.parse_args()
    rounds = options.rounds
    if framework == "tensorflow":
        cases = {**matmuls("float32"), "predict of one batch": short_predicts()}
    else:
        cases = {"jax": on_jax, "torch": on_torch}[framework]()
    study = Study("accelerate", rounds, keras=keras.__version__)
    for case, candidates in cases.items():
        if not case.startswith(options.case):
            continue
        functions = {name: timed(function) for name, function in candidates.items()}
        seconds = interleave(functions, rounds, warm_up=2)
        base = next(name for name in candidates if name in ("accelerated", BASE) or "table" in name)
        seconds = {name: [one / REPEATS for one in values] for name, values in seconds.items()}
        study.add_times(case, seconds, {name: base for name in candidates if name != base})
    study.write()


if __name__ == "__main__":
    main()
