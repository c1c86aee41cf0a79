"""Predictions for inputs of any length by a model that is compiled for a few lengths."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

LENGTHS = (16, 32, 64, 128, 256, 512)


def predict_in_buckets(model: Any, inputs: Any, lengths: Sequence[int] = LENGTHS, **options: Any) -> Any:
    """`model.predict(inputs)` with inputs padded to the next of `lengths` and outputs cut back.

    Models mask padding, so results do not change. The model is compiled at most once for each of the lengths. An input
    that is longer than all of them is not padded, and none is padded beyond the model's number of positions.

    Args:
        model: a Keras model.
        inputs: (batch, length) ids, or a list of them; in a list the lengths may differ, as for T5.
        lengths: lengths in increasing order.
        options: further arguments of `predict`.

    Returns:
        What `predict` returns.
    """
    positions = positions_of(model)
    lengths = [min(one, positions) for one in lengths]
    arrays = [np.asarray(x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs])]
    fed = [padded(x, lengths, tensor.shape[1]) for x, tensor in zip(arrays, model.inputs)]
    outputs = model.predict(fed if len(fed) > 1 else fed[0], **options)
    if not isinstance(outputs, list):
        return cut(outputs, model.outputs[0], arrays, fed)
    return [cut(output, tensor, arrays, fed) for output, tensor in zip(outputs, model.outputs)]


def positions_of(model: Any) -> int:
    """The smallest number of positions in the model's position embeddings; sys.maxsize if it has none."""
    tables = [layer for layer in model.layers if getattr(layer, "hierarchical", True) in (None, False)]
    return min((layer.input_dim for layer in tables), default=sys.maxsize)


def padded(x: np.ndarray, lengths: Sequence[int], fixed: Any) -> np.ndarray:
    """Pad ids with zeros to (batch, next of the lengths), unless the model has a fixed length.

    Vectors, such as the context of a T5 decoder, stay unchanged: the model could not mask their padding.
    """
    if x.ndim != 2 or is_known(fixed):
        return x
    length = min((one for one in lengths if one >= x.shape[1]), default=x.shape[1])
    return np.pad(x, [(0, 0), (0, length - x.shape[1])])


def cut(output: np.ndarray, tensor: Any, arrays: list[np.ndarray], fed: list[np.ndarray]) -> np.ndarray:
    """Remove padding from an output; its length is that of the last input with the same padded length."""
    if len(tensor.shape) < 3 or is_known(tensor.shape[1]):
        return output
    lengths = [x.shape[1] for x, one in zip(arrays, fed) if one.shape[1] == output.shape[1]]
    return output[:, : lengths[-1]] if lengths else output


def is_known(size: Any) -> bool:
    """Whether a size of a symbolic shape is a number; TensorFlow 1 has Dimension objects."""
    return getattr(size, "value", size) is not None
