"""LoRA: training of two small matrices beside each frozen kernel, https://arxiv.org/abs/2106.09685

Keras makes the matrices. This module chooses the layers, freezes all others, merges, and reads and writes the files of
PEFT. A model is a Keras model or a `Transformer`. The files of a `Transformer` have the names of its model in
transformers; a Keras model, and a family that transformers lacks, has our names of layers.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
from collections import Counter, defaultdict
from typing import Any, NamedTuple, Sequence

import numpy as np

from bert4keras3.backend import (
    forget_functions,
    get_values,
    inner_layers,
    keras,
    lora_weights,
    own_weight,
    remove_weight,
    set_values,
    share_weight,
    weight_shape,
)
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.checkpoints.huggingface import PARTS, Place, places_of
from bert4keras3.checkpoints.safetensors_writer import Spec, write_folder
from bert4keras3.huggingface import FAMILIES, HEADS
from bert4keras3.layers import GatedAttentionUnit, MultiHeadAttention
from bert4keras3.transformers import Transformer
from bert4keras3.weights import base_weights, merged

CONFIG = "adapter_config.json"
PREFIX = "base_model.model."
ATTENTION, ALL_LINEAR = "attention", "all-linear"
# {kind of layer: names of a and b in files of PEFT}
NAMES = {False: ("lora_A.weight", "lora_B.weight"), True: ("lora_embedding_A", "lora_embedding_B")}
TIED_HEADS = (
    "MLM-Bias",
    "LM-Activation",
    "Decoder-Output-LM-Activation",
)  # behind the table as output projection
# Keys of PEFT's configuration that change what an adapter computes, and the values that Keras's LoRA has.
EXPECTED: dict[str, tuple] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (None, False),
    "lora_bias": (None, False),
    "layer_replication": (None,),
    "trainable_token_indices": (None,),
    "target_parameters": (None, []),
    "alora_invocation_tokens": (None,),
}


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


def save(model: Any, folder: str, architecture: str | None = None) -> None:
    """Write the adapters, and the weights of layers that are trainable, as PEFT does.

    Args:
        model: a Transformer, or a Keras model with adapters.
        folder: gets adapter_config.json and adapter_model.safetensors. If writing fails, its old files are unchanged.
        architecture: class of transformers that will have the adapter, such as "BertForSequenceClassification"; None:
            the class that `save_pretrained` chooses. Names in a BertModel begin without "bert.".

    Raises:
        ValueError: the model has no adapters, or two of them have one name.
        CheckpointError: a file cannot be written.
    """
    targets = adapters_of(model, "save")
    with_base = has_base(model, architecture)
    others = trainable_tensors(model, with_base)
    arrays = {**adapter_tensors(targets, with_base), **others}
    modules_to_save = sorted({key[len(PREFIX) :].rpartition(".")[0] for key in others})
    config = configuration(targets, with_base, modules_to_save)
    # The modules of GPT and GPT-2 have kernels of (size, units).
    config["fan_in_fan_out"] = any(target.third is not None for target in find_targets(model))
    specs = [Spec(name, str(array.dtype), tuple(array.shape)) for name, array in arrays.items()]
    texts: dict[str, str | bytes] = {CONFIG: json.dumps(config, indent=2) + "\n"}
    write_folder(os.fspath(folder), specs, iter(arrays.items()), texts, stem="adapter_model")


def load(model: Any, folder: str) -> list[str]:
    """Load adapters that PEFT or `save` wrote. A model without adapters gets them, as from `enable`.

    All values are read and checked before the first weight is set.

    Args:
        model: a Transformer; or a Keras model, for files with our names of layers.
        folder: with adapter_config.json and adapter_model.safetensors, or adapter_model.bin.

    Returns:
        Paths of the layers with an adapter.

    Raises:
        ValueError: Keras's LoRA cannot express the adapter, or the model has merged or other adapters.
        CheckpointError: the files do not fit the model.
    """
    config = read_config(os.path.join(folder, CONFIG))
    tensors = open_checkpoint(find_file(folder))
    targets = find_targets(model)
    found, weights = find_tensors(tensors, targets, model)
    present = adapted(targets)
    if any(map(is_merged, present)):
        raise ValueError(
            "lora.load: the adapters are merged. Call lora.unmerge(model) or lora.remove(model) before"
        )
    factors = {target: factors_of(target, arrays, tensors.path) for target, arrays in found.items()}
    scales = {target: scale_of(config, target, a.shape[-1]) for target, (a, _) in factors.items()}
    if present:
        check_same(present, factors, tensors.path)
    else:
        freeze(model, [])
        for target, (a, _) in factors.items():
            add_adapters([target], a.shape[-1], a.shape[-1])
        share_thirds(list(factors))
    for target, (a, _) in factors.items():
        target.layer.lora_alpha = a.shape[-1] * scales[target]
    set_values([pair for one in factors for pair in zip(lora_weights(one.layer), factors[one])])
    set_values(weights)
    for weight, _ in weights:
        weight.trainable = True
    forget_functions(keras_model(model))
    return [target.path for target in factors]


# Layers


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


# Files


def module_of(parameter: str) -> str:
    return parameter[: -len(".weight")] if parameter.endswith(".weight") else parameter


def has_base(model: Any, architecture: str | None) -> bool:
    """Whether names have the first part, such as "bert."; a BertModel has none, a BertForMaskedLM has it."""
    if architecture is not None:
        return not is_base_class(architecture)
    if not isinstance(model, Transformer):
        return True
    family = FAMILIES.get(model.model_type or "")
    architectures = family.architectures if family else {}
    heads = [
        head for head, layer in HEADS.items() if head != "pool" and model.prefixed(layer) in model.layers
    ]
    return bool(heads) or bool(architectures and not any(map(is_base_class, architectures)))


def is_base_class(architecture: str) -> bool:
    return architecture.endswith("Model") and not architecture.endswith("HeadModel")


def configuration(targets: list[Target], with_base: bool, modules_to_save: list[str]) -> dict[str, Any]:
    """The adapter_config.json of PEFT. What differs from the first adapter stands in the patterns."""
    first = targets[0].layer
    modules = {one.module(with_base): one.layer for one in targets}
    config: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": None,
        "inference_mode": True,
        "r": first.lora_rank,
        "lora_alpha": first.lora_alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(set(modules) | {module_of(one.tied.full) for one in targets if one.tied}),
        "modules_to_save": modules_to_save or None,
    }
    for key, attribute in (("rank_pattern", "lora_rank"), ("alpha_pattern", "lora_alpha")):
        values = {"^" + re.escape(name): getattr(layer, attribute) for name, layer in modules.items()}
        config[key] = {name: value for name, value in values.items() if value != getattr(first, attribute)}
    return config


def values_of(target: Target) -> list[np.ndarray]:
    """a and b as PEFT has them: (rank, size), (units, rank)."""
    a, b = get_values(lora_weights(target.layer))
    b = target.layer.lora_merged if is_merged(target) else b
    return [a.reshape(-1, a.shape[-1]).T, b.T]


def adapter_tensors(targets: list[Target], with_base: bool) -> dict[str, np.ndarray]:
    """{name in a file of PEFT: value}"""
    tensors: dict[str, np.ndarray] = {}
    thirds: dict[str, dict[int, Target]] = defaultdict(dict)
    for target in targets:
        names = target.keys(with_base)
        if target.third is not None:
            thirds[target.module(with_base)][target.third] = target
        elif names[0] in tensors:
            raise ValueError(
                f"lora.save: two adapters have the name {names[0]}. Give their layers different names"
            )
        else:
            tensors.update(zip(names, values_of(target)))
            tensors.update(zip(target.tied_keys(), [one.T for one in reversed(values_of(target))]))
    for module, parts in thirds.items():
        owner = next(iter(parts.values()))
        if len({id(lora_weights(one.layer)[0]) for one in parts.values()}) > 1:
            raise ValueError(
                f"lora.save: {module} has one matrix a in PEFT. Call lora.enable with the Transformer"
            )
        a, b = values_of(owner)
        whole = [values_of(parts[i])[1] if i in parts else np.zeros_like(b) for i in range(PARTS)]
        tensors.update(zip(owner.keys(with_base), [a, np.concatenate(whole)]))
    return tensors


class Named(NamedTuple):
    """A weight without an adapter and its names in a file, the one to write first."""

    weight: Any
    names: list[str]
    variable: str
    place: Place | None


def named_weights(model: Any, with_base: bool = True) -> list[Named]:
    """All weights of a model but LoRA's."""
    rows, found = rows_of_weights(model), []
    for layer in layers_of(model):
        for weight in base_weights(layer):
            variable, places = rows.get(id(weight), ("", [None]))
            place, name = places[0], weight.path.replace("/", ".")
            if place is None or place.part is not None:
                found.append(Named(weight, [name], "", None))
            else:
                names = [place.full, place.tail] if with_base else [place.tail, place.full]
                found.append(Named(weight, names, variable, place))
    return found


