"""Dropout."""

from typing import Optional

from bert4keras3.backend import Tensors, WithOutputs, keras, quick_dropout


class Dropout(WithOutputs, keras.layers.Dropout):  # type: ignore[misc,name-defined]
    """Keras's, which draws its random numbers more quickly where they take long. https://jmlr.org/papers/v15/srivastava14a"""

    def call(self, inputs: Tensors, training: Optional[bool] = None) -> Tensors:
        if training is True and 0 < self.rate < 1 and quick_dropout is not None:
            return quick_dropout(self, inputs)
        return super(Dropout, self).call(inputs, training=training)
