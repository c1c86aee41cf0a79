"""Text from a model that predicts the next token: beam search and random sampling, in NumPy.

Candidates stand in a defined order, the best first and equal ones by their id, so that a seed gives the same
text with any NumPy.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert4keras3.snippets.arrays import softmax

RTYPES = ("probas", "logits")


def best_candidates(scores: np.ndarray, k: int) -> np.ndarray:
    """Indices (…, k) of the `k` highest along the last axis, best first, of equals the lowest index first."""
    size = scores.shape[-1]
    if np.isnan(scores).any():
        raise ValueError("AutoRegressiveDecoder: expected numbers from predict, got NaN")
    if k >= size:
        return np.argsort(-scores, axis=-1, kind="stable")
    threshold = np.partition(scores, size - k, axis=-1)[..., size - k, None]
    rank = np.cumsum(scores == threshold, axis=-1) + (scores > threshold).sum(axis=-1, keepdims=True)
    chosen = (scores > threshold) | ((scores == threshold) & (rank <= k))
    indices = np.nonzero(chosen)[-1].reshape(scores.shape[:-1] + (k,))
    order = np.argsort(-np.take_along_axis(scores, indices, axis=-1), axis=-1, kind="stable")
    return np.take_along_axis(indices, order, axis=-1)


def sample_tokens(probas: np.ndarray, topk: int | None = None, topp: float | None = None) -> np.ndarray:
    """Probabilities (batch, vocabulary) → one token id drawn for each row, (batch,).

    Of the `topk` most probable tokens, and of those, of the most probable that first reach `topp` together.
    One number of NumPy's generator is used for each row.
    """
    probas = np.asarray(probas, "float64")
    ids = None  # of the columns, where they are sorted
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
    """Template: a subclass writes `predict`, decorated with `wraps`, and calls `beam_search` or `random_sample`."""

    def __init__(self, start_id: int | None, end_id: int, maxlen: int, minlen: int = 1) -> None:
        """`start_id`: None for no start token. A text that is `minlen` long, start included, may end with
        `end_id`; `maxlen` tokens are added at most.
        """
        self.start_id, self.end_id = start_id, end_id
        self.maxlen, self.minlen = maxlen, minlen
        self.models: dict[Any, Any] = {}
        self.first_output_ids = np.array([[] if start_id is None else [start_id]], dtype=int)

    @staticmethod
    def wraps(default_rtype: str = "probas", use_states: bool = False) -> Callable[[Callable], Callable]:
        """Decorate `predict(self, inputs, output_ids, states)`, which returns what `default_rtype` says:
        'probas', or 'logits' before the softmax; with `use_states`, that and the new states.

        What comes out takes a temperature and an `rtype` too, and returns (probabilities, states), or
        (their logarithms, states) for the `rtype` 'logits'.
        """
        if default_rtype not in RTYPES:
            raise ValueError(f"wraps: default_rtype expected one of {RTYPES}, got {default_rtype!r}")

        def decorate(predict: Callable) -> Callable:
            @functools.wraps(predict)
            def wrapper(self, inputs, output_ids, states=None, temperature=1, rtype=default_rtype):
                if rtype not in RTYPES:
                    raise ValueError(f"predict: rtype expected one of {RTYPES}, got {rtype!r}")
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
        """A model with the weights of `model` that gives its outputs at the last token only, (batch, …).

        The token is taken inside, so that one row of the vocabulary leaves the device, not one for each token;
        and its `predict` is quick for a few rows, and silent. Made once for each model. JAX compiles it for
        each length that is new. A `CachedModel` of bert4keras3.generation is that already, and computes only the
        newest token.
        """
        if hasattr(model, "last_token_model"):
            return model.last_token_model()
        if model not in self.models:
            from bert4keras3.models.last_token import last_token_model

            self.models[model] = last_token_model(model)
        return self.models[model]

    def predict(self, inputs: list[np.ndarray], output_ids: np.ndarray, states: Any = None) -> Any:
        """The next token's probabilities, (batch, vocabulary), for `inputs` and the tokens so far, (batch, length).

        A subclass writes it and decorates it with `AutoRegressiveDecoder.wraps(…)`. `states` are those of the
        step before, None at first; nothing here looks into them.
        """
        raise NotImplementedError(
            f"{type(self).__name__} is expected to define predict(self, inputs, output_ids, states), "
            "decorated with @AutoRegressiveDecoder.wraps()"
        )

    def beam_search(
        self, inputs: Sequence[Any], topk: int, states: Any = None, temperature: float = 1, min_ends: int = 1
    ) -> np.ndarray:
        """Ids (length,) of the best text, start and end included, with `topk` texts followed at a time.

        `inputs`: those of one sample, without batch axis. A text is complete with its `min_ends`-th end token.
        """
        batch = [np.array([one]) for one in inputs]
        output_ids, totals = self.first_output_ids, np.zeros(1)  # of the texts that are followed, best first
        for _ in range(self.maxlen):
            # the last two arguments come with `wraps`
            scores, states = self.predict(batch, output_ids, states, temperature, "logits")  # type: ignore[call-arg]
            scores = totals[:, None] + np.asarray(scores)
            best = best_candidates(scores.ravel(), topk)
            texts, tokens = np.divmod(best, scores.shape[1])
            output_ids = np.column_stack([output_ids[texts], tokens])
            complete = self._is_complete(output_ids, min_ends)
            if complete[0]:
                return output_ids[0]
            going = ~complete
            batch = [one[texts[going]] for one in batch]
            output_ids, totals = output_ids[going], scores.ravel()[best[going]]
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
        """Ids of `n` texts, each (length,), the ones that were complete first in front.

        Each token is drawn from the `topk` most probable ones, and of those, from the most probable that reach
        `topp` together; None: from all. The rest is as in `beam_search`.
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
        """Which texts (batch, length) are long enough and end with an end token, the `min_ends`-th or later."""
        is_end = output_ids == self.end_id
        return is_end[:, -1] & (is_end.sum(axis=1) >= min_ends) & (output_ids.shape[1] >= self.minlen)