def trainable_tensors(model: Any, with_base: bool) -> dict[str, np.ndarray]:
    """{name in a file of PEFT: value} of the weights that are trainable."""
    tensors = {}
    for weight, names, variable, place in named_weights(model, with_base):
        if weight.trainable:
            (value,) = get_values([weight])
            if place is not None:
                value = np.asarray(model.create_variable(variable, value))
                value = value.T if place.transposed else value
            tensors[PREFIX + names[0]] = value
    return tensors


def find_file(folder: str) -> str:
    for name in ("adapter_model.safetensors", "adapter_model.bin"):
        if os.path.isfile(os.path.join(folder, name)):
            return os.path.join(folder, name)
    raise CheckpointError(f"the folder '{folder}' lacks adapter_model.safetensors")


def read_config(path: str) -> dict[str, Any]:
    """The configuration of PEFT.

    Raises:
        CheckpointError: the file cannot be read.
        ValueError: Keras's LoRA cannot express it.
    """
    try:
        with open(path, encoding="utf-8") as file:
            config = dict(json.load(file))
    except (OSError, TypeError, ValueError) as error:
        raise CheckpointError(f"cannot read '{path}', the configuration of an adapter: {error}") from error
    for key, expected in EXPECTED.items():
        if config.get(key, expected[0]) not in expected:
            raise ValueError(f"{path}: {key} is {config[key]!r}, which Keras's LoRA cannot express")
    if "lora_alpha" not in config:
        raise CheckpointError(f"{path}: the configuration lacks lora_alpha")
    return config


