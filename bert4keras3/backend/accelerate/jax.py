"""What takes XLA less on a CPU than Keras's way: Dropout with a quarter of the numbers, GELU without erfc, products in
bfloat16, and gradient checkpointing that saves memory there too.
"""

import contextlib
import functools

import jax
import keras

from bert4keras3.backend.accelerate import xla_matmul
from bert4keras3.backend.accelerate.quantized import rounds_inputs


def gelu(x):
    """x · Φ(x). By erfc, as jax.nn.gelu has it, Φ is more exact where it is nearly 0, and takes twice as long.

    Half precision needs that, as erf alone would be rounded.
    """
    if keras.backend.standardize_dtype(x.dtype) in ("float16", "bfloat16"):
        return keras.ops.gelu(x, approximate=False)
    return 0.5 * x * (1 + keras.ops.erf(x * 0.5**0.5))


def dense(layer, inputs):
    """layer(inputs) of a Dense that is part of a layer."""
    if type(layer) is not keras.layers.Dense or layer.quantization_mode is not None or not is_bfloat16(layer):
        return xla_matmul.dense(layer, inputs)
    outputs = bfloat16_product(inputs, keras.ops.cast(layer.kernel, "bfloat16"), axis=0)
    return xla_matmul.finished(layer, outputs)


def project(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding."""
    if scale is None and is_bfloat16(layer):
        scores = bfloat16_product(inputs, keras.ops.cast(table, "bfloat16"), axis=1)
        return keras.ops.cast(scores, "bfloat16")
    is_few = xla_matmul.is_few(layer, inputs)
    if scale is not None and not is_few and rounds_inputs(layer) and xla_matmul.is_on_cpu():
        return int8_scores(inputs, table, scale)
    return xla_matmul.project(layer, inputs, table, scale)


@keras.ops.custom_gradient
def int8_scores(inputs, table, scale):
    """inputs @ (table / scale)ᵀ, the inputs rounded to int8 as those of a Dense are."""

    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        return keras.ops.matmul(upstream / scale, keras.ops.cast(table, upstream.dtype)), None, None

    rows, steps = keras.quantizers.abs_max_quantize(inputs, axis=-1)
    outputs = product(rows, table, 1, "int32")
    return keras.ops.cast(outputs, inputs.dtype) / (steps * scale), gradient


def is_bfloat16(layer):
    return layer.compute_dtype == "bfloat16" and xla_matmul.is_on_cpu()


def bfloat16_product(inputs, weight, axis):
    """Product over the last axis of the inputs and this one of the weight, in float32.

    XLA widens the weight to float32 first where the product is to be bfloat16, or has one row. Of two rows and in
    float32 it multiplies as the processor does: 128 tokens take 0.3 of the time on an AMD EPYC (AVX-512), one token
    0.5.
    """
    inputs = keras.ops.cast(inputs, "bfloat16")
    multiply = functools.partial(product, weight=weight, axis=axis, dtype="float32")
    return xla_matmul.by_two_rows(multiply, inputs) if xla_matmul.is_row(inputs) else multiply(inputs)


def product(inputs, weight, axis, dtype):
    """Product over the last axis of the inputs and this one of the weight, which a transposition would copy."""
    rows = inputs.reshape(-1, inputs.shape[-1])  # with further axes it would be copied too
    over = ((1,), (axis,))
    outputs = jax.lax.dot_general(rows, weight, (over, ((), ())), preferred_element_type=dtype)
    return outputs.reshape(*inputs.shape[:-1], outputs.shape[-1])


def dropout(layer, inputs):
    """inputs · mask / P(kept) of a Dropout whose rate is neither 0 nor 1, in training.

    JAX computes two words of 32 bits for each number that it draws, so that any device can draw its own part. That took
    a sixth of a training step of a small BERT on a CPU. Where all is on one device, here each word serves for two.
    """
    sizes = inputs.shape if layer.noise_shape is None else layer.noise_shape
    shape = [size if wanted is None else wanted for size, wanted in zip(inputs.shape, sizes)]
    kept = round((1 - layer.rate) * 2**16)
    on_one_device = keras.distribution.distribution() is None
    with jax.threefry_partitionable(False) if on_one_device else contextlib.nullcontext():
        bits = jax.random.bits(layer.seed_generator.next(), shape, "uint16")
    mask = jax.numpy.broadcast_to(bits < kept, inputs.shape)
    return jax.lax.select(mask, inputs * (2**16 / kept), jax.numpy.zeros_like(inputs))


def checkpointed(compute):
    """compute(inputs, variables), computed a second time for the gradient instead of kept, once that has come.

    On a CPU XLA begins early with what waits for nothing: with jax.checkpoint alone a training step takes more memory
    than without. Here the inputs of the second time depend on the gradient.
    """
    if jax.default_backend() != "cpu":
        return keras.remat(compute)
    again = jax.custom_vjp(compute)

    def forward(*arguments):
        return compute(*arguments), arguments

    def backward(arguments, gradients):
        inputs, variables = arguments
        first = next(one for one in jax.tree.leaves(gradients) if is_float(one)).ravel()[0]

        def wait(x):
            return jax.numpy.where(jax.numpy.isnan(first), jax.numpy.nan, x) if is_float(x) else x

        return jax.vjp(compute, jax.tree.map(wait, inputs), variables)[1](gradients)

    again.defvjp(forward, backward)
    return again


def is_float(x):
    return jax.numpy.issubdtype(x.dtype, jax.numpy.floating)
