"""Keras's Lion with the defaults of bert4keras."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import keras, parallel_class, serializable


@serializable
class LionV2(parallel_class(keras.optimizers.Lion)):  # type: ignore[misc]
    """Lion, https://arxiv.org/abs/2302.06675

    w ← w − lr · sign(β1 m + (1 − β1) g);  m ← β2 m + (1 − β2) g

    This is Keras's Lion with other defaults; Keras's are lr = 1e-3, β1 = 0.9 and β2 = 0.99.
    """

    def __init__(
        self, learning_rate: Any = 3e-4, beta_1: float = 0.95, beta_2: float = 0.98, **kwargs: Any
    ) -> None:
        super().__init__(learning_rate, beta_1, beta_2, **kwargs)


Lion = LionV2
