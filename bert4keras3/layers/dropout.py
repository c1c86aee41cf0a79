"""Dropout."""

from __future__ import annotations

from bert4keras3.backend import Tensors, WithOutputs, dropout, keras


class Dropout(WithOutputs, keras.layers.Dropout):  # type: ignore[misc,name-defined]
    """Keras's Dropout with a faster random generator for large tensors: https://jmlr.org/papers/v15/srivastava14a"""

    def call(self, inputs: Tensors, training: bool | None = None) -> Tensors:
        if training is True and 0 < self.rate < 1:
            return dropout(self, inputs)
        return super().call(inputs, training=training)
