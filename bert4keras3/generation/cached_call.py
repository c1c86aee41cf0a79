"""A Transformer's call on new tokens, with the keys and values of all earlier tokens in a cache.

The model's own `apply_embeddings`, `apply_main_layers` and `apply_final_layers` run on real tensors. A layer that
looks at positions or at other tokens has a `call_cached`. Every other layer is called as it is.
"""

from __future__ import annotations

import copy
from typing import Any, Callable

from bert4keras3.backend import (
    Tensor,
    Tensors,
    dense,
    inner_layers,
    inputs_of_call,
    keras,
    ops,
    with_transposed_kernels,
    write_column,
)
from bert4keras3.layers import MultiHeadAttention
from bert4keras3.layers.token_wise import is_token_wise


class Cache:
    """Keys and values of earlier tokens, and the places of the new ones.

    A layer that looks at other tokens has a method `call_cached(inputs, cache, positions, **arguments)`. It gets the
    inputs of its `call` for the new tokens, this cache, and the positions of the new tokens, (batch, query). The
    class of a layer that treats each token alone sets `token_wise = True` instead.

    Sequences grow in one column: sequence i begins in column `starts[i]`, and padding stands before it.

    Attributes:
        starts: first column of each sequence, (batch,).
        query_columns: columns of the new tokens, (query,).
        key_columns: columns of the tokens to which new tokens may attend, (key,).
        key_mask: False at padding, (batch, key).
        order: of a UniLM, (batch, total): a token attends to tokens of its own and of lower numbers.
        context_mask: False at padding of an encoder's output, (batch, source); None without an encoder.
        positions: of the new tokens, (batch, query).
        past: keys and values of all tokens, one list for each call of `extend`.
        cross_past: keys and values of the encoder's output, one list for each call of `extend_cross`.

    Args:
        state: of the sequences, see `state.py`.
        length: number of new tokens.
        first: column of the first new token; None for the prefill, which makes the cache.
    """

    def __init__(self, state: dict[str, Any], length: int, first: Tensor = None) -> None:
        self.is_prefill = first is None
        self.total = state["tokens"].shape[1]
        self.first = 0 if self.is_prefill else first
        self.starts, self.order = state["starts"], state.get("order")
        self.context_mask = state.get("context_mask")
        columns = length if self.is_prefill else self.total
        self.key_columns = ops.arange(0, columns, dtype="int32")
        self.query_columns = self.first + ops.arange(0, length, dtype="int32")
        starts = ops.expand_dims(self.starts, 1)
        self.positions = ops.maximum(ops.expand_dims(self.query_columns, 0) - starts, 0)
        # as Embedding.compute_mask has it: id 0 is padding, but not as the first token
        known = ops.not_equal(state["tokens"][:, :columns], 0)
        if "masked" in state:
            known = ops.logical_and(known, ops.logical_not(state["masked"][:, :columns]))
        self.key_mask = ops.logical_or(known, ops.equal(ops.expand_dims(self.key_columns, 0), starts))
        self.past: list[Tensors] = []
        self.cross_past: list[Tensors] = []
        self.earlier = iter(state.get("past", ()))
        self.earlier_cross = iter(state.get("cross_past", ()))

    def extend(self, *new: Tensor, axis: int = 1) -> Tensors:
        """Put what a layer computed of the new tokens into the cache.

        Args:
            *new: tensors with the new tokens along the axis, such as keys and values.
            axis: of the tokens.

        Returns:
            The same tensors for all of `key_columns`.
        """
        if self.is_prefill:
            padding = [(0, 0)] * len(new[0].shape)
            padding[axis] = 0, self.total - new[0].shape[axis]
            self.past.append([ops.pad(x, padding) for x in new])
            return new
        past = next(self.earlier)
        self.past.append([write_column(old, self.first, x, axis) for old, x in zip(past, new)])
        return self.past[-1]

    def extend_cross(self, compute: Callable[[], Tensors]) -> Tensors:
        """Return `compute()`, keys and values of an encoder's output; it runs at the prefill alone."""
        self.cross_past.append(compute() if self.is_prefill else next(self.earlier_cross))
        return self.cross_past[-1]

    def call(self, layer: Any, inputs: Tensors, arguments: dict[str, Any]) -> Tensors:
        """Call a layer on the new tokens.

        Raises:
            ValueError: if the layer may look at other tokens and has no `call_cached`.
        """
        if hasattr(layer, "call_cached"):
            return layer.call_cached(inputs, self, self.positions, **arguments)
        if isinstance(layer, keras.layers.Dense):
            return dense(layer, inputs)
        if is_token_wise(layer):
            return layer(inputs, **arguments)
        raise ValueError(
            f"{layer.name} ({type(layer).__name__}): cannot be cached, as it may look at other tokens than the new "
            "ones. Set `token_wise = True` on its class if it treats each token alone, or write `call_cached`."
        )


def call_with_cache(
    transformer: Any, state: dict[str, Any], cache: Cache, tokens: Tensor, segments: Tensor = None
) -> Tensor:
    """Run a Transformer on new tokens and segments (batch, query): outputs at the last token (batch, vocabulary).

    A copy of the transformer holds what belongs to this call, so that several threads may use the transformer.
    """
    inputs = [tokens] if segments is None else [tokens, segments]
    if "context" in state:
        inputs.insert(0, state["context"])
    call = copy.copy(transformer)
    call.generation_cache = cache
    call.inputs, call.attention_bias, call.position_bias = inputs, None, None
    with with_transposed_kernels(weight_groups(transformer), state.get("kernels", ())):
        outputs = call.apply_embeddings(call.simplify(inputs))
        for index in range(call.num_hidden_layers):
            outputs = call.apply_main_layers(outputs, index)
        if isinstance(outputs, list):
            outputs = outputs[:-1] + [outputs[-1][:, -1:]]
        else:
            outputs = outputs[:, -1:]
        outputs = call.apply_final_layers(outputs)
    return (outputs[-1] if isinstance(outputs, list) else outputs)[:, 0]


def weight_groups(transformer: Any) -> list[list[Any]]:
    """Layers whose weights multiply a new token. Layers with the same inputs form one group."""
    groups = []
    for layer in transformer.layers.values():
        if isinstance(layer, MultiHeadAttention):
            query, source = inputs_of_call(layer)[:2]
            groups.append([layer.q_dense] + ([layer.k_dense, layer.v_dense] if query is source else []))
            groups.append([layer.o_dense])
        else:
            groups.extend([one] for one in [layer, *inner_layers(layer)])
    return groups
