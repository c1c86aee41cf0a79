"""int8 matmuls of PyTorch on a CPU, after Keras's `quantize("int8")`.

oneDNN   from 128 tokens on, if the processor has instructions for int8
FBGEMM   otherwise. For 64 tokens both are equally fast.

docs/accelerate.md has a table of both, from bench/studies/accelerate.py. Each library caches a copy of the weight in
its own layout.
"""

import warnings

import torch

from bert4keras3.backend.accelerate.quantized import is_int8, rounds_inputs
from bert4keras3.backend.accelerate.torch_packed import packed_weight
from bert4keras3.backend.keras3 import private

MANY_TOKENS = 128

has_fbgemm = "fbgemm" in torch.backends.quantized.supported_engines
has_int8_instructions = torch.backends.mkldnn.is_available() and private.has_int8_instructions()


def takes_int8(layer, inputs):
    """Whether `int8_linears` computes the matmul: the layer rounds its weights and its inputs to int8."""
    if not isinstance(inputs, torch.Tensor) or not is_int8(layer) or not rounds_inputs(layer):
        return False
    return has_fbgemm and not torch.is_grad_enabled() and inputs.dtype == torch.float32 and inputs.is_cpu


def int8_linears(layers, inputs):
    """[inputs @ weightᵀ + bias for each layer]. The inputs of each token have a scale of their own, as in Keras."""
    return select_int8_kernel(inputs)(layers, inputs)


def select_int8_kernel(inputs):
    has_many_tokens = inputs.numel() >= MANY_TOKENS * inputs.shape[-1]
    return onednn_int8 if has_int8_instructions and has_many_tokens else fbgemm_int8


def onednn_int8(layers, inputs):
    """Each token is quantized to low + scale * integers, with integers from 0 to 255. oneDNN multiplies the integers.

    So the outputs are scale * (integers @ weightᵀ) + low * (sums of the weight) + bias.
    """
    tokens = inputs.reshape(-1, inputs.shape[-1])
    integers, scale, low = private.quantize_tokens(tokens)
    scale = scale + 0 * tokens.amax(
        -1, keepdim=True
    )  # a token with NaN stays NaN: FBGEMM replaces NaN by a number
    low_and_one = torch.cat([low, torch.ones_like(low)], 1)
    outputs = []
    for layer in layers:
        weight = packed_weight(layer, pack_for_onednn)
        sums = packed_weight(layer, sums_of_units)
        unit_scale = 1 / private.own_weights(layer)[1].value.detach().reshape(-1)
        bias = getattr(layer, "bias", None)
        added = torch.stack([sums] if bias is None else [sums, bias.value.detach()])
        one = private.onednn_int8_linear(integers, weight, unit_scale).mul_(scale)
        one.addmm_(low_and_one[:, : len(added)], added)  # one pass over the outputs
        outputs.append(one.reshape(*inputs.shape[:-1], -1))
    return outputs


def fbgemm_int8(layers, inputs):
    """FBGEMM has one scale for all tokens, so the inputs of a token are divided by their largest number.

    Inputs have 7 bits: with 8, the sum of two products would not fit into FBGEMM's 16 bits.
    """
    largest = inputs.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    scaled, outputs = inputs / largest, []
    for layer in layers:
        weight = packed_weight(layer, pack_for_fbgemm)
        bias = getattr(layer, "bias", None)
        one = torch.ops.quantized.linear_dynamic(scaled, weight, True) * largest
        outputs.append(one if bias is None else one + bias.value)
    return outputs


def pack_for_onednn(weight, scale):
    return private.pack_int8_for_onednn(weight)


def sums_of_units(weight, scale):
    """The sum of each row of the weight."""
    return weight.sum(1, dtype=torch.int32) / scale.reshape(-1)


def pack_for_fbgemm(weight, scale):
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():  # PyTorch announces the end of such tensors; their operators stay
        warnings.simplefilter("ignore")
        weight = private.quantized_tensor(weight, 1 / scale.double(), zeros)
    return torch.ops.quantized.linear_prepack(weight, None)
