"""Token embeddings, whose transposed table can be the output projection."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import (
    Layer,
    Tensor,
    Tensors,
    keras,
    logits,
    lora_factors,
    lora_weights,
    operation,
    ops,
    own_weight,
)


@operation
def padding_mask(ids, padding_id=0):
    """False for every token with id `padding_id`, except the first token."""
    first = ops.ones_like(ids[:, :1], dtype="bool")
    return ops.concatenate([first, ops.not_equal(ids[:, 1:], padding_id)], axis=1)


class Embedding(Layer, keras.layers.Embedding):
    """Embedding whose table is also the output projection (tied weights), with `mode="dense"`.

    mode="embedding": (batch, length) ids → (batch, length, output_dim). mode="dense": (batch, length, output_dim) →
    (batch, length, input_dim), a matmul with the transposed table, without bias. With `mask_zero` the first token is
    never masked, because T5 decoders start with id 0.
    """

    def call(self, inputs: Tensors, mode: str = "embedding") -> Tensors:
        table = own_weight(self) if lora_weights(self) else self.embeddings
        if hasattr(self, "compute_dtype"):
            table = ops.cast(table, self.compute_dtype)
        if mode == "dense" and getattr(self, "replaced_weights", None):
            return ops.matmul(inputs, ops.transpose(table))  # packed weights belong to the layer's own table
        if mode == "dense":
            return self.adapted(logits(self, inputs, table), inputs, mode)
        return self.adapted(ops.take(table, ops.cast(inputs, "int32"), axis=0), inputs, mode)

    def adapted(self, outputs: Tensor, inputs: Tensors, mode: str) -> Tensor:
        """Add what LoRA adds to the outputs of a call; without LoRA they are unchanged."""
        if not lora_weights(self):
            return outputs
        a, b = lora_factors(self)
        if mode == "dense":
            return outputs + ops.matmul(ops.matmul(inputs, ops.transpose(b)), ops.transpose(a))
        return outputs + ops.matmul(ops.take(a, ops.cast(inputs, "int32"), axis=0), b)

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Keras refuses to quantize subclasses, unless type_check is False; `quantized_call` is defined below."""
        return super().quantize(mode, type_check=False, config=config)

    def quantized_call(self, inputs: Tensors, mode: str = "embedding") -> Tensor:
        """The call after `model.quantize` of Keras 3, which divides each row of the table by its own scale."""
        if mode == "embedding":
            return super().quantized_call(ops.cast(inputs, "int32"))
        if self.quantization_mode != "int8":
            raise ValueError(
                f"{self.name}: expected int8, because the table is also the output projection, got "
                f"{self.quantization_mode}. Exclude this layer: "
                f"model.quantize(…, filters=lambda layer: layer.name != {self.name!r})"
            )
        scores = logits(self, inputs, own_weight(self).value, self.embeddings_scale.value)
        return self.adapted(scores, inputs, mode)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        if len(inputs.shape) != 2:
            return mask
        return padding_mask(inputs) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Keras does not pass the mode, so the number of axes determines it."""
        input_shape = tuple(input_shape)
        if len(input_shape) == 2:
            return input_shape + (self.output_dim,)
        return input_shape[:-1] + (self.input_dim,)


class PaddedEmbedding(Embedding):
    """Embedding whose padding token has another id than 0, as in RoBERTa.

    Args:
        arguments: arguments of `Embedding`.
        padding_id: id of the padding token.
        kwargs: arguments of `Embedding`.
    """

    def __init__(self, *arguments: Any, padding_id: int = 1, **kwargs: Any) -> None:
        super().__init__(*arguments, **kwargs)
        self.padding_id = padding_id

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        return mask if len(inputs.shape) != 2 else padding_mask(inputs, self.padding_id)

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), padding_id=self.padding_id)
