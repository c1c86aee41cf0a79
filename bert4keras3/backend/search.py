"""Looking through the graph of a model, and what old scripts expect to find here."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend.contract import keras


def search_layer(inputs: Any, name: str, exclude_from: set | None = None) -> Any:
    """The layer of this name from which a layer or the output of a layer is computed, or None.

    exclude_from: layers to pass over; those that were looked at join it.
    """
    seen = set() if exclude_from is None else exclude_from
    waiting = [inputs]
    while waiting:
        layer = waiting.pop()
        if not isinstance(layer, keras.layers.Layer):
            layer = layer._keras_history[0]
        if layer.name == name:
            return layer
        if layer in seen:
            continue
        seen.add(layer)
        if isinstance(layer, keras.models.Model):
            inner = [one for one in layer.layers if one.name == name]
            if inner:
                return inner[0]
        for node in layer._inbound_nodes[:1]:
            tensors = node.input_tensors
            waiting.extend(reversed(tensors) if isinstance(tensors, (list, tuple)) else [tensors])
    return None


def symbolic(f):
    """The function as it is; scripts for older versions of Keras decorate with it."""
    return f
