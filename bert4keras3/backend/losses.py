"""Losses for samples with several labels, which generalize softmax with cross entropy."""

from bert4keras3.backend.contract import K, dtype_name, get_custom_objects, ops
from bert4keras3.backend.flavour import Tensor
from bert4keras3.backend.functions import custom_objects, mask_value, upcast
from bert4keras3.backend.sequences import batch_gather


def multilabel_categorical_crossentropy(y_true: Tensor, y_pred: Tensor) -> Tensor:
    """log(1 + Σ_negative e^s) + log(1 + Σ_positive e^−s): https://kexue.fm/archives/7359

    Args:
        y_true: (…, classes), the probability from 0 to 1 that a class is a label: https://kexue.fm/archives/9064
        y_pred: (…, classes), logits. A class is predicted if its logit is above 0. A logit of −inf is masked.

    Returns:
        The loss of each sample, (…).
    """
    y_pred = upcast(y_pred)
    y_true = ops.cast(y_true, dtype_name(y_pred))
    low = mask_value(y_pred)
    seen = ops.greater(y_pred, low)
    scores = ops.where(seen, y_pred, ops.zeros_like(y_pred))
    none = ops.zeros_like(y_pred) + low  # with −inf alone, the gradient of the sum would be NaN
    negative = ops.where(seen, scores + log_or_low(1 - y_true, low), none)
    positive = ops.where(seen, log_or_low(y_true, low) - scores, none)
    return log_one_plus_sum(negative) + log_one_plus_sum(positive)


def log_or_low(probability, low):
    """Logarithm of a probability; a large negative number for 0."""
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
    """`multilabel_categorical_crossentropy` with integer labels.

    Args:
        y_true: (…, labels), class numbers.
        y_pred: (…, classes), logits.
        mask_zero: whether 0 pads the labels, so that class 0 does not count.

    Returns:
        The loss of each sample, (…).
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
    # the sum over the other classes is the sum over all classes minus the sum over the labels
    share = ops.exp(ops.logsumexp(positive, axis=-1) - all_loss)
    others = ops.minimum(ops.maximum(1 - share, K.epsilon()), 1.0)
    return log_one_plus_sum(pushed_up) + all_loss + ops.log(others)


custom_objects.update(
    multilabel_categorical_crossentropy=multilabel_categorical_crossentropy,
    sparse_multilabel_categorical_crossentropy=sparse_multilabel_categorical_crossentropy,
)
get_custom_objects().update(custom_objects)
