"""Texts of all lengths without padding: several texts share a row, and no text sees another.

Positions start again with each text, and attention stays inside a text, so that a text has the outputs that it has
alone.
"""

from __future__ import annotations

import copy
import weakref
from collections import defaultdict
from typing import Any, Iterable, Iterator, NamedTuple, Sequence

import numpy as np

from bert4keras3.backend import Tensor, Tensors, compiles_shapes
from bert4keras3.blocks import Mixin, ResidualBlocks
from bert4keras3.generation.state import rounded_up
from bert4keras3.layers import FirstToken, TextMask, TextPooling, TextStart, TextTokens, WithoutMask
from bert4keras3.layers.token_wise import is_token_wise
from bert4keras3.transformers import as_list

POOLINGS = {"cls": "first", "mean": "mean", "pooler": "first", "last": "last"}  # {name: that of TextPooling}
HEADS = ("with_mlm", "with_nsp", "with_discriminator", "with_lm")
ROW_LENGTHS = (256, 512)  # longer texts have longer rows
MAX_TEXTS = 64  # of a row
BATCH_TOKENS = 16384


class Row(NamedTuple):
    """A row of several texts: how many tokens it has room for, and the indices of its texts."""

    length: int
    texts: list[int]


def pack(lengths: Sequence[int], row_lengths: Sequence[int], max_texts: int = MAX_TEXTS) -> list[Row]:
    """Share out texts to rows: the longest text first, each into the row whose room it fills best.

    Args:
        lengths: tokens of each text.
        row_lengths: lengths of rows, ascending. A new row has the first that its text fits in, or the length of a
            longer text, rounded up. Attention costs less in short rows.
        max_texts: texts of a row at most.

    Returns:
        The rows. Each text is in one of them.
    """
    rows: list[Row] = []
    rows_with_room: dict[int, list[Row]] = defaultdict(list)
    room = 0  # bit n is set if a row has room for n tokens more, and for a text more
    for index in np.argsort(-np.asarray(lengths, int), kind="stable").tolist():
        length = int(lengths[index])
        fitting = room >> length
        if fitting:
            free = length + (fitting & -fitting).bit_length() - 1
            row = rows_with_room[free].pop()
            if not rows_with_room[free]:
                room ^= 1 << free
        else:
            free = next((one for one in row_lengths if length <= one), rounded_up(length))
            row = Row(free, [])
            rows.append(row)
        row.texts.append(index)
        free -= length
        if free and len(row.texts) < max_texts:
            rows_with_room[free].append(row)
            room |= 1 << free
    return rows


class Place(NamedTuple):
    """Where a text lies.

    Attributes:
        text: its index.
        row: of the batch.
        number: of the text in its row.
        part: its tokens in the row.
        length: its number of tokens.
    """

    text: int
    row: int
    number: int
    part: slice
    length: int


class Batch(NamedTuple):
    """Rows of texts: the inputs of the packed model, (rows, length) each, and where the texts lie."""

    inputs: list[np.ndarray]
    places: list[Place]


def places_of(rows: Iterable[Sequence[int]], lengths: Sequence[int]) -> list[Place]:
    """Where the texts lie, if each row has its texts one after the other."""
    places = []
    for i, row in enumerate(rows):
        start = 0
        for number, index in enumerate(row):
            end = start + lengths[index]
            places.append(Place(index, i, number, slice(start, end), lengths[index]))
            start = end
    return places


