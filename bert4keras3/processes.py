"""Training in several processes: what the engines of the frameworks leave to a script.

The engines are keras.distribution on JAX, DistributedDataParallel and FSDP on PyTorch, and
MultiWorkerMirroredStrategy on TensorFlow. `DataGenerator` splits the samples, and `python -m bert4keras3.launch` starts
the processes of one machine.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from bert4keras3 import backend
from bert4keras3.backend import keras, require_keras_3, seed_dropout, set_training_state, training_state
from bert4keras3.checkpoints.whole_file import whole_file

__all__ = ["Backup", "fully_shard"]


def fully_shard(model: Any, **options: Any) -> Any:
    """Keep a part of each weight in each process, by `torch.distributed.fsdp.fully_shard` of each layer.

    Keras's variables follow the parameters, which FSDP replaces. Call `model(inputs, training=True)` and give
    `model.parameters()` to an optimizer of PyTorch. `model.get_weights` and `model.save` do not work afterwards.

    Args:
        model: a functional Keras model.
        options: of PyTorch's function, such as `mesh` and `mp_policy`.

    Returns:
        The model.

    Raises:
        NotImplementedError: the backend is not PyTorch.
    """
    return backend.fully_shard(model, **options)


class Backup(keras.callbacks.Callback):
    """Keep weights, optimizer and number of steps in one file, so that a run resumes in the middle of an epoch.

    It is a callback of `fit`; a loop of your own calls `after_step`. The file is replaced as a whole: after a crash it
    is the old one or the new one. After each backup the random numbers of dropout begin anew, so that a resumed run
    draws the masks of an uninterrupted one.

    Args:
        path: of the file, on a disk that all processes see.
        model: a Keras model; on PyTorch the one that DistributedDataParallel was given.
        optimizer: of Keras or of PyTorch; None: the optimizer that the model was compiled with.
        every: number of steps from one backup to the next.
        seed: of dropout.
        process: number of this process. Process 0 writes, and each process makes its own backup call.
    """

    def __init__(
        self,
        path: str,
        model: Any,
        optimizer: Any = None,
        every: int = 100,
        seed: int = 0,
        process: int = 0,
    ) -> None:
        require_keras_3("Backup", "On tf.keras use keras.callbacks.BackupAndRestore.")
        super().__init__()
        self.trained = model
        self.path, self.optimizer, self.every = path, optimizer or model.optimizer, every
        self.seed, self.process, self.step = seed, process, 0

    def restore(self) -> int:
        """Set the state in the file, if there is one.

        Returns:
            Number of steps that are done: the `initial_step` of `DataGenerator.forfit`.

        Raises:
            ValueError: the file is no backup, or another model's or optimizer's.
        """
        if os.path.exists(self.path):
            try:
                with np.load(self.path, allow_pickle=False) as file:
                    state = {name: file[name] for name in file.files}
                step = int(state.pop("step"))
                set_training_state(self.trained, self.optimizer, state)
            except Exception as error:
                raise ValueError(
                    f"{self.path}: not the backup of this model and optimizer: {error}. Remove the file to start anew"
                ) from error
            self.step = step
        self._seed_dropout()
        return self.step

    def after_step(self) -> None:
        """Count a step, and write the file if it is time."""
        self.step += 1
        if self.step % self.every:
            return
        state = training_state(self.trained, self.optimizer)
        if self.process == 0:
            with whole_file(self.path) as file:
                np.savez(file, step=self.step, **state)
        self._seed_dropout()

    def on_train_begin(self, logs: Any = None) -> None:
        if self.trained.steps_per_execution != 1:
            raise ValueError("Backup: expected compile(steps_per_execution=1), to count the steps")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.model  # noqa: B018 on JAX this assigns the newest weights to the variables
        self.after_step()

    def _seed_dropout(self) -> None:
        seed_dropout(self.trained, self.seed, self.step, self.process)
