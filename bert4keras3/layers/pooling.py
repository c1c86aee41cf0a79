"""Pooling: sequence → vector."""

from typing import Any

from bert4keras3.backend import Layer, Tensors, dtype_name, keras, ops, sequence_masking, upcast


class FirstToken(Layer):
    """Vector of the first token, [CLS]: (batch, length, size) → (batch, size)."""

    token_wise = True  # because no generated token depends on a pooler

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return inputs[:, 0]

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0],) + tuple(input_shape[2:])


class LastToken(FirstToken):
    """Vector of the last token, even if it is padding: (batch, length, size) → (batch, size)."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return inputs[:, -1]


class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):
    """Mean over the unmasked tokens."""

    def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        axis = 1 if self.data_format == "channels_last" else 2
        x = upcast(inputs)
        if mask is None:
            mean = ops.mean(x, axis=axis)
        else:
            weights = ops.expand_dims(ops.cast(mask, dtype_name(x)), 2 if axis == 1 else 1)
            mean = ops.sum(x * weights, axis=axis) / ops.maximum(ops.sum(weights, axis=axis), 1)
        return ops.cast(mean, dtype_name(inputs))

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None


class GlobalMaxPooling1D(keras.layers.GlobalMaxPooling1D):
    """Maximum over the unmasked tokens."""

    def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
        super().__init__(data_format=data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        axis = 1 if self.data_format == "channels_last" else 2
        return ops.max(sequence_masking(inputs, mask, float("-inf"), axis), axis=axis)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None
