"""Adversarial training, gradient penalty and explicit gradients, on every Keras.

Scripts for bert4keras replace `model.train_function` with a function that uses K.gradients. Keras 3 has neither, so
these helpers hook into the training step of each framework.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from bert4keras3.backend import penalize_gradients, perturb_training, value_gradients


def gradients(function: Callable[[], Any], variables: Sequence[Any]) -> list[Any]:
    """Gradients of a scalar with respect to variables.

    Args:
        function: a function without arguments that calls models or layers and returns a scalar tensor, such as
            `lambda: K.sum(model(inputs)[:, 1])`.
        variables: variables, such as `[table]`.

    Returns:
        A list of NumPy arrays, in the shapes of the variables.
    """
    return value_gradients(function, list(variables))


def embedding_table(model: Any, embedding_name: str) -> Any:
    """The first trainable weight of the layer with this name."""
    weights = model.get_layer(embedding_name).trainable_weights
    if not weights:
        raise ValueError(f"{embedding_name}: expected a layer with a trainable weight, it has none")
    return weights[0]


def adversarial_training(model: Any, embedding_name: str, epsilon: float = 1.0) -> None:
    """Fast gradient method on the embeddings: https://arxiv.org/abs/1605.07725

    Each training step adds epsilon · g / ‖g‖ to the embedding table, where g is the gradient of the loss with respect
    to the table. Call this function once, after `compile`.

    Args:
        model: a compiled Keras model.
        embedding_name: name of the embedding layer, such as "Embedding-Token".
        epsilon: norm of the perturbation.
    """
    perturb_training(model, embedding_table(model, embedding_name), epsilon)


def gradient_penalty(model: Any, embedding_name: str, scale: float = 1.0) -> None:
    """Add scale / 2 · ‖g‖² to the loss: https://arxiv.org/abs/1704.08847

    g is the gradient of the loss with respect to the embedding table. Call this function once, after `compile`.
    TensorFlow 1 has no second derivative of sparse_categorical_crossentropy: use categorical_crossentropy there.

    Args:
        model: a compiled Keras model.
        embedding_name: name of the embedding layer, such as "Embedding-Token".
        scale: factor of the penalty.
    """
    penalize_gradients(model, embedding_table(model, embedding_name), scale)
