"""`search_layer`, which finds a layer in the graph of a model, and `symbolic`, which old scripts import."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend.contract import inputs_of_call, keras, layer_of


def search_layer(inputs: Any, name: str, exclude_from: set | None = None) -> Any:
    """Find a layer by its name among the layers that a tensor depends on.

    Args:
        inputs: a layer, or the symbolic output of a layer. The search follows its inputs backward.
        name: name of the wanted layer.
        exclude_from: a set of layers to pass over. The function adds each layer that it has visited.

    Returns:
        The layer, or None if no layer has this name.
    """
    seen = set() if exclude_from is None else exclude_from
    pending = [inputs]
    while pending:
        layer = pending.pop()
        if not isinstance(layer, keras.layers.Layer):
            layer = layer_of(layer)
        if layer.name == name:
            return layer
        if layer in seen:
            continue
        seen.add(layer)
        if isinstance(layer, keras.models.Model):
            inner = [one for one in layer.layers if one.name == name]
            if inner:
                return inner[0]
        pending.extend(reversed(inputs_of_call(layer)))
    return None


def symbolic(f):
    """Decorator that returns the function unchanged; scripts for older versions of Keras use it."""
    return f
