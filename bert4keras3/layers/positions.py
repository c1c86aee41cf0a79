"""Positions: embeddings for tokens, and biases for attention scores."""

from __future__ import annotations

from typing import Any

import numpy as np

from bert4keras3.backend import (
    Tensor,
    Tensors,
    at_most,
    dtype_name,
    first_rows,
    keras,
    ops,
    sinusoidal_embeddings,
    upcast_floatx,
)
from bert4keras3.layers.configuration import ConfiguredLayer


def merge_positions(x, embeddings, merge_mode):
    """Join tokens (batch, length, size) and embeddings (1 or batch, length, size), as `TokenPositions` says."""
    if "float" in dtype_name(x):
        embeddings = ops.cast(embeddings, dtype_name(x))
    if merge_mode == "add":
        return x + embeddings
    if merge_mode == "mul":
        return x * (embeddings + 1.0)
    if merge_mode == "zero":
        return embeddings
    shape = ops.shape(x)
    embeddings = ops.broadcast_to(embeddings, (shape[0], shape[1], embeddings.shape[-1]))
    return ops.concatenate([x, embeddings], axis=-1)


def has_several(shape):
    """Whether a layer gets the shapes of several inputs."""
    return isinstance(shape, list) and not isinstance(shape[0], int) and shape[0] is not None


class TokenPositions(ConfiguredLayer):
    """Base of the position embeddings.

    Inputs: x (batch, length, size), or [x, position ids (batch, length)].

    Args:
        output_dim: size of an embedding.
        merge_mode: "add", "mul" for x · (1 + p), "zero" for the positions alone. Any other joins the last axes.
        custom_position_ids: the model has position ids as an input; the inputs of the call decide.
    """

    def __init__(
        self, output_dim: int, merge_mode: str = "add", custom_position_ids: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)  # position ids would be rounded
        self.output_dim = output_dim
        # from an HDF5 file Keras 3 gives its function `add` for the string
        self.merge_mode = getattr(merge_mode, "__name__", merge_mode)
        self.custom_position_ids = custom_position_ids

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return mask[0] if isinstance(mask, (list, tuple)) else mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = tuple(input_shape[0] if has_several(input_shape) else input_shape)
        if self.merge_mode in ("add", "mul", "zero"):
            return shape[:2] + (self.output_dim,)
        return shape[:2] + (shape[2] + self.output_dim,)


class PositionTable(ConfiguredLayer):
    """Base of layers that look positions up in their weights, `embeddings`: (input_dim, output_dim).

    Args:
        input_dim: rows of the table.
        embeddings_initializer: of the table.
    """

    def __init__(self, input_dim: int, embeddings_initializer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.input_dim = input_dim
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape: Any) -> None:
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.input_dim, self.output_dim),
            initializer=self.embeddings_initializer,
        )
        self.built = True


