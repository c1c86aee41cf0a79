"""Padded prompts in, padded sequences out: the model that `Transformer.build_cache_model` returns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bert4keras3.generation.generator import Generator

# Arguments of models for generation, and their names in `Generator.generate`.
OPTION_NAMES = {
    "temperature": "temperature",
    "penalty": "repetition_penalty",
    "penalty_window": "repetition_window",
    "mask_output": "forbidden_tokens",
    "max_penalty_range": "max_penalty_range",  # refused below
}


class PromptModel:
    """`predict(inputs)` → ids (batch, length): each prompt, its new tokens, zeros.

    Args:
        generator: of the new tokens.
        length: of the sequences, prompts included.
        leading: number of first tokens that belong to the prompt even if they are 0.
        progress: print the number of tokens.
        **options: of `Generator.generate`.
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
        """Continue padded prompts. All sequences get as many new tokens as the longest prompt leaves room for.

        Args:
            x: token ids (batch, length), padded with zeros; then segment ids, of new tokens too, if the model has
                segments. Of a T5: ids for the encoder, and the first ids for the decoder, equal in all rows.
            batch_size: ignored.
            verbose: ignored.

        Returns:
            Ids (batch, length).

        Raises:
            ValueError: if a prompt is too long, or the decoder's first ids differ.
        """
        inputs = [np.asarray(one).astype("int32") for one in (x if isinstance(x, (list, tuple)) else [x])]
        decoder, options = self.generator.decoder, dict(self.options)
        begun = inputs[1] if decoder.encoder is not None else inputs[0]
        sizes = [self.size(row) for row in begun]
        if max(sizes) >= self.length:
            raise ValueError(
                f"build_cache_model: expected prompts shorter than the {self.length} tokens of a sequence, "
                f"got {max(sizes)}"
            )
        prompts = [row[:size] for row, size in zip(begun, sizes)]
        if decoder.encoder is not None:
            if any(list(prompt) != list(prompts[0]) for prompt in prompts):
                raise ValueError("build_cache_model: expected the same first tokens in all new sequences")
            options["start_tokens"] = prompts[0]
            encoded = [np.trim_zeros(row, "b") for row in inputs[0]]
        else:
            encoded = prompts
        if decoder.has_segments:
            segments = list(zip(inputs[1], sizes))
            options["segments"] = [row[:size] for row, size in segments]
            options["new_segments"] = [row[min(size, len(row) - 1)] for row, size in segments]
        stream = ProgressLine() if self.progress else None
        new = self.generator.generate(encoded, max_tokens=self.length - max(sizes), stream=stream, **options)
        sequences = [np.concatenate(parts) for parts in zip(prompts, new)]
        return np.array([np.pad(one, (0, self.length - len(one))) for one in sequences], "int32")

    def size(self, row: Any) -> int:
        """Number of tokens of the prompt in a padded row."""
        return max(self.leading, 1 + int(np.flatnonzero(row).max(initial=-1)))


class ProgressLine:
    """Print the number of tokens on one line."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, new: Any) -> None:
        self.count += max(map(len, new))
        print(f"\r{self.count}", end="", flush=True)


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
    modes = {
        "greedy": dict(sample=False),
        "topk": dict(sample=True, top_k=k),
        "topp": dict(zip(("top_p", "top_k"), k if isinstance(k, (list, tuple)) else (k,)), sample=True),
    }
    if search_mode not in modes:
        raise ValueError(f"build_cache_model: search_mode expected one of {list(modes)}, got {search_mode!r}")
    generator = Generator(transformer, end_token)
    length = input_lengths[1 if generator.decoder.encoder is not None else 0]
    options = dict(transformer.generation_options, **options)
    options.pop("initial", None)  # compiled before the first prompt in 1.x
    if options.get("max_penalty_range") is not None:
        raise ValueError(
            f"build_cache_model: expected no max_penalty_range, got {options['max_penalty_range']!r}. A penalty that "
            "grows with the count of a token is not there: leave it out, and every token has the same penalty."
        )
    options = {OPTION_NAMES.get(name, name): value for name, value in options.items() if value is not None}
    return PromptModel(generator, length, index_bias, progress_print, **modes[search_mode], **options)
