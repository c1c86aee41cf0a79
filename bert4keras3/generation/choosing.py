"""The next token of each text from the model's scores: the best one, or one drawn at random."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from bert4keras3.backend import ops

MASKED_SCORE = -1e30


class Choice(NamedTuple):
    """How tokens are chosen. What is `None` or 1 changes nothing.

    sample: draw each token; otherwise take the most probable one. temperature: scores are divided by it.
    top_k: draw from this many most probable tokens; top_p: and of those, from the most probable that first reach
    this probability together. repetition_penalty: positive scores of tokens that the text holds are divided by it,
    negative ones multiplied, https://arxiv.org/abs/1909.05858 ; repetition_window: of its last so many tokens.
    """

    sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    repetition_window: int | None = None

    def check(self) -> None:
        for name, good, expected in (
            ("temperature", self.temperature > 0, "above 0"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more"),
            ("top_p", self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("repetition_window", self.repetition_window is None or self.repetition_window >= 1, "1 or more"),
        ):
            if not good:
                raise ValueError(f"generate: {name} expected {expected}, got {getattr(self, name)!r}")

    def form(self) -> Choice:
        """What a compiled loop depends on; other numbers are arguments of it."""
        return Choice(
            self.sample,
            top_k=self.top_k,
            top_p=None if self.top_p is None else 0.0,
            repetition_penalty=1.0 if self.repetition_penalty == 1 else 0.0,
            repetition_window=self.repetition_window,
        )

    def numbers(self) -> dict[str, Any]:
        """The arguments: float32 scalars."""
        values = dict(
            temperature=self.temperature, top_p=self.top_p or 1, repetition_penalty=self.repetition_penalty
        )
        return {name: np.float32(value) for name, value in values.items()}


def allowed_scores(scores: Any, form: Choice, state: dict[str, Any]) -> Any:
    """Scores (batch, vocabulary) after penalty, temperature, forbidden tokens and, where it is early, ends."""
    if form.repetition_penalty != 1:
        scores = penalized(scores, form.repetition_window, state)
    scores = scores / state["numbers"]["temperature"]
    too_early = ops.logical_and(state["ends"], state["column"] < state["first_end"])
    return ops.where(ops.logical_or(state["forbidden"], too_early), MASKED_SCORE, scores)


def penalized(scores, window, state):
    """Scores with those of the tokens in the text, or in its last `window` columns, moved away from 1."""
    tokens, columns = state["tokens"], ops.arange(0, state["tokens"].shape[1], dtype="int32")
    newest = ops.take(tokens, state["column"] - 1, axis=1)[:, None]
    inside = ops.logical_and(columns >= ops.expand_dims(state["starts"], 1), columns < state["column"])
    if window is not None:
        inside = ops.logical_and(inside, columns >= state["column"] - window)
    tokens = ops.where(inside, tokens, newest)  # one that is penalized anyway stands for the others
    old = ops.take_along_axis(scores, tokens, axis=1)
    penalty = state["numbers"]["repetition_penalty"]
    new = ops.where(old > 0, old / penalty, old * penalty)
    batch, length = tokens.shape
    rows = ops.repeat(ops.arange(0, batch, dtype="int32"), length)
    places = ops.stack([rows, ops.reshape(tokens, (-1,))], axis=1)
    return ops.scatter_update(scores, places, ops.reshape(new, (-1,)))


def choose_tokens(scores: Any, form: Choice, state: dict[str, Any]) -> Any:
    """Allowed scores (batch, vocabulary) → token ids (batch,).

    A drawn token takes one number, that of the text and of the column in `state["uniforms"]`.
    """
    if not form.sample:
        return ops.cast(ops.argmax(scores, axis=-1), "int32")
    ids = None
    if form.top_k is not None and form.top_k < scores.shape[-1]:
        scores, ids = ops.top_k(scores, form.top_k)
    probas = ops.softmax(scores, axis=-1)
    if form.top_p is not None:
        probas = nucleus(probas, state["numbers"]["top_p"])
    cumulated = ops.cumsum(probas, axis=-1)
    drawn = ops.take(state["uniforms"], state["column"], axis=1)[:, None] * cumulated[:, -1:]
    place = ops.sum(ops.cast(cumulated <= drawn, "int32"), axis=-1, keepdims=True)
    place = ops.minimum(place, probas.shape[-1] - 1)
    return ops.cast(place if ids is None else ops.take_along_axis(ids, place, axis=-1), "int32")[:, 0]


def nucleus(probas, top_p):
    """Probabilities (batch, …) with 0 for those below the highest threshold that leaves `top_p` together.

    The threshold is found by halving, as a sort of a whole vocabulary takes longer than the model on a CPU.
    """

    def halve(_, limits):
        low, high = limits
        middle = (low + high) / 2
        enough = ops.sum(ops.where(probas >= middle, probas, 0), axis=-1, keepdims=True) >= top_p
        return ops.where(enough, middle, low), ops.where(enough, high, middle)

    limits = ops.zeros_like(probas[:, :1]), ops.max(probas, axis=-1, keepdims=True)
    low, _ = ops.fori_loop(0, 30, halve, limits)
    return ops.where(probas >= low, probas, 0)


def uniform_numbers(seed: int | None, texts: Sequence[int], count: int) -> np.ndarray:
    """Numbers from 0 to 1, (texts, count): those of a text are the same whatever stands beside it."""
    if seed is None:
        seed = np.random.randint(2**31)
    return np.array([np.random.RandomState([seed, text]).random_sample(count) for text in texts], "float32")
