"""Predictions for texts of any length by a model that is compiled for a few."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

LENGTHS = (16, 32, 64, 128, 256, 512)


def predict_in_buckets(model: Any, inputs: Any, lengths: Sequence[int] = LENGTHS, **options: Any) -> Any:
    """`model.predict(inputs)`, with each input padded with zeros to the next of `lengths` and the outputs cut.

    inputs: (batch, length) ids, or a list of them, which may differ in length as those of T5 do. Padding is what
    models mask, so that results stay what they were; the model is compiled once for each of the lengths at most.
    A longer text stays as it is, and no text becomes longer than the model has positions for. options: of `predict`.
    """
    room = positions_of(model)
    lengths = [min(one, room) for one in lengths]
    arrays = [np.asarray(x) for x in (inputs if isinstance(inputs, (list, tuple)) else [inputs])]
    fed = [padded(x, lengths, tensor.shape[1]) for x, tensor in zip(arrays, model.inputs)]
    outputs = model.predict(fed if len(fed) > 1 else fed[0], **options)
    if not isinstance(outputs, list):
        return cut(outputs, model.outputs[0], arrays, fed)
    return [cut(output, tensor, arrays, fed) for output, tensor in zip(outputs, model.outputs)]


def positions_of(model: Any) -> int:
    """How many tokens the tables of positions have room for; sys.maxsize where a model has none."""
    tables = [layer for layer in model.layers if getattr(layer, "hierarchical", True) in (None, False)]
    return min((layer.input_dim for layer in tables), default=sys.maxsize)


def padded(x: np.ndarray, lengths: Sequence[int], fixed: Any) -> np.ndarray:
    """Ids with zeros behind, (batch, next of the lengths); as they are where the model fixes their length.

    Vectors, as the context of a T5 decoder, stay as they are: no model knows which of them are padding.
    """
    if x.ndim != 2 or is_known(fixed):
        return x
    length = min((one for one in lengths if one >= x.shape[1]), default=x.shape[1])
    return np.pad(x, [(0, 0), (0, length - x.shape[1])])


def cut(output: np.ndarray, tensor: Any, arrays: list[np.ndarray], fed: list[np.ndarray]) -> np.ndarray:
    """An output without what stands where padding was. The last input of its length is the one that it is of."""
    if len(tensor.shape) < 3 or is_known(tensor.shape[1]):
        return output
    lengths = [x.shape[1] for x, one in zip(arrays, fed) if one.shape[1] == output.shape[1]]
    return output[:, : lengths[-1]] if lengths else output


def is_known(size: Any) -> bool:
    """Whether a size of a symbolic shape is a number; TensorFlow 1 has Dimension objects."""
    return getattr(size, "value", size) is not None
