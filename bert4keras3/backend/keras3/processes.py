"""What training in several processes needs of Keras 3: the state of a run, seeds for dropout, and FSDP on PyTorch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from bert4keras3.backend.absent import not_supported
from bert4keras3.backend.keras3 import private

framework = keras.config.backend()


def training_state(model: Any, optimizer: Any) -> dict[str, np.ndarray]:
    """Weights and optimizer as {name: array}. With FSDP each process has to call it, and process 0 gets the arrays."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return {name: as_array(value) for name, value in torch_state(model, optimizer).items()}
    return {
        str(i): as_array(keras.ops.convert_to_numpy(variable.value))
        for i, variable in enumerate(variables_of(model, optimizer))
    }


def set_training_state(model: Any, optimizer: Any, state: dict[str, np.ndarray]) -> None:
    """Set what `training_state` returned. Raises ValueError if the state is another model's or optimizer's."""
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return set_torch_state(model, optimizer, state)
    variables = variables_of(model, optimizer)
    check_names(state, {str(i) for i in range(len(variables))})
    for i, variable in enumerate(variables):
        found = state[str(i)].shape
        if found != tuple(variable.shape):
            raise ValueError(f"{variable.path}: expected shape {tuple(variable.shape)}, found {found}")
    for i, variable in enumerate(variables):
        variable.assign(state[str(i)])


def variables_of(model, optimizer):
    """All variables of a run; an optimizer has none before it is built."""
    optimizer.build(model.trainable_variables)
    return [*model.variables, *optimizer.variables]


def as_array(value):
    """An array that NumPy can write: of bfloat16 in float32."""
    array = np.asarray(value)
    return array if array.dtype.kind in "fiub" and array.dtype.isbuiltin else array.astype("float32")


def check_names(state, expected):
    missing, unexpected = sorted(expected - set(state)), sorted(set(state) - expected)
    if missing or unexpected:
        raise ValueError(f"expected the same variables: missing {missing[:3]}, unexpected {unexpected[:3]}")


def seed_dropout(model: Any, seed: int, step: int = 0, process: int = 0) -> None:
    """Begin the random numbers of dropout anew, from these three numbers.

    On JAX all processes run one program and need equal numbers, so that `process` has no effect. On TensorFlow and
    PyTorch each process draws its own masks.
    """
    states = [one for one in model.variables if one.path.endswith("seed_generator_state")]
    entropy = [seed, step, 0 if framework == "jax" else process]
    first, *others = np.random.SeedSequence(entropy).generate_state(len(states) + 1) >> 1
    for state, number in zip(states, others):
        state.assign(np.array([number, 0]))
    if framework == "torch":
        torch.manual_seed(int(first))


if framework != "torch":
    torch_state = set_torch_state = not_supported(
        f"an optimizer of PyTorch needs KERAS_BACKEND=torch, found {framework}. Give the optimizer of Keras"
    )
    fully_shard = not_supported(
        f"fully_shard is FSDP of PyTorch, found KERAS_BACKEND={framework}. On JAX use keras.distribution.ModelParallel"
    )
else:
    import torch

    def torch_state(model, optimizer):
        """Whole tensors: a file does not depend on the engine and the number of processes."""
        from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict

        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        return named_tensors(*get_state_dict(model, optimizer, options=options))

    def named_tensors(weights, optimizer_state):
        found = dict(weights)
        for name, slots in optimizer_state.get("state", {}).items():
            found.update((f"{name}/{slot}", value) for slot, value in slots.items())
        return {name: value for name, value in found.items() if isinstance(value, torch.Tensor)}

    def set_torch_state(model, optimizer, state):
        from torch.distributed.checkpoint.state_dict import get_state_dict

        tensors = named_tensors(*get_state_dict(model, optimizer))  # makes missing slots of the optimizer
        check_names(state, set(tensors))
        for name, tensor in tensors.items():
            if state[name].shape != tuple(tensor.shape):
                raise ValueError(f"{name}: expected shape {tuple(tensor.shape)}, found {state[name].shape}")
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(own_part(torch.as_tensor(state[name]), tensor))

    def own_part(whole, tensor):
        """The part of a whole tensor that FSDP keeps in this process."""
        from torch.distributed.tensor import DTensor, distribute_tensor

        if not isinstance(tensor, DTensor):
            return whole
        return distribute_tensor(whole.to(tensor.device), tensor.device_mesh, tensor.placements)

    def fully_shard(model: Any, **options: Any) -> Any:
        """As `bert4keras3.processes.fully_shard`. The hooks of FSDP run before ours, in the order they are made."""
        from torch.distributed.fsdp import fully_shard

        def follow(layer, *arguments):
            for variable in layer.trainable_variables:
                private.set_parameter(variable, layer.torch_params[variable.path])

        layers = [layer for layer in model.layers if layer.trainable_variables]
        for layer in layers:
            fixed = {variable.value for variable in layer.non_trainable_variables}
            fully_shard(layer, ignored_params=fixed, **options)
            layer.register_forward_pre_hook(follow)
        model.torch_params.clear()
        fully_shard(model, **options)
        for layer in model.layers:
            model.torch_params.update(layer.torch_params)
        return model
