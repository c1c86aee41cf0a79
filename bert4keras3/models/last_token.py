"""The model that a decoder calls at each step: a given model's outputs at the last token."""

from __future__ import annotations

from typing import Any

import numpy as np

from bert4keras3.backend import Model
from bert4keras3.layers import LastToken


class LastTokenModel(Model):
    """A model for many small predictions: inputs that fit into one batch skip Keras's loop over batches."""

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0, **kwargs: Any) -> Any:
        """Keras's `predict`, silent by default."""
        first = x[0] if isinstance(x, (list, tuple)) and x else x
        if not kwargs and isinstance(first, np.ndarray) and len(first) <= (batch_size or 32):
            return self.predict_on_batch(x)
        return super().predict(x, batch_size=batch_size, verbose=verbose, **kwargs)


def last_token_model(model: Any) -> LastTokenModel:
    """A model with the weights of `model`, whose outputs are (batch, …) in place of (batch, length, …)."""
    inputs, outputs = list(model.inputs), [LastToken()(output) for output in model.outputs]
    return LastTokenModel(
        inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0]
    )
