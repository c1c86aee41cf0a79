"""The layers of a model that can have an adapter, and the adapters of Keras in them."""

from __future__ import annotations

import fnmatch
from collections import Counter
from typing import Any, NamedTuple, Sequence

import numpy as np

from bert4keras3.backend import (
    get_values,
    inner_layers,
    keras,
    lora_weights,
    own_weight,
    share_weight,
)
from bert4keras3.checkpoints.huggingface import Place, places_of
from bert4keras3.layers import GatedAttentionUnit, MultiHeadAttention
from bert4keras3.transformers import Transformer
from bert4keras3.weights import base_weights, merged

PREFIX = "base_model.model."
ATTENTION, ALL_LINEAR = "attention", "all-linear"
# {kind of layer: names of a and b in files of PEFT}
NAMES = {False: ("lora_A.weight", "lora_B.weight"), True: ("lora_embedding_A", "lora_embedding_B")}
# Layers behind the table as output projection.
TIED_HEADS = ("MLM-Bias", "LM-Activation", "Decoder-Output-LM-Activation")


class Target(NamedTuple):
    """A layer that can have an adapter.

    Attributes:
        path: its name, behind the name of the layer around it: "Transformer-0-FeedForward/o_dense".
        layer: a Dense, an EinsumDense or an Embedding.
        outer: the layer around it, or itself.
        place: where its weight lies in a file of transformers; None: PEFT gets our name.
        tied: of an Embedding, where its table is the output projection too; None: it is none.
    """

    path: str
    layer: Any
    outer: Any
    place: Place | None
    tied: Place | None = None

    @property
    def is_embedding(self) -> bool:
        return isinstance(self.layer, keras.layers.Embedding)

    def module(self, with_base: bool) -> str:
        """Name of the module of PEFT."""
        if self.place is None:
            return self.path.replace("/", ".")
        return module_of(self.place.full if with_base else self.place.tail)

    def keys(self, with_base: bool) -> list[str]:
        """Names of a and b in a file."""
        return [f"{PREFIX}{self.module(with_base)}.{name}" for name in NAMES[self.is_embedding]]

    def tied_keys(self) -> list[str]:
        """Names of b and a in a file, as the matrices a and b of the output projection."""
        return [f"{PREFIX}{module_of(self.tied.full)}.{name}" for name in NAMES[False]] if self.tied else []

    @property
    def third(self) -> int | None:
        """Number in a module of PEFT that has queries, keys and values, as in GPT-2; None: the module is its own."""
        return self.place.part if self.place else None

    def is_named(self, name: str) -> bool:
        """Whether a name of the argument `layers` of `enable` means this layer."""
        names = [self.path, self.module(True).replace(".", "/")]
        patterns = [name.replace(".", "/"), "*/" + name.replace(".", "/")]
        return any(fnmatch.fnmatchcase(one, pattern) for one in names for pattern in patterns)


def keras_model(model: Any) -> Any:
    return model.model if isinstance(model, Transformer) else model


def layers_of(model: Any) -> list[Any]:
    """The layers of a model that have weights, and the layers of models inside it."""
    layers = list(model.layers.values() if isinstance(model, Transformer) else model.layers)
    nested = [layers_of(layer) if isinstance(layer, keras.Model) else [layer] for layer in layers]
    return [layer for found in nested for layer in found if layer.built and layer.weights]


def rows_of_weights(model: Any) -> dict[int, tuple[str, list[Place]]]:
    """{id of a weight: (its variable of a checkpoint, its places in a file of transformers)}"""
    if not isinstance(model, Transformer):
        return {}
    rows = model.huggingface_rows()
    return {
        id(weight): (variable, places_of(rows[variable]))
        for layer, variables in model.mapped_layers().items()
        for weight, variable in zip(base_weights(model.layers[layer]), variables)
        if variable in rows
    }


def find_targets(model: Any) -> list[Target]:
    """All layers of a model that can have an adapter."""
    rows, targets = rows_of_weights(model), []
    for outer in layers_of(model):
        for layer in [outer, *inner_layers(outer)]:
            if hasattr(layer, "enable_lora") and hasattr(layer, "lora_enabled"):
                path = outer.name if layer is outer else f"{outer.name}/{layer.name}"
                _, (place, *copies) = rows.get(id(own_weight(layer)), ("", [None]))
                if len(copies) > 1:  # encoder and decoder of a T5 share the table, which PEFT cannot adapt
                    place, copies = None, []
                tied = copies[0] if copies and has_tied_head(model) else None
                targets.append(Target(path, layer, outer, place, tied))
    uses = Counter((one.place.full, one.place.part) for one in targets if one.place)
    # The blocks of an unshared ALBERT are one block in a file of transformers.
    return [
        one._replace(place=None) if one.place and uses[one.place.full, one.place.part] > 1 else one
        for one in targets
    ]


