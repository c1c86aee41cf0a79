"""The position-wise feed-forward part of a Transformer block."""

from __future__ import annotations

from typing import Any, Callable

from bert4keras3.backend import Tensors, dense, get_activation, keras, recompute_grad
from bert4keras3.layers.configuration import ConfiguredLayer
from bert4keras3.layers.initialization import inner_dense


class FeedForward(ConfiguredLayer):
    """Dense → activation → Dense back to the input size.

    Weights: kernel (and bias) of each inner Dense, then of the outer one.

    Args:
        units: inner size.
        activation: an activation; a list makes the layer gated: one inner Dense for each activation, and their outputs
            are multiplied, https://arxiv.org/abs/2002.05202
        use_bias: whether all Dense layers have a bias.
        kernel_initializer: initializer of all kernels.
    """

    token_wise = True  # generation calls the layer on new tokens alone

    def __init__(
        self,
        units: int,
        activation: None | str | Callable = "relu",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        activations = activation if isinstance(activation, (list, tuple)) else [activation]
        self.activation = [get_activation(one) for one in activations]
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Any) -> None:
        for i, activation in enumerate(self.activation):
            name = f"i{i}_dense"
            setattr(self, name, inner_dense(self, self.units, input_shape, name, activation))
        inner_shape = tuple(input_shape[:-1]) + (self.units,)
        self.o_dense = inner_dense(self, input_shape[-1], inner_shape, "o_dense")
        self.built = True

    @recompute_grad
    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        x = dense(self.i0_dense, inputs)
        for i in range(1, len(self.activation)):
            x = x * dense(getattr(self, f"i{i}_dense"), inputs)  # (batch, length, units)
        return dense(self.o_dense, x)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape)