class PositionEmbedding(PositionTable, TokenPositions):
    """Trained position embeddings.

    Args:
        input_dim: rows of the table.
        output_dim: size of an embedding.
        merge_mode: as in `TokenPositions`.
        hierarchical: True (alpha 0.4) or alpha. A table of n rows then has n² positions:
            https://kexue.fm/archives/7947
        embeddings_initializer: of the table.
        custom_position_ids: position ids are an input.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        merge_mode: str = "add",
        hierarchical: None | bool | float = None,
        embeddings_initializer: Any = "zeros",
        custom_position_ids: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            input_dim,
            embeddings_initializer,
            output_dim=output_dim,
            merge_mode=merge_mode,
            custom_position_ids=custom_position_ids,
            **kwargs,
        )
        self.hierarchical = hierarchical

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        if isinstance(inputs, (list, tuple)):
            x, position_ids = inputs
            embeddings = self.lookup(ops.cast(position_ids, "int32"))  # (batch, length, size)
        else:
            x = inputs
            length = self.checked_length(ops.shape(x)[1])
            if self.hierarchical:
                embeddings = self.lookup(ops.arange(0, length, dtype="int32"))  # (length, size)
            else:
                # a slice, not a lookup: a text longer than the table is an error in every framework
                embeddings = first_rows(self.embeddings, length)  # (length, size)
            embeddings = ops.expand_dims(embeddings, 0)  # (1, length, size)
        return merge_positions(x, embeddings, self.merge_mode)

    def call_cached(self, inputs: Tensors, cache: Any, positions: Tensor) -> Tensor:
        """`call` for new tokens: (batch, query, size)."""
        return merge_positions(inputs, self.lookup(positions), self.merge_mode)

    @property
    def max_position(self) -> int:
        """Number of positions: rows of the table, or their square if the table is hierarchical."""
        return self.input_dim**2 if self.hierarchical else self.input_dim

    def checked_length(self, length: Any) -> Any:
        """Return the length of a text. A text with more tokens than positions is an error that names max_position."""
        rows = self.input_dim
        message = (
            f"{self.name}: expected texts of at most {self.max_position} tokens, got %s. "
            f"max_position is {rows}, the rows of the table. Cut the texts"
        )
        if not self.hierarchical:
            message += f", or build the model with hierarchical_position=True for {rows**2} positions"
        return at_most(length, self.max_position, message)

    def compute_output_shape(self, input_shape: Any) -> Any:
        shape = super().compute_output_shape(input_shape)
        if not has_several(input_shape) and shape[1] is not None:
            self.checked_length(shape[1])
        return shape

    def lookup(self, position_ids: Tensor) -> Tensor:
        """Look up positions: (…) → (…, output_dim)."""
        if not self.hierarchical:
            return ops.take(self.embeddings, position_ids, axis=0)
        alpha = 0.4 if self.hierarchical is True else self.hierarchical
        table = (self.embeddings - alpha * self.embeddings[:1]) / (1 - alpha)
        coarse = ops.take(table, position_ids // self.input_dim, axis=0)
        fine = ops.take(table, position_ids % self.input_dim, axis=0)
        return alpha * coarse + (1 - alpha) * fine


class PaddedPositionEmbedding(PositionEmbedding):
    """Trained positions of tokens that are no padding, counted from `padding_id` + 1, as in RoBERTa.

    Inputs: [x (batch, length, size), token ids (batch, length)], or the position ids as a third input.

    Args:
        padding_id: id of the padding token, and its row of the table.
        kwargs: arguments of `PositionEmbedding`.
    """

    def __init__(self, padding_id: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.padding_id = padding_id

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        x, ids, *given = inputs
        if given:
            position_ids = ops.cast(given[0], "int32") + self.padding_id + 1
            return merge_positions(x, self.lookup(position_ids), self.merge_mode)
        self.checked_length(ops.shape(x)[1])
        seen = ops.cast(ops.not_equal(ids, self.padding_id), "int32")
        position_ids = ops.cumsum(seen, axis=1) * seen + self.padding_id  # (batch, length)
        return merge_positions(x, self.lookup(position_ids), self.merge_mode)

    def checked_length(self, length: Any) -> Any:
        message = f"{self.name}: expected texts of at most {self.max_position} tokens, got %s. The table has "
        message += (
            f"{self.input_dim} rows, and the first {self.padding_id + 1} are no positions. Cut the texts"
        )
        return at_most(length, self.max_position, message)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None if mask is None else mask[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return super().compute_output_shape(input_shape[0])

    @property
    def max_position(self) -> int:
        """Number of positions: the rows of the table after the row of the padding token."""
        return self.input_dim - self.padding_id - 1

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), padding_id=self.padding_id)


class SinusoidalPositionEmbedding(TokenPositions):
    """Fixed sine and cosine position embeddings. Rotary attention takes them with `merge_mode="zero"`."""

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        if isinstance(inputs, (list, tuple)):
            x, position_ids = inputs
        else:
            x = inputs
            position_ids = ops.expand_dims(ops.arange(0, ops.shape(x)[1], dtype="int32"), 0)
        return self.merge(x, position_ids)

    def call_cached(self, inputs: Tensors, cache: Any, positions: Tensor) -> Tensor:
        """`call` for new tokens: (batch, query, output_dim) with `merge_mode="zero"`."""
        return self.merge(inputs, positions)

    def merge(self, x: Tensor, position_ids: Tensor) -> Tensor:
        """Join tokens (batch, length, size) and the embeddings of positions (1 or batch, length)."""
        embeddings = sinusoidal_embeddings(ops.cast(position_ids, upcast_floatx()), self.output_dim)
        return merge_positions(x, embeddings, self.merge_mode)


class RelativePositionEmbedding(PositionTable):
    """A vector for each distance from query to key, clipped at both ends: https://arxiv.org/abs/1803.02155

    Inputs: [query, key]; only the lengths count. Output: (query, key, output_dim).

    Args:
        input_dim: rows of the table, one for each distance.
        output_dim: size of a vector.
        embeddings_initializer: of the table.
    """

    def __init__(
        self, input_dim: int, output_dim: int, embeddings_initializer: Any = "zeros", **kwargs: Any
    ) -> None:
        super().__init__(input_dim, embeddings_initializer, **kwargs)
        self.output_dim = output_dim

    def call(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return ops.take(self.embeddings, self.compute_position_ids(inputs), axis=0)

    def call_cached(self, inputs: Tensors, cache: Any, positions: Tensor) -> Tensor:
        """`call` for new tokens: (query, key, output_dim). Distances in a sequence are distances of its columns.

        An encoder's output, which is not the query, begins in column 0. Sequences that attend to it all begin in the
        same column.
        """
        query, key = inputs
        queries, keys = cache.query_columns, cache.key_columns
        if key is not query:
            queries, keys = queries - cache.starts[0], ops.arange(0, key.shape[1], dtype="int32")
        rows = self.rows(relative_distances(queries, keys))
        return ops.take(ops.cast(self.embeddings, self.compute_dtype), rows, axis=0)

    def compute_position_ids(self, inputs: Tensors) -> Tensor:
        """Row of the table for each (query, key)."""
        query, key = inputs
        queries = ops.arange(0, ops.shape(query)[1], dtype="int32")
        return self.rows(relative_distances(queries, ops.arange(0, ops.shape(key)[1], dtype="int32")))

    def rows(self, distances: Tensor) -> Tensor:
        """Row of the table for each distance."""
        limit = (self.input_dim - 1) // 2
        return ops.minimum(ops.maximum(distances, -limit), limit) + limit

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0][1], input_shape[1][1], self.output_dim)


class RelativePositionEmbeddingT5(RelativePositionEmbedding):
    """One bucket for each near distance, wider buckets for far ones, as in T5: https://arxiv.org/abs/1910.10683

    Args:
        input_dim: number of buckets.
        output_dim: size of a vector, the number of heads in T5.
        max_distance: the last bucket has this distance and all larger ones.
        bidirectional: keys after the query have half of the buckets. If False, their distance counts as 0.
        embeddings_initializer: of the table.
    """

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        max_distance: int = 128,
        bidirectional: bool = True,
        embeddings_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(input_dim, output_dim, embeddings_initializer=embeddings_initializer, **kwargs)
        self.max_distance = max_distance
        self.bidirectional = bidirectional

    def rows(self, distances: Tensor) -> Tensor:
        before = ops.maximum(-distances, 0)
        if not self.bidirectional:
            return self.buckets(before, self.input_dim)
        half = self.input_dim // 2
        after = ops.maximum(distances, 0)
        return self.buckets(before + after, half) + ops.cast(ops.not_equal(after, 0), "int32") * half

    def buckets(self, distances: Tensor, count: int) -> Tensor:
        """Bucket of each distance ≥ 0: the number of limits at or below the distance.

        Half of the buckets have one distance each. The others grow by a constant factor up to `max_distance`.
        """
        exact = count // 2
        limits = exact * (self.max_distance / exact) ** (np.arange(count - exact) / (count - exact))
        limits = np.concatenate([np.arange(1, exact), np.ceil(np.round(limits, 6))]).astype("int32")
        reached = ops.less_equal(ops.cast(limits, "int32"), ops.expand_dims(distances, -1))
        return ops.sum(ops.cast(reached, "int32"), axis=-1)


def relative_distances(queries: Tensor, keys: Tensor) -> Tensor:
    """Place of the key minus place of the query: (query,), (key,) → (query, key)."""
    return ops.expand_dims(keys, 0) - ops.expand_dims(queries, 1)
