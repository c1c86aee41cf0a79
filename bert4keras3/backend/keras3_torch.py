"""What PyTorch computes in one operator, where Keras takes several, and linear layers by oneDNN."""

import time

import keras
import torch
from torch.nn import functional

from bert4keras3.backend.flavour import is_on

# PACKED_LINEAR=1: on a CPU, products with weights go to oneDNN where it is quicker than MKL.
packed_linear = is_on("PACKED_LINEAR") and torch.backends.mkldnn.is_available()

# {(rows, size, units): whether oneDNN was quicker}
quicker: dict = {}


def dense(layer, inputs):
    """layer(inputs) of a Dense that is part of a layer."""
    plain = type(layer) is keras.layers.Dense and not layer.lora_enabled and layer.quantization_mode is None
    if not plain or not isinstance(inputs, torch.Tensor):
        return layer(inputs)
    kernel = layer.kernel.value
    bias = None if layer.bias is None else layer.bias.value
    if packed_linear and not torch.is_grad_enabled() and inputs.dtype == torch.float32 and kernel.is_cpu:
        outputs = quickest_linear(layer, inputs, kernel, bias)
    else:
        outputs = functional.linear(inputs, kernel.t(), bias)
    return outputs if layer.activation is None else layer.activation(outputs)


def quickest_linear(layer, inputs, kernel, bias):
    """By MKL or oneDNN, whichever was quicker when this size was first met."""
    ways = (
        lambda: functional.linear(inputs, kernel.t(), bias),
        lambda: torch.ops.mkldnn._linear_pointwise(
            inputs, packed_kernel(layer, kernel), bias, "none", [], ""
        ),
    )
    size = (inputs.numel() // inputs.shape[-1],) + tuple(kernel.shape)
    if size not in quicker:
        quicker[size] = seconds(ways[1]) < seconds(ways[0])
    return ways[quicker[size]]()


def seconds(call, calls=3):
    """The least seconds of a call, after one that warms up."""
    call()
    found = []
    for _ in range(calls):
        start = time.perf_counter()
        call()
        found.append(time.perf_counter() - start)
    return min(found)


def packed_kernel(layer, kernel):
    """The kernel in oneDNN's own layout, a copy that is made anew once the kernel has changed."""
    state = (kernel.data_ptr(), kernel._version)
    known = layer.__dict__.get("packed")
    if known is None or known[0] != state:
        known = (state, torch.ops.mkldnn._reorder_linear_weight(kernel.detach().t().contiguous()))
        layer.__dict__["packed"] = known  # not a weight: neither Keras nor PyTorch may list or save it
    return known[1]


def fuses():
    """Whether the two below are to be used: not where a gradient is recorded, as theirs is less exact."""
    return not torch.is_grad_enabled()


def fused_layer_normalization(x, gamma, beta, epsilon):
    return functional.layer_norm(x, (x.shape[-1],), gamma.value, beta.value, epsilon)


def fused_attention(query, key, value, bias, scale):
    """Softmax attention of (batch, length, head, size) tensors; bias: broadcasts to the scores, or None."""
    query, key, value = [x.transpose(1, 2) for x in (query, key, value)]
    heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return heads.transpose(1, 2)
