"""Decoding with a model that predicts the next token: beam search and random sampling, in NumPy.

The order of candidates is defined: by score, and by id if scores are equal. So a seed gives the same sequence with
every NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert4keras3.snippets.arrays import softmax

RTYPES = ("probas", "logits")


def best_candidates(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices (…, k) of the `k` highest scores along the last axis, sorted by score, then by index."""
    size = scores.shape[-1]
    if np.isnan(scores).any():
        raise ValueError("AutoRegressiveDecoder: predict returned NaN, expected numbers")
    if k >= size:
        return np.argsort(-scores, axis=-1, kind="stable")
    threshold = np.partition(scores, size - k, axis=-1)[..., size - k, None]
    rank = np.cumsum(scores == threshold, axis=-1) + (scores > threshold).sum(axis=-1, keepdims=True)
    chosen = (scores > threshold) | ((scores == threshold) & (rank <= k))
    indices = np.nonzero(chosen)[-1].reshape(scores.shape[:-1] + (k,))
    order = np.argsort(-np.take_along_axis(scores, indices, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(indices, order, axis=-1)


def sample_tokens(probas: np.ndarray, topk: int | None = None, topp: float | None = None) -> np.ndarray:
    """Draw one token id for each row of probabilities (batch, vocabulary): (batch,).

    It is drawn from the `topk` most probable tokens, restricted to the most probable ones whose sum first reaches
    `topp`. Each row takes one number of NumPy's random generator.
    """
    probas = np.asarray(probas, "float64")
    ids = None  # token ids of the columns, if the columns are sorted
    if topk is not None or topp is not None:
        ids = best_candidates(probas, probas.shape[-1] if topk is None else topk)
        probas = np.take_along_axis(probas, ids, axis=-1)
    probas = probas / probas.sum(axis=-1, keepdims=True)
    if topp is not None:
        reached = np.cumsum(probas, axis=-1) >= topp
        probas[:, 1:][reached[:, :-1]] = 0
    cumulated = np.cumsum(probas, axis=-1)
    drawn = np.random.random_sample((len(probas), 1)) * cumulated[:, -1:]
    columns = (cumulated <= drawn).sum(axis=-1, keepdims=True)
    return (columns if ids is None else np.take_along_axis(ids, columns, axis=-1))[:, 0]


class AutoRegressiveDecoder:
    """Base class: a subclass defines `predict`, decorated with `wraps`; users call `beam_search` or `random_sample`.

    Args:
        start_id: id of the start token; None: no start token.
        end_id: id of the end token.
        maxlen: largest number of generated tokens.
        minlen: shortest length, with the start token, at which a sequence may end.
    """

    def __init__(self, start_id: int | None, end_id: int, maxlen: int, minlen: int = 1) -> None:
        self.start_id, self.end_id = start_id, end_id
        self.maxlen, self.minlen = maxlen, minlen
        self.models: dict[Any, Any] = {}
        self.first_output_ids = np.array([[] if start_id is None else [start_id]], dtype=int)

    @staticmethod
    def wraps(default_rtype: str = "probas", use_states: bool = False) -> Callable[[Callable], Callable]:
        """Decorate `predict(self, inputs, output_ids, states)`.

        The decorated method also takes `temperature` and `rtype`. It returns (probabilities, states), or
        (log-probabilities, states) if `rtype` is 'logits'.

        Args:
            default_rtype: what `predict` returns: 'probas' or 'logits' (before softmax).
            use_states: whether `predict` returns (scores, new states).

        Raises:
            ValueError: the type is unknown.
        """
        if default_rtype not in RTYPES:
            raise ValueError(f"wraps: expected default_rtype to be one of {RTYPES}, got {default_rtype!r}")

        def decorate(predict: Callable) -> Callable:
            @functools.wraps(predict)
            def wrapper(self, inputs, output_ids, states=None, temperature=1, rtype=default_rtype):
                if rtype not in RTYPES:
                    raise ValueError(f"predict: expected rtype to be one of {RTYPES}, got {rtype!r}")
                prediction = predict(self, inputs, output_ids, states)
                scores, states = prediction if use_states else (prediction, None)
                probas = np.asarray(scores)
                if default_rtype == "logits":
                    probas = softmax(probas / temperature)
                elif temperature != 1:
                    probas = np.power(probas, 1.0 / temperature)
                    probas = probas / probas.sum(axis=-1, keepdims=True)
                return (probas if rtype == "probas" else np.log(probas + 1e-12)), states

            return wrapper

        return decorate

    def last_token(self, model: Any) -> Any:
        """A model with the weights of `model` and its outputs at the last token only, (batch, …).

        The last token is selected inside the model, so only one row of vocabulary scores leaves the device. Its
        `predict` is fast for a few rows, and silent. The model is created once for each `model`. JAX compiles it for
        each new length. A `CachedModel` of bert4keras3.generation already does this, and computes only the newest
        token.
        """
        if hasattr(model, "last_token_model"):
            return model.last_token_model()
        if model not in self.models:
            from bert4keras3.models.last_token import last_token_model

            self.models[model] = last_token_model(model)
        return self.models[model]

    def predict(self, inputs: list[np.ndarray], output_ids: np.ndarray, states: Any = None) -> Any:
        """Probabilities (batch, vocabulary) of the next token. A subclass defines it and decorates it with `wraps`.

        Args:
            inputs: arrays with a batch axis.
            output_ids: tokens so far, (batch, length).
            states: states that the previous step returned; None at the first step.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define predict(self, inputs, output_ids, states), "
            "decorated with @AutoRegressiveDecoder.wraps()"
        )

    def beam_search(
        self, inputs: Sequence[Any], topk: int, states: Any = None, temperature: float = 1, min_ends: int = 1
    ) -> np.ndarray:
        """Beam search.

        Args:
            inputs: inputs of one sample, without batch axis.
            topk: number of beams.
            states: states for the first call of `predict`.
            temperature: divides the logits.
            min_ends: number of end tokens that complete a sequence.

        Returns:
            Ids (length,) of the best sequence, with start and end token.
        """
        batch = [np.array([one]) for one in inputs]
        output_ids, beam_scores = self.first_output_ids, np.zeros(1)  # best beam first
        for _ in range(self.maxlen):
            # `wraps` adds the last two arguments
            scores, states = self.predict(batch, output_ids, states, temperature, "logits")  # type: ignore[call-arg]
            scores = beam_scores[:, None] + np.asarray(scores)
            best = best_candidates(scores.ravel(), topk)
            beams, tokens = np.divmod(best, scores.shape[1])
            output_ids = np.column_stack([output_ids[beams], tokens])
            complete = self._is_complete(output_ids, min_ends)
            if complete[0]:
                return output_ids[0]
            alive = ~complete
            batch = [one[beams[alive]] for one in batch]
            output_ids, beam_scores = output_ids[alive], scores.ravel()[best[alive]]
            topk = len(output_ids)
        return output_ids[0]

    def random_sample(
        self,
        inputs: Sequence[Any],
        n: int,
        topk: int | None = None,
        topp: float | None = None,
        states: Any = None,
        temperature: float = 1,
        min_ends: int = 1,
    ) -> list[np.ndarray]:
        """Random sampling.

        Args:
            inputs: inputs of one sample, without batch axis.
            n: number of sequences.
            topk: draw from the `topk` most probable tokens; None: from all.
            topp: draw from the most probable tokens whose sum first reaches `topp`; None: from all.
            states, temperature, min_ends: as in `beam_search`.

        Returns:
            Ids (length,) of each of the `n` sequences, in the order in which they were completed.
        """
        batch = [np.array([one]) for one in inputs]
        output_ids, results = self.first_output_ids, []
        for step in range(self.maxlen):
            probas, states = self.predict(batch, output_ids, states, temperature, "probas")  # type: ignore[call-arg]
            if step == 0:
                batch = [np.repeat(one, n, axis=0) for one in batch]
                probas, output_ids = np.repeat(probas, n, axis=0), np.repeat(output_ids, n, axis=0)
            output_ids = np.column_stack([output_ids, sample_tokens(probas, topk, topp)])
            complete = self._is_complete(output_ids, min_ends)
            results.extend(output_ids[complete])
            batch, output_ids = [one[~complete] for one in batch], output_ids[~complete]
            if not len(output_ids):
                break
        return results + list(output_ids)

    def _is_complete(self, output_ids: np.ndarray, min_ends: int) -> np.ndarray:
        """Which sequences (batch, length) have `minlen` tokens, `min_ends` end tokens, and an end token last."""
        is_end = output_ids == self.end_id
        return is_end[:, -1] & (is_end.sum(axis=1) >= min_ends) & (output_ids.shape[1] >= self.minlen)
