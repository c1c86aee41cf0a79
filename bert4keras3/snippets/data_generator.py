"""Batches from samples, for `fit` and `predict` of every Keras."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from bert4keras3.snippets.text import is_string


class DataGenerator:
    """Template: a subclass writes `__iter__(self, random=False)`, which makes batches from `self.sample(random)`.

    `fit(generator.forfit(), steps_per_epoch=len(generator))`. Order at random is that of NumPy's generator:
    `np.random.seed` makes it the same again.
    """

    def __init__(self, data: Any, batch_size: int = 32, buffer_size: int | None = None) -> None:
        """`data`: a sequence of samples, or an iterable without a length, which is shuffled in a buffer of
        `buffer_size` samples (None: 1000 batches).
        """
        self.data, self.batch_size = data, batch_size
        self.steps = -(-len(data) // batch_size) if hasattr(data, "__len__") else None
        self.buffer_size = buffer_size or batch_size * 1000

    def __len__(self) -> int:
        """Batches of one epoch; TypeError for data without a length (in the reference too, less clearly)."""
        if self.steps is None:
            raise TypeError(
                f"{type(self).__name__}: data without a length, {type(self.data).__name__}, has no number of "
                "batches; give steps_per_epoch as a number"
            )
        return self.steps

    def sample(self, random: bool = False) -> Iterator[tuple[bool, Any]]:
        """One epoch of (whether it is the last, sample); none from no data (the reference crashes)."""
        samples = self._shuffled() if random else iter(self.data)
        waiting: list[Any] = []
        for sample in samples:
            if waiting:
                yield False, waiting.pop()
            waiting.append(sample)
        for sample in waiting:
            yield True, sample

    def _shuffled(self) -> Iterator[Any]:
        """All of the data where it has a length, else each sample drawn from a buffer that is kept full."""
        if self.steps is not None:
            for i in np.random.permutation(len(self.data)):
                yield self.data[i]
            return
        buffer: list[Any] = []
        for sample in self.data:
            buffer.append(sample)
            if len(buffer) > self.buffer_size:
                yield buffer.pop(np.random.randint(len(buffer)))
        while buffer:
            yield buffer.pop(np.random.randint(len(buffer)))

    def __iter__(self, random: bool = False) -> Iterator[Any]:
        """One epoch of batches (inputs, targets), each an array, or a list of arrays, or None."""
        raise NotImplementedError(f"{type(self).__name__} is expected to define __iter__(self, random=False)")

    def forfit(self, random: bool = True) -> Iterator[tuple]:
        """Batches without end for `model.fit`, in the form that the installed Keras takes.

        That is a tuple, in which lists of arrays are lists on keras 2.3.1, which takes nothing else, and tuples
        on tf.keras and Keras 3, which take lists for other things. Keras 3 on TensorFlow wants lengths that
        vary to differ between the first two batches. Raises ValueError for an epoch without a batch.
        """
        from bert4keras3.backend import multi_input_type

        while True:
            empty = True
            for batch in self.__iter__(random):
                empty = False
                parts = tuple(batch) if isinstance(batch, (list, tuple)) else (batch,)
                if len(parts) == 1:
                    parts += (None,)
                yield tuple(
                    multi_input_type(part) if isinstance(part, (list, tuple)) else part for part in parts
                )
            if empty:
                raise ValueError(f"{type(self).__name__}: expected at least one batch of data, got none")

    def fortest(self, random: bool = False) -> Iterator[tuple]:
        """(inputs, None) without end for `model.predict`.

        The reference gives bare inputs, but Keras 3 takes only tuples and tf.keras cuts a list in two.
        """
        for batch in self.forfit(random):
            yield batch[0], None

    def to_dataset(self, types: Any, shapes: Any, names: Any = None, padded_batch: bool = False) -> Any:
        """A `tf.data.Dataset` of batches from an `__iter__` that gives single samples; needs TensorFlow.

        `types` and `shapes` are those of a sample, in its structure. `names` makes dicts of them: one name,
        the names of several arrays, or the lists of names of inputs and targets. `padded_batch` fills samples
        up to `shapes`, in which None is the longest of the batch. Raises ImportError without TensorFlow.
        """
        from bert4keras3.backend import batched_dataset

        def named(values: Any) -> Any:
            if names is None:
                return values
            if is_string(names):
                return {names: values}
            if is_string(names[0]):
                return dict(zip(names, values))
            return tuple(dict(zip(keys, several)) for keys, several in zip(names, values))

        return batched_dataset(
            lambda: map(named, self.forfit()), named(types), named(shapes), self.batch_size, padded_batch
        )
