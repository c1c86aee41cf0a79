"""Losses for several labels at once, the generalization of softmax with cross entropy."""

from bert4keras3.backend.contract import K, dtype_name, get_custom_objects, ops
from bert4keras3.backend.flavour import Tensor
from bert4keras3.backend.functions import custom_objects, mask_value, upcast
from bert4keras3.backend.sequences import batch_gather


def multilabel_categorical_crossentropy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """log(1 + Σ_negative e^s) + log(1 + Σ_positive e^−s): https://kexue.fm/archives/7359

    y_true: (…, classes), the probabilities that a class is a label, 0 to 1: https://kexue.fm/archives/9064
    y_pred: scores of the same shape, without activation; a class is predicted where its score is above 0.
    A score of −inf is masked and does not count. Returns (…).
    """
    y_pred = upcast(y_pred)
    y_true = ops.cast(y_true, dtype_name(y_pred))
    low = mask_value(y_pred)
    seen = ops.greater(y_pred, low)
    scores = ops.where(seen, y_pred, ops.zeros_like(y_pred))
    none = ops.zeros_like(y_pred) + low  # finite, as the gradient of a sum of nothing but e^−inf is not
    negative = ops.where(seen, scores + log_or_low(1 - y_true, low), none)
    positive = ops.where(seen, log_or_low(y_true, low) - scores, none)
    return log_one_plus_sum(negative) + log_one_plus_sum(positive)


def log_or_low(probability, low):
    """Logarithm, with a large negative number for that of 0."""
    some = ops.greater(probability, 0)
    ones = ops.ones_like(probability)
    return ops.where(some, ops.log(ops.where(some, probability, ones)), ones * low)


def log_one_plus_sum(scores):
    """log(1 + Σ e^s) over the last axis."""
    zeros = ops.zeros_like(scores[..., :1])
    return ops.logsumexp(ops.concatenate([scores, zeros], axis=-1), axis=-1)


def sparse_multilabel_categorical_crossentropy(
    y_true: Tensor, y_pred: Tensor, mask_zero: bool = False
) -> Tensor:
    """`multilabel_categorical_crossentropy` with the labels as class numbers.

    y_true: (…, labels), integers. y_pred: (…, classes), scores as there. mask_zero: class 0 is no class, and 0
    fills up the labels. Returns (…).
    """
    y_pred = upcast(y_pred)
    low = mask_value(y_pred)
    y_pred = ops.maximum(y_pred, low)
    if mask_zero:
        y_pred = ops.concatenate([ops.zeros_like(y_pred[..., :1]) + low, y_pred[..., 1:]], axis=-1)
    positive = batch_gather(y_pred, y_true)  # (…, labels)
    is_label = ops.greater(positive, low)
    pushed_up = ops.where(is_label, -positive, ops.zeros_like(positive) + low)
    all_loss = log_one_plus_sum(y_pred)
    # what the labels do not take of the sum over all classes is that of the others
    share = ops.exp(ops.logsumexp(positive, axis=-1) - all_loss)
    others = ops.minimum(ops.maximum(1 - share, K.epsilon()), 1.0)
    return log_one_plus_sum(pushed_up) + all_loss + ops.log(others)


custom_objects.update(
    multilabel_categorical_crossentropy=multilabel_categorical_crossentropy,
    sparse_multilabel_categorical_crossentropy=sparse_multilabel_categorical_crossentropy,
)
get_custom_objects().update(custom_objects)
