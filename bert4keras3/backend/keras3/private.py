"""All private names of Keras, JAX, PyTorch and OpenVINO that this project uses, one small function or name each.

If a new version moves one of them, only this file changes. tests/library/test_private_names.py runs each function, and
allows no private name in other files. Each comment says why the name is needed, what public name would replace it, and
what happens without it.
"""

import keras
from keras.src.backend.common import global_state

# Masks travel on tensors. Keras 3.10 has no public name for them. Without: no masks from compiled calls.
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask  # noqa: F401

framework = keras.config.backend()


def is_in_call():
    """Whether a layer is being called in this thread.

    Keras gives this to the called layer alone. Without: a call inside another call would be compiled separately.
    """
    return global_state.get_global_attribute("current_call_ctx") is not None


def compute_between(model, known, wanted):
    """Values of the wanted symbolic tensors of a functional model, from known ones; for `K.function`.

    Keras runs a model from its inputs alone. A public function from any tensor would replace this. `known` is {id of a
    symbolic tensor: its value}, with the inputs of the model among them.
    """
    known = dict(known)
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if all(id(output) in known for output in node.outputs):
                continue
            args, kwargs = node.arguments.fill_in(known)
            outputs = node.operation(*args, **kwargs)
            known.update(zip(map(id, node.outputs), keras.tree.flatten(outputs)))
    return [known[id(tensor)] for tensor in wanted]


def nodes_of(model):
    """The nodes of a functional model, one for each call of a layer. Keras shows the layers alone."""
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def inner_layers(layer):
    """All layers inside a layer or a model. Keras shows the layers of models alone."""
    return layer._flatten_layers(include_self=False)


def outputs_of_call(layer, number):
    """Output, or list of outputs, of one call of a layer, by number. Keras 3 shows the first call alone."""
    outputs = layer._inbound_nodes[number].output_tensors
    return outputs if len(outputs) > 1 else outputs[0]


def inputs_of_call(layer):
    """Symbolic inputs of a layer's first call; empty without a call. `layer.input` fails after a second call."""
    return list(layer._inbound_nodes[0].input_tensors) if layer._inbound_nodes else []


def layer_of(tensor):
    """The layer that created a symbolic tensor, for `search_layer`. Keras has no public name for it."""
    return tensor._keras_history[0]


def set_weight(layer, name, weight):
    """Set a weight whose property has no setter in Keras, for `layer.embeddings = …` in old scripts."""
    setattr(layer, "_" + name, weight)


def own_weights(layer):
    """Variables of the weight of a Dense, an EinsumDense or an Embedding, and of its scale in int8.

    `layer.kernel` computes the sum with LoRA, and unpacks int4.
    """
    name = "embeddings" if isinstance(layer, keras.layers.Embedding) else "kernel"
    names = ["_" + name] if layer.quantization_mode is None else ["_" + name, name + "_scale"]
    return [getattr(layer, one) for one in names]


def own_weight(layer):
    """The variable of the weight of a Dense or an Embedding, as it is stored."""
    return own_weights(layer)[0]


def share_weight(layer, name, weight):
    """Let a built layer use a weight of another layer. Keras has no public way to change the weights of a built layer.

    Without: the queries, keys and values of GPT-2 cannot have one matrix a, as they have in PEFT.
    """
    layer._untrack_variable(getattr(layer, name))
    layer._tracker.unlock()
    layer._track_variable(weight)
    layer._tracker.lock()
    setattr(layer, name, weight)


def remove_weight(layer, name):
    """Remove a weight of a built layer. `del layer.name` does it too, but collects garbage for each weight."""
    layer._untrack_variable(getattr(layer, name))
    setattr(layer, name, None)


def layout_map_of(distribution):
    """The map that a ModelParallel was made with; None of another distribution. Without: no check before building."""
    return getattr(distribution, "_layout_map", None)


def set_layout(variable, layout):
    """Set the layout of a variable, which new values keep. Keras sets it only when a variable is made."""
    variable._layout = layout


