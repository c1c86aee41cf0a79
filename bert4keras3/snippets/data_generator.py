"""Batches from samples, for `fit` and `predict` of every Keras."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from bert4keras3.snippets.text import is_string


class DataGenerator:
    """Base class: a subclass defines `__iter__(self, random=False)`, which batches `self.sample(random)`.

    Use it as `fit(generator.forfit(), steps_per_epoch=len(generator))`. Random order comes from NumPy's generator, so
    `np.random.seed` makes it reproducible. With `seed` or `shard` it depends on `seed` and the epoch alone.

    Args:
        data: a sequence of samples, or an iterable without a length, which is shuffled in a buffer.
        batch_size: number of samples in a batch.
        buffer_size: number of samples in the buffer; None: 1000 batches.
        packed: from `packed_transformer`: batches are (token ids or [token ids, segment ids], targets), and the samples
            of a batch share rows in place of being padded.
        shard: (index of this process, number of processes); `batch_size` is then of one process. Each process sees its
            own samples, and equally many: the last samples of an epoch, fewer than there are processes, are left out.
            The processes' first batches are together the first batch of one process, and so on.
        seed: of the random order, equal in all processes; None: NumPy's generator, or 0 with `shard`.

    Raises:
        ValueError: `shard` is no index below a number of processes.
    """

    def __init__(
        self,
        data: Any,
        batch_size: int = 32,
        buffer_size: int | None = None,
        packed: Any = None,
        shard: tuple[int, int] | None = None,
        seed: int | None = None,
    ) -> None:
        self.data, self.batch_size, self.packed = data, batch_size, packed
        self.index, self.count = (0, 1) if shard is None else shard
        if not 0 <= self.index < self.count:
            raise ValueError(f"shard: expected (index, number of processes), index below number, got {shard}")
        self.seed = 0 if shard is not None and seed is None else seed
        self.epoch = 0  # of the next random order
        self.steps = -(-(len(data) // self.count) // batch_size) if hasattr(data, "__len__") else None
        self.buffer_size = buffer_size or batch_size * 1000

    def __len__(self) -> int:
        """Number of batches in an epoch.

        Raises:
            TypeError: the data has no length.
        """
        if self.steps is None:
            raise TypeError(
                f"{type(self).__name__}: {type(self.data).__name__} has no length, so the number of batches is "
                "unknown; give steps_per_epoch as a number"
            )
        return self.steps

    def sample(self, random: bool = False) -> Iterator[tuple[bool, Any]]:
        """Yield (is it the last sample, sample) for one epoch; nothing if there is no data (bert4keras crashes)."""
        samples = self._own(self._shuffled() if random else iter(self.data))
        if random and self.steps is not None:
            order = self._random().permutation(len(self.data))
            samples = (self.data[i] for i in self._own(iter(order)))
        waiting: list[Any] = []
        for sample in samples:
            if waiting:
                yield False, waiting.pop()
            waiting.append(sample)
        for sample in waiting:
            yield True, sample

    def _own(self, items: Iterator[Any]) -> Iterator[Any]:
        """Yield one of each `count` items: the ones of this process."""
        while True:
            several = list(itertools.islice(items, self.count))
            if len(several) < self.count:
                return
            yield several[self.index]

    def _random(self) -> Any:
        """Random numbers of the next epoch."""
        self.epoch += 1
        return np.random if self.seed is None else np.random.RandomState([self.seed, self.epoch - 1])

    def _shuffled(self) -> Iterator[Any]:
        """Yield data without a length in random order: draw each sample from a buffer that is refilled."""
        random, buffer = self._random(), []
        for sample in self.data:
            buffer.append(sample)
            if len(buffer) > self.buffer_size:
                yield buffer.pop(random.randint(len(buffer)))
        while buffer:
            yield buffer.pop(random.randint(len(buffer)))

    def __iter__(self, random: bool = False) -> Iterator[Any]:
        """One epoch of batches (inputs, targets), each an array, a list of arrays or None."""
        raise NotImplementedError(f"{type(self).__name__} is expected to define __iter__(self, random=False)")

    def forfit(self, random: bool = True, initial_step: int | None = None) -> Iterator[tuple]:
        """Endless batches for `model.fit`, in the structure that the installed Keras needs.

        A batch is a tuple. Several arrays are a list on keras 2.3.1, which accepts nothing else, and a tuple on
        tf.keras and Keras 3, where a list has another meaning. If lengths vary, they must differ between the first two
        batches for Keras 3 on TensorFlow.

        Args:
            initial_step: number of batches that a resumed run has seen: the first batch is the one after them. None:
                a new epoch.

        Raises:
            ValueError: an epoch has no batch, or `initial_step` without `seed` cannot find the same random order.
        """
        from bert4keras3.backend import multi_input_type

        skipped = 0
        if initial_step is not None:
            if random and self.seed is None:
                raise ValueError(
                    f"{type(self).__name__}: initial_step needs the seed of the random order: seed=0"
                )
            self.epoch, skipped = divmod(initial_step, len(self))
        while True:
            empty = True
            for batch in itertools.islice(self.__iter__(random), skipped, None):
                empty = False
                parts = tuple(batch) if isinstance(batch, (list, tuple)) else (batch,)
                if len(parts) == 1:
                    parts += (None,)
                if self.packed is not None:
                    if len(parts) > 2:
                        raise ValueError(
                            f"{type(self).__name__}: expected (inputs, targets) with packed=…, got {len(parts)} parts. "
                            "Packed rows have sample weights of their own"
                        )
                    parts = self.packed.pack_batch(*parts)
                yield tuple(
                    multi_input_type(part) if isinstance(part, (list, tuple)) else part for part in parts
                )
            skipped = 0
            if empty:
                raise ValueError(f"{type(self).__name__}: expected at least one batch of data, got none")

    def fortest(self, random: bool = False) -> Iterator[tuple]:
        """Endless (inputs, None) for `model.predict`.

        bert4keras yields the inputs alone, but Keras 3 accepts tuples only, and tf.keras splits a list.
        """
        for batch in self.forfit(random):
            yield batch[0], None

    def to_dataset(self, types: Any, shapes: Any, names: Any = None, padded_batch: bool = False) -> Any:
        """A `tf.data.Dataset` of batches, from an `__iter__` that yields single samples; needs TensorFlow.

        Args:
            types: dtypes of a sample, in its structure.
            shapes: shapes of a sample, in its structure.
            names: turns arrays into dicts: one name, a list of names, or a pair of lists for inputs and targets.
            padded_batch: pad samples to `shapes`, in which None is the longest of the batch.

        Raises:
            ImportError: TensorFlow is not installed.
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
