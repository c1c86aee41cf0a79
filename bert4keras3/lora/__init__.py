"""LoRA: training of two small matrices beside each frozen kernel, https://arxiv.org/abs/2106.09685

Keras makes the matrices. This module chooses the layers, freezes all others, merges, and reads and writes the files of
PEFT. A model is a Keras model or a `Transformer`. The files of a `Transformer` have the names of its model in
transformers; a Keras model, and a family that transformers lacks, has our names of layers.
"""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

from bert4keras3.backend import (
    forget_functions,
    get_values,
    remove_weight,
    set_values,
    weight_shape,
)
from bert4keras3.lora.files import load, save
from bert4keras3.lora.targets import (
    ATTENTION,
    adapted,
    adapters_of,
    add_adapters,
    choose,
    find_targets,
    freeze,
    is_merged,
    kept_layers,
    keras_model,
    merged_pairs,
    set_trainable,
    switch,
)

__all__ = ["enable", "merge", "unmerge", "remove", "save", "load"]


def enable(
    model: Any,
    rank: int = 8,
    lora_alpha: float | None = None,
    layers: str | Sequence[str] = ATTENTION,
    trainable: Sequence[str] = (),
) -> list[str]:
    """Give layers an adapter, and freeze all other weights of the model. Compile the model afterwards.

    A new head on the model's outputs stays trainable. Initial values are those of PEFT: the outputs do not change.

    Args:
        model: a Transformer or a Keras model, built.
        rank: of the adapters, PEFT's `r`.
        lora_alpha: what an adapter adds is scaled by lora_alpha / rank; None: `rank`.
        layers: "attention": queries, keys, values and outputs of attention layers, and both kernels of a GAU.
            "all-linear": each Dense, without the output projection to the vocabulary. Or a list of names, which may
            have * and ?: "Transformer-0-FeedForward/o_dense", the end of a path, such as "q_dense" or
            "Embedding-Token", or the end of PEFT's name of the module, such as "query".
        trainable: names of layers whose weights stay trainable, such as "Pooler-Dense"; they may have * and ?.

    Returns:
        Paths of the layers with an adapter.

    Raises:
        ValueError: a name has no layer, or the model has adapters.
        NotImplementedError: on Keras 2.
    """
    if type(rank) is not int or rank < 1:
        raise ValueError(f"lora.enable: expected a rank of 1 or more, got {rank!r}")
    targets = find_targets(model)
    if adapted(targets):
        raise ValueError(
            f"lora.enable: {adapted(targets)[0].path} has an adapter. Call lora.remove(model) before"
        )
    kept = kept_layers(model, trainable)
    chosen = choose(targets, layers, kept, model)
    freeze(model, kept)
    add_adapters(chosen, rank, rank if lora_alpha is None else lora_alpha)
    forget_functions(keras_model(model))
    return [target.path for target in chosen]


def merge(model: Any) -> None:
    """Add the adapters to the frozen weights. The outputs stay the same up to rounding.

    Afterwards the adapters add zero and are frozen: `remove` deletes them, `unmerge` takes them out again.

    Raises:
        ValueError: the model has no adapters, or they are merged.
        NotImplementedError: a layer with an adapter is quantized.
    """
    targets = adapters_of(model, "merge")
    for target in targets:
        if target.layer.quantization_mode is not None:
            raise NotImplementedError(
                f"lora.merge: {target.path} is in {target.layer.quantization_mode}, which would round its adapter. "
                "Merge before you call quantize"
            )
        if is_merged(target):
            raise ValueError(f"lora.merge: {target.path} is merged already")
    pairs = merged_pairs(targets)
    for target in targets:
        weight = switch(target)
        target.layer.lora_merged = get_values([weight])[0]
        pairs.append((weight, np.zeros_like(target.layer.lora_merged)))
    set_values(pairs)
    set_trainable(targets, False)


def unmerge(model: Any) -> None:
    """Subtract merged adapters from the weights. The weights are the ones before `merge` up to rounding.

    Raises:
        ValueError: the model has no merged adapters.
    """
    targets = adapters_of(model, "unmerge")
    if not all(map(is_merged, targets)):
        raise ValueError("lora.unmerge: the adapters are not merged")
    set_values([(switch(target), target.layer.lora_merged) for target in targets])
    set_values(merged_pairs(targets, sign=-1))
    for target in targets:
        target.layer.lora_merged = None
    set_trainable(targets, True)


def remove(model: Any) -> None:
    """Delete the adapters. Without `merge` the model is the one before `enable`. All its weights stay frozen.

    Raises:
        ValueError: the model has no adapters.
    """
    targets = adapters_of(model, "remove")
    # Functions that were compiled before know the adapters still, and shall add zero.
    set_values([(weight, np.zeros(weight_shape(weight))) for weight in map(switch, targets)])
    for target in targets:
        kind = "embeddings" if target.is_embedding else "kernel"
        for one in "ab":
            remove_weight(target.layer, f"lora_{kind}_{one}")
        target.layer.lora_enabled, target.layer.lora_merged = False, None
    forget_functions(keras_model(model))
