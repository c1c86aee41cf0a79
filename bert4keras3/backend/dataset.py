"""Data sets of tf.data. If TensorFlow is installed, `fit` reads them on every framework."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def batched_dataset(
    generator: Callable[[], Iterable[Any]], types: Any, shapes: Any, batch_size: int, padded: bool
) -> Any:
    """Batch the samples of a generator in a `tf.data.Dataset`.

    Args:
        generator: a function that returns an iterable of samples.
        types: dtypes of a sample, nested like a sample.
        shapes: shapes of a sample without the batch axis, nested like a sample.
        batch_size: samples in each batch.
        padded: whether to pad each sample of a batch up to `shapes`.

    Returns:
        A `tf.data.Dataset` of batches.

    Raises:
        ImportError: TensorFlow is not installed.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ImportError(
            "a tf.data.Dataset needs TensorFlow, which is not installed; "
            "without it, give forfit() and steps_per_epoch to model.fit"
        ) from error
    if padded:
        samples = tf.data.Dataset.from_generator(generator, output_types=types)
        return samples.padded_batch(batch_size, shapes)
    samples = tf.data.Dataset.from_generator(generator, output_types=types, output_shapes=shapes)
    return samples.batch(batch_size)
