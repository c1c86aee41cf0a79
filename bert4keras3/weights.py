"""Weights between a checkpoint and the layers of a model.

A weight table is a dict `{layer name: variable names}`; the variables are in the order of the layer's weights.
Braces stand for several names, as in a shell: `output/dense/{kernel,bias}` is two names.
`%d` (or `%02d`, …) is the number of the Transformer block.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any, Callable, Iterable, Iterator, Mapping, NamedTuple

import numpy as np

from bert4keras3.advice import advise, advise_family, advise_shape
from bert4keras3.backend import (
    adapted_layers,
    get_values,
    is_sharded,
    lora_weights,
    own_weight,
    process_place,
    set_values,
    texts_of_processes,
    weight_shape,
)
from bert4keras3.checkpoints import CheckpointError, VariableNotFoundError
from bert4keras3.layers import FeedForward, MultiHeadAttention
from bert4keras3.snippets import orthogonally_resize

BLOCK_NUMBER = re.compile(r"%\d*d")

logger = logging.getLogger("bert4keras3")


def expand_braces(pattern: str) -> list[str]:
    """`a/{b,c}/{d,e}` → a/b/d, a/b/e, a/c/d, a/c/e; braces may be nested."""
    depth, start = 0, pattern.find("{")
    if start < 0:
        return [pattern]
    options, begin = [], start + 1
    for end in range(start, len(pattern)):
        depth += {"{": 1, "}": -1}.get(pattern[end], 0)
        if depth == 0 or (depth == 1 and pattern[end] == ","):
            options.append(pattern[begin:end])
            begin = end + 1
        if depth == 0:
            break
    return [
        pattern[:start] + middle + tail
        for option in options
        for middle in expand_braces(option)
        for tail in expand_braces(pattern[begin:])
    ]


def expand_table(table: Mapping[str, str], num_hidden_layers: int) -> dict[str, list[str]]:
    """Expand the braces of a weight table, and repeat each row that has a %d (or %02d …) for every block."""
    mapping = {}
    for layer, names in table.items():
        if not BLOCK_NUMBER.search(layer):
            mapping[layer] = expand_braces(names)
    for i in range(num_hidden_layers):
        for layer, names in table.items():
            if BLOCK_NUMBER.search(layer):
                mapping[layer % i] = [name % i if "%" in name else name for name in expand_braces(names)]
    return mapping


def renamed(table: Mapping[str, str], old: str, new: str) -> dict[str, str]:
    """A table whose names have `new` in place of `old`."""
    return {layer: names.replace(old, new) for layer, names in table.items()}


def rows_of(
    table: Mapping[str, str], huggingface_table: Mapping[str, str], num_hidden_layers: int
) -> dict[str, str]:
    """{variable: its row in the expanded table of Hugging Face}, of all layers that both tables have."""
    variables = expand_table(table, num_hidden_layers)
    return {
        variable: row
        for layer, rows in expand_table(huggingface_table, num_hidden_layers).items()
        for variable, row in zip(variables.get(layer, ()), rows)
    }


class LoadingReport(NamedTuple):
    """Result of `load_weights_from_checkpoint`, as names of variables in the checkpoint.

    Attributes:
        used: variables that were loaded.
        unused: variables of the checkpoint that the model does not have.
        missing: variables that were skipped because of `ignore_invalid_weights`.
        resized: variables that were repeated or cut because of `autoresize_weights`; `used` has them too.
    """

    used: list[str]
    unused: list[str]
    missing: list[str]
    resized: list[str]

    def __str__(self):
        return ", ".join(f"{len(names)} {kind}" for kind, names in self._asdict().items())


class Assignment(NamedTuple):
    """One weight, and a function that returns its new value."""

    weight: Any
    variable: str
    read: Callable[[], Any]


def load_weights(
    layers: Mapping[str, Any],
    mapping: Mapping[str, list[str]],
    checkpoint: Any,
    load_variable: Callable[[Mapping, str], np.ndarray],
    ignore_invalid_weights: bool = False,
    resize: Any = None,
) -> LoadingReport:
    """Set the weights of the layers from a checkpoint. All variables are read and checked before any weight is set.

    If weights lie on several devices, a value is read again when it is set, slice by slice. The processes of a job
    share the work of the checksums, and an error in one of them is an error in all.

    Args:
        mapping: layer name → variable names, in the order of the layer's weights.
        load_variable: (checkpoint, name) → value in the layout of the weight.
        ignore_invalid_weights: log and skip variables that the checkpoint lacks.
        resize: (layer, index, value, shape) → value of that shape; None: a wrong shape is an error.

    Raises:
        VariableNotFoundError: the checkpoint lacks a variable, and `ignore_invalid_weights` is False.
        CheckpointError: a shape does not fit, or the checkpoint has no variable of the model.
    """
    sharded = has_shards(layers, mapping)
    with failing_together() if sharded else nullcontext():
        assignments, missing, resized = find_values(
            layers,
            mapping,
            checkpoint.lazily(*process_place()) if sharded else checkpoint,
            load_variable,
            ignore_invalid_weights,
            resize,
            keep=not sharded,
        )
    values = ((one.weight, one.read()) for one in assignments)
    set_values(values if sharded else list(values))
    asked = [variable for variables in mapping.values() for variable in variables]
    used = [one.variable for one in assignments]
    report = LoadingReport(used, sorted(set(checkpoint) - set(used)), missing, resized)
    logger.info("%s: %s", describe(checkpoint), report)
    if len(missing) > len(used):
        logger.warning("%s: %s. Most of the model is untrained.", describe(checkpoint), report)
    other_model = advise_family(checkpoint, asked)
    if other_model:
        logger.warning("%s: the model does not use all variables. %s.", describe(checkpoint), other_model)
    return report


def find_values(layers, mapping, checkpoint, load_variable, ignore_invalid_weights, resize, keep):
    """The assignments of `load_weights`, the missing and the resized variables; keep: read each value only once."""
    asked = [variable for variables in mapping.values() for variable in variables]
    assignments, missing, resized = [], [], []
    for layer_name, variables in mapping.items():
        layer = layers[layer_name]
        for index, (weight, variable) in enumerate(zip(base_weights(layer), variables)):
            read = partial(load_variable, checkpoint, variable)
            try:
                value = read()
            except VariableNotFoundError as error:
                if not ignore_invalid_weights:
                    advice = advise(variable, checkpoint, asked)
                    raise VariableNotFoundError(error.name, error.path, error.names, advice) from None
                logger.warning("%s. Ignored: layer %s keeps its initial value.", error, layer_name)
                missing.append(variable)
                continue
            shape = weight_shape(weight)
            if tuple(value.shape) != shape and resize is not None:
                read = partial(read_resized, read, partial(resize, layer, index), shape)
                value = read()
                resized.append(variable)
            if tuple(value.shape) != shape:
                advice = shape_advice(layer, variables, variable, value.shape, shape, checkpoint, asked)
                raise CheckpointError(
                    f"{describe(checkpoint)}: variable {variable!r} has shape {tuple(value.shape)!r}, but weight "
                    f"{index} of layer {layer_name!r} expects {shape!r}. {advice}. Or resize with "
                    "autoresize_weights=True."
                )
            assignments.append(Assignment(weight, variable, partial(np.asarray, value) if keep else read))
    if missing and not assignments:
        advice = advise(missing[0], checkpoint, asked) or "Check the path and the model class"
        raise CheckpointError(
            f"{describe(checkpoint)}: it has none of the {len(missing)} variables of the model, such as "
            f"{missing[0]!r}. {advice}."
        )
    return assignments, missing, resized


def read_resized(read, resize, shape):
    return resize(np.asarray(read()), shape)


def has_shards(layers: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether weights of these layers lie on several devices."""
    return any(is_sharded(weight) for name in names for weight in layers[name].weights)


