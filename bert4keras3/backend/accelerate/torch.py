"""Fused operators of PyTorch, and matmuls by the fastest kernel of the machine.

A weight is (units, size) here, as PyTorch has it. On a CPU, without a gradient:
float32          MKL or oneDNN. oneDNN took 0.73 of MKL's time for 128 tokens on an AMD EPYC (AVX-512), MKL 0.7 of
                 oneDNN's for one token on an Intel Xeon. MKL gives one token to one core on the EPYC: a split-K
                 matmul, one split for each core, took 0.6 of the time.
half precision   oneDNN; float32 if that is faster, as for 128 tokens on an Intel Xeon (1.3 times), or if the
                 processor lacks the instructions: PyTorch's own loops take 30 times as long.
PACKED_LINEAR=1  oneDNN on a copy of the weight in its own layout. In bfloat16 one token takes 0.45 of the time.
int8             see torch_int8.py.

kernels.py selects the kernel by a fixed table, so that two processes give equal bits.
"""

import warnings

import keras
import torch
from torch.nn import functional

from bert4keras3.backend.accelerate import plain
from bert4keras3.backend.accelerate.kernels import select_kernel
from bert4keras3.backend.accelerate.lora import with_lora
from bert4keras3.backend.accelerate.plain import (  # noqa: F401
    dropout,
    gelu,
    rematerialize,
    transposed_kernels,
    with_transposed_kernels,
)
from bert4keras3.backend.accelerate.torch_int8 import int8_linears, takes_int8
from bert4keras3.backend.accelerate.torch_packed import packed_weight
from bert4keras3.backend.flavour import is_on
from bert4keras3.backend.keras3 import private

has_onednn = torch.backends.mkldnn.is_available()
packed_linear = has_onednn and is_on("PACKED_LINEAR")
has_instructions = {
    torch.bfloat16: has_onednn and private.has_bfloat16_instructions(),
    torch.float16: has_onednn and private.has_float16_instructions(),
}


@with_lora
def dense(layer, inputs):
    """layer(inputs) of a Dense inside another layer."""
    if type(layer) is not keras.layers.Dense or layer.lora_enabled or not isinstance(inputs, torch.Tensor):
        return layer(inputs)
    bias = None if layer.bias is None else layer.bias.value
    if layer.quantization_mode is None:
        outputs = linear(layer, inputs, layer.kernel.value.t(), bias)
    elif takes_int8(layer, inputs):
        outputs = int8_linears([layer], inputs)[0]
    else:
        return layer(inputs)
    return activated(layer, outputs)


def activated(layer, outputs):
    return outputs if layer.activation is None else layer.activation(outputs)


def dense_group(layers, inputs):
    """[dense(layer, inputs) for layer in layers]; the inputs of int8 layers are quantized once."""
    if all(type(layer) is keras.layers.Dense and takes_int8(layer, inputs) for layer in layers):
        return [activated(*pair) for pair in zip(layers, int8_linears(layers, inputs))]
    return [dense(layer, inputs) for layer in layers]


def logits(layer, inputs, table, scale=None):
    """inputs @ (table / scale)ᵀ of an Embedding, as plain.logits defines it."""
    if scale is None:
        return linear(layer, inputs, table)
    if takes_int8(layer, inputs):
        return int8_linears([layer], inputs)[0]
    return functional.linear(inputs, table.to(inputs.dtype)) / scale


def linear(layer, inputs, weight, bias=None):
    """inputs @ weightᵀ + bias; the weight belongs to the layer."""
    if not inputs.is_cpu or weight.dtype != inputs.dtype:
        return functional.linear(inputs, weight, bias)
    kernels = kernel_candidates(inputs, weight)
    kernel = kernels[0] if len(kernels) == 1 else select_kernel(kernels, inputs, weight, bias)
    if kernel is onednn_packed:
        weight = packed_weight(layer, private.pack_for_onednn)
    return kernel(inputs, weight, bias)


def kernel_candidates(inputs, weight):
    """Functions of (inputs, weight, bias), of which the table or the tuner chooses one."""
    is_half = inputs.dtype in has_instructions
    if is_half and not has_instructions[inputs.dtype]:
        return [in_float32]
    chooses = has_onednn and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if not chooses or not is_half and inputs.dtype != torch.float32:
        return [mkl]
    is_row = inputs.numel() == inputs.shape[-1]
    kernels = [mkl, in_float32 if is_half else onednn]
    if is_row and not is_half and weight.t().is_contiguous():
        kernels.append(split_k)
    if packed_linear and (is_half or not is_row):
        kernels.append(onednn_packed)
    return kernels


def mkl(inputs, weight, bias):
    """PyTorch's own choice."""
    return functional.linear(inputs, weight, bias)


def in_float32(inputs, weight, bias):
    outputs = functional.linear(inputs.float(), weight.float(), None if bias is None else bias.float())
    return outputs.to(inputs.dtype)


def onednn(inputs, weight, bias):
    return private.onednn_linear(inputs, weight, bias)


def onednn_packed(inputs, weight, bias):
    """The matmul of `onednn` with a packed weight."""
    return private.onednn_linear(inputs, weight, bias)


def split_k(inputs, weight, bias):
    """The matmul of one row as the sum of one matmul for each core; the weight's transpose is contiguous."""
    size = inputs.shape[-1]
    splits = next(splits for splits in range(torch.get_num_threads(), 0, -1) if size % splits == 0)
    parts = torch.bmm(inputs.reshape(splits, 1, -1), weight.t().view(splits, size // splits, -1))
    outputs = parts.sum(0).view(*inputs.shape[:-1], -1)
    return outputs if bias is None else outputs + bias


def to_assignable(array):
    """NumPy array → a tensor on the memory of the array, which Keras would copy first."""
    if array.dtype not in ("float16", "float32", "float64") or min(array.strides, default=0) < 0:
        return array  # torch.from_numpy would fail
    with warnings.catch_warnings():  # PyTorch warns of read-only memory, and assigning only reads it
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)


def use_fused_ops(query=None, key=None, training=None):
    """Whether to use fused operators: without gradients alone, because their gradients are less exact."""
    return not torch.is_grad_enabled()


def layer_norm(x, gamma, beta, epsilon):
    if not use_fused_ops():
        return plain.layer_norm(x, gamma, beta, epsilon)
    gamma, beta = gamma.value.to(x.dtype), beta.value.to(x.dtype)
    return functional.layer_norm(x, (x.shape[-1],), gamma, beta, epsilon)


def attention(query, key, value, bias, scale):
    """As plain.attention, by the fused operator; each (batch, length, head, size)."""
    query, key, value = [x.transpose(1, 2) for x in (query, key, value)]
    heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return heads.transpose(1, 2)
