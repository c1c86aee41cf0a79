"""What PyTorch computes in one operator, where Keras takes several, and products with weights by what is quickest.

A weight is (units, size) here, as PyTorch has it. On a CPU, where no gradient is recorded:
float32                  MKL or oneDNN, whichever is faster here: oneDNN took 0.73 of the time for 128 tokens on an AMD
                         EPYC (AVX-512), MKL 0.7 for one token on an Intel Xeon. MKL gives one token to one core on the
                         EPYC, so there is also a sum of its products, one for each core: 0.6 of the time
half precision           oneDNN, or in float32 where that is faster, as for 128 tokens on an Intel Xeon (1.3 times), or
                         where the processor has no instructions for it: PyTorch's own loops take 30 times as long
PACKED_LINEAR=1          also oneDNN on a copy of the weight in its own layout: in bfloat16 one token takes 0.45 of the
                         time, as otherwise the weight is brought into that layout each time
int8                     FBGEMM, twice as fast as float32, for one token and for 128
"""

import functools
import time
import warnings
import weakref

import keras
import torch
from torch.nn import functional
from torch.utils._python_dispatch import _disable_current_modes

from bert4keras3.backend.accelerate.quantized import is_int8, rounds_inputs
from bert4keras3.backend.accelerate.torch_graph import derived
from bert4keras3.backend.flavour import is_on

has_onednn = torch.backends.mkldnn.is_available()
has_fbgemm = "fbgemm" in torch.backends.quantized.supported_engines
packed_linear = has_onednn and is_on("PACKED_LINEAR")
multiplied = {  # whether the processor has instructions for it
    torch.bfloat16: has_onednn and torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    torch.float16: has_onednn and torch.ops.mkldnn._is_mkldnn_fp16_supported(),
}

MOST_ROWS = 512  # of which products are timed
CACHES = 2**25  # bytes: more than those of a core hold
MOST_COPIES = 64  # of a small weight, for which it matters little

# {(dtype, power of two of the rows, shape and strides of the weight): the quickest way}
quickest: dict = {}

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


def linear(layer, inputs, weight, bias=None):
    """inputs @ weightᵀ + bias, the weight being that of the layer."""
    if not inputs.is_cpu or weight.dtype != inputs.dtype:
        return plain(inputs, weight, bias)
    ways = kernel_candidates(inputs, weight)
    way = ways[0] if len(ways) == 1 else select_kernel(ways, inputs, weight, bias)
    if way is on_packed:
        weight = derived(functools.partial(kept, layer, packed_weight))
    return way(inputs, weight, bias)


def kernel_candidates(inputs, weight):
    """Functions of inputs, weight and bias, the quickest of which is to be taken."""
    is_half = inputs.dtype in multiplied
    if is_half and not multiplied[inputs.dtype]:
        return [in_float32]
    chooses = has_onednn and not torch.is_grad_enabled() and not torch.compiler.is_compiling()
    if not chooses or not is_half and inputs.dtype != torch.float32:
        return [plain]
    is_row = rows_of(inputs) == 1
    ways = [plain, in_float32 if is_half else by_onednn]
    if is_row and not is_half and weight.t().is_contiguous():
        ways.append(split_k_matmul)
    if packed_linear and (is_half or not is_row):
        ways.append(on_packed)
    return ways


def plain(inputs, weight, bias):
    return functional.linear(inputs, weight, bias)


def in_float32(inputs, weight, bias):
    outputs = functional.linear(inputs.float(), weight.float(), None if bias is None else bias.float())
    return outputs.to(inputs.dtype)


def by_onednn(inputs, weight, bias):
    return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")


def split_k_matmul(inputs, weight, bias):
    """The product of one row as a sum of products, one for each core; the weight's transpose is contiguous."""
    size = inputs.shape[-1]
    parts = next(parts for parts in range(torch.get_num_threads(), 0, -1) if size % parts == 0)
    products = torch.bmm(inputs.reshape(parts, 1, -1), weight.t().view(parts, size // parts, -1))
    outputs = products.sum(0).view(*inputs.shape[:-1], -1)
    return outputs if bias is None else outputs + bias


def on_packed(inputs, weight, bias):
    """The weight being a packed one."""
    return by_onednn(inputs, weight, bias)


def select_kernel(ways, inputs, weight, bias):
    """The way that was quickest when a product of about this size was first met."""
    rows = min(rows_of(inputs), MOST_ROWS)
    size = inputs.dtype, (rows - 1).bit_length(), weight.shape, weight.stride()
    if size not in quickest:
        with _disable_current_modes():  # or a recorder would slow all of them
            inputs = inputs.reshape(-1, inputs.shape[-1])[:rows]
            taken = [seconds(way, inputs, weight, bias) for way in ways]
        quickest[size] = ways[taken.index(min(taken))]
    return quickest[size]


def seconds(way, inputs, weight, bias, times=3):
    """The least seconds of a product. For one row its weights together do not fit into a core's caches, as in a
    model; with more rows reading them matters less.
    """
    taken_by_all = weight.nbytes * max(rows_of(inputs), 1)
    copies = [weight.clone() for _ in range(min(-(-CACHES // taken_by_all), MOST_COPIES))]
    if way is on_packed:
        copies = [packed_weight(copy.contiguous()) for copy in copies]
    found = []
    for _ in range(1 + times):
        start = time.perf_counter()
        for copy in copies:
            way(inputs, copy, bias)
        found.append((time.perf_counter() - start) / len(copies))
    return min(found[1:])


def rows_of(inputs):
    return inputs.numel() // inputs.shape[-1]


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
    is_free = not torch.is_grad_enabled() and inputs.dtype == torch.float32 and inputs.is_cpu
    return has_fbgemm and is_int8(layer) and rounds_inputs(layer) and is_free


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


def assignable(array):
    """What to assign to a weight: a tensor on the array's own memory, of which Keras would make a copy first."""
    if array.dtype not in ("float16", "float32", "float64") or min(array.strides, default=0) < 0:
        return array  # what PyTorch does not take as it is
    with warnings.catch_warnings():  # that nobody may write to a file's pages
        warnings.simplefilter("ignore")
        return torch.from_numpy(array)


def use_fused_ops():
    """Whether the two below are to be used: not where a gradient is recorded, as theirs is less exact."""
    return not torch.is_grad_enabled()


def fused_layer_norm(x, gamma, beta, epsilon):
    gamma, beta = gamma.value.to(x.dtype), beta.value.to(x.dtype)
    return functional.layer_norm(x, (x.shape[-1],), gamma, beta, epsilon)


def fused_attention(query, key, value, bias, scale):
    """Softmax attention of (batch, length, head, size) tensors; bias: broadcasts to the scores, or None."""
    query, key, value = [x.transpose(1, 2) for x in (query, key, value)]
    heads = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=scale)
    return heads.transpose(1, 2)
