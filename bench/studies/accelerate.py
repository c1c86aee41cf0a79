"""Accelerate: what each path of bert4keras3/backend/accelerate/ gains over accelerate/plain.py, each in its own case.

    python -m bench.studies.accelerate [--rounds 9]       in the environment of jax, tensorflow or torch

On PyTorch the kernels of one matmul stand beside the choice of the
table, kernels.TABLE. Sizes are those of BERT-base; "1 row" is one generated token, "128 rows" one sequence.
"""

from __future__ import annotations

import os

import numpy as np

from bench.studies import Study, interleave, read_rounds, timed

SIZE, INNER, VOCABULARY, HEADS = 768, 3072, 21128, 12
REPEATS = 20  # calls in one measurement


def random(*shape):
    return np.random.RandomState(0).normal(size=shape).astype("float32")


def compiled(function, decodes=False):
    """The function as predict compiles it, or as generation does; its outputs are finished when it returns."""
    from bert4keras3.backend import framework

    if framework == "jax":
        import jax

        function = jax.jit(function)
        return lambda *inputs: jax.block_until_ready(function(*inputs))
    if framework == "tensorflow":
        import tensorflow as tf

        function = tf.function(function, autograph=False, jit_compile=decodes)
        return lambda *inputs: [one.numpy() for one in tf.nest.flatten(function(*inputs))]
    import torch

    return torch.no_grad()(function)


def repeated(function, *inputs, decodes=False):
    """() → None, REPEATS calls on tensors."""
    from bert4keras3.backend import ops

    function, tensors = compiled(function, decodes), [ops.convert_to_tensor(one) for one in inputs]

    def run():
        for _ in range(REPEATS):
            function(*tensors)

    return run


def built_dense(units, size, activation=None, dtype="float32"):
    from bert4keras3.backend import keras

    layer = keras.layers.Dense(units, activation=activation, dtype=dtype)
    layer.build((None, size))
    layer.set_weights([random(size, units) / size**0.5, random(units)])
    return layer


def built_embedding(dtype="float32"):
    from bert4keras3.backend import keras

    layer = keras.layers.Embedding(VOCABULARY, SIZE, dtype=dtype)
    layer.build(None)
    return layer


def matmuls(accelerated, plain, dtypes):
    """{case: {candidate: function}} of dense and logits."""
    from bert4keras3.backend import functions, ops

    cases = {}
    for dtype in dtypes:
        inner = built_dense(INNER, SIZE, functions.gelu_erf, dtype)
        table = built_embedding(dtype)
        for rows in (1, 128):
            inputs = ops.cast(random(1, rows, SIZE), dtype)
            cases[f"dense, {dtype}, {rows} rows"] = {
                name: repeated(
                    lambda x, path=path, layer=inner: path.dense(layer, x), inputs, decodes=rows == 1
                )
                for name, path in (("plain", plain), ("accelerated", accelerated))
            }
        cases[f"logits, {dtype}, 1 rows"] = {
            name: repeated(
                lambda x, path=path, layer=table: path.logits(
                    layer, x, ops.cast(layer.embeddings, layer.compute_dtype)
                ),
                ops.cast(random(1, 1, SIZE), dtype),
                decodes=True,
            )
            for name, path in (("plain", plain), ("accelerated", accelerated))
        }
    return cases


def on_jax(accelerated, plain):
    from bert4keras3.backend import keras

    layer = keras.layers.Dropout(0.1, seed=1)
    cases = matmuls(accelerated, plain, ("float32", "bfloat16"))
    for name, shape in (("dropout, attention weights", (8, HEADS, 128, 128)), ("gelu", (8, 128, INNER))):
        function = name.split(",")[0]
        arguments = (layer,) if function == "dropout" else ()
        cases[name] = {
            candidate: repeated(stateless(getattr(path, function), layer, *arguments), random(*shape))
            for candidate, path in (("plain", plain), ("accelerated", accelerated))
        }
    return cases


