"""Layers that merge several tensors and their masks."""

from typing import Any

from bert4keras3.backend import Layer, Tensors, WithOutputs, keras, operation, ops


@operation
def mask_of_both(one, other):
    return ops.logical_and(one, other)


@operation
def mask_of_all(x):
    """True for every token of (batch, length, …)."""
    return ops.ones_like(x[..., 0], dtype="bool")


@operation
def joined_mask(*masks):
    return ops.concatenate(masks, axis=1)


class Add(WithOutputs, keras.layers.Add):  # type: ignore[misc,name-defined]
    """Sum of tensors. A token is kept if all given masks keep it; Keras 3 drops all masks if one is missing."""

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        joined = None
        for one in mask or []:
            # both inputs of a residual sum often have the same mask
            if one is not None and one is not joined:
                joined = one if joined is None else mask_of_both(joined, one)
        return joined


class Concatenate1D(Layer):
    """Concatenate sequences along the length; a sequence without a mask counts as unmasked."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return ops.concatenate(inputs, axis=1)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        if mask is None or all(one is None for one in mask):
            return None
        return joined_mask(*[mask_of_all(x) if one is None else one for x, one in zip(inputs, mask)])

    def compute_output_shape(self, input_shape: Any) -> Any:
        lengths = [shape[1] for shape in input_shape]
        length = None if None in lengths else sum(lengths)
        first = tuple(input_shape[0])
        return first[:1] + (length,) + first[2:]