class PackedRows(Mixin):
    """Mixin of a copy of a transformer whose model has two inputs more: positions and text numbers.

    Text numbers are 1, 2, … in each row and 0 for padding. An output of tokens has the shape (batch, length, size). An
    output of a text has the shape (batch, max_texts, size) in place of (batch, size), because a row has several texts.

    Attributes:
        pooling: a key of `POOLINGS`: the only output is a vector of each text. None: the outputs of the transformer.
        pools_early: the last block computes the outputs of the pooled tokens alone.
        row_length, max_texts: tokens and texts of a row at most.
    """

    pooling: str | None
    pools_early: bool
    row_length: int
    max_texts: int
    texts: Tensor
    attention_bias: Tensor

    def get_inputs(self) -> Tensors:
        self.position_ids, self.texts = self.apply_input("Input-Position"), self.apply_input("Input-Text")
        return [*as_list(super().get_inputs()), self.position_ids, self.texts]

    def apply_embeddings(self, inputs: Tensors) -> Tensors:
        return super().apply_embeddings(self.simplify(as_list(inputs)[:-2]))

    def apply_token_embedding(self, x: Tensor) -> Tensor:
        x = super().apply_token_embedding(x)
        return self.apply([x, self.position_ids, self.texts], layer=TextStart, name="Text-Start")

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """The mask of the texts, and the model's own mask."""
        if self.is_early(inputs):
            return self.tokens_of_texts()
        if self.attention_bias is None:
            own = super().compute_attention_bias(inputs)
            self.attention_bias = self.apply(
                self.simplify([self.texts, own]), layer=TextMask, name="Attention-Text-Mask"
            )
        return self.attention_bias

    def needed_tokens(self, x: Tensor, index: int) -> Tensor:
        return self.pool(x) if self.is_early(index) else x

    def is_early(self, index: int) -> bool:
        """Whether the pooled tokens are all that is computed of block number `index`."""
        return self.pools_early and index == self.num_hidden_layers - 1

    def apply_first_token(self, x: Tensor) -> Tensor:
        return x if self.pools_early else self.pool(x)

    def apply_final_layers(self, inputs: Tensors) -> Tensors:
        if self.pooling is None:
            inputs = self.apply(inputs, layer=WithoutMask, name="Without-Mask")
        x = super().apply_final_layers(inputs)
        is_pooled = self.pools_early or self.pooling in (None, "pooler")
        return x if is_pooled else self.pool(x)

    def pool(self, x: Tensor) -> Tensor:
        """(batch, length, size) → (batch, max_texts, size)"""
        pooling = POOLINGS[self.pooling or "pooler"]
        name = f"Text-Pooling-{pooling}"
        return self.apply([x, self.tokens_of_texts()], layer=TextPooling, pooling=pooling, name=name)

    def tokens_of_texts(self) -> Tensor:
        """Which tokens belong to which text: bools (batch, max_texts, length)."""
        return self.apply(self.texts, layer=TextTokens, max_texts=self.max_texts, name="Text-Tokens")

    def call_layer(self, layer: Any, inputs: Tensors, arguments: dict[str, Any]) -> Tensors:
        """Call a layer for `apply`. Raises ValueError if the layer may look at other texts."""
        knows_texts = isinstance(layer, (TextMask, TextPooling, TextStart, TextTokens, WithoutMask))
        knows_texts = knows_texts or hasattr(layer, "call_cached")
        if isinstance(layer, FirstToken) or not (knows_texts or is_token_wise(layer)):
            raise ValueError(
                f"{layer.name} ({type(layer).__name__}): cannot be packed, as it may look at tokens of other texts. "
                "Set `token_wise = True` on its class if it treats each token alone."
            )
        return super().call_layer(layer, inputs, arguments)

    @property
    def has_segments(self) -> bool:
        """Whether the model takes segment ids."""
        return len(self.inputs) == 4

    @property
    def padding(self) -> int:
        """Token id of padding."""
        return getattr(self, "pad_token_id", 0)

    @property
    def max_length(self) -> int | None:
        """Tokens of a text at most; None for no limit."""
        return getattr(self.layers.get(self.prefixed("Embedding-Position")), "max_position", None)

    def fill_rows(
        self,
        rows: Iterable[Sequence[int]],
        tokens: Sequence[Any],
        segments: Sequence[Any] | None,
        shape: tuple[int, int],
    ) -> Batch:
        """Make the inputs of rows.

        Args:
            rows: for each row the indices of its texts.
            tokens: token ids of each text.
            segments: segment ids of each text; None for zeros.
            shape: (rows, length) of the inputs; rows that are left have padding alone.
        """
        places = places_of(rows, [len(one) for one in tokens])
        ids, segment_ids, positions, texts = (np.zeros(shape, "float32") for _ in range(4))
        ids += self.padding
        for place in places:
            part = place.row, place.part
            ids[part], positions[part], texts[part] = (
                tokens[place.text],
                np.arange(place.length),
                place.number + 1,
            )
            if segments is not None:
                segment_ids[part] = segments[place.text]
        return Batch([ids, *([segment_ids] if self.has_segments else []), positions, texts], places)

    def pack_batch(self, inputs: Any, targets: Any = None) -> tuple[Any, ...]:
        """Put a batch of texts into rows, for the training of a model on this transformer.

        Args:
            inputs: as of the transformer, token ids or [token ids, segment ids]: lists of any lengths, or padded
                arrays, whose padding at the end is cut.
            targets: of each text if `pooling` is set, otherwise of each token; a list of arrays if there are several
                outputs.

        Returns:
            The inputs and targets of the rows, and sample weights: a loss is the mean over the texts, or over the
            tokens that are no padding. Targets and weights of texts have the shape (rows, max_texts, …), targets and
            weights of tokens (rows, length, …).

        Raises:
            ValueError: a text is empty or has more tokens than a row or the positions.
        """
        tokens, segments = inputs if self.has_segments else (inputs, None)
        if isinstance(tokens, np.ndarray):
            tokens = [without_padding(row, self.padding) for row in tokens]
        lengths = [len(one) for one in tokens]
        if segments is not None:
            segments = [row[:length] for row, length in zip(segments, lengths)]
        check_texts(self, tokens, segments, self.row_length)
        rows = [row.texts for row in pack(lengths, [self.row_length], self.max_texts)]
        shape = (self.rows_in_training(len(rows)), self.row_length)
        batch = self.fill_rows(rows, tokens, segments, shape)
        ones = [1] * len(tokens) if self.pooling else [np.ones(length) for length in lengths]
        weights = self.fill_targets(ones, batch.places, shape).astype("float32")
        if not self.pooling:
            weights *= (batch.inputs[0] != self.padding) | (batch.inputs[-2] == 0)
        weights *= weights.size / weights.sum()  # Keras divides the loss by the size
        first = targets[0] if isinstance(targets, (list, tuple)) else None
        is_list = isinstance(first, np.ndarray) and first.ndim > 1
        filled = [
            with_classes(self.fill_targets(one, batch.places, shape))
            for one in (targets if is_list else [targets])
        ]
        if is_list:
            return batch.inputs, filled, [weights] * len(filled)
        return batch.inputs, filled[0], weights

    def fill_targets(self, targets: Any, places: list[Place], shape: tuple[int, int]) -> Any:
        """Targets of texts (rows, max_texts, …) or of tokens (rows, length, …); None for None."""
        if targets is None:
            return None
        values = [np.asarray(one) for one in targets]
        sizes = (self.max_texts, *values[0].shape) if self.pooling else (shape[1], *values[0].shape[1:])
        filled = np.zeros((shape[0], *sizes), values[0].dtype)
        for place in places:
            if self.pooling:
                filled[place.row, place.number] = values[place.text]
            else:
                filled[place.row, place.part] = values[place.text][: place.length]
        return filled

    def rows_in_training(self, count: int) -> int:
        """Rows of a batch: a number that was used before if it is not much larger, because each is compiled."""
        near = [one for one in self.row_counts if count <= one <= count + count // 8]
        self.row_counts.add(min(near, default=count))
        return min(near, default=count)


def packed_transformer(
    transformer: Any, pooling: str | None = None, row_length: int = 256, max_texts: int = MAX_TEXTS
) -> Any:
    """A copy of a built transformer on the same layers, whose model takes rows of several texts.

    Args:
        transformer: from `build_transformer_model(…, return_keras_model=False)`, with one sequence as its input.
        pooling: the output is a vector of each text, (rows, max_texts, size): "cls", the last hidden state of the first
            token; "mean" over the tokens; "pooler", the model's own pooler; "last", of the last token. None: the
            outputs of the transformer.
        row_length: tokens of a row in training.
        max_texts: texts of a row at most.

    Returns:
        The copy. Its `input` and `output` are those of a model for training; `DataGenerator(…, packed=copy)` makes the
        batches.

    Raises:
        ValueError: the transformer takes more than token and segment ids, has no pooler, or has a layer that may look
            at other texts.
    """
    if not hasattr(transformer, "apply_main_layers"):
        raise ValueError(
            f"expected a transformer, from build_transformer_model(…, return_keras_model=False), got {transformer!r}"
        )
    names = [tensor.name.split(":")[0] for tensor in transformer.inputs]
    others = [name for name in names if "Input-Token" not in name and "Input-Segment" not in name]
    if others or sum("Input-Token" in name for name in names) != 1:
        raise ValueError(
            f"packing: expected token and segment ids as the inputs, got {', '.join(names)}. Build the model without "
            "layer_norm_cond, custom_position_ids and other inputs; of a T5 take the encoder"
        )
    if pooling not in (None, *POOLINGS):
        raise ValueError(f"pooling: expected one of {', '.join(POOLINGS)}, got {pooling!r}")
    if pooling == "pooler" and not getattr(transformer, "with_pool", False):
        raise ValueError('pooling="pooler" needs a model that was built with with_pool=True or an activation')
    packed = copy.copy(transformer)
    packed.__class__ = type("Packed" + type(transformer).__name__, (PackedRows, type(transformer)), {})
    packed.layers, packed.sequence_length, packed.built = dict(transformer.layers), None, False
    packed.attention_bias = packed.position_bias = packed.attention_scores = None
    packed.pooling, packed.row_length, packed.max_texts = pooling, row_length, max_texts
    packed.row_counts = set()
    packed.pools_early = pooling not in (None, "mean") and may_pool_early(transformer)
    if pooling is not None:
        for head in HEADS if pooling == "pooler" else (*HEADS, "with_pool"):
            if hasattr(packed, head):
                setattr(packed, head, False)
    packed.build()
    return packed


def may_pool_early(transformer: Any) -> bool:
    """Whether the last block can compute some tokens alone.

    A mask or a position bias of the model would have to be cut to these tokens.
    """
    return (
        type(transformer).apply_main_layers is ResidualBlocks.apply_main_layers
        and transformer.attention_bias is None
        and transformer.position_bias is None
        and not transformer.residual_attention_scores
    )


class PackedModel:
    """Runs a packed transformer on texts of all lengths.

    Args:
        transformer: from `packed_transformer`.

    Attributes:
        real_tokens, computed_tokens: how many tokens the texts had so far, and how many were computed.
    """

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer
        self.real_tokens = self.computed_tokens = 0
        self.start(BATCH_TOKENS)

    def start(self, batch_tokens: int) -> None:
        """Begin with new texts, which `run` may get in several parts. The shapes of earlier batches are forgotten.

        Args:
            batch_tokens: tokens of a batch.
        """
        self.batch_tokens = batch_tokens
        self.full_shapes: set[tuple[int, int]] = set()  # of batches since

    def run(
        self, tokens: Sequence[Any], segments: Sequence[Any] | None, rest: bool = True
    ) -> Iterator[tuple[Batch, list[np.ndarray]]]:
        """Yield batches of rows, and the outputs of the model for each.

        Args:
            tokens: token ids of each text.
            segments: segment ids of each text; None for zeros.
            rest: run all texts. False: leave the least full rows, those of one batch and what fills no batch, because
                they may be filled by texts that come later.
        """
        lengths = [len(one) for one in tokens]
        total = sum(lengths)  # few texts have a row of their own length
        row_lengths = ROW_LENGTHS if total > ROW_LENGTHS[0] else [rounded_up(total)]
        rows_by_length: dict[int, list[list[int]]] = {}
        for row in pack(lengths, row_lengths, self.transformer.max_texts):
            rows_by_length.setdefault(row.length, []).append(row.texts)
        for row_length, rows in rows_by_length.items():
            size = max(1, self.batch_tokens // row_length)
            if not rest:
                rows.sort(key=lambda row: sum(lengths[i] for i in row), reverse=True)
                rows = rows[: max(0, len(rows) // size - 1) * size]
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                # a shape that was compiled is cheaper than a smaller one
                full = len(chunk) == size or compiles_shapes and (size, row_length) in self.full_shapes
                shape = (size if full else rows_of_batch(len(chunk), size), row_length)
                if full:
                    self.full_shapes.add(shape)
                batch = self.transformer.fill_rows(chunk, tokens, segments, shape)
                self.computed_tokens += shape[0] * shape[1]
                self.real_tokens += sum(place.length for place in batch.places)
                outputs = self.transformer.model.predict_on_batch(batch.inputs)
                yield batch, [np.asarray(one) for one in as_list(outputs)]


def rows_of_batch(count: int, size: int) -> int:
    """Rows of a batch that is not full. If each is compiled: 1 to 8, 10, 12, 14, 16, 20, … up to `size`."""
    step = 1 << max(0, (count - 1).bit_length() - 3) if compiles_shapes else 1
    return min(size, -(-count // step) * step)


models: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()  # {transformer: its PackedModel}


def predict_packed(
    transformer: Any,
    tokens: Sequence[Any],
    segments: Sequence[Any] | None = None,
    batch_tokens: int = BATCH_TOKENS,
) -> list[Any]:
    """`predict` of texts of all lengths, without padding.

    Args:
        transformer: from `build_transformer_model(…, return_keras_model=False)`.
        tokens: token ids of each text, a list of any lengths.
        segments: segment ids of each text; None for zeros.
        batch_tokens: tokens of a batch.

    Returns:
        For each text, in the order given, what the model has as its output: (length, size), or (size,) if it is an
        output of the whole text. A list of such arrays if the model has several outputs.

    Raises:
        ValueError: a text is empty or longer than the positions, or the transformer cannot be packed.
    """
    if transformer not in models:
        models[transformer] = PackedModel(packed_transformer(transformer))
    model = models[transformer]
    check_texts(model.transformer, tokens, segments)
    model.start(batch_tokens)
    of_texts = [len(output.shape) == 2 for output in transformer.outputs]
    results: list[Any] = [None] * len(tokens)
    for batch, outputs in model.run(tokens, segments) if len(tokens) else ():
        for place in batch.places:
            found = [
                output[place.row, place.number if of_text else place.part].copy()
                for output, of_text in zip(outputs, of_texts)
            ]
            results[place.text] = found if len(found) > 1 else found[0]
    return results


def check_texts(
    transformer: Any, tokens: Sequence[Any], segments: Sequence[Any] | None, row_length: int | None = None
) -> None:
    """Raise ValueError for texts that a packed transformer cannot take, or that are longer than a row."""
    limits = [(transformer.max_length, "max_position"), (row_length, "row_length")]
    limit, name = min([one for one in limits if one[0] is not None], default=(None, ""))
    for i, ids in enumerate(tokens):
        if not len(ids):
            raise ValueError(f"text {i}: expected token ids, got none")
        if limit is not None and len(ids) > limit:
            raise ValueError(f"text {i}: expected at most {limit} tokens ({name}), got {len(ids)}")
    if segments is not None and [len(one) for one in segments] != [len(one) for one in tokens]:
        raise ValueError("segments: expected as many segment ids as token ids for each text")


def with_classes(targets: Any) -> Any:
    """Targets with an axis of classes, which Keras 2 expects: (rows, places) → (rows, places, 1)."""
    return targets[..., None] if np.ndim(targets) == 2 else targets


def without_padding(ids: np.ndarray, padding: int) -> np.ndarray:
    """Token ids of a text without the padding at its end; at least one id."""
    return ids[: int(np.flatnonzero(ids != padding).max(initial=0)) + 1]