@contextmanager
def failing_together() -> Iterator[None]:
    """Context whose error in one process is an error in all processes: the others would wait for it."""
    error = None
    try:
        yield
    except BaseException as caught:
        error = caught
    texts = texts_of_processes("" if error is None else f"{type(error).__name__}: {error}")
    if error is not None:
        raise error
    for number, text in enumerate(texts):
        if text:
            raise CheckpointError(f"process {number} of {len(texts)} failed: {text}")


def write_once(
    write: Callable[[Iterable], Any],
    variables: Iterable[tuple[str, Any]],
    layers: Mapping[str, Any],
    names: Iterable[str],
) -> None:
    """write(variables), in the first process alone if weights of these layers lie on several devices.

    All processes of the job have to call it, because they gather the variables together.
    """
    if not has_shards(layers, names) or process_place()[1] == 1:
        write(variables)
        return
    variables = iter(variables)
    with failing_together():
        try:
            if process_place()[0] == 0:
                write(variables)
        finally:
            for _ in variables:
                pass


def shape_advice(layer, variables, variable, found, expected, checkpoint, asked):
    """Advice if a variable does not fit; a sentence without its full stop."""
    if isinstance(layer, FeedForward) and len(variables) != len(base_weights(layer)):
        fewer = len(variables) < len(base_weights(layer))
        activation = "one activation" if fewer else "a list, such as ['gelu', 'linear'],"
        return (
            f"The checkpoint has {len(variables)} variables for this layer, and the layer has "
            f"{len(base_weights(layer))} weights. Try {activation} as hidden_act"
        )
    return (
        advise_shape(variable, found, expected, checkpoint, asked)
        or "Check the sizes in the configuration and the model class"
    )


