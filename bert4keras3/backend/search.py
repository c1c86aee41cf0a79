"""Looking through the graph of a model, and what old scripts expect to find here."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend.contract import inputs_of_call, keras, layer_of


def search_layer(inputs: Any, name: str, exclude_from: set | None = None) -> Any:
    """The layer of this name behind a layer or a symbolic output; None if there is none.

    Args:
        inputs: a layer, or the output of one.
        name: name of the wanted layer.
        exclude_from: layers to pass over. The function adds each layer that it looked at.
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
    """The function as it is; scripts for older versions of Keras decorate with it."""
    return f
