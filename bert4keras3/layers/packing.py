"""Layers of rows that hold several texts. A row has text numbers (batch, length): 1, 2, … and 0 for padding."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Layer, Tensor, Tensors, dtype_name, operation, ops, upcast
from bert4keras3.layers.configuration import ConfiguredLayer
from bert4keras3.layers.masks import AttentionMask
from bert4keras3.layers.positions import has_several


class TextMask(AttentionMask):
    """Each token attends to the tokens of its own text.

    Inputs: text numbers (batch, length), or [text numbers, another mask of bools], whose conjunction is the output.
    Output: (batch, length, length).
    """

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        texts, others = inputs if isinstance(inputs, (list, tuple)) else (inputs, None)
        same = ops.equal(ops.expand_dims(texts, 2), ops.expand_dims(texts, 1))
        return same if others is None else ops.logical_and(same, others)

    def compute_output_shape(self, input_shape: Any) -> Any:
        texts = input_shape[0] if has_several(input_shape) else input_shape
        return (texts[0], texts[1], texts[1])


@operation
def mask_with_starts(mask, position_ids, texts):
    starts = ops.logical_and(ops.equal(position_ids, 0), ops.not_equal(texts, 0))
    return ops.logical_or(mask, starts)


class TextStart(Layer):
    """Unmask the first token of each text, even if its id is the id of padding. `Embedding` does so for a row.

    Inputs: [x (batch, length, size), position ids (batch, length), text numbers (batch, length)]. Output: x.
    """

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return inputs[0] * 1  # another tensor, because Keras 3 leaves a tensor the mask that it has

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None if mask is None or mask[0] is None else mask_with_starts(mask[0], *inputs[1:])

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0])


class WithoutMask(Layer):
    """x without its mask, for losses whose sample weights say what counts. Any shape."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return inputs * 1  # another tensor, as in TextStart

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)


class TextTokens(ConfiguredLayer):
    """Which tokens belong to which text: text numbers (batch, length) → bools (batch, max_texts, length).

    Args:
        max_texts: texts of a row at most.
    """

    output_dtype = "bool"

    def __init__(self, max_texts: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_texts = max_texts

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        numbers = ops.expand_dims(ops.arange(1, self.max_texts + 1, dtype="int32"), 0)
        return ops.equal(ops.expand_dims(ops.cast(inputs, "int32"), 1), ops.expand_dims(numbers, 2))

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.max_texts, input_shape[1])


class TextPooling(ConfiguredLayer):
    """A vector of each text. The vectors of texts that a row does not have are undefined.

    Inputs: [x (batch, length, size), bools of `TextTokens` (batch, max_texts, length)].
    Output: (batch, max_texts, size).

    Args:
        pooling: "first" token, "last" token, or "mean" of the unmasked tokens.
    """

    def __init__(self, pooling: str = "first", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pooling not in ("first", "last", "mean"):
            raise ValueError(f"pooling: expected 'first', 'last' or 'mean', got {pooling!r}")
        self.pooling = pooling

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        x, belongs = inputs
        if self.pooling == "mean":
            return self.mean(x, belongs, mask)
        belongs = ops.cast(belongs, "int32")
        places = ops.cast(ops.argmax(belongs, axis=-1), "int32")  # of the first tokens
        if self.pooling == "last":
            places = ops.maximum(places + ops.sum(belongs, axis=-1) - 1, 0)
        return ops.take_along_axis(x, ops.expand_dims(places, 2), axis=1)

    def mean(self, x: Tensor, belongs: Tensor, mask: Tensors) -> Tensor:
        """Mean over the unmasked tokens."""
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if mask is not None:
            belongs = ops.logical_and(belongs, ops.expand_dims(mask, 1))
        wide = upcast(x)
        weights = ops.cast(belongs, dtype_name(wide))
        counts = ops.maximum(ops.sum(weights, axis=-1, keepdims=True), 1)
        return ops.cast(ops.matmul(weights, wide) / counts, dtype_name(x))

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][0], input_shape[1][1], input_shape[0][2])
