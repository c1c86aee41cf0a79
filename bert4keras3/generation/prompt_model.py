"""Padded prompts in, padded texts out: what `Transformer.build_cache_model` gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert4keras3.generation.generator import Generator

# Arguments of models that write, and what `Generator.generate` calls them.
OPTION_NAMES = {
    "temperature": "temperature",
    "penalty": "repetition_penalty",
    "penalty_window": "repetition_window",
    "mask_output": "forbidden_tokens",
    "max_penalty_range": "max_penalty_range",  # refused below
}


class PromptModel:
    """`predict(inputs)` → ids (batch, length): each prompt, what follows it, zeros.

    generator: that writes; length: of the texts, prompts included; leading: so many tokens count as tokens of the
    prompt even where they are 0; options: of `Generator.generate`.
    """

    def __init__(
        self, generator: Generator, length: int, leading: int = 0, progress: bool = False, **options: Any
    ) -> None:
        self.generator = generator
        self.length = length
        self.leading = leading
        self.progress = progress
        self.options = options

    def predict(self, x: Any, batch_size: int | None = None, verbose: Any = 0) -> np.ndarray:
        """x: token ids (batch, length), padded with zeros; then segment ids, those of new tokens included, where the
        model has them. T5: what it reads, and the tokens with which it begins to write, the same for all.
        All texts get as many new tokens as the longest prompt leaves room for.
        """
        inputs = [np.asarray(one).astype("int32") for one in (x if isinstance(x, (list, tuple)) else [x])]
        decoder, options = self.generator.decoder, dict(self.options)
        begun = inputs[1] if decoder.encoder is not None else inputs[0]
        sizes = [self.size(row) for row in begun]
        if max(sizes) >= self.length:
            raise ValueError(
                "build_cache_model: expected prompts shorter than the %d tokens of a text, got %d"
                % (self.length, max(sizes))
            )
        prompts = [row[:size] for row, size in zip(begun, sizes)]
        if decoder.encoder is not None:
            if any(list(prompt) != list(prompts[0]) for prompt in prompts):
                raise ValueError(
                    "build_cache_model: expected the same tokens at the beginning of all new texts"
                )
            options["start_tokens"] = prompts[0]
            read = [np.trim_zeros(row, "b") for row in inputs[0]]
        else:
            read = prompts
        if decoder.has_segments:
            segments = list(zip(inputs[1], sizes))
            options["segments"] = [row[:size] for row, size in segments]
            options["new_segments"] = [row[min(size, len(row) - 1)] for row, size in segments]
        stream = ProgressLine() if self.progress else None
        new = self.generator.generate(read, max_tokens=self.length - max(sizes), stream=stream, **options)
        texts = [np.concatenate(parts) for parts in zip(prompts, new)]
        return np.array([np.pad(text, (0, self.length - len(text))) for text in texts], "int32")

    def size(self, row: Any) -> int:
        """How many tokens of a padded row are the prompt."""
        return max(self.leading, 1 + int(np.flatnonzero(row).max(initial=-1)))


class ProgressLine:
    """Counts the tokens on a line of its own."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, new: Any) -> None:
        self.count += max(map(len, new))
        print("\r%d" % self.count, end="", flush=True)


def build_prompt_model(
    transformer: Any,
    input_lengths: Sequence[int],
    end_token: Any,
    search_mode: str = "greedy",
    k: Any = 1,
    progress_print: bool = False,
    index_bias: int = 0,
    **options: Any,
) -> PromptModel:
    """See `Transformer.build_cache_model`."""
    ways = {
        "greedy": dict(sample=False),
        "topk": dict(sample=True, top_k=k),
        "topp": dict(zip(("top_p", "top_k"), k if isinstance(k, (list, tuple)) else (k,)), sample=True),
    }
    if search_mode not in ways:
        raise ValueError(f"build_cache_model: search_mode expected one of {list(ways)}, got {search_mode!r}")
    generator = Generator(transformer, end_token)
    length = input_lengths[1 if generator.decoder.encoder is not None else 0]
    options = dict(transformer.generation_options, **options)
    options.pop("initial", None)  # to compile before the first prompt comes
    if options.get("max_penalty_range") is not None:
        raise ValueError(
            "build_cache_model: a penalty that grows with the count of a token, max_penalty_range={!r}, is not there. "
            "Leave it out, and every token that the text holds has the same penalty.".format(
                options["max_penalty_range"]
            )
        )
    options = {OPTION_NAMES.get(name, name): value for name, value in options.items() if value is not None}
    return PromptModel(generator, length, index_bias, progress_print, **ways[search_mode], **options)
