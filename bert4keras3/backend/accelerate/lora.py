"""LoRA in low-rank form: inputs @ kernel + (inputs @ a) @ b, so that nothing is as large as the kernel.

Keras adds a @ b to the kernel in each call. A training step then computes the gradient of the whole kernel, and keeps
a second kernel for it. `BERT4KERAS3_ACCELERATE=0` takes Keras's form.
"""

import functools

import keras
from keras import ops

from bert4keras3.backend.keras3.private import own_weight


def lora_weights(layer):
    """The variables [a, b] of the adapter of a Dense, an EinsumDense or an Embedding; [] without one."""
    if not getattr(layer, "lora_enabled", False):
        return []
    name = "kernel" if hasattr(layer, "lora_kernel_a") else "embeddings"
    return [getattr(layer, f"lora_{name}_{one}") for one in "ab"]


def lora_factors(layer):
    """a and b in the compute dtype; b is scaled."""
    a, b = (ops.cast(one, layer.compute_dtype) for one in lora_weights(layer))
    return a, b * (layer.lora_alpha / layer.lora_rank)


def with_lora(dense):
    """Decorator of `dense`: it computes a Dense with an adapter, if not in int8. `dense` computes other layers."""

    @functools.wraps(dense)
    def adapted(layer, inputs):
        is_plain = type(layer) is keras.layers.Dense and layer.quantization_mode is None
        if not is_plain or not layer.lora_enabled:
            return dense(layer, inputs)
        inputs, (a, b) = ops.cast(inputs, layer.compute_dtype), lora_factors(layer)
        outputs = ops.matmul(inputs, ops.cast(own_weight(layer), layer.compute_dtype))
        outputs = outputs + ops.matmul(ops.matmul(inputs, a), b)
        if layer.bias is not None:
            outputs = outputs + ops.cast(layer.bias, outputs.dtype)
        return outputs if layer.activation is None else layer.activation(outputs)

    return adapted