def scale_of(config: dict[str, Any], target: Target, rank: int) -> float:
    """What the product of an adapter's matrices is multiplied by."""
    alpha = config["lora_alpha"]
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if any(re.match(rf"(.*\.)?({pattern})$", target.module(base)) for base in (True, False)):
            alpha = value
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def find_tensors(
    tensors: Any, targets: list[Target], model: Any
) -> tuple[dict[Target, list[np.ndarray]], list[tuple[Any, np.ndarray]]]:
    """{target: [a, b] as in the file}, and (weight, value) of other weights; each tensor has to be one of them."""
    named = named_weights(model)
    # PEFT writes a copy of a frozen table that has an adapter.
    found, weights, used = {}, [], {key for key in tensors if key.endswith(".base_layer.weight")}
    for target in targets:
        keys = [find_key(tensors, *pair) for pair in zip(target.keys(True), target.keys(False))]
        if None not in keys:
            found[target] = [tensors[key] for key in keys]
            used.update([*keys, *target.tied_keys()])
            check_tied(target, found[target], tensors)
    for one in named:
        key = find_key(tensors, *(PREFIX + name for name in one.names))
        if key is not None:
            value = tensors[key]
            if one.place is not None:
                value = model.load_variable({one.variable: one.place.read(value)}, one.variable)
            weights.append((one.weight, check_shape(value, weight_shape(one.weight), key, tensors.path)))
            used.add(key)
    unused = sorted(set(tensors) - used)
    if unused or not found:
        raise CheckpointError(
            f"'{tensors.path}': the model has no layer for {some(unused) or 'an adapter'}. Its layers are "
            f"{some([target.module(True) for target in targets])}. Check the model class, and give the Transformer"
        )
    return found, weights


def check_tied(target: Target, factors: list[np.ndarray], tensors: Any) -> None:
    """Raise ValueError if the output projection has another adapter than the table: ours share one."""
    for key, factor in zip(target.tied_keys(), reversed(factors)):
        if key not in tensors or not np.array_equal(tensors[key], factor.T):
            raise ValueError(
                f"'{tensors.path}': the adapter of {target.path} is for the table alone. Our output projection "
                f"shares it, so {key!r} has to be its transpose. Build the model without its output projection"
            )


def find_key(tensors: Any, *names: str) -> str | None:
    """The name of a tensor in a file, whose model may stand inside another one; None if the file lacks it."""
    for name in names:
        if name in tensors:
            return name
    tail = "." + names[-1][len(PREFIX) :]
    return next((key for key in tensors if key.endswith(tail)), None)


def factors_of(target: Target, arrays: list[np.ndarray], path: str) -> list[np.ndarray]:
    """a and b of a file in the layout of the layer."""
    a, b = arrays
    shape, rank = weight_shape(own_weight(target.layer)), a.shape[0]
    if target.third is not None and len(b) % PARTS == 0:
        b = np.split(b, PARTS)[target.third]
    a = check_shape(a.T, (int(np.prod(shape[:-1])), rank), target.keys(True)[0], path)
    b = check_shape(b.T, (rank, shape[-1]), target.keys(True)[1], path)
    return [a.reshape(*shape[:-1], rank), b]


def check_shape(value: np.ndarray, shape: tuple, name: str, path: str) -> np.ndarray:
    """The value; CheckpointError if it has another shape."""
    if tuple(value.shape) != tuple(shape):
        raise CheckpointError(
            f"'{path}': {name!r} has shape {tuple(value.shape)} in our layout, expected {tuple(shape)}. Check the "
            "sizes of the model"
        )
    return value


def check_same(present: list[Target], factors: dict[Target, list[np.ndarray]], path: str) -> None:
    """Raise ValueError if the model has other adapters than a file."""
    ours = {one.path: one.layer.lora_rank for one in present}
    theirs = {one.path: a.shape[-1] for one, (a, _) in factors.items()}
    if ours != theirs:
        differing = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
        raise ValueError(
            f"'{path}': its adapters differ from the model's at {some(differing)}. Call lora.remove(model) before"
        )
