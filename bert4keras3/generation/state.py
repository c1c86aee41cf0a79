"""The state of a batch of sequences: a nest of tensors that passes through the compiled loop.

    tokens (batch, total)        ids, 0 outside of the sequences; prompts end in the same column
    prompts (batch, prompt)      the first columns of the tokens
    starts (batch,)              first column of each sequence
    column                       first free column
    until                        column at which the loop stops
    finished (batch,)            whether a sequence has its end token
    segments (batch,)            of new tokens; prompt_segments (batch, prompt): of the prompts
    order (batch, total)         of UniLM: a token attends to tokens of its own and of lower numbers
    masked (batch, total)        if segments are embedded as tokens: True if segment 0 makes the token padding
    source (batch, source)       ids that an encoder encodes, zeros at the right
    context (batch, source, size), context_mask (batch, source): output and mask of the encoder
    past                         keys and values of each layer: (batch, heads, total, size) of self-attention,
                                 (batch, total, size) of a GatedAttentionUnit
    cross_past                   keys and values of attention to the encoder's output, (batch, source, heads, size)
    kernels                      of `transposed_kernels`, for the matmuls of new tokens
    ends, forbidden (vocabulary,)   first_end: column before which no sequence ends
    sampling, uniforms (batch, total)   of sampling.py

Prompts and `total` are padded to powers of two, so that few sizes are compiled.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from bert4keras3.backend import Tensor, keras, ops, transposed_kernels, upcast_floatx, write_column
from bert4keras3.generation.cached_call import Cache, call_with_cache, weight_groups
from bert4keras3.generation.decoder import Decoder
from bert4keras3.layers.embeddings import padding_mask


def rounded_up(size: int, least: int = 16) -> int:
    """The next power of two, `least` or more."""
    return max(least, 1 << (size - 1).bit_length())


def padded(sequences: Sequence[Sequence[int]], length: int, at_right: bool = False) -> np.ndarray:
    """Pad sequences of ids with zeros at the left, or at the right: (batch, length)."""
    made = np.zeros((len(sequences), length), "int32")
    for row, sequence in zip(made, sequences):
        if at_right:
            row[: len(sequence)] = sequence
        else:
            row[length - len(sequence) :] = sequence
    return made


def init_state(
    decoder: Decoder, prompts: Any, segments: Any, new_segments: Any, max_tokens: int
) -> dict[str, Any]:
    """Make the arrays of sequences that consist of their prompts, with room for `max_tokens` new tokens.

    `segments` are ids for each token of a prompt, or None; `new_segments` one id for the new tokens of each sequence.
    """
    width = rounded_up(max(map(len, prompts)))
    total = rounded_up(width + max_tokens)
    state: dict[str, Any] = dict(
        prompts=padded(prompts, width),
        starts=np.array([width - len(prompt) for prompt in prompts], "int32"),
        column=np.int32(width),
        finished=np.zeros(len(prompts), "bool"),
    )
    state["tokens"] = np.pad(state["prompts"], [(0, 0), (0, total - width)])
    if decoder.has_segments:
        state["prompt_segments"] = padded(segments, width)
        state["segments"] = np.array(new_segments, "int32")
    if decoder.is_unilm:
        rest = np.repeat(state["segments"][:, None], total - width, axis=1)
        state["order"] = np.concatenate([state["prompt_segments"], rest], axis=1).cumsum(
            axis=1, dtype="int32"
        )
    if decoder.shares_segments:
        state["masked"] = np.pad(state["prompt_segments"] == 0, [(0, 0), (0, total - width)])
    return state


def prefill(decoder: Decoder, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """Run the model on the prompts: outputs at their last tokens (batch, vocabulary), and the state with its cache."""
    state = dict(state)
    if "source" in state:
        source = state.pop("source")
        state["context"] = decoder.encoder(ops.cast(source, upcast_floatx()))
        state["context_mask"] = padding_mask(source)
    tokens, segments = state.pop("prompts"), state.pop("prompt_segments", None)
    cache = Cache(state, tokens.shape[1])
    outputs = call_with_cache(decoder.transformer, state, cache, tokens, segments)
    kernels = transposed_kernels(weight_groups(decoder.transformer))
    state.update(past=cache.past, cross_past=cache.cross_past, kernels=kernels)
    return ops.cast(outputs, "float32"), state


def decode_step(decoder: Decoder, state: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """Run the model on the newest tokens: outputs there (batch, vocabulary), and the state with its cache."""
    column = state["column"] - 1
    tokens = ops.take(state["tokens"], ops.reshape(column, (1,)), axis=1)
    segments = ops.expand_dims(state["segments"], 1) if decoder.has_segments else None
    if "masked" in state:
        state = dict(state, masked=write_column(state["masked"], column, ops.equal(segments, 0)))
    cache = Cache(state, 1, column)
    outputs = call_with_cache(decoder.transformer, state, cache, tokens, segments)
    return ops.cast(outputs, "float32"), dict(state, past=cache.past, cross_past=cache.cross_past)


def append(state: dict[str, Any], tokens: Tensor) -> dict[str, Any]:
    """The state after one more token of each sequence, (batch,)."""
    written = write_column(state["tokens"], state["column"], ops.expand_dims(tokens, 1))
    return dict(state, tokens=written, column=state["column"] + 1)


ROWS = tuple("tokens starts finished segments order masked context context_mask past cross_past".split())


def rows_of_state(state: dict[str, Any], rows: Tensor, names: Sequence[str] = ROWS) -> dict[str, Any]:
    """The state with these rows, (batch,), of the tensors in `names`."""
    known = {name: state[name] for name in names if name in state}
    return dict(state, **keras.tree.map_structure(lambda x: ops.take(x, rows, axis=0), known))