def stateless(function, layer, *arguments):
    """The function with the random state of a layer put in, and not kept: JAX compiles pure functions alone."""
    from bert4keras3.backend import keras

    state = layer.seed_generator.state

    def call(x):
        with keras.StatelessScope([(state, state.value)]):
            return function(*arguments, x)

    return call


def on_tensorflow(accelerated, plain):
    return {**matmuls(accelerated, plain, ("float32",)), "predict of one batch": short_predicts()}


def on_torch(accelerated, plain):
    from bert4keras3.backend import keras

    gamma, beta = keras.Variable(random(SIZE)), keras.Variable(random(SIZE))
    cases = matmuls(accelerated, plain, ("float32", "bfloat16"))
    for length in (16, 128, 512):
        heads = random(1, length, HEADS, SIZE // HEADS)
        cases[f"attention, {length} tokens"] = {
            name: repeated(
                lambda q, k, v, path=path: path.attention(q, k, v, None, 0.125), heads, heads, heads
            )
            for name, path in (("plain", plain), ("accelerated", accelerated))
        }
    cases["layer_norm, 128 rows"] = {
        name: repeated(lambda x, path=path: path.layer_norm(x, gamma, beta, 1e-12), random(1, 128, SIZE))
        for name, path in (("plain", plain), ("accelerated", accelerated))
    }
    return {**cases, "predict of one batch": short_predicts(), **kernel_cases()}


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
                weights = [torch.rand(size, units).to(dtype).t() for _ in range(8 if rows == 1 else 1)]
                with torch.no_grad():
                    candidates = path.kernel_candidates(inputs, weights[0])
                    chosen = kernels.select_kernel(candidates, inputs, weights[0], None)
                cases[f"{str(dtype)[6:]}, {rows} x {size} x {units}"] = {
                    kernel.__name__ + (" (table)" if kernel is chosen else ""): kernel_calls(
                        kernel, inputs, weights
                    )
                    for kernel in candidates
                }
    return cases


def kernel_calls(kernel, inputs, weights):
    """() → None. Several weights, so that a core's caches do not hold the weights of one row."""
    import torch

    @torch.no_grad()
    def run():
        for number in range(REPEATS):
            kernel(inputs, weights[number % len(weights)], None)

    return run


def short_predicts():
    """predict of one short sequence by a small BERT, with and without the path of compiled_model.py."""
    from bert4keras3.backend import keras
    from bert4keras3.backend.accelerate import compiled_model
    from bert4keras3.models import build_transformer_model

    sizes = dict(hidden_size=128, num_hidden_layers=4, num_attention_heads=2, intermediate_size=512)
    inputs = [np.ones((1, 16), "int32"), np.zeros((1, 16), "int32")]

    def predicts():
        model = build_transformer_model(
            model="bert", vocab_size=1000, hidden_act="gelu", max_position=64, **sizes
        )

        def run():
            for _ in range(REPEATS):
                model.predict(inputs, verbose=0)

        return run

    accelerated, plain = predicts(), predicts()
    name = "may_compile" if keras.backend.backend() == "torch" else "is_one_batch"
    original = getattr(compiled_model, name)

    def without():
        setattr(compiled_model, name, lambda *arguments: False)
        try:
            plain()
        finally:
            setattr(compiled_model, name, original)

    return {"plain": without, "accelerated": accelerated}


def main():
    rounds = read_rounds(__doc__, 9)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from bert4keras3.backend import framework, keras
    from bert4keras3.backend.accelerate import implementation, plain

    cases = {"jax": on_jax, "tensorflow": on_tensorflow, "torch": on_torch}[framework](
        implementation(framework), plain
    )
    study = Study("accelerate", rounds, keras=keras.__version__)
    for case, candidates in cases.items():
        seconds = interleave(
            {name: timed(function) for name, function in candidates.items()}, rounds, warm_up=2
        )
        base = (
            "accelerated"
            if "accelerated" in candidates
            else next(name for name in candidates if "table" in name)
        )
        seconds = {name: [one / REPEATS for one in values] for name, values in seconds.items()}
        study.add_times(case, seconds, {name: base for name in candidates if name != base})
    study.write()


if __name__ == "__main__":
    main()
