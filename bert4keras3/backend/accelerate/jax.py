"""Functions that are faster by XLA on a CPU than in Keras's form.

attention       row by row, so that the scores stay in the caches
dropout         draws half of the random words that JAX draws
gelu            without erfc
bfloat16        matmuls by the processor's instructions, with sums in float32
rematerialize   saves memory on a CPU as well
"""

import contextlib
import functools

import jax
import keras

from bert4keras3.backend.accelerate import plain, xla_matmul
from bert4keras3.backend.accelerate.lora import with_lora
from bert4keras3.backend.accelerate.plain import layer_norm, to_assignable  # noqa: F401
from bert4keras3.backend.accelerate.quantized import rounds_inputs
from bert4keras3.backend.accelerate.xla_matmul import (  # noqa: F401
    transposed_kernels,
    with_transposed_kernels,
)

SCORES_IN_CACHES = 2**24  # bytes


def use_fused_ops(query, key, training):
    """Whether attention layers call `attention`: for inference in float32 on one CPU, if the scores are large."""
    (rows, queries, heads, _), keys = query.shape, key.shape[1]
    return (
        not training
        and query.dtype == "float32"
        and rows > 1
        and 4 * rows * heads * queries * keys > SCORES_IN_CACHES
        and xla_matmul.is_on_cpu()
        and keras.distribution.distribution() is None
    )


def attention(query, key, value, bias, scale):
    """As plain.attention, each (batch, length, head, size), one row of the batch after the other.

    XLA writes the scores of the whole batch to memory and reads them several times. A layer took 0.7 of the time for
    64 rows of 256 tokens, and 0.65 for 32 of 512, on an Intel Xeon with AMX.
    """

    def attend(inputs):
        query, key, value = (x.swapaxes(0, 1) for x in inputs[:3])  # (head, length, size)
        scores = jax.numpy.einsum("hjd,hkd->hjk", query * scale, key)
        if bias is not None:
            scores = scores + (bias[0] if bias.shape[0] == 1 else inputs[3])
        weights = jax.numpy.exp(scores - scores.max(-1, keepdims=True))
        sums = weights.sum(-1, keepdims=True)  # division comes last: there are fewer outputs than weights
        return (jax.numpy.einsum("hjk,hkd->hjd", weights, value) / sums).swapaxes(0, 1)

    per_row = () if bias is None or bias.shape[0] == 1 else (bias,)
    return jax.lax.map(attend, (query, key, value, *per_row))


@jax.custom_jvp
def gelu(x):
    """x · Φ(x) by erf. The erfc of jax.nn.gelu is more exact for small Φ, but takes twice as long.

    Half precision needs erfc, because a rounded erf is not exact enough. Gradients need it too: XLA's erf has an error
    with a mean of its own, and the gradient of a bias sums it up.
    """
    if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16"):
        return plain.gelu(x)
    return 0.5 * x * (1 + keras.ops.erf(x * 0.5**0.5))


gelu.defjvp(lambda values, tangents: jax.jvp(plain.gelu, values, tangents))


@with_lora
def dense(layer, inputs):
    """layer(inputs) of a Dense inside another layer."""
    if type(layer) is not keras.layers.Dense or layer.quantization_mode is not None or not is_bfloat16(layer):
        return xla_matmul.dense(layer, inputs)
    outputs = bfloat16_matmul(inputs, keras.ops.cast(layer.kernel, "bfloat16"), axis=0)
    return xla_matmul.finish_dense(layer, outputs)


dense_group = functools.partial(xla_matmul.dense_group, dense)


