"""Text from a decoder: the loop over tokens is compiled, and keys and values of earlier tokens are kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bert4keras3.backend import Compiled, CompiledLoop, ops
from bert4keras3.generation.choosing import Choice, uniform_numbers
from bert4keras3.generation.decoders import Decoder
from bert4keras3.generation.searching import BeamSearch, TokenByToken
from bert4keras3.generation.texts import begin_texts, padded, rounded_up


class Generator:
    """Writes with the weights of a Transformer, which stay those of its model.

    transformer: as `build_transformer_model(…, return_keras_model=False)` gives it: "gpt", "gpt2", "gpt2_ml", "t5", or
    another one with `application="lm"` or "unilm". end_tokens: id or ids with which a text is complete.
    start_tokens: with which T5 begins to write. Raises ValueError where the model writes no text.
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
        """How often something was compiled so far."""
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
        """Ids of the new tokens of each prompt, its end token included, (length,) each.

        prompts: ids of each, of any lengths; for T5 the texts to read. max_tokens, min_tokens: of a new text.
        beams: texts followed at a time in a beam search, which gives the best one. sample and what follows: see
        `Choice`; one seed gives the same text whatever stands beside it in the batch. Where the model gives
        probabilities, scores are their logarithms.
        segments: of the prompts, zeros where None; new_segments: of the new tokens of each, 1 for a UniLM, else that
        of the prompt's last token. stream: called with the new tokens of all texts, every `stream_every` tokens.
        """
        choice = Choice(sample, temperature, top_k, top_p, repetition_penalty, repetition_window)
        choice.check()
        start_tokens = self.ids("start_tokens", self.start_tokens if start_tokens is None else start_tokens)
        self.check(prompts, start_tokens, max_tokens, min_tokens, beams, sample, stream, stream_every)
        forbidden = self.ids("forbidden_tokens", forbidden_tokens)
        state = self.begin(prompts, start_tokens, segments, new_segments, max_tokens)
        first, total = int(state["column"]), state["tokens"].shape[1]
        uniforms = np.zeros((len(prompts), total), "float32")
        if sample:
            uniforms[:, first : first + max_tokens] = uniform_numbers(seed, range(len(prompts)), max_tokens)
        state.update(
            numbers=choice.numbers(),
            uniforms=uniforms,
            ends=self.marked(self.end_tokens),
            forbidden=self.marked(forbidden),
            first_end=np.int32(first + min_tokens - 1),
        )
        start, loop = self.prepared(choice.form(), beams)
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

    def begin(
        self, prompts: Any, start_tokens: Any, segments: Any, new_segments: Any, max_tokens: int
    ) -> Any:
        """The state of these prompts; T5 reads them and begins with its start tokens."""
        decoder = self.decoder
        if decoder.encoder is not None:
            state = begin_texts(decoder, [start_tokens] * len(prompts), None, None, max_tokens)
            width = rounded_up(max(map(len, prompts)))
            state["source"] = padded(prompts, width, at_right=True)
            return state
        if segments is None:
            segments = [[0] * len(prompt) for prompt in prompts]
        if new_segments is None:
            new_segments = [1 if decoder.is_unilm else one[-1] for one in segments]
        return begin_texts(decoder, prompts, segments, new_segments, max_tokens)

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
        """Raise ValueError where an argument of `generate` cannot be meant so."""
        if self.decoder.reads_context and self.decoder.encoder is None:
            raise ValueError("generate: a T5 decoder alone has nothing to read. Build the whole T5.")
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
                "generate: a beam search (beams=%d) neither samples nor streams; pass beams=1" % beams
            )
        if not len(prompts):
            raise ValueError("generate: expected at least one prompt, got none")
        for number, prompt in enumerate(prompts):
            if not len(prompt):
                raise ValueError(
                    "generate: prompt %d is empty. Begin it with a start token, such as [CLS]." % number
                )
            self.ids("prompt %d" % number, prompt)
        limit = self.decoder.max_positions
        longest = max(map(len, prompts)) if self.decoder.encoder is None else len(start_tokens)
        if limit is not None and longest + max_tokens - 1 > limit:
            raise ValueError(
                "generate: a prompt of %d tokens and max_tokens=%d are expected to fit into the %d positions of the "
                "model, its max_position. Shorten the prompt or pass a smaller max_tokens."
                % (longest, max_tokens, limit)
            )

    def ids(self, name: str, tokens: Any) -> Any:
        """Token ids as a tuple, each in the vocabulary."""
        tokens = tuple(int(token) for token in np.atleast_1d(np.asarray(tokens, dtype=int)))
        for token in tokens:
            if not 0 <= token < self.decoder.vocabulary_size:
                raise ValueError(
                    "%s: expected ids from 0 to %d, got %d" % (name, self.decoder.vocabulary_size - 1, token)
                )
        return tokens

    def marked(self, tokens: Any) -> Any:
        """(vocabulary,), True for these tokens."""
        marks = np.zeros(self.decoder.vocabulary_size, "bool")
        marks[list(tokens)] = True
        return marks

    def prepared(self, form: Any, beams: int) -> Any:
        """The compiled start and loop for choices of this form."""
        key = form, beams
        if key not in self.compiled:
            search = TokenByToken(self.decoder, form) if beams == 1 else BeamSearch(self.decoder, form, beams)
            model = self.decoder.model
            self.compiled[key] = (
                Compiled(search.start, model),
                CompiledLoop(search.goes_on, search.step, model),
            )
        return self.compiled[key]

    def cut(self, before: Any, tokens: Any) -> Any:
        """The tokens up to the first end; none where the text was complete before."""
        if np.isin(before, self.end_tokens).any():
            return tokens[:0]
        ends = np.flatnonzero(np.isin(tokens, self.end_tokens))
        return tokens[: ends[0] + 1] if len(ends) else tokens
