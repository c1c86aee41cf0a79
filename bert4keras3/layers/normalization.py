"""Scale and offset, and layer normalization; both may depend on a condition vector."""

from __future__ import annotations

from typing import Any, Callable

from bert4keras3.backend import (
    K,
    Tensor,
    Tensors,
    build_child,
    dtype_name,
    get_activation,
    keras,
    layer_norm,
    ops,
    recompute_grad,
    upcast,
)
from bert4keras3.layers.configuration import ConfiguredLayer
from bert4keras3.layers.initialization import fresh


class ScaleOffset(ConfiguredLayer):
    """x · gamma + beta on the last axis.

    A conditional layer has the inputs [x, condition], where condition is (batch, size) or (batch, length, size).
    Projections of the condition are added to gamma and beta. They start as zeros, so a new conditional layer computes
    the same as an unconditional one: https://kexue.fm/archives/7124

    Weights: beta, gamma, then kernels of hidden_dense, beta_dense, gamma_dense.

    Args:
        scale: True for a weight gamma, a number or tensor for a constant, False for none.
        offset: the same for beta.
        conditional: whether there is a condition.
        hidden_units: size of a first projection of the condition; None: no first projection.
        hidden_activation: activation of the first projection.
        hidden_initializer: initializer of the first projection.
    """

    token_wise = True  # generation calls the layer on new tokens alone

    def __init__(
        self,
        scale: bool | Tensor = True,
        offset: bool | Tensor = True,
        conditional: bool = False,
        hidden_units: int | None = None,
        hidden_activation: None | str | Callable = "linear",
        hidden_initializer: Any = "glorot_uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.conditional = conditional
        self.hidden_units = hidden_units
        self.hidden_activation = get_activation(hidden_activation)
        self.hidden_initializer = keras.initializers.get(hidden_initializer)

    def build(self, input_shape: Any) -> None:
        shape, condition_shape = input_shape if self.conditional else (input_shape, ())
        size = shape[-1]
        if self.offset is True:
            self.beta = self.add_weight(name="beta", shape=(size,), initializer="zeros")
        if self.scale is True:
            self.gamma = self.add_weight(name="gamma", shape=(size,), initializer="ones")
        if self.conditional:
            if self.hidden_units is not None:
                self.hidden_dense = build_child(
                    keras.layers.Dense(
                        self.hidden_units,
                        activation=self.hidden_activation,
                        use_bias=False,
                        kernel_initializer=fresh(self.hidden_initializer),
                        name="hidden_dense",
                    ),
                    condition_shape,
                )
                condition_shape = tuple(condition_shape[:-1]) + (self.hidden_units,)
            if self.has(self.offset):
                self.beta_dense = self.projection(size, condition_shape, "beta_dense")
            if self.has(self.scale):
                self.gamma_dense = self.projection(size, condition_shape, "gamma_dense")
        self.built = True

    @staticmethod
    def has(part: bool | Tensor) -> bool:
        """Whether there is a scale or an offset, as a weight or as a constant."""
        return part is not None and part is not False

    @staticmethod
    def projection(units: int, input_shape: Any, name: str) -> Any:
        """A Dense that starts as zero, from a condition to `units` scales or offsets."""
        dense = keras.layers.Dense(units, use_bias=False, kernel_initializer="zeros", name=name)
        return build_child(dense, input_shape)

    @recompute_grad
    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        inputs, condition = inputs if self.conditional else (inputs, None)
        return self.scale_and_offset(inputs, condition)

    def scale_and_offset(self, x: Tensor, condition: Tensor = None) -> Tensor:
        """x (batch, …, size) · gamma + beta; a condition (batch, condition size) changes gamma and beta."""
        if condition is not None:
            if self.hidden_units is not None:
                condition = self.hidden_dense(condition)
            while len(condition.shape) < len(x.shape):
                condition = ops.expand_dims(condition, 1)
        if self.has(self.scale):
            gamma = self.gamma if self.scale is True else self.scale
            gamma = gamma if condition is None else gamma + self.gamma_dense(condition)
            x = x * ops.cast(gamma, dtype_name(x))
        if self.has(self.offset):
            beta = self.beta if self.offset is True else self.offset
            beta = beta if condition is None else beta + self.beta_dense(condition)
            x = x + ops.cast(beta, dtype_name(x))
        return x

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return mask[0] if self.conditional and mask is not None else mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        return tuple(input_shape[0] if self.conditional else input_shape)


class LayerNormalization(ScaleOffset):
    """(x − mean) / sqrt(variance + epsilon) · gamma + beta on the last axis: https://arxiv.org/abs/1607.06450

    Inputs in half precision are normalized in float32.

    Args:
        zero_mean: whether the mean is subtracted; False for RMS norm.
        unit_variance: whether x is divided by its standard deviation.
        epsilon: None: `K.epsilon()`, which is 1e-7.
        kwargs: arguments of `ScaleOffset`.
    """

    def __init__(
        self, zero_mean: bool = True, unit_variance: bool = True, epsilon: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.zero_mean = zero_mean
        self.unit_variance = unit_variance
        self.epsilon = epsilon or K.epsilon()
        has_weights = not self.conditional and self.scale is True and self.offset is True
        self.is_plain = has_weights and zero_mean and unit_variance

    @recompute_grad
    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        inputs, condition = inputs if self.conditional else (inputs, None)
        x = upcast(inputs)
        if self.is_plain and type(self) is LayerNormalization:
            x = layer_norm(x, self.gamma, self.beta, self.epsilon)
            return ops.cast(x, dtype_name(inputs))
        if self.zero_mean:
            x = x - ops.mean(x, axis=-1, keepdims=True)
        if self.unit_variance:
            x = x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + self.epsilon)
        return ops.cast(self.scale_and_offset(x, condition), dtype_name(inputs))
