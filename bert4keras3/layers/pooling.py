"""Sequence to vector."""

from bert4keras3.backend import Layer, keras, ops, sequence_masking


class FirstToken(Layer):
    """The vector of the first token, [CLS]: (batch, length, size) → (batch, size)."""

    def call(self, inputs, mask=None):
        return inputs[:, 0]

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, input_shape):
        return (input_shape[0],) + tuple(input_shape[2:])


class LastToken(FirstToken):
    """The vector of the last token, padding or not: (batch, length, size) → (batch, size)."""

    def call(self, inputs, mask=None):
        return inputs[:, -1]


class GlobalAveragePooling1D(keras.layers.GlobalAveragePooling1D):
    """Mean over the tokens that are not masked."""

    def call(self, inputs, mask=None):
        axis = 1 if self.data_format == "channels_last" else 2
        if mask is None:
            return ops.mean(inputs, axis=axis)
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), 2 if axis == 1 else 1)
        return ops.sum(inputs * weights, axis=axis) / ops.maximum(ops.sum(weights, axis=axis), 1)

    def compute_mask(self, inputs, mask=None):
        return None


class GlobalMaxPooling1D(keras.layers.GlobalMaxPooling1D):
    """Maximum over the tokens that are not masked."""

    def __init__(self, data_format="channels_last", **kwargs):
        super(GlobalMaxPooling1D, self).__init__(data_format=data_format, **kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        axis = 1 if self.data_format == "channels_last" else 2
        return ops.max(sequence_masking(inputs, mask, float("-inf"), axis), axis=axis)

    def compute_mask(self, inputs, mask=None):
        return None
