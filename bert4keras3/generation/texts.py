"""The texts of a batch as a nest of tensors: what goes round in the compiled loop.

    tokens (batch, total)        ids, 0 beside the texts; the prompts stand at the right of the first columns
    prompts (batch, prompt)      those columns
    starts (batch,)              first column of each text
    column                       first one that is free
    until                        column at which the loop stops
    finished (batch,)            whether a text has its end
    segments (batch,)            of new tokens; prompt_segments (batch, prompt): of the prompts
    order (batch, total)         of UniLM: a token sees those of its own and lower numbers
    masked (batch, total)        where segments are embedded as tokens are: those that segment 0 makes padding
    source (batch, source)       ids that an encoder reads, zeros at the right
    context (batch, source, size), context_keep (batch, source): what it gives
    caches                       keys and values of each layer: (batch, heads, total, size) of attention to the text
                                 itself, (batch, total, size) of a GatedAttentionUnit
    cross                        those of attention to the source, (batch, source, heads, size)
    kernels                      of `transposed_kernels`, for the products of the new tokens
    ends, forbidden (vocabulary,)   first_end: column before which no text ends
    numbers, uniforms (batch, total)   of choosing.py

Sizes are rounded up, so that few are compiled: those of prompts and of `total` to powers of two.
"""

import numpy as np

from bert4keras3.backend import keras, ops, transposed_kernels, upcast_floatx, write_column
from bert4keras3.generation.incremental import IncrementalCall, weight_groups
from bert4keras3.layers.embeddings import padding_mask


def rounded_up(size: int, least: int = 16) -> int:
    """The next power of two, `least` or more."""
    return max(least, 1 << (size - 1).bit_length())


def padded(sequences, length, at_right=False):
    """Sequences of ids → (batch, length), zeros at the left, or at the right."""
    made = np.zeros((len(sequences), length), "int32")
    for row, sequence in zip(made, sequences):
        if at_right:
            row[: len(sequence)] = sequence
        else:
            row[length - len(sequence) :] = sequence
    return made


def begin_texts(decoder, prompts, segments, new_segments, max_tokens, total=None):
    """The state of texts of which only the prompts are known; arrays."""
    width = rounded_up(max(map(len, prompts)))
    total = total or rounded_up(width + max_tokens)
    state = dict(
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


def read_prompts(decoder, state):
    """Run the model on the prompts: its outputs at their last tokens, and the state with its caches."""
    state = dict(state)
    if "source" in state:
        source = state.pop("source")
        state["context"] = decoder.encoder(ops.cast(source, upcast_floatx()))
        state["context_keep"] = padding_mask(source)
    call = IncrementalCall(decoder.writer, state)
    outputs = call(state["prompts"], state.get("prompt_segments"))
    kernels = transposed_kernels(weight_groups(decoder.writer))
    state = dict(state, caches=call.caches, cross=call.cross, kernels=kernels)
    del state["prompts"]
    state.pop("prompt_segments", None)
    return ops.cast(outputs, "float32"), state


def read_newest(decoder, state):
    """Run the model on the newest token of each text: its outputs there, and the state with its caches."""
    column = state["column"] - 1
    tokens = ops.take(state["tokens"], ops.reshape(column, (1,)), axis=1)
    segments = ops.expand_dims(state["segments"], 1) if decoder.has_segments else None
    if "masked" in state:
        state = dict(state, masked=write_column(state["masked"], column, ops.equal(segments, 0)))
    call = IncrementalCall(decoder.writer, state, column)
    outputs = call(tokens, segments)
    return ops.cast(outputs, "float32"), dict(state, caches=call.caches, cross=call.cross)


def append(state, tokens):
    """The state after one more token of each text, (batch,)."""
    written = write_column(state["tokens"], state["column"], ops.expand_dims(tokens, 1))
    return dict(state, tokens=written, column=state["column"] + 1)


ROWS = (
    "tokens",
    "starts",
    "finished",
    "segments",
    "order",
    "masked",
    "context",
    "context_keep",
    "caches",
    "cross",
)


def rows_of_state(state, rows, names=ROWS):
    """The state of these texts, of what `names` says."""
    return dict(
        state,
        **{
            name: keras.tree.map_structure(lambda x: ops.take(x, rows, axis=0), state[name])
            for name in names
            if name in state
        },
    )