def base_weights(layer: Any) -> list[Any]:
    """The weights of a layer that a checkpoint has: all but the weights of LoRA."""
    adapters = {id(weight) for one in adapted_layers(layer) for weight in lora_weights(one)}
    return [weight for weight in layer.weights if id(weight) not in adapters]


def base_values(layer: Any) -> list[np.ndarray]:
    """Values of `base_weights`, with LoRA merged."""
    weights, adapted = base_weights(layer), {id(own_weight(one)): one for one in adapted_layers(layer)}
    return [
        merged(adapted[id(weight)], value) if id(weight) in adapted else value
        for weight, value in zip(weights, get_values(weights))
    ]


def merged(layer: Any, value: np.ndarray, sign: int = 1) -> np.ndarray:
    """The weight of a layer plus, or with sign=-1 minus, what its adapter adds to it."""
    a, b = get_values(lora_weights(layer))
    return (value + sign * layer.lora_alpha / layer.lora_rank * np.matmul(a, b)).astype(value.dtype)


def describe(checkpoint: Any) -> str:
    return str(getattr(checkpoint, "path", None) or "the given weights")


def iterate_weights(
    layers: Mapping[str, Any], mapping: Mapping[str, list[str]]
) -> Iterable[tuple[str, np.ndarray]]:
    """Yield (variable name, value) of all mapped weights, with one layer in memory at a time.

    Raises:
        CheckpointError: layers that share a variable have different weights, as in an unshared ALBERT.
    """
    uses = Counter(name for names in mapping.values() for name in names)
    shared: dict[str, tuple[str, np.ndarray]] = {}
    for layer_name, variables in mapping.items():
        for variable, value in zip(variables, base_values(layers[layer_name])):
            if uses[variable] > 1:
                first, expected = shared.setdefault(variable, (layer_name, value))
                if not np.array_equal(value, expected):
                    raise CheckpointError(
                        f"layers {first!r} and {layer_name!r} share variable {variable!r} in a checkpoint, "
                        "but their weights differ. Save this model with model.save_weights."
                    )
                if first != layer_name:
                    continue
            yield variable, value


def resize_like_wider_model(layer: Any, index: int, value: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Repeat or cut a weight to another size, so that the layer computes nearly the same.

    Queries and keys are scaled so that attention scores keep their size. The kernels of a feed-forward layer are
    scaled so that its output keeps its size: https://kexue.fm/archives/8444
    """
    resized = orthogonally_resize(value, shape)
    factor = 1.0
    if isinstance(layer, MultiHeadAttention):
        queries_and_keys = 4 if layer.use_bias else 2
        if layer.attention_scale and index < queries_and_keys:
            factor = (shape[-1] / value.shape[-1]) ** 0.25
    if isinstance(layer, FeedForward):
        inner = 2 if layer.use_bias else 1
        piecewise_linear = layer.activation[0].__name__ in ("relu", "leaky_relu")
        if index < inner and not piecewise_linear:
            factor = (shape[-1] / value.shape[-1]) ** 0.5
        else:
            factor = (value.shape[0] / shape[0]) ** 0.5
    return resized * resized.dtype.type(factor)
