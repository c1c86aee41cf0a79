"""Weights between a checkpoint and the layers of a model.

A weight table has one row a layer, `{layer name: variable names}`, in the order of the layer's weights. Names
are written with braces as in a shell: `output/dense/{kernel,bias}` stands for two names; `%d` (or `%02d`, …) is
the number of the Transformer block.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any, Callable, Iterable, Mapping, NamedTuple

import numpy as np

from bert4keras3.advice import advise, advise_family, advise_shape
from bert4keras3.backend import get_values, set_values, weight_shape
from bert4keras3.checkpoints import CheckpointError, VariableNotFoundError
from bert4keras3.layers import FeedForward, MultiHeadAttention
from bert4keras3.snippets import orthogonally_resize

BLOCK_NUMBER = re.compile(r"%\d*d")

logger = logging.getLogger("bert4keras3")


def expand_braces(pattern: str) -> list[str]:
    """`a/{b,c}/{d,e}` → a/b/d, a/b/e, a/c/d, a/c/e; braces may stand inside braces."""
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
    """A weight table with its braces expanded and each row that has a %d (or %02d …) repeated for every block."""
    mapping = {}
    for layer, names in table.items():
        if not BLOCK_NUMBER.search(layer):
            mapping[layer] = expand_braces(names)
    for i in range(num_hidden_layers):
        for layer, names in table.items():
            if BLOCK_NUMBER.search(layer):
                mapping[layer % i] = [name % i if "%" in name else name for name in expand_braces(names)]
    return mapping


class LoadingReport(NamedTuple):
    """What `load_weights_from_checkpoint` did, in names of checkpoint variables.

    used: loaded. unused: in the checkpoint, but not in the model. missing: skipped, with `ignore_invalid_weights`.
    resized: repeated or cut to fit, with `autoresize_weights`; they are among those used.
    """

    used: list[str]
    unused: list[str]
    missing: list[str]
    resized: list[str]

    def __str__(self):
        return ", ".join("%d %s" % (len(names), kind) for kind, names in self._asdict().items())


class Assignment(NamedTuple):
    """One weight and the value that it is about to get."""

    weight: Any
    variable: str
    value: np.ndarray


def load_weights(
    layers: Mapping[str, Any],
    mapping: Mapping[str, list[str]],
    checkpoint: Mapping[str, np.ndarray],
    load_variable: Callable[[Mapping, str], np.ndarray],
    ignore_invalid_weights: bool = False,
    resize: Any = None,
) -> LoadingReport:
    """Set the weights of the layers from a checkpoint. Everything is read and checked before the first is set.

    mapping: layer name → variable names, in the order of the layer's weights.
    load_variable: (checkpoint, name) → value in the layout of the weight.
    resize: (layer, index, value, shape) → value of that shape, where shapes may differ.
    Raises VariableNotFoundError for a name that the checkpoint lacks (unless `ignore_invalid_weights`),
    CheckpointError for a shape that does not fit, or if the checkpoint has no variable of the model at all.
    """
    asked = [variable for variables in mapping.values() for variable in variables]
    assignments: list[Assignment] = []
    missing: list[str] = []
    resized: list[str] = []
    for layer_name, variables in mapping.items():
        layer = layers[layer_name]
        for index, (weight, variable) in enumerate(zip(layer.weights, variables)):
            try:
                value = load_variable(checkpoint, variable)
            except VariableNotFoundError as error:
                if not ignore_invalid_weights:
                    advice = advise(variable, checkpoint, asked)
                    raise VariableNotFoundError(error.name, error.path, error.names, advice) from None
                logger.warning("%s. Ignored: layer %s keeps its initial value.", error, layer_name)
                missing.append(variable)
                continue
            shape = weight_shape(weight)
            if tuple(value.shape) != shape and resize is not None:
                value = resize(layer, index, value, shape)
                resized.append(variable)
            if tuple(value.shape) != shape:
                advice = shape_advice(layer, variables, variable, value.shape, shape, checkpoint, asked)
                raise CheckpointError(
                    "%s: variable %r has shape %r, but weight %d of layer %r expects %r. %s. Or resize with "
                    "autoresize_weights=True."
                    % (describe(checkpoint), variable, tuple(value.shape), index, layer_name, shape, advice)
                )
            assignments.append(Assignment(weight, variable, value))

    if missing and not assignments:
        raise CheckpointError(
            "%s: it has none of the %d variables of the model, such as %r. %s."
            % (
                describe(checkpoint),
                len(missing),
                missing[0],
                advise(missing[0], checkpoint, asked) or "Check the path and the model class",
            )
        )
    set_values([(one.weight, one.value) for one in assignments])
    used = [one.variable for one in assignments]
    report = LoadingReport(used, sorted(set(checkpoint) - set(used)), missing, resized)
    logger.info("%s: %s", describe(checkpoint), report)
    if len(missing) > len(used):
        logger.warning("%s: %s. Most of the model is untrained.", describe(checkpoint), report)
    other_model = advise_family(checkpoint, asked)
    if other_model:
        logger.warning("%s: the model does not use all of it. %s.", describe(checkpoint), other_model)
    return report


def shape_advice(layer, variables, variable, found, expected, checkpoint, asked):
    """What to try if a variable does not fit; a sentence without its full stop."""
    if isinstance(layer, FeedForward) and len(variables) != len(layer.weights):
        return (
            "The checkpoint has %d variables for this layer, and the layer has %d weights. Try %s as hidden_act"
            % (
                len(variables),
                len(layer.weights),
                "one activation"
                if len(variables) < len(layer.weights)
                else "a list, such as ['gelu', 'linear'],",
            )
        )
    return (
        advise_shape(variable, found, expected, checkpoint, asked)
        or "Check the sizes in the configuration and the model class"
    )


def describe(checkpoint: Any) -> str:
    return str(getattr(checkpoint, "path", None) or "the given weights")


def iterate_weights(
    layers: Mapping[str, Any], mapping: Mapping[str, list[str]]
) -> Iterable[tuple[str, np.ndarray]]:
    """(variable name, value) of all mapped weights, one layer in memory at a time.

    Raises CheckpointError where layers that share a variable, as in an unshared ALBERT, have come to differ.
    """
    uses = Counter(name for names in mapping.values() for name in names)
    shared: dict[str, tuple[str, np.ndarray]] = {}
    for layer_name, variables in mapping.items():
        for variable, value in zip(variables, get_values(layers[layer_name].weights)):
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
    """A weight repeated or cut to another size so that the layer computes nearly the same.

    Queries and keys are scaled so that scores keep their size, the two parts of a feed-forward layer so that
    its output does: https://kexue.fm/archives/8444
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
