"""The files of PEFT: adapter_config.json and adapter_model.safetensors."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from bert4keras3.backend import (
    forget_functions,
    get_values,
    lora_weights,
    own_weight,
    set_values,
    weight_shape,
)
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.checkpoints.huggingface import PARTS, Place
from bert4keras3.checkpoints.safetensors_writer import Spec, write_folder
from bert4keras3.huggingface import FAMILIES, HEADS
from bert4keras3.lora.targets import (
    PREFIX,
    Target,
    adapted,
    adapters_of,
    add_adapters,
    find_targets,
    freeze,
    is_merged,
    keras_model,
    layers_of,
    module_of,
    rows_of_weights,
    share_thirds,
    some,
)
from bert4keras3.transformers import Transformer
from bert4keras3.weights import base_weights

CONFIG = "adapter_config.json"
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
