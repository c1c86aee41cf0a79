"""What PyTorch computes in one operator, where Keras takes several, and products with weights by what is quickest.

A weight is (units, size) here, as PyTorch has it. On a CPU, where no gradient is recorded:
one token in float32     MKL or oneDNN, whichever reads the weight faster: oneDNN 1.45 times on an AMD EPYC (AVX2),
                         MKL 1.4 times on an Intel Xeon (AVX-512)
PACKED_LINEAR=1          oneDNN on a copy of the weight in its own layout, where that is quicker than MKL
int8                     FBGEMM, 4 times as fast as float32 for one token and twice as fast for 128
half precision           in float32, where the processor lacks it: PyTorch's own loops take 30 times as long
"""

import functools
import time
import warnings
import weakref

import keras
import torch
from torch.nn import functional

from bert4keras3.backend.flavour import is_on
from bert4keras3.backend.keras3_recording import derived

has_onednn = torch.backends.mkldnn.is_available()
has_fbgemm = "fbgemm" in torch.backends.quantized.supported_engines
packed_linear = has_onednn and is_on("PACKED_LINEAR")
multiplied = {  # whether the processor has instructions for it
    torch.bfloat16: has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    torch.float16: has_onednn and torch.ops.mkldnn._is_mkldnn_fp16_supported(),
}

# {(rows, size, units): whether oneDNN was quicker}
quicker: dict = {}

# {layer: (state of its weights, what was made of them)}
made: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def dense(layer, inputs):
    """layer(inputs) of a Dense that is part of a layer."""
    if type(layer) is not keras.layers.Dense or layer.lora_enabled or not isinstance(inputs, torch.Tensor):
        return layer(inputs)
    bias = None if layer.bias is None else layer.bias.value
    if layer.quantization_mode is None:
        outputs = linear(layer, inputs, layer.kernel.value.t(), bias)
    elif takes_int8(layer, inputs):
        outputs = int8_linear(layer, inputs)
        outputs = outputs if bias is None else outputs + bias
    else:
        return layer(inputs)
    return outputs if layer.activation is None else layer.activation(outputs)


def project(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding."""
    if scale is None:
        return linear(layer, inputs, table)
    if takes_int8(layer, inputs):
        return int8_linear(layer, inputs)
    return functional.linear(inputs, table.to(inputs.dtype)) / scale


def is_free(inputs):
    """Whether these may go to another library: float32 on a CPU, without a gradient."""
    return not torch.is_grad_enabled() and inputs.dtype == torch.float32 and inputs.is_cpu


def linear(layer, inputs, weight, bias=None):
    """inputs @ weightᵀ + bias, the weight being that of the layer."""
    if has_onednn and is_free(inputs) and weight.dtype == torch.float32:
        if packed_linear or rows_of(inputs) == 1:
            return quickest_linear(layer, inputs, weight, bias)
    if inputs.is_cpu and weight.dtype == inputs.dtype and not multiplied.get(inputs.dtype, True):
        outputs = functional.linear(inputs.float(), weight.float(), None if bias is None else bias.float())
        return outputs.to(inputs.dtype)
    return functional.linear(inputs, weight, bias)


def rows_of(inputs):
    return inputs.numel() // inputs.shape[-1]


def onednn_linear(inputs, weight, bias):
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def quickest_linear(layer, inputs, weight, bias):
    """By MKL or oneDNN, whichever was quicker when this size was first met. One row takes the weight as it is."""
    rows = rows_of(inputs)

    def by_onednn():
        own = weight if rows == 1 else derived(functools.partial(kept, layer, packed_weight))
        return onednn_linear(inputs, own, bias)

    ways = (lambda: functional.linear(inputs, weight, bias), by_onednn)
    size = (rows,) + tuple(weight.shape)
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


def packed_weight(weight):
    """The weight in oneDNN's own layout."""
    return torch.ops.mkldnn._reorder_linear_weight(weight)


def kept(layer, pack):
    """pack(weight, and its scale if it is int8) of a Dense or an Embedding, anew once one of them has changed."""
    name = "kernel" if isinstance(layer, keras.layers.Dense) else "embeddings"
    names = ["_" + name] if layer.quantization_mode is None else ["_" + name, name + "_scale"]
    values = [getattr(layer, one).value.detach() for one in names]
    state = [(one.data_ptr(), one._version) for one in values]
    if layer not in made or made[layer][0] != state:
        weight = values[0].t() if name == "kernel" else values[0]
        made[layer] = state, pack(weight.contiguous(), *values[1:])
    return made[layer][1]


def takes_int8(layer, inputs):
    """Whether weights and inputs are to be rounded to int8, and can be."""
    config = layer.quantization_config
    rounds_inputs = config is None or config.activation_quantizer is not None
    return has_fbgemm and layer.quantization_mode == "int8" and rounds_inputs and is_free(inputs)


def int8_linear(layer, inputs):
    """inputs @ weightᵀ. Each token's inputs have a scale of their own, as in Keras, and 7 bits.

    FBGEMM has one scale for all tokens, so they are brought to one size before and back after it; with 8 bits its
    sums of two products would not fit their 16 bits.
    """
    largest = inputs.abs().amax(-1, keepdim=True).clamp_min(1e-30)
    packed = derived(functools.partial(kept, layer, int8_weight))
    return torch.ops.quantized.linear_dynamic(inputs / largest, packed, True) * largest


def int8_weight(weight, scale):
    """The weight in FBGEMM's own layout."""
    zeros = torch.zeros(len(weight), dtype=torch.long)
    with warnings.catch_warnings():  # that tensors of this kind will leave PyTorch; its operators stay
        warnings.simplefilter("ignore")
        weight = torch._make_per_channel_quantized_tensor(weight, 1 / scale.double(), zeros, 0)
    return torch.ops.quantized.linear_prepack(weight, None)


def fuses():
    """Whether the two below are to be used: not where a gradient is recorded, as theirs is less exact."""
    return not torch.is_grad_enabled()


def fused_layer_normalization(x, gamma, beta, epsilon):
    gamma, beta = gamma.value.to(x.dtype), beta.value.to(x.dtype)
    return functional.layer_norm(x, (x.shape[-1],), gamma, beta, epsilon)


def fused_attention(query, key, value, bias, scale):
    """Softmax attention of (batch, length, head, size) tensors; bias: broadcasts to the scores, or None."""
    query, key, value = [x.transpose(1, 2) for x in (query, key, value)]
    heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return heads.transpose(1, 2)
