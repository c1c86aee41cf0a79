"""What optimizers and their extensions have in common on Keras 2 and Keras 3: arguments, derived classes, AdaFactor."""

from __future__ import annotations

import inspect
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from bert4keras3.backend.contract import K, get_values, keras, ops, serializable, set_values
from bert4keras3.backend.flavour import FLAVOUR
from bert4keras3.snippets import string_matching

Mixed: Any = object  # a mixin: the next class in the method resolution order is an optimizer of Keras
# keras 2.3.1 has no schedules
Schedule: Any = object if FLAVOUR == "keras2" else keras.optimizers.schedules.LearningRateSchedule


def plain(value):
    """A copy of a list or a dict, without TensorFlow's wrappers; any other value unchanged."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, (list, tuple)) else value


class WithArguments(Mixed):
    """Mixin of the extensions, whose keyword arguments become attributes and a part of the configuration.

    Attributes:
        arguments: {keyword argument of an extension: its default}.
    """

    arguments: dict[str, Any] = {}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = {name: kwargs.pop(name, None) for name in self.all_arguments()}
        super().__init__(*args, **kwargs)
        for name, default in self.all_arguments().items():
            setattr(self, name, plain(default if given[name] is None else given[name]))

    @classmethod
    def all_arguments(cls):
        """The arguments of all extensions of a class."""
        return {name: value for one in cls.__mro__ for name, value in vars(one).get("arguments", {}).items()}

    def get_config(self) -> dict[str, Any]:
        return dict(
            super().get_config(), **{name: plain(getattr(self, name)) for name in self.all_arguments()}
        )


def make_extend_with(export: Callable, name: str, extension: Any) -> Callable[..., type]:
    """A function extend_with_…, which derives a subclass of an extension and of a class of optimizers.

    `export` is the decorator that registers the class.
    """

    def extend_with(BaseOptimizer: type) -> type:
        if issubclass(BaseOptimizer, extension):
            raise TypeError(f"{BaseOptimizer.__name__} has {extension.__name__} already")
        return type(extension.__name__, (extension, BaseOptimizer), {"__doc__": extension.__doc__})

    extend_with.__name__ = "extend_with_" + name
    defaults = ", ".join(f"{name}={value!r}" for name, value in extension.arguments.items())
    about = f"Derive a class of optimizers with more keyword arguments: {defaults}."
    extend_with.__doc__ = f"{about}\n\n{inspect.cleandoc(extension.__doc__)}"
    return export(extend_with)


def derived_name(BaseOptimizer: type, extension: str) -> str:
    """Default name of a derived class: "AdamWithLookahead" for Adam and "extend_with_lookahead"."""
    return BaseOptimizer.__name__ + extension.replace("extend_", "").title().replace("_", "")


class AveragedWeights(Mixed):
    """Mixin of the moving average of weights; a subclass defines `averages_and_weights`, [] before the first step."""

    def apply_ema_weights(self, bias_correction: bool = True) -> None:
        """Save the weights of the model, then replace them by their average.

        Args:
            bias_correction: whether to divide the average by 1 − ema_momentum^steps.

        Raises:
            ValueError: there was no training step yet.
        """
        pairs = self.averages_and_weights()
        (iterations,) = get_values([self.iterations])
        if not pairs or not iterations:
            raise ValueError(f"{self.title()}: no average yet: train for a step first")
        weights, averages = [weight for _, weight in pairs], get_values([average for average, _ in pairs])
        if bias_correction:
            momentum = float(np.asarray(self.ema_momentum, K.floatx()))  # rounded as in the average
            averages = [average / (1 - momentum ** int(iterations)) for average in averages]
        self.old_weights = get_values(weights)
        set_values(list(zip(weights, averages)))

    def reset_old_weights(self) -> None:
        """Restore the weights that apply_ema_weights saved.

        Raises:
            ValueError: apply_ema_weights was not called.
        """
        if not hasattr(self, "old_weights"):
            raise ValueError(f"{self.title()}: no old weights: call apply_ema_weights first")
        set_values([(weight, old) for (_, weight), old in zip(self.averages_and_weights(), self.old_weights)])

    def title(self):
        """Name of the optimizer, or of its class."""
        return getattr(self, "name", type(self).__name__)


@serializable
class RelativeRate(Schedule):
    """AdaFactor's default learning rate: scale · min(1 / √t, 0.01) at step t = 1, 2, …"""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, step: Any) -> Any:
        return self.scale * ops.minimum(1 / ops.sqrt(ops.cast(step, K.floatx()) + 1), 0.01)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale}


class AdaFactorBase(Mixed):
    """AdaFactor, https://arxiv.org/abs/1804.04235

    ::

        v ← β2 v + (1 − β2) (g² + ε1), of a large matrix as an outer product of its means over rows and over columns
        u = g / √(v + ε1);  u ← u / max(1, rms(u) / clipping_threshold);  u ← β1 u_before + (1 − β1) u
        w ← w − lr · u · max(rms(w), ε2)

    Keras 3's Adafactor differs: it has no β1, factors every matrix over its last two axes, multiplies the update of
    every variable by rms(w), and applies the minimum of lr and 1 / √t twice.

    Args:
        learning_rate: a number or a schedule. None: min(1 / √t, 0.01), or 0.05 times that without
            multiply_by_parameter_scale.
        beta1: β1; 0: no momentum, which saves its memory.
        beta2: β2; None: 1 − t^−0.8.
        epsilon1, epsilon2: ε1 and ε2.
        multiply_by_parameter_scale: whether updates are multiplied by max(rms(w), ε2).
        clipping_threshold: largest rms of an update; None: no clipping.
        min_dim_size_to_factor: v is factored over the two largest axes if both have at least this size.
        exclude_from_parameter_scale: regular expressions; a variable whose path matches is not multiplied by its scale.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.0,
        beta2: float | None = None,
        epsilon1: float = 1e-30,
        epsilon2: float = 1e-3,
        multiply_by_parameter_scale: bool = True,
        clipping_threshold: float | None = 1.0,
        min_dim_size_to_factor: int = 128,
        exclude_from_parameter_scale: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        relative = RelativeRate(1.0 if multiply_by_parameter_scale else 0.05)
        super().__init__(relative if learning_rate is None else learning_rate, **kwargs)
        self.has_relative_rate = learning_rate is None
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon1, self.epsilon2 = epsilon1, epsilon2
        self.multiply_by_parameter_scale = multiply_by_parameter_scale
        self.clipping_threshold = clipping_threshold
        self.min_dim_size_to_factor = min_dim_size_to_factor
        self.exclude_from_parameter_scale = list(exclude_from_parameter_scale or [])

    def factored_axes(self, shape: Sequence[int]) -> tuple[int, int] | None:
        """The largest axis and the second largest axis; None if v is not factored."""
        if len(shape) < 2:
            return None
        second, largest = np.argsort(shape, kind="stable")[-2:]
        return None if shape[second] < self.min_dim_size_to_factor else (int(largest), int(second))

    def is_scaled(self, name: str) -> bool:
        """Whether the update of a variable with this path is multiplied by max(rms(w), ε2)."""
        return self.multiply_by_parameter_scale and not string_matching(
            name, self.exclude_from_parameter_scale
        )

    def get_config(self) -> dict[str, Any]:
        others = ("learning_rate", "kwargs")
        names = [name for name in inspect.signature(AdaFactorBase).parameters if name not in others]
        config = dict(super().get_config(), **{name: plain(getattr(self, name)) for name in names})
        return dict(config, learning_rate=None) if self.has_relative_rate else config
