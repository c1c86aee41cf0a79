"""A model for `AutoRegressiveDecoder.predict` that computes only what is new in its inputs."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from bert4keras3.backend import Compiled, ops
from bert4keras3.generation.decoders import Decoder
from bert4keras3.generation.texts import (
    append,
    begin_texts,
    read_newest,
    read_prompts,
    rounded_up,
    rows_of_state,
)

ROOM = 64  # tokens that may follow before the caches are made anew


class CachedModel:
    """The model's outputs at the last token, as `AutoRegressiveDecoder.last_token` gives them, but faster.

    Pass it to `last_token` in place of the model, or call `predict` with what the model takes: [token ids], with
    segment ids where it has them, or [encoder's output, token ids] of a T5. It remembers the texts of the call
    before: a text that is one of those and one token more costs one token. So searches that reorder, repeat or
    drop texts keep their caches without knowing of them; any other text is computed from its beginning.
    """

    def __init__(self, transformer: Any) -> None:
        self.decoder = Decoder(transformer)
        model = self.decoder.model
        self.start = Compiled(lambda state: read_prompts(self.decoder, state), model)
        self.reorder = Compiled(rows_of_state, model)
        self.step = Compiled(self.append_and_read, model, in_place=True)
        self.texts: list[np.ndarray] = []
        self.state: dict[str, Any] = {}
        self.lock = threading.RLock()  # the caches are those of one call

    @property
    def compilations(self) -> int:
        """How often something was compiled so far."""
        return self.start.compilations + self.reorder.compilations + self.step.compilations

    def last_token_model(self) -> CachedModel:
        """What `AutoRegressiveDecoder.last_token` takes."""
        return self

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> np.ndarray:
        """Inputs (batch, length, …) of texts of one length → outputs (batch, vocabulary) after the last token."""
        texts = [np.asarray(one) for one in (x if isinstance(x, (list, tuple)) else [x])]
        self.check(texts)
        with self.lock:
            rows = self.find_rows(texts)
            self.texts = []  # a call that fails leaves no caches behind
            outputs, state = self.begin(texts) if rows is None else self.go_on(texts, rows)
            self.state, self.texts = dict(state), texts
            self.column += 1
            return ops.convert_to_numpy(outputs)[: len(texts[-1])]

    def check(self, texts: Any) -> None:
        """Raise ValueError where the inputs are not those of the model, or too long for it."""
        ranks = ([3] if self.decoder.reads_context else []) + [2] * (1 + self.decoder.has_segments)
        if [one.ndim for one in texts] != ranks:
            raise ValueError(
                "CachedModel.predict: expected %d inputs with %s axes, got shapes %s"
                % (len(ranks), ranks, [one.shape for one in texts])
            )
        self.check_ids(texts)
        length, limit = texts[-1].shape[1], self.decoder.max_positions
        if not length or (limit is not None and length > limit):
            raise ValueError(
                "CachedModel.predict: expected texts of 1 to %s tokens, got %d"
                % ("%d (max_position)" % limit if limit else "any number of", length)
            )

    def check_ids(self, texts: Any) -> None:
        """Raise ValueError for an id beyond its table."""
        tables = [("token", self.decoder.vocabulary_size)]
        if self.decoder.has_segments and not self.decoder.shares_segments:
            tables.append(("segment", self.decoder.writer.segment_vocab_size))
        for (name, size), ids in zip(tables, [one for one in texts if one.ndim == 2]):
            if ids.size and not (0 <= ids.min() and ids.max() < size):
                raise ValueError(
                    "CachedModel.predict: expected %s ids from 0 to %d, got %d to %d"
                    % (name, size - 1, ids.min(), ids.max())
                )

    def find_rows(self, texts: Any) -> Any:
        """For each text the one that it continues by a token; None where there is none, or no room."""
        if not self.texts or texts[-1].shape[1] != self.texts[-1].shape[1] + 1:
            return None
        if self.column >= self.total or (self.decoder.is_unilm and not texts[1][:, -1].all()):
            return None
        same = np.ones((len(texts[-1]), len(self.texts[-1])), "bool")
        for new, old in zip(texts, self.texts):
            beginnings = new if new.ndim > 2 else new[:, :-1]
            if beginnings.shape[1:] != old.shape[1:]:
                return None
            pairs = np.argwhere(same)
            same[tuple(pairs.T)] = [np.array_equal(beginnings[i], old[j]) for i, j in pairs]
        return same.argmax(axis=1) if same.any(axis=1).all() else None

    def begin(self, texts: Any) -> Any:
        """Read whole texts."""
        rows = self.filled_up(range(len(texts[-1])))
        texts = [one[rows] for one in texts]
        tokens = texts[1 if self.decoder.reads_context else 0]
        segments = texts[1] if self.decoder.has_segments else None
        new_segments = np.ones(len(rows)) if self.decoder.is_unilm else np.zeros(len(rows))
        state = begin_texts(self.decoder, tokens, segments, new_segments, ROOM)
        if self.decoder.reads_context:
            state["context"] = texts[0].astype("float32")
            state["context_keep"] = np.ones(texts[0].shape[:2], "bool")
        self.column, self.total = int(state["column"]) - 1, state["tokens"].shape[1]
        return self.start(state)

    def go_on(self, texts: Any, rows: Any) -> Any:
        """Read the newest tokens of texts that continue these rows."""
        new_rows = self.filled_up(range(len(rows)))
        rows = rows[new_rows]
        if not np.array_equal(rows, np.arange(self.state["tokens"].shape[0])):
            self.state = self.reorder(self.state, rows.astype("int32"))
        newest = [one[new_rows, -1].astype("int32") for one in texts if one.ndim == 2]
        if self.decoder.has_segments:
            self.state = dict(self.state, segments=newest[1])
        return self.step(self.state, newest[0])

    def append_and_read(self, state: Any, tokens: Any) -> Any:
        """Outputs after one token (rows,) more, and the state with its keys and values."""
        return read_newest(self.decoder, append(state, tokens))

    @staticmethod
    def filled_up(rows: Any) -> Any:
        """Rows, and the first one again until they are a power of two, so that few sizes are compiled."""
        rows = list(rows)
        return np.array(rows + rows[:1] * (rounded_up(len(rows), least=1) - len(rows)))