if framework == "jax":
    # Keras's JAX trainer takes the weights out of the model during a call. Without these three names, a call that
    # raises, or a second thread, leaves the model without weights. A public trainer that keeps them would replace this.
    PURGE, STATE, STATE_IS_SYNCED = "_purge_model_variables", "_jax_state", "_jax_state_synced"

    def set_state(model, state):
        """Store the newest weights of a training step, which `model.jax_state_sync()` assigns to the variables."""
        model._jax_state, model._jax_state_synced = state, False


if framework == "torch":
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode as DispatchMode  # noqa: F401 sees each operator
    from torch.utils._python_dispatch import _disable_current_modes as no_dispatch_modes  # noqa: F401

    # torch.fx and torch.compile trace Python code, not Keras's calls. Without the two names above: no graph capture.

    def schema_of(operator):
        """Names and aliases of an operator's arguments; None for other functions. Needed to reuse equal results."""
        return getattr(operator, "_schema", None)

    def version_of(tensor):
        """A number that grows as the tensor changes in place. Without: packed weights would be packed each time."""
        return tensor._version

    # oneDNN's own operators, which torch.compile calls. `functional.linear` chooses MKL for float32. Without: slower.
    def onednn_linear(inputs, weight, bias):
        return torch.ops.mkldnn._linear_pointwise(inputs, weight, bias, "none", [], "")

    def pack_for_onednn(weight):
        """The weight (units, size) in oneDNN's own layout."""
        return torch.ops.mkldnn._reorder_linear_weight(weight)

    def onednn_int8_linear(integers, weight, scale):
        """integers (tokens, size) of 8 bits @ weightᵀ in float32, times the scale of each unit."""
        zeros = torch.zeros(len(scale), dtype=torch.long)
        plain = (None, 1.0, 0, torch.float32, "none", [], "")  # no bias, no function of the outputs
        return torch.ops.onednn.qlinear_pointwise(integers, 1.0, 0, weight, scale, zeros, *plain)

    def quantize_tokens(tokens):
        """Quantize each float32 token (count, size) to low + scale * integers. Returns: integers, scale, low.

        FBGEMM does it in one pass, in a third to a half of the time of PyTorch's operators.
        """
        size = tokens.shape[-1]
        packed = torch.ops.quantized.embedding_bag_byte_prepack(
            tokens
        )  # (count, size + 8): scale and low are last
        scale, low = packed[:, size:].contiguous().view(torch.float32).split(1, 1)
        return packed[:, :size].contiguous(), scale, low

    def pack_int8_for_onednn(weight):
        """The int8 weight (units, size) in oneDNN's own layout."""
        return torch.ops.onednn.qlinear_prepack(weight, None)

    def has_int8_instructions():
        return torch.cpu._is_vnni_supported()

    def has_bfloat16_instructions():
        return torch.ops.mkldnn._is_mkldnn_bf16_supported()

    def has_float16_instructions():
        return torch.ops.mkldnn._is_mkldnn_fp16_supported()

    def quantized_tensor(weight, scales, zeros):
        """int8 weight (units, size) as a quantized tensor. torch.quantize_per_channel would round it again."""
        return torch._make_per_channel_quantized_tensor(weight, scales, zeros, 0)

    def set_parameter(variable, parameter):
        """Let a variable of Keras use another parameter: FSDP replaces those of modules. Without: no FSDP."""
        variable._value = parameter

    # Operators over lists of tensors, which torch.optim is built on. Without: one operator for each weight.
    foreach_add_ = torch._foreach_add_
    foreach_addcmul_ = torch._foreach_addcmul_
    foreach_copy_ = torch._foreach_copy_
    foreach_div = torch._foreach_div
    foreach_mul = torch._foreach_mul
    foreach_mul_ = torch._foreach_mul_
    foreach_norm = torch._foreach_norm
    foreach_sqrt = torch._foreach_sqrt
    foreach_sub = torch._foreach_sub


if framework == "openvino":
    # Keras's own method compiles for each length and keeps old weights. Without: minutes for inputs of many lengths.
    from keras.src.backend.openvino.core import OPENVINO_DTYPES, OpenVINOKerasTensor  # noqa: F401

    GET_COMPILED_MODEL = "_get_compiled_model"

    def set_places_of_outputs(model, outputs, masks):
        """Tell Keras's predict how many results are outputs, and which results are masks of which outputs."""
        model._n_main_outputs = outputs
        model._output_mask_indices = masks
