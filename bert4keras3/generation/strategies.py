"""Strategies of generation: one sequence for each prompt, or a beam search.

Each has a start on the prompts and a step; the generator compiles `start`, and a loop of `step`.
"""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Tensor, ops
from bert4keras3.generation.decoder import Decoder
from bert4keras3.generation.sampling import MASKED_SCORE, SamplingConfig, allowed_scores, choose_tokens
from bert4keras3.generation.state import ROWS, append, decode_step, prefill, rows_of_state


class SingleSequence:
    """One sequence for each prompt: the best token, or a drawn one, at each step.

    Args:
        decoder: of the model.
        config: static part of a `SamplingConfig`.
    """

    def __init__(self, decoder: Decoder, config: SamplingConfig) -> None:
        self.decoder = decoder
        self.config = config

    def start(self, state: dict[str, Any]) -> dict[str, Any]:
        """Run the prompts and append a token to each."""
        return self.advance(*prefill(self.decoder, state))

    def step(self, state: dict[str, Any]) -> dict[str, Any]:
        """Run the newest tokens and append a token to each sequence."""
        return self.advance(*decode_step(self.decoder, state))

    def scores(self, outputs: Tensor, state: dict[str, Any]) -> Tensor:
        """Outputs (batch, vocabulary) → logits, or logarithms of probabilities, of the allowed next tokens."""
        scores = ops.log(outputs + 1e-12) if self.decoder.gives_probabilities else outputs
        return allowed_scores(scores, self.config, state)

    def advance(self, outputs: Tensor, state: dict[str, Any]) -> dict[str, Any]:
        """The state with one more token of each sequence. outputs: (batch, vocabulary)."""
        tokens = choose_tokens(self.scores(outputs, state), self.config, state)
        tokens = ops.where(state["finished"], 0, tokens)
        finished = ops.logical_or(state["finished"], ops.take(state["ends"], tokens))
        return append(dict(state, finished=finished), tokens)

    @staticmethod
    def should_continue(state: dict[str, Any]) -> Tensor:
        """Whether a sequence is unfinished and there is a free column."""
        unfinished = ops.logical_not(ops.all(state["finished"]))
        return ops.logical_and(state["column"] < state["until"], unfinished)


class BeamSearch(SingleSequence):
    """The best of `width` sequences for each prompt, as AutoRegressiveDecoder finds it.

    Rows of the state are sequences, `width` for each prompt, the best one first. A sequence that ends while a better
    one is alive is dropped, and the beam gets narrower. If the best sequence ends, it is the result.
    `beam_scores` (prompts, width): sums of the logarithms of probabilities. `alive` (prompts, width): rows that count.
    """

    def __init__(self, decoder: Decoder, config: SamplingConfig, width: int) -> None:
        super().__init__(decoder, config)
        self.width = width

    def start(self, state: dict[str, Any]) -> dict[str, Any]:
        prompts = state["finished"].shape[0]
        outputs, state = prefill(self.decoder, state)
        rows = ops.repeat(ops.arange(0, prompts, dtype="int32"), self.width)
        names = [name for name in ROWS if name != "finished"]
        places = ops.expand_dims(ops.arange(0, self.width, dtype="int32"), 0)
        # all rows of a prompt are still the same sequence: only the first counts
        scores = ops.where(places == 0, ops.zeros((prompts, 1)), MASKED_SCORE)
        alive = ops.ones((prompts, self.width), "bool")
        state = dict(rows_of_state(state, rows, names), beam_scores=scores, alive=alive)
        return self.advance(ops.take(outputs, rows, axis=0), state)

    def advance(self, outputs: Tensor, state: dict[str, Any]) -> dict[str, Any]:
        (prompts, width), vocabulary = state["beam_scores"].shape, outputs.shape[-1]
        scores = ops.log_softmax(self.scores(outputs, state), axis=-1)
        beam_scores = ops.where(state["alive"], state["beam_scores"], MASKED_SCORE)
        scores = ops.expand_dims(beam_scores, -1) + ops.reshape(scores, (prompts, width, vocabulary))
        beam_scores, best = ops.top_k(ops.reshape(scores, (prompts, width * vocabulary)), width)
        best = ops.cast(best, "int32")
        places = ops.expand_dims(ops.arange(0, width, dtype="int32"), 0)
        over = ops.expand_dims(state["finished"], 1)
        parents = ops.where(over, places, best // vocabulary)
        tokens = ops.where(over, 0, best % vocabulary)
        count = ops.sum(ops.cast(state["alive"], "int32"), axis=1, keepdims=True)
        complete = ops.logical_and(ops.take(state["ends"], tokens), places < count)
        rows = ops.reshape(ops.expand_dims(ops.arange(0, prompts, dtype="int32") * width, 1) + parents, (-1,))
        state = dict(
            rows_of_state(state, rows, ("tokens", "past")),  # the rest is the same for all rows of a prompt
            beam_scores=beam_scores,
            alive=ops.logical_and(places < count, ops.logical_not(complete)),
            finished=ops.logical_or(state["finished"], complete[:, 0]),
        )
        return append(state, ops.reshape(tokens, (-1,)))
