"""A model for `AutoRegressiveDecoder.predict` that computes the new tokens of its inputs alone."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from bert4keras3.backend import Compiled, ops
from bert4keras3.generation.decoder import Decoder
from bert4keras3.generation.state import append, decode_step, init_state, prefill, rounded_up, rows_of_state

ROOM = 64  # tokens that may follow before a new prefill


class CachedModel:
    """The model's outputs at the last token, as from `AutoRegressiveDecoder.last_token`, with cached keys and values.

    Pass it to `last_token` in place of the model. Or call `predict` with the inputs of the model: token ids, and
    segment ids if the model has segments; or the encoder's output and token ids of a T5.
    It remembers the sequences of the last call. A sequence that continues one of them by a token costs one token, so a
    search may reorder, repeat or drop sequences. Any other sequence is computed from its beginning.

    Args:
        transformer: from `build_transformer_model(…, return_keras_model=False)`.

    Raises:
        ValueError: if the model is no decoder, or was built with an option that cannot be cached.
        NotImplementedError: on OpenVINO and NumPy.
    """

    def __init__(self, transformer: Any) -> None:
        self.decoder = Decoder(transformer)
        model = self.decoder.model
        self.start = Compiled(lambda state: prefill(self.decoder, state), model)
        self.reorder = Compiled(rows_of_state, model)
        self.step = Compiled(
            lambda s, tokens: decode_step(self.decoder, append(s, tokens)), model, in_place=True
        )
        self.sequences: list[np.ndarray] = []
        self.state: dict[str, Any] = {}
        self.lock = threading.RLock()  # the cache belongs to one call at a time

    @property
    def compilations(self) -> int:
        """Number of compilations so far."""
        return self.start.compilations + self.reorder.compilations + self.step.compilations

    def last_token_model(self) -> CachedModel:
        """This object, for `AutoRegressiveDecoder.last_token`."""
        return self

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> np.ndarray:
        """Compute the outputs after the last token.

        Args:
            x: inputs of the model, (batch, length, …), of sequences with the same length.
            batch_size: ignored; all sequences form one batch.
            verbose: ignored.

        Returns:
            (batch, vocabulary)

        Raises:
            ValueError: if the inputs do not fit the model.
        """
        inputs = [np.asarray(one) for one in (x if isinstance(x, (list, tuple)) else [x])]
        self.check(inputs)
        with self.lock:
            rows = self.find_rows(inputs)
            self.sequences = []  # a call that fails leaves no cache behind
            outputs, state = self.restart(inputs) if rows is None else self.proceed(inputs, rows)
            self.state, self.sequences = dict(state), inputs
            self.column += 1
            return ops.convert_to_numpy(outputs)[: len(inputs[-1])]

    def check(self, inputs: Any) -> None:
        """Raise ValueError if the inputs have other shapes than those of the model, or too many tokens."""
        ranks = ([3] if self.decoder.takes_context else []) + [2] * (1 + self.decoder.has_segments)
        if [one.ndim for one in inputs] != ranks:
            shapes = [one.shape for one in inputs]
            raise ValueError(
                f"CachedModel.predict: expected {len(ranks)} inputs with {ranks} axes, got shapes {shapes}"
            )
        self.check_ids(inputs)
        length, limit = inputs[-1].shape[1], self.decoder.max_positions
        if not length or (limit is not None and length > limit):
            most = f"{limit} (max_position)" if limit else "any number of"
            raise ValueError(f"CachedModel.predict: expected sequences of 1 to {most} tokens, got {length}")

    def check_ids(self, inputs: Any) -> None:
        """Raise ValueError if an id is not in its table."""
        tables = [("token", self.decoder.vocabulary_size)]
        if self.decoder.has_segments and not self.decoder.shares_segments:
            tables.append(("segment", self.decoder.transformer.segment_vocab_size))
        for (name, size), ids in zip(tables, [one for one in inputs if one.ndim == 2]):
            if ids.size and not (0 <= ids.min() and ids.max() < size):
                raise ValueError(
                    f"CachedModel.predict: expected {name} ids from 0 to {size - 1}, "
                    f"got {ids.min()} to {ids.max()}"
                )

    def find_rows(self, inputs: Any) -> Any:
        """For each sequence the row that it continues by a token; None if one has no such row, or there is no room."""
        if not self.sequences or inputs[-1].shape[1] != self.sequences[-1].shape[1] + 1:
            return None
        if self.column >= self.total or (self.decoder.is_unilm and not inputs[1][:, -1].all()):
            return None
        same = np.ones((len(inputs[-1]), len(self.sequences[-1])), "bool")
        for new, old in zip(inputs, self.sequences):
            beginnings = new if new.ndim > 2 else new[:, :-1]
            if beginnings.shape[1:] != old.shape[1:]:
                return None
            pairs = np.argwhere(same)
            same[tuple(pairs.T)] = [np.array_equal(beginnings[i], old[j]) for i, j in pairs]
        return same.argmax(axis=1) if same.any(axis=1).all() else None

    def restart(self, inputs: Any) -> Any:
        """Run whole sequences."""
        rows = self.filled_up(range(len(inputs[-1])))
        inputs = [one[rows] for one in inputs]
        tokens = inputs[1 if self.decoder.takes_context else 0]
        segments = inputs[1] if self.decoder.has_segments else None
        new_segments = np.ones(len(rows)) if self.decoder.is_unilm else np.zeros(len(rows))
        state = init_state(self.decoder, tokens, segments, new_segments, ROOM)
        if self.decoder.takes_context:
            state["context"] = inputs[0].astype("float32")
            state["context_mask"] = np.ones(inputs[0].shape[:2], "bool")
        self.column, self.total = int(state["column"]) - 1, state["tokens"].shape[1]
        return self.start(state)

    def proceed(self, inputs: Any, rows: Any) -> Any:
        """Run the newest tokens of sequences that continue these rows."""
        new_rows = self.filled_up(range(len(rows)))
        rows = rows[new_rows]
        if not np.array_equal(rows, np.arange(self.state["tokens"].shape[0])):
            self.state = self.reorder(self.state, rows.astype("int32"))
        newest = [one[new_rows, -1].astype("int32") for one in inputs if one.ndim == 2]
        if self.decoder.has_segments:
            self.state = dict(self.state, segments=newest[1])
        return self.step(self.state, newest[0])

    @staticmethod
    def filled_up(rows: Any) -> Any:
        """Repeat the first row until the number of rows is a power of two, so that few sizes are compiled."""
        rows = list(rows)
        return np.array(rows + rows[:1] * (rounded_up(len(rows), least=1) - len(rows)))
