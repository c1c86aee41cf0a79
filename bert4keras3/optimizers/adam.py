"""Adam, with an option for its bias correction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bert4keras3 import ops
from bert4keras3.backend import foreach, keras, serializable
from bert4keras3.optimizers.steps import Change, Steps


@serializable
class Adam(Steps, keras.optimizers.Adam):
    """Adam, https://arxiv.org/abs/1412.6980 , Algorithm 1, as bert4keras has it on tf.keras.

    ::

        m ← β1 m + (1 − β1) g;  v ← β2 v + (1 − β2) g²
        with bias correction:     w ← w − lr · m / (1 − β1^t) / (√(v / (1 − β2^t)) + ε)
        without bias correction:  w ← w − lr · m / (√v + ε)

    Keras's Adam differs: it adds ε to √v without bias correction, and its default ε is 1e-7. keras.optimizers.Adam of
    keras 2.3.1, which bert4keras uses there, does the same.

    Args:
        learning_rate: a number or a schedule; `lr` is its old name.
        beta_1, beta_2, epsilon: β1, β2 and ε.
        bias_correction: whether m and v are divided by 1 − β^t.

    Raises:
        ValueError: amsgrad=True.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        bias_correction: bool = True,
        **kwargs: Any,
    ) -> None:
        learning_rate = kwargs.pop("lr", learning_rate)
        super().__init__(learning_rate, beta_1, beta_2, epsilon or keras.config.epsilon(), **kwargs)
        if self.amsgrad:
            raise ValueError("Adam: amsgrad is not supported. Use keras.optimizers.Adam")
        self.bias_correction = bias_correction

    def changes(self, gradients: list[Any], variables: list[Any], learning_rate: Any) -> Iterator[Change]:
        momentums, velocities = self.of(self._momentums, variables), self.of(self._velocities, variables)
        foreach.average(momentums, self.beta_1, gradients)
        foreach.average(velocities, self.beta_2, foreach.squares(gradients))
        scale, epsilon = learning_rate, self.epsilon
        if self.bias_correction:  # numerator and denominator are multiplied by √(1 − β2^t)
            root = ops.sqrt(1 - ops.power(self.beta_2, self.step_count()))
            scale = scale * root / (1 - ops.power(self.beta_1, self.step_count()))
            epsilon = epsilon * root
        yield Change(foreach.adam_directions(momentums, velocities, epsilon), -scale)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["amsgrad"]
        return dict(config, bias_correction=self.bias_correction)
