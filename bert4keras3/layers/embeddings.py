"""Token embeddings, also used the other way round as the output projection."""

from __future__ import annotations

from typing import Any

from bert4keras3.backend import Layer, Tensor, Tensors, keras, logits, operation, ops, own_weight


@operation
def padding_mask(ids):
    """False where a token other than the first is 0."""
    first = ops.ones_like(ids[:, :1], dtype="bool")
    return ops.concatenate([first, ops.not_equal(ids[:, 1:], 0)], axis=1)


class Embedding(Layer, keras.layers.Embedding):
    """Embedding whose table also serves as a projection to the vocabulary, with `mode="dense"`.

    embedding: (batch, length) ids → (batch, length, output_dim). dense: (batch, length, output_dim) →
    (batch, length, input_dim), a matrix product with the transposed table and no bias.
    With `mask_zero` the first token is never masked, since T5 decoders start with id 0.
    """

    def call(self, inputs: Tensors, mode: str = "embedding") -> Tensors:
        table = (
            ops.cast(self.embeddings, self.compute_dtype)
            if hasattr(self, "compute_dtype")
            else self.embeddings
        )
        if mode == "dense" and getattr(self, "replaced_weights", None):
            return ops.matmul(inputs, ops.transpose(table))  # quicker ways know the layer's own table alone
        if mode == "dense":
            return logits(self, inputs, table)
        return ops.take(table, ops.cast(inputs, "int32"), axis=0)

    def quantize(self, mode: str | None = None, type_check: bool = True, config: Any = None) -> None:
        """Keras refuses subclasses, as they may have a call of their own; ours is below."""
        return super().quantize(mode, type_check=False, config=config)

    def quantized_call(self, inputs: Tensors, mode: str = "embedding") -> Tensor:
        """The call after `model.quantize` of Keras 3, which divides each row of the table by a scale of its own."""
        if mode == "embedding":
            return super().quantized_call(ops.cast(inputs, "int32"))
        if self.quantization_mode != "int8":
            raise ValueError(
                f"{self.name}: expected int8 of a table that is also the projection to the vocabulary, got "
                f"{self.quantization_mode}. Leave it out: "
                f"model.quantize(…, filters=lambda layer: layer.name != {self.name!r})"
            )
        return logits(self, inputs, own_weight(self).value, self.embeddings_scale.value)

    def compute_mask(self, inputs: Tensors, mask: Tensors = None) -> Tensors:
        if len(inputs.shape) != 2:
            return mask
        return padding_mask(inputs) if self.mask_zero else None

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Keras asks for shapes without saying the mode, so the number of axes tells it."""
        input_shape = tuple(input_shape)
        if len(input_shape) == 2:
            return input_shape + (self.output_dim,)
        return input_shape[:-1] + (self.input_dim,)
