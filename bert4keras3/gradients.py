"""Adversarial training, gradient penalty and gradients by hand, on every Keras.

Scripts for bert4keras put K.gradients into a new `model.train_function`. Keras 3 has neither, so these helpers hook
into the place that each framework has for it.
"""

from __future__ import annotations

from typing import Any, Callable, Sequence

from bert4keras3.backend import penalize_gradients, perturb_training, value_gradients


def gradients(function: Callable[[], Any], variables: Sequence[Any]) -> list[Any]:
    """Gradients of the scalar that `function()` returns by each of the variables, as NumPy arrays.

    The function calls models or layers: `gradients(lambda: K.sum(model(inputs)[:, 1]), [table])`.
    """
    return value_gradients(function, list(variables))


def embedding_table(model: Any, embedding_name: str) -> Any:
    """The first weight of the layer of this name, which is trained."""
    weights = model.get_layer(embedding_name).trainable_weights
    if not weights:
        raise ValueError(f"{embedding_name}: expected a layer with a weight that is trained, it has none")
    return weights[0]


def adversarial_training(model: Any, embedding_name: str, epsilon: float = 1.0) -> None:
    """Fast gradient method, https://arxiv.org/abs/1605.07725 : train where the embeddings hurt most.

    Each step is made with epsilon · g / |g| added to the table, g being the gradient of the loss by it. Call it once,
    after `compile`. embedding_name: of the layer, such as "Embedding-Token". epsilon: length of what is added.
    """
    perturb_training(model, embedding_table(model, embedding_name), epsilon)


def gradient_penalty(model: Any, embedding_name: str, scale: float = 1.0) -> None:
    """Add scale / 2 · |g|² to the loss, g being its gradient by the embeddings: https://arxiv.org/abs/1704.08847

    Call it once, after `compile`. TensorFlow 1 has no second derivative of sparse_categorical_crossentropy: use
    categorical_crossentropy there.
    """
    penalize_gradients(model, embedding_table(model, embedding_name), scale)
