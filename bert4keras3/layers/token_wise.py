"""Which layers treat each token alone, so that they may get any selection of tokens."""

from typing import Any

from bert4keras3.backend import keras

# Layers of Keras. A layer of ours or of a user says so by `token_wise = True`.
TOKEN_WISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Dense,
    keras.layers.Dropout,
    keras.layers.Embedding,
)


def is_token_wise(layer: Any) -> bool:
    """Whether a layer computes the output of a token from the same token of its inputs."""
    return isinstance(layer, TOKEN_WISE) or getattr(layer, "token_wise", False)
