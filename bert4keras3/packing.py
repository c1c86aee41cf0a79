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

from bert4keras3.backend import Tensor, Tensors
from bert4keras3.blocks import Mixin
from bert4keras3.generation.state import rounded_up
from bert4keras3.layers import FirstToken, TextMask, TextPooling, TextStart, TextTokens
from bert4keras3.layers.token_wise import is_token_wise
from bert4keras3.transformers import as_list

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
        row_lengths: lengths of rows, ascending. A new row has the first that its text fits in, or the length of a longer
            text, rounded up. Attention costs less in short rows.
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


class PackedRows(Mixin):
    """Mixin of a copy of a transformer whose model has two inputs more: positions and text numbers.

    Text numbers are 1, 2, … in each row and 0 for padding. An output of tokens has the shape (batch, length, size). An
    output of a text has the shape (batch, max_texts, size) in place of (batch, size), because a row has several texts.
    """

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
        return self.apply([x, self.position_ids], layer=TextStart, name="Text-Start")

    def compute_attention_bias(self, inputs: Any = None) -> Tensor:
        """The mask of the texts, and the model's own mask."""
        if self.attention_bias is None:
            own = super().compute_attention_bias(inputs)
            self.attention_bias = self.apply(
                self.simplify([self.texts, own]), layer=TextMask, name="Attention-Text-Mask"
            )
        return self.attention_bias

    def apply_first_token(self, x: Tensor) -> Tensor:
        return self.pool(x, "first")

    def pool(self, x: Tensor, pooling: str) -> Tensor:
        """(batch, length, size) → (batch, max_texts, size); pooling: as in `TextPooling`."""
        name = f"Text-Pooling-{pooling}"
        return self.apply([x, self.tokens_of_texts()], layer=TextPooling, pooling=pooling, name=name)

    def tokens_of_texts(self) -> Tensor:
        """Which tokens belong to which text: bools (batch, max_texts, length)."""
        return self.apply(self.texts, layer=TextTokens, max_texts=self.max_texts, name="Text-Tokens")

    def call_layer(self, layer: Any, inputs: Tensors, arguments: dict[str, Any]) -> Tensors:
        """Call a layer for `apply`. Raises ValueError if the layer may look at other texts."""
        knows_texts = isinstance(layer, (TextMask, TextPooling, TextStart, TextTokens)) or hasattr(layer, "call_cached")
        if isinstance(layer, FirstToken) or not (knows_texts or is_token_wise(layer)):
            raise ValueError(
                f"{layer.name} ({type(layer).__name__}): cannot be packed, as it may look at tokens of other texts. "
                "Set `token_wise = True` on its class if it treats each token alone."
            )
        return super().call_layer(layer, inputs, arguments)


def packed_copy(transformer: Any, mixin: type, **attributes: Any) -> Any:
    """A copy of a built transformer, on the same layers, with a model for packed rows.

    Args:
        transformer: a `Transformer` with one sequence as its input.
        mixin: `PackedRows` or a subclass.
        attributes: what the copy has otherwise.

    Raises:
        ValueError: the transformer takes more than token and segment ids.
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
    packed = copy.copy(transformer)
    packed.__class__ = type("Packed" + type(transformer).__name__, (mixin, type(transformer)), {})
    packed.layers, packed.sequence_length, packed.built = dict(transformer.layers), None, False
    packed.attention_bias = packed.position_bias = packed.attention_scores = None
    vars(packed).update(attributes)
    packed.build()
    return packed


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


class PackedModel:
    """Runs a packed transformer on texts of all lengths.

    Args:
        transformer: from `packed_copy`.

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

    @property
    def has_segments(self) -> bool:
        """Whether the model takes segment ids."""
        return len(self.transformer.inputs) == 4

    @property
    def max_length(self) -> int | None:
        """Tokens of a text at most; None for no limit."""
        layers = self.transformer.layers
        return getattr(layers.get(self.transformer.prefixed("Embedding-Position")), "max_position", None)

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
                full = len(chunk) == size or (size, row_length) in self.full_shapes
                shape = (size if full else rows_of_batch(len(chunk), size), row_length)
                if full:
                    self.full_shapes.add(shape)
                batch = self.fill_rows(chunk, tokens, segments, shape)
                self.computed_tokens += shape[0] * shape[1]
                self.real_tokens += sum(place.length for place in batch.places)
                outputs = self.transformer.model.predict_on_batch(batch.inputs)
                yield batch, [np.asarray(one) for one in as_list(outputs)]

    def fill_rows(
        self,
        rows: Iterable[Sequence[int]],
        tokens: Sequence[Any],
        segments: Sequence[Any] | None,
        shape: tuple[int, int],
    ) -> Batch:
        """Make the inputs of these rows.

        Args:
            rows: for each row the indices of its texts.
            tokens, segments: as in `run`.
            shape: (rows, length) of the inputs; rows that are left have padding alone.
        """
        ids, segment_ids, positions, texts = (np.zeros(shape, "float32") for _ in range(4))
        ids += getattr(self.transformer, "pad_token_id", 0)
        places = []
        for i, row in enumerate(rows):
            start = 0
            for number, index in enumerate(row):
                length = len(tokens[index])
                part = slice(start, start + length)
                ids[i, part], positions[i, part], texts[i, part] = (
                    tokens[index],
                    np.arange(length),
                    number + 1,
                )
                if segments is not None:
                    segment_ids[i, part] = segments[index]
                places.append(Place(index, i, number, part, length))
                start += length
        return Batch([ids, *([segment_ids] if self.has_segments else []), positions, texts], places)


def rows_of_batch(count: int, size: int) -> int:
    """Rows of a batch that is not full: a power of two, or a multiple of an eighth of a full batch."""
    step = max(1, size // 8)
    return min(size, rounded_up(count, least=1) if count <= step else -(-count // step) * step)


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
        models[transformer] = PackedModel(packed_copy(transformer, PackedRows, max_texts=MAX_TEXTS))
    model = models[transformer]
    check_texts(model, tokens, segments)
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


def check_texts(model: PackedModel, tokens: Sequence[Any], segments: Sequence[Any] | None) -> None:
    """Raise ValueError for texts that the model cannot take."""
    for i, ids in enumerate(tokens):
        if not len(ids):
            raise ValueError(f"text {i}: expected token ids, got none")
        if model.max_length is not None and len(ids) > model.max_length:
            raise ValueError(
                f"text {i}: expected at most {model.max_length} tokens (max_position), got {len(ids)}"
            )
    if segments is not None and [len(one) for one in segments] != [len(one) for one in tokens]:
        raise ValueError("segments: expected as many segment ids as token ids for each text")
