"""int8 matmuls of PyTorch on a CPU, after Keras's `quantize("int8")`.

oneDNN   from 128 tokens on, if the processor has instructions for int8. On a Xeon with AMX, BERT-base's matmuls take
         0.5 to 0.9 of float32's time for 128 tokens, and 0.3 to 0.44 for 2048 and 16384.
FBGEMM   otherwise. It is faster for 64 tokens (0.54 to 0.78), and as slow as float32 for many (0.6 to 1.3).

Each library keeps a copy of the weight in its own layout.
"""

import functools
import warnings

import torch

from bert4keras3.backend.accelerate.quantized import is_int8, rounds_inputs
from bert4keras3.backend.accelerate.torch_graph import lifted
from bert4keras3.backend.accelerate.torch_packed import packed_weight
from bert4keras3.backend.keras3 import private

MANY_TOKENS = 128

has_fbgemm = "fbgemm" in torch.backends.quantized.supported_engines
has_int8_instructions = torch.backends.mkldnn.is_available() and private.has_int8_instructions()


def takes_int8(layer, inputs):
    """Whether the matmul is computed here: the layer rounds its weights and its inputs to int8."""
    if not isinstance(inputs, torch.Tensor) or not is_int8(layer) or not rounds_inputs(layer):
        return False
    return has_fbgemm and not torch.is_grad_enabled() and inputs.dtype == torch.float32 and inputs.is_cpu


def int8_linears(layers, inputs):
    """[inputs @ weightᵀ + bias for each layer]. The inputs of each token have a scale of their own, as in Keras."""
    if has_int8_instructions and inputs.numel() >= MANY_TOKENS * inputs.shape[-1]:
        return by_onednn(layers, inputs)
    return by_fbgemm(layers, inputs)


def by_onednn(layers, inputs):
    """A token is `low + scale * integers` here, with integers from 0 to 255. oneDNN multiplies the integers.

    FBGEMM rounds the tokens in one pass, in a third to a half of the time of PyTorch's operators.
    """
    tokens = inputs.reshape(-1, inputs.shape[-1])
    integers, scale, low = private.rounded_to_bytes(tokens)
    scale = scale + 0 * tokens.amax(-1, keepdim=True)  # FBGEMM makes a number of NaN
    outputs = []
    for layer in layers:
        weight = lifted(functools.partial(packed_weight, layer, pack_for_onednn))
        sums = lifted(functools.partial(packed_weight, layer, sums_of_units))
        unit_scale = 1 / private.own_weights(layer)[1].value.detach().reshape(-1)
        product = private.onednn_int8_linear(integers, weight, unit_scale).mul_(scale)
        bias = getattr(layer, "bias", None)
        if bias is None:
            product.addmm_(low, sums[None])
        else:  # low * sums + 1 * bias, in one pass
            product.addmm_(
                torch.cat([low, torch.ones_like(low)], 1), torch.stack([sums, bias.value.detach()])
            )
        outputs.append(product.reshape(*inputs.shape[:-1], -1))
    return outputs


def by_fbgemm(layers, inputs):
    """FBGEMM has one scale for all tokens, so the inputs of a token are divided by their largest number.

    Inputs have 7 bits: with 8, the sum of two products would not fit into FBGEMM's 16 bits.
    """
    largest = inputs.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    scaled, outputs = inputs / largest, []
    for layer in layers:
        weight = lifted(functools.partial(packed_weight, layer, pack_for_fbgemm))
        product = torch.ops.quantized.linear_dynamic(scaled, weight, True) * largest
        bias = getattr(layer, "bias", None)
        outputs.append(product if bias is None else product + bias.value)
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
