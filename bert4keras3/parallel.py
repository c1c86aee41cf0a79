"""One model on several devices of a process, each with a part of the batch."""

from __future__ import annotations

from typing import Any, Sequence

from bert4keras3.backend import Layer, Model, device_scope, distribute, get_available_gpus
from bert4keras3.layers import BatchConcat, BatchSplit


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
