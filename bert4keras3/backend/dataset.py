"""tf.data, which every Keras reads where TensorFlow is installed, whatever its own framework is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any


def batched_dataset(
    generator: Callable[[], Iterable[Any]], types: Any, shapes: Any, batch_size: int, padded: bool
) -> Any:
    """A `tf.data.Dataset` of batches of the samples that `generator()` gives, `padded` up to `shapes` or not.

    Raises ImportError where TensorFlow is not installed.
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
