"""Generation: the loop over tokens is compiled, and keys and values of earlier tokens are cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert4keras3.backend import Compiled, CompiledLoop, ops
from bert4keras3.generation.decoder import Decoder
from bert4keras3.generation.sampling import SamplingConfig, uniform_numbers
from bert4keras3.generation.state import init_state, padded, rounded_up
from bert4keras3.generation.strategies import BeamSearch, SingleSequence


class Generator:
    """Generates tokens with a Transformer; its weights may change between calls.

    Args:
        transformer: from `build_transformer_model(…, return_keras_model=False)`: "gpt", "gpt2", "gpt2_ml", "t5", or
            another model with `application="lm"` or "unilm".
        end_tokens: id or ids that end a sequence.
        start_tokens: ids with which the decoder of a T5 begins.

    Raises:
        ValueError: if the model is no decoder, or was built with an option that cannot be cached.
        NotImplementedError: on OpenVINO and NumPy.
    """

    def __init__(
        self, transformer: Any, end_tokens: int | Sequence[int] = (), start_tokens: Sequence[int] = (0,)
    ) -> None:
        self.decoder = Decoder(transformer)
        self.end_tokens = self.ids("end_tokens", end_tokens)
        self.start_tokens = self.ids("start_tokens", start_tokens)
        self.compiled: dict[Any, tuple[Compiled, CompiledLoop]] = {}

    @property
    def compilations(self) -> int:
        """Number of compilations so far."""
        return sum(one.compilations for pair in self.compiled.values() for one in pair)

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_tokens: int = 64,
        min_tokens: int = 1,
        beams: int = 1,
        sample: bool = False,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        repetition_penalty: float = 1.0,
        repetition_window: int | None = None,
        forbidden_tokens: Sequence[int] = (),
        seed: int | None = None,
        segments: Sequence[Sequence[int]] | None = None,
        new_segments: Sequence[int] | None = None,
        start_tokens: Sequence[int] | None = None,
        stream: Callable[[list[np.ndarray]], Any] | None = None,
        stream_every: int = 1,
    ) -> list[np.ndarray]:
        """Generate the new tokens of each prompt.

        Args:
            prompts: ids of each prompt, of any lengths. A T5 encodes them.
            max_tokens: most new tokens.
            min_tokens: fewest new tokens.
            beams: width of a beam search, which returns the best sequence; 1 for no search.
            sample: draw tokens, see `SamplingConfig`. If the model returns probabilities, scores are their logarithms.
            temperature: divisor of the scores.
            top_k: draw from this many most probable tokens.
            top_p: draw from the most probable tokens that together have this probability.
            repetition_penalty: factor against tokens that the sequence has already.
            repetition_window: number of last tokens that are penalized; None for all.
            forbidden_tokens: ids that are never generated.
            seed: of the drawn tokens. One seed gives one sequence, whatever else is in the batch.
            segments: segment ids of each prompt; None for zeros.
            new_segments: segment id of the new tokens of each prompt. None is 1 for a UniLM, else the segment of the
                prompt's last token.
            start_tokens: ids with which the decoder of a T5 begins; None for the generator's own.
            stream: function of the newest tokens of all sequences, called every `stream_every` tokens.
            stream_every: number of tokens between two calls of `stream`.

        Returns:
            Ids of the new tokens of each prompt, (length,) each, with the end token.

        Raises:
            ValueError: if an argument is out of its range, or does not fit the model.
        """
        sampling = SamplingConfig(sample, temperature, top_k, top_p, repetition_penalty, repetition_window)
        sampling.check()
        start_tokens = self.ids("start_tokens", self.start_tokens if start_tokens is None else start_tokens)
        self.check(prompts, start_tokens, max_tokens, min_tokens, beams, sample, stream, stream_every)
        forbidden = self.ids("forbidden_tokens", forbidden_tokens)
        state = self.init_state(prompts, start_tokens, segments, new_segments, max_tokens)
        first, total = int(state["column"]), state["tokens"].shape[1]
        uniforms = np.zeros((len(prompts), total), "float32")
        if sample:
            uniforms[:, first : first + max_tokens] = uniform_numbers(seed, range(len(prompts)), max_tokens)
        state.update(
            sampling=sampling.traced_values(),
            uniforms=uniforms,
            ends=self.marked(self.end_tokens),
            forbidden=self.marked(forbidden),
            first_end=np.int32(first + min_tokens - 1),
        )
        start, loop = self.compiled_functions(sampling.static_part(), beams)
        state = dict(start(state))
        shown = first
        while True:
            state["until"] = np.int32(min(first + max_tokens, shown + stream_every if stream else total))
            state = dict(loop(state))
            tokens = ops.convert_to_numpy(state["tokens"])[::beams]
            column = int(state["column"])
            if stream and column > shown:
                stream([self.cut(row[first:shown], row[shown:column]) for row in tokens])
                shown = column
            if column == first + max_tokens or bool(ops.all(state["finished"])):
                return [self.cut([], row[first:column]) for row in tokens]

    def init_state(
        self, prompts: Any, start_tokens: Any, segments: Any, new_segments: Any, max_tokens: int
    ) -> Any:
        """The state of these prompts. A T5 encodes the prompts, and its decoder begins with the start tokens."""
        decoder = self.decoder
        if decoder.encoder is not None:
            state = init_state(decoder, [start_tokens] * len(prompts), None, None, max_tokens)
            width = rounded_up(max(map(len, prompts)))
            state["source"] = padded(prompts, width, at_right=True)
            return state
        if segments is None:
            segments = [[0] * len(prompt) for prompt in prompts]
        if new_segments is None:
            new_segments = [1 if decoder.is_unilm else one[-1] for one in segments]
        return init_state(decoder, prompts, segments, new_segments, max_tokens)

    def check(
        self,
        prompts: Any,
        start_tokens: Any,
        max_tokens: int,
        min_tokens: int,
        beams: int,
        sample: bool,
        stream: Any,
        stream_every: int,
    ) -> None:
        """Raise ValueError if an argument of `generate` is out of its range."""
        if self.decoder.takes_context and self.decoder.encoder is None:
            raise ValueError("generate: a T5 decoder alone has no encoder. Build the whole T5.")
        for name, value in (
            ("max_tokens", max_tokens),
            ("min_tokens", min_tokens),
            ("beams", beams),
            ("stream_every", stream_every),
        ):
            if value < 1:
                raise ValueError(f"generate: {name} expected 1 or more, got {value!r}")
        if beams > 1 and (sample or stream):
            raise ValueError(
                f"generate: a beam search (beams={beams}) neither samples nor streams; pass beams=1"
            )
        if not len(prompts):
            raise ValueError("generate: expected at least one prompt, got none")
        for number, prompt in enumerate(prompts):
            if not len(prompt):
                raise ValueError(
                    f"generate: prompt {number} is empty. Begin it with a start token, such as [CLS]."
                )
            self.ids(f"prompt {number}", prompt)
        limit = self.decoder.max_positions
        longest = max(map(len, prompts)) if self.decoder.encoder is None else len(start_tokens)
        if limit is not None and longest + max_tokens - 1 > limit:
            raise ValueError(
                f"generate: a prompt of {longest} tokens and max_tokens={max_tokens} are expected to fit into the "
                f"{limit} positions of the model, its max_position. Shorten the prompt or pass a smaller max_tokens."
            )

    def ids(self, name: str, tokens: Any) -> Any:
        """Return token ids as a tuple. An id outside of the vocabulary is a ValueError."""
        tokens = tuple(int(token) for token in np.atleast_1d(np.asarray(tokens, dtype=int)))
        for token in tokens:
            if not 0 <= token < self.decoder.vocabulary_size:
                raise ValueError(
                    f"{name}: expected ids from 0 to {self.decoder.vocabulary_size - 1}, got {token}"
                )
        return tokens

    def marked(self, tokens: Any) -> Any:
        """Bools (vocabulary,), True for these tokens."""
        marks = np.zeros(self.decoder.vocabulary_size, "bool")
        marks[list(tokens)] = True
        return marks

    def compiled_functions(self, config: SamplingConfig, beams: int) -> tuple[Compiled, CompiledLoop]:
        """The compiled start and loop for the static part of a `SamplingConfig`."""
        key = config, beams
        if key not in self.compiled:
            decoder, model = self.decoder, self.decoder.model
            strategy = SingleSequence(decoder, config) if beams == 1 else BeamSearch(decoder, config, beams)
            self.compiled[key] = (
                Compiled(strategy.start, model),
                CompiledLoop(strategy.should_continue, strategy.step, model),
            )
        return self.compiled[key]

    def cut(self, before: Any, tokens: Any) -> Any:
        """The tokens up to the first end token; none if an end token stands before them."""
        if np.isin(before, self.end_tokens).any():
            return tokens[:0]
        ends = np.flatnonzero(np.isin(tokens, self.end_tokens))
        return tokens[: ends[0] + 1] if len(ends) else tokens
