"""One model on several devices of a process: each has a part of the batch, a part of the weights, or both."""

from __future__ import annotations

import inspect
import logging
import re
from typing import Any, Collection, Iterator, Mapping, Sequence

from bert4keras3.backend import (
    Layer,
    Model,
    device_scope,
    distribute,
    get_available_gpus,
    inner_layers,
    make_layout_map,
    weight_shape,
)
from bert4keras3.layers import BatchConcat, BatchSplit, GlobalPointer
from bert4keras3.layouts import (
    MODEL_AXIS,
    POINTER,
    Part,
    Split,
    devices_along,
    refusal,
    some_of,
    uneven,
)
from bert4keras3.transformers import Transformer

logger = logging.getLogger("bert4keras3")


class Replicas(Layer):
    """Split the batch → call the model on each device → join the outputs. All devices share the weights."""

    def __init__(self, model, devices, parts, **kwargs):
        super().__init__(**kwargs)
        self.model = model
        self.devices = devices
        self.split = BatchSplit(parts)
        self.join = BatchConcat()

    def build(self, input_shape: Any) -> None:
        self.built = True

    def call(self, inputs):
        inputs = self.split(inputs)
        outputs = []
        for i, device in enumerate(self.devices):
            with device_scope(device):
                part = inputs[i :: len(self.devices)]
                part = self.model(part if len(part) > 1 else part[0])
                outputs.append(part if isinstance(part, (list, tuple)) else [part])
        joined = [self.join(list(parts)) for parts in zip(*outputs)]
        return joined if len(joined) > 1 else joined[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        shapes = [tuple(output.shape) for output in self.model.outputs]
        return shapes if len(shapes) > 1 else shapes[0]

    def compute_mask(self, inputs, mask=None):
        return [None] * len(self.model.outputs) if len(self.model.outputs) > 1 else None


def data_parallel(
    model: Any, devices: None | int | Sequence[str] = None, parts: Sequence[float] | None = None
) -> Any:
    """Distribute each batch over the devices of this process.

    Several processes or machines use the engine of the framework: keras.distribution on JAX, DistributedDataParallel or
    FSDP on PyTorch, MultiWorkerMirroredStrategy on TensorFlow. docs/processes.md has a script for each.

    Args:
        model: a Keras model; the new model shares its weights.
        devices: names of devices, or a number of GPUs; None: all GPUs.
        parts: sizes of the devices' parts of a batch, such as [3, 1]; None: equal parts. On JAX the parts are always
            equal, and the number of devices divides the batch size.

    Returns:
        A Keras model with the inputs and outputs of `model`.

    Raises:
        ValueError: there is no device, or `parts` and `devices` differ in length.
        NotImplementedError: the backend is PyTorch.
    """
    if devices is None or isinstance(devices, int):
        names = get_available_gpus()[:devices]
    else:
        names = list(devices)
    if not names:
        raise ValueError("data_parallel: expected the names of devices, found no GPU on this machine")
    if parts is not None and len(parts) != len(names):
        raise ValueError(f"data_parallel: expected a part for each of {len(names)} devices, got {parts!r}")
    distributed = distribute(model, names)
    if distributed is not None:
        if parts is not None and len(set(parts)) > 1:
            raise ValueError(f"data_parallel: this backend splits a batch in equal parts, got {parts!r}")
        return distributed
    outputs = Replicas(model, names, len(names) if parts is None else list(parts))(list(model.inputs))
    return Model(list(model.inputs), outputs)


def model_parallel(model: Any, mesh: Any, indivisible: str = "refuse") -> Any:
    """Split the weights of a model over the devices of a mesh, and each batch over its first axis. JAX only.

    A model that does not fit into one device is built under a distribution instead, see `layout_map`.

    Args:
        model: a Keras model, not yet compiled. Weights that are set later keep their layout.
        mesh: as in `layout_map`.
        indivisible: as in `layout_map`.

    Returns:
        The model. `keras.distribution` is set for the whole process.

    Raises:
        ValueError: a layer cannot be split, or the model has an optimizer with slots already.
        NotImplementedError: the backend is not JAX.
    """
    layouts = layout_map(model, mesh, indivisible)
    if getattr(getattr(model, "optimizer", None), "built", False):
        raise ValueError(
            "model_parallel: expected a model before its training, got one whose optimizer has slots"
        )
    return distribute(model, layouts)


def layout_map(model: Any, mesh: Any, indivisible: str = "refuse", **sizes: int) -> Any:
    """Map each weight to its layout on a mesh: Megatron's split of blocks, vocabulary and heads. JAX only.

    With the name of a model, or its class, the map is made before the model. Set it before the model is built, so that
    no device ever holds the whole model: `keras.distribution.set_distribution(keras.distribution.ModelParallel(
    layout_map=layout_map("bert", mesh), batch_dim_name="data"))`.

    Args:
        model: a Keras model or a `Transformer`; or a name in MODELS or a class, whose layers are then known by name.
        mesh: a `keras.distribution.DeviceMesh` with the axes ("data", "model"); weights are split over "model".
        indivisible: what is done with a layer whose heads or sizes the devices do not divide: "refuse" raises an error,
            "replicate" logs the reason and keeps the whole layer on each device.
        sizes: numbers of the configuration, if `model` is a name or a class: vocab_size, num_attention_heads,
            intermediate_size. A number that is not given is checked when the model is built.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        ValueError: a layer cannot be split; the message names it, the number and the devices.
        NotImplementedError: the backend is not JAX.
    """
    layouts = make_layout_map(mesh)
    if MODEL_AXIS not in mesh.axis_names or len(mesh.axis_names) != 2:
        raise ValueError(f"mesh: expected the axes ('data', 'model'), got {tuple(mesh.axis_names)}")
    if indivisible not in ("refuse", "replicate"):
        raise ValueError(f'indivisible: expected "refuse" or "replicate", got {indivisible!r}')
    reasons = indivisible_layers(model, mesh, **sizes)
    if reasons and indivisible == "refuse":
        raise ValueError(refusal(reasons))
    if reasons:
        logger.warning(
            "layout_map: each device keeps the whole of %d layers: %s", len(reasons), some_of(reasons)
        )
    for part in split_parts(model, sizes):
        if part.layer not in reasons:
            for path, axis in part.axes.items():
                layouts[path] = (None,) * axis + (MODEL_AXIS,)
    return layouts


def indivisible_layers(model: Any, mesh: Any, **sizes: int) -> dict[str, str]:
    """The layers that `layout_map` cannot split over the devices of a mesh, each with the reason.

    Args:
        model, mesh, sizes: as in `layout_map`.
    """
    return uneven(split_parts(model, sizes), devices_along(mesh, MODEL_AXIS))


def split_parts(model: Any, sizes: Mapping[str, int]) -> list[Part]:
    """The rows of a model's layout table, of layers that exist if there is a model."""
    if isinstance(model, str):
        from bert4keras3.models import MODELS

        if model.lower() not in MODELS:
            raise ValueError(f"model: expected one of {', '.join(MODELS)}, got {model!r}")
        model = MODELS[model.lower()]
    if inspect.isclass(model):
        return parts_of_table(model, sizes, set(sizes))
    if sizes:
        raise ValueError(f"sizes: expected none, because the model has its own, got {', '.join(sizes)}")
    if isinstance(model, Transformer) and not model.built:
        return parts_of_table(model, vars(model))
    layers = model.layers.values() if isinstance(model, Transformer) else inner_layers(model)
    return [part_of_layer(layer, split) for layer, split in split_layers(layers)]


def parts_of_table(model: Any, sizes: Mapping[str, int], given: Collection[str] = ()) -> list[Part]:
    """The rows of the layout table of a class, with the given sizes, or of an object that is not built."""
    known = sorted({split.number for split in model.layout_table.values()})
    if not set(given) <= set(known):
        raise ValueError(f"sizes: expected some of {', '.join(known)}, got {', '.join(given)}")
    return [part_of_row(row, split, sizes) for row, split in model.layout_table.items()]


def part_of_row(row: str, split: Split, sizes: Mapping[str, int]) -> Part:
    """A row of a layout table, of the layers with these names and any prefix."""
    names = ".*" + pattern_of(row)
    numbers = {split.number: sizes[split.number]} if split.number in sizes else {}
    return Part(row, {f"{names}/{path}": axis for path, axis in split.axes().items()}, numbers)


def part_of_layer(layer: Any, split: Split) -> Part:
    """The split of a layer that is built: its own weights, and their sizes."""
    axes, found, numbers = split.axes(), {}, {}
    if split.number in ("num_attention_heads", "heads") and hasattr(layer, "heads"):
        numbers["the number of heads"] = layer.heads
    for weight in layer.weights:
        inner = weight.path.rsplit(layer.name + "/", 1)[-1]
        if inner in axes:
            found[weight.path] = axes[inner]
            numbers[f"axis {axes[inner]} of {inner}"] = weight_shape(weight)[axes[inner]]
    return Part(layer.name, found, numbers)


def split_layers(layers: Any) -> Iterator[tuple[Any, Split]]:
    """Yield each layer that is split, with its split: by its name in a layout table, or as a GlobalPointer."""
    rows = {pattern_of(row): split for table in layout_tables(Transformer) for row, split in table.items()}
    for layer in layers:
        found = [split for row, split in rows.items() if re.fullmatch(".*" + row, layer.name)]
        if type(layer) is GlobalPointer:
            yield layer, POINTER
        elif found and layer.weights:
            yield layer, found[0]


def pattern_of(row: str) -> str:
    """The regular expression of the names of a row: %d is the number of a block."""
    return re.escape(row).replace("%d", r"\d+")


def layout_tables(cls: Any) -> Iterator[Mapping[str, Split]]:
    """Yield the layout tables of a class of models and of all its subclasses."""
    yield cls.layout_table
    for subclass in cls.__subclasses__():
        yield from layout_tables(subclass)