def logits(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding, as plain.logits defines it."""
    if scale is None and is_bfloat16(layer):
        scores = bfloat16_matmul(inputs, keras.ops.cast(table, "bfloat16"), axis=1)
        return keras.ops.cast(scores, "bfloat16")
    is_few = xla_matmul.is_few(layer, inputs)
    # With rounded inputs both sides are int8, so that XLA's int8 matmul can take them.
    if scale is not None and not is_few and rounds_inputs(layer) and xla_matmul.is_on_cpu():
        return int8_logits(inputs, table, scale)
    return xla_matmul.logits(layer, inputs, table, scale)


@keras.ops.custom_gradient
def int8_logits(inputs, table, scale):
    """inputs @ (table / scale)ᵀ, with the inputs rounded to int8, as Keras rounds the inputs of a Dense."""

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return keras.ops.matmul(upstream / scale, keras.ops.cast(table, upstream.dtype)), None, None

    integers, scales = keras.quantizers.abs_max_quantize(inputs, axis=-1)
    outputs = matmul(integers, table, 1, "int32")
    return keras.ops.cast(outputs, inputs.dtype) / (scales * scale), gradient


def is_bfloat16(layer):
    return layer.compute_dtype == "bfloat16" and xla_matmul.is_on_cpu()


def bfloat16_matmul(inputs, weight, axis):
    """Matmul over the last axis of the inputs and this axis of the weight, with a float32 result.

    XLA first converts the weight to float32 if the result is bfloat16 or has one row. With two rows and a float32
    result it uses the processor's instructions. On an AMD EPYC (AVX-512) 128 tokens take 0.3 of the time, and one token
    takes 0.5.
    """
    inputs = keras.ops.cast(inputs, "bfloat16")
    multiply = functools.partial(matmul, weight=weight, axis=axis, dtype="float32")
    return xla_matmul.with_two_rows(multiply, inputs) if xla_matmul.is_row(inputs) else multiply(inputs)


def matmul(inputs, weight, axis, dtype):
    """Matmul over the last axis of the inputs and this axis of the weight. A transposition would copy the weight."""
    rows = inputs.reshape(-1, inputs.shape[-1])  # more than two axes would copy the weight too
    over = ((1,), (axis,))
    outputs = jax.lax.dot_general(rows, weight, (over, ((), ())), preferred_element_type=dtype)
    return outputs.reshape(*inputs.shape[:-1], outputs.shape[-1])


def dropout(layer, inputs):
    """inputs · mask / (1 − rate) of a Dropout with a rate between 0 and 1, in training.

    JAX computes two words of 32 bits for each number, so that each device can draw its own part. This took a sixth
    of a training step of a small BERT on a CPU. Here, on one device, one word gives two numbers.
    """
    sizes = inputs.shape if layer.noise_shape is None else layer.noise_shape
    shape = [size if wanted is None else wanted for size, wanted in zip(inputs.shape, sizes)]
    kept = round((1 - layer.rate) * 2**16)
    # On several devices each one needs the numbers of its own part, which the other scheme cannot draw alone.
    on_one_device = keras.distribution.distribution() is None
    with jax.threefry_partitionable(False) if on_one_device else contextlib.nullcontext():
        bits = jax.random.bits(layer.seed_generator.next(), shape, "uint16")
    mask = jax.numpy.broadcast_to(bits < kept, inputs.shape)
    return jax.lax.select(mask, inputs * (2**16 / kept), jax.numpy.zeros_like(inputs))


def rematerialize(compute):
    """compute(inputs, variables), which the backward pass computes again instead of keeping its results.

    XLA on a CPU starts early with what depends on nothing: with jax.checkpoint alone a training step takes more memory
    than without. Here the second computation depends on the gradient.
    """
    if jax.default_backend() != "cpu":
        return plain.rematerialize(compute)
    again = jax.custom_vjp(compute)

    def forward(*arguments):
        return compute(*arguments), arguments

    def backward(arguments, gradients):
        inputs, variables = arguments
        first = next(one for one in jax.tree.leaves(gradients) if is_float(one)).ravel()[0]

        # A comparison makes the inputs depend on the gradient without a change of their values.
        def wait(x):
            return jax.numpy.where(jax.numpy.isnan(first), jax.numpy.nan, x) if is_float(x) else x

        return jax.vjp(compute, jax.tree.map(wait, inputs), variables)[1](gradients)

    again.defvjp(forward, backward)
    return again


def is_float(x):
    return jax.numpy.issubdtype(x.dtype, jax.numpy.floating)
