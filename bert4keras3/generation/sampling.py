"""The next token of each sequence from the model's scores: the best one, or a sampled one."""

from __future__ import annotations

from typing import Any, NamedTuple, Sequence

import numpy as np

from bert4keras3.backend import Tensor, ops

MASKED_SCORE = -1e30


class SamplingConfig(NamedTuple):
    """How tokens are chosen. None or 1 changes nothing.

    Args:
        sample: draw each token; if False, take the most probable one.
        temperature: divisor of the scores.
        top_k: draw from this many most probable tokens.
        top_p: draw from the fewest most probable tokens that together have this probability, after top_k.
        repetition_penalty: divisor of positive scores and factor of negative scores of tokens in the sequence:
            https://arxiv.org/abs/1909.05858
        repetition_window: number of last tokens of the sequence that are penalized; None for all.
    """

    sample: bool = False
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0
    repetition_window: int | None = None

    def check(self) -> None:
        """Raise ValueError if a value is out of its range."""
        for name, good, expected in (
            ("temperature", self.temperature > 0, "above 0"),
            ("top_k", self.top_k is None or self.top_k >= 1, "1 or more"),
            ("top_p", self.top_p is None or 0 < self.top_p <= 1, "above 0 and at most 1"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0"),
            ("repetition_window", self.repetition_window is None or self.repetition_window >= 1, "1 or more"),
        ):
            if not good:
                raise ValueError(f"generate: {name} expected {expected}, got {getattr(self, name)!r}")

    def static_part(self) -> SamplingConfig:
        """The values on which a compiled loop depends. `traced_values` are arguments of the loop."""
        return SamplingConfig(
            self.sample,
            top_k=self.top_k,
            top_p=None if self.top_p is None else 0.0,
            repetition_penalty=1.0 if self.repetition_penalty == 1 else 0.0,
            repetition_window=self.repetition_window,
        )

    def traced_values(self) -> dict[str, Any]:
        """The arguments of the loop: float32 scalars."""
        values = dict(
            temperature=self.temperature, top_p=self.top_p or 1, repetition_penalty=self.repetition_penalty
        )
        return {name: np.float32(value) for name, value in values.items()}


def allowed_scores(scores: Tensor, config: SamplingConfig, state: dict[str, Any]) -> Tensor:
    """Apply the penalty and the temperature to scores (batch, vocabulary), and mask tokens that may not come next."""
    if config.repetition_penalty != 1:
        scores = penalized(scores, config.repetition_window, state)
    scores = scores / state["sampling"]["temperature"]
    too_early = ops.logical_and(state["ends"], state["column"] < state["first_end"])
    return ops.where(ops.logical_or(state["forbidden"], too_early), MASKED_SCORE, scores)


def penalized(scores: Tensor, window: int | None, state: dict[str, Any]) -> Tensor:
    """Penalize the scores of tokens in the sequence, or in its last `window` columns."""
    tokens, columns = state["tokens"], ops.arange(0, state["tokens"].shape[1], dtype="int32")
    newest = ops.take(tokens, state["column"] - 1, axis=1)[:, None]
    inside = ops.logical_and(columns >= ops.expand_dims(state["starts"], 1), columns < state["column"])
    if window is not None:
        inside = ops.logical_and(inside, columns >= state["column"] - window)
    tokens = ops.where(inside, tokens, newest)  # other columns repeat a penalized token
    old = ops.take_along_axis(scores, tokens, axis=1)
    penalty = state["sampling"]["repetition_penalty"]
    new = ops.where(old > 0, old / penalty, old * penalty)
    batch, length = tokens.shape
    rows = ops.repeat(ops.arange(0, batch, dtype="int32"), length)
    places = ops.stack([rows, ops.reshape(tokens, (-1,))], axis=1)
    return ops.scatter_update(scores, places, ops.reshape(new, (-1,)))


def choose_tokens(scores: Tensor, config: SamplingConfig, state: dict[str, Any]) -> Tensor:
    """Allowed scores (batch, vocabulary) → token ids (batch,).

    A drawn token takes one number: `state["uniforms"]` has one for each sequence and column.
    """
    if not config.sample:
        return ops.cast(ops.argmax(scores, axis=-1), "int32")
    ids = None
    if config.top_k is not None and config.top_k < scores.shape[-1]:
        scores, ids = ops.top_k(scores, config.top_k)
    probas = ops.softmax(scores, axis=-1)
    if config.top_p is not None:
        probas = nucleus(probas, state["sampling"]["top_p"])
    cumulated = ops.cumsum(probas, axis=-1)
    drawn = ops.take(state["uniforms"], state["column"], axis=1)[:, None] * cumulated[:, -1:]
    place = ops.sum(ops.cast(cumulated <= drawn, "int32"), axis=-1, keepdims=True)
    place = ops.minimum(place, probas.shape[-1] - 1)
    return ops.cast(place if ids is None else ops.take_along_axis(ids, place, axis=-1), "int32")[:, 0]


def nucleus(probas: Tensor, top_p: Tensor) -> Tensor:
    """Set probabilities (batch, …) below a threshold to 0: the highest threshold that leaves a sum of `top_p`.

    A bisection finds the threshold: on a CPU, sorting a vocabulary takes longer than the model.
    """

    def halve(_, limits):
        low, high = limits
        middle = (low + high) / 2
        enough = ops.sum(ops.where(probas >= middle, probas, 0), axis=-1, keepdims=True) >= top_p
        return ops.where(enough, middle, low), ops.where(enough, high, middle)

    limits = ops.zeros_like(probas[:, :1]), ops.max(probas, axis=-1, keepdims=True)
    low, _ = ops.fori_loop(0, 30, halve, limits)
    return ops.where(probas >= low, probas, 0)


def uniform_numbers(seed: int | None, sequences: Sequence[int], count: int) -> np.ndarray:
    """Draw numbers from 0 to 1, (sequences, count). They depend on the seed and the sequence's number alone."""
    if seed is None:
        seed = np.random.randint(2**31)
    return np.array([np.random.RandomState([seed, one]).random_sample(count) for one in sequences], "float32")