def has_tied_head(model: Any) -> bool:
    return any(model.prefixed(name) in model.layers for name in TIED_HEADS)


def choose(targets: list[Target], layers: str | Sequence[str], kept: list[Any], model: Any) -> list[Target]:
    """The targets that the argument `layers` of `enable` names."""
    targets = [one for one in targets if not any(one.outer is layer for layer in kept)]
    if layers == ATTENTION:
        kinds = (MultiHeadAttention, GatedAttentionUnit, keras.layers.MultiHeadAttention)
        chosen = [one for one in targets if isinstance(one.outer, kinds)]
    elif layers == ALL_LINEAR:
        vocabulary = getattr(model, "vocab_size", None)
        chosen = [
            one for one in targets if not one.is_embedding and getattr(one.layer, "units", 0) != vocabulary
        ]
    elif isinstance(layers, str):
        raise ValueError(
            f"lora.enable: layers is {layers!r}, expected {ATTENTION!r}, {ALL_LINEAR!r} or a list"
        )
    else:
        for name in layers:
            if not any(one.is_named(name) for one in targets):
                raise ValueError(
                    f"lora.enable: no layer is named {name!r}. There are {some([t.path for t in targets])}"
                )
        chosen = [one for one in targets if any(map(one.is_named, layers))]
    if not chosen:
        raise ValueError(
            f"lora.enable: layers={layers!r} names no layer. There are {some([t.path for t in targets])}"
        )
    return chosen


def kept_layers(model: Any, names: Sequence[str]) -> list[Any]:
    """The layers that stay trainable."""
    layers = layers_of(model)
    for name in names:
        if not any(fnmatch.fnmatchcase(layer.name, name) for layer in layers):
            raise ValueError(
                f"lora.enable: trainable names {name!r}, expected {some([layer.name for layer in layers])}"
            )
    return [layer for layer in layers if any(fnmatch.fnmatchcase(layer.name, name) for name in names)]


def freeze(model: Any, kept: list[Any]) -> None:
    """Freeze all weights but the weights of the kept layers."""
    stay = {id(weight) for layer in kept for weight in layer.trainable_variables}
    for layer in layers_of(model):
        for weight in layer.trainable_variables:
            weight.trainable = id(weight) in stay


def add_adapters(targets: list[Target], rank: int, lora_alpha: float) -> None:
    """Give layers adapters with the initial values of PEFT, which add zero."""
    for target in targets:
        if target.is_embedding:
            first, second = "zeros", keras.initializers.RandomNormal(stddev=1.0)
        else:  # uniform between ± 1 / √size
            first, second = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform"), "zeros"
        target.layer.enable_lora(rank, lora_alpha=lora_alpha, a_initializer=first, b_initializer=second)
    share_thirds(targets)


def share_thirds(targets: list[Target]) -> None:
    """Queries, keys and values of GPT-2 are one module of PEFT, which has one matrix a."""
    owners: dict[str, Any] = {}
    for target in targets:
        if target.third is not None:
            owner = owners.setdefault(target.module(True), target.layer)
            if target.layer.lora_kernel_a is not owner.lora_kernel_a:
                share_weight(target.layer, "lora_kernel_a", owner.lora_kernel_a)


def adapted(targets: list[Target]) -> list[Target]:
    return [target for target in targets if target.layer.lora_enabled]


def adapters_of(model: Any, function: str) -> list[Target]:
    """The targets with adapters. Raises ValueError if there are none."""
    targets = adapted(find_targets(model))
    if not targets:
        raise ValueError(f"lora.{function}: the model has no adapters. Call lora.enable(model) before")
    return targets


def is_merged(target: Target) -> bool:
    return getattr(target.layer, "lora_merged", None) is not None


def switch(target: Target) -> Any:
    """The weight that is zero while an adapter is merged: b."""
    return lora_weights(target.layer)[1]


def merged_pairs(targets: list[Target], sign: int = 1) -> list[tuple[Any, np.ndarray]]:
    """(weight, its value plus or minus what the adapter adds) of each target."""
    weights = [own_weight(target.layer) for target in targets]
    values = get_values(weights)
    return [(weight, merged(one.layer, value, sign)) for one, weight, value in zip(targets, weights, values)]


def set_trainable(targets: list[Target], value: bool) -> None:
    for target in targets:
        for weight in lora_weights(target.layer):
            weight.trainable = value


def some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def module_of(parameter: str) -> str:
    return parameter[: -len(".weight")] if parameter.endswith(".weight") else parameter
