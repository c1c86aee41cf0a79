"""What Keras does not promise, one small function each: the only place to mend if a new Keras moves it."""

import keras
from keras.src.backend.common import global_state
from keras.src.backend.common.masking import get_keras_mask, set_keras_mask  # noqa: F401 no public name gives a mask


def is_in_call():
    """Whether a layer is being called in this thread. Keras tells it to the called layer alone."""
    return global_state.get_global_attribute("current_call_ctx") is not None


def compute_between(model, known, wanted):
    """Values of the wanted symbolic tensors of a functional model.

    known: {id of a symbolic tensor: its value}, the inputs of the model among them; a known tensor is not computed
    again. Keras runs a model from its inputs alone.
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
    """The calls of layers of which a functional model is made. Keras shows the layers alone."""
    return [node for nodes in model._nodes_by_depth.values() for node in nodes]


def inner_layers(layer):
    """All layers inside a layer. Keras shows the layers of models alone."""
    return layer._flatten_layers(include_self=False)


def outputs_of_call(layer, number):
    """Output, or list of outputs, of the call of a layer with this number. Keras 3 shows the first call alone."""
    outputs = layer._inbound_nodes[number].output_tensors
    return outputs if len(outputs) > 1 else outputs[0]


def set_weight(layer, name, weight):
    """Set a weight that Keras gives by a property without a setter: an underscore is before the name of its own."""
    setattr(layer, "_" + name, weight)
