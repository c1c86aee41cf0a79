"""A pairing in several processes: each computes its rows of the batch, and the engine of the framework joins them.

All processes run the same cases; process 0 writes the records. `bert4keras3.launch` starts them.
"""

from __future__ import annotations

import os

import numpy as np

from parity.adapter import OneDevice, alone, listed


class Group(OneDevice):
    """What both engines share. index, count: of the processes. `gather` joins the arrays of the processes."""

    def __init__(self):
        self.index, self.count = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        self.writes = self.index == 0

    def rows(self, values):
        """The rows of this process of each array, (batch, …)."""
        return [np.split(np.asarray(value), self.count)[self.index] for value in listed(values)]

    def predict(self, library, model, values):
        """Outputs of a model for the whole batch, as arrays; one without an axis of the batch is this process's own."""
        values = self.rows(values)
        outputs = model(alone(values), training=False)
        arrays = [self.to_array(output) for output in listed(outputs)]
        split = [array for array in arrays if array.shape[:1] == values[0].shape[:1]]
        whole = iter(self.join(split))
        return [next(whole) if any(array is one for one in split) else array for array in arrays]

    evaluate = predict

    def join(self, arrays):
        """The arrays of all processes, joined by rows, in one exchange: TensorFlow traces a function for each shape."""
        numbers = np.concatenate([array.ravel().astype("float64") for array in arrays])
        parts = np.split(
            self.gather(numbers).reshape(self.count, -1), np.cumsum([a.size for a in arrays])[:-1], 1
        )
        return [
            part.reshape((-1,) + array.shape[1:]).astype(array.dtype) for part, array in zip(parts, arrays)
        ]


class DistributedDataParallel(Group):
    def __init__(self):
        super().__init__()
        import torch

        torch.distributed.init_process_group("gloo")
        self.torch = torch

    def to_array(self, tensor):
        return tensor.detach().numpy()

    def gather(self, array):
        arrays = [None] * self.count
        self.torch.distributed.all_gather_object(arrays, array)
        return np.concatenate(arrays)

    def trainer(self, library, model, rate):
        """Function (inputs, targets) → loss, which trains a compiled model by plain SGD of PyTorch."""
        engine = self.torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
        optimizer = self.torch.optim.SGD(engine.parameters(), rate)

        def step(inputs, targets):
            inputs, targets = map(self.torch.as_tensor, self.rows(inputs)), self.rows(targets)[0]
            outputs = engine(list(inputs), training=True)
            loss = model.compute_loss(y=self.torch.as_tensor(targets), y_pred=outputs)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return self.gather(self.to_array(loss)[None]).mean()

        return step


class MultiWorkerMirrored(Group):
    def __init__(self):
        super().__init__()
        import tensorflow

        self.tensorflow = tensorflow
        self.strategy = tensorflow.distribute.MultiWorkerMirroredStrategy()

    def scope(self):
        return self.strategy.scope()

    def to_array(self, tensor):
        return tensor.numpy()

    def gather(self, array):
        return self.strategy.gather(self.tensorflow.constant(array), axis=0).numpy()

    def trainer(self, library, model, rate):
        """Function (inputs, targets) → loss, which trains a compiled model by its own optimizer."""
        tensorflow, strategy = self.tensorflow, self.strategy

        @tensorflow.function
        def train(inputs, targets):
            logs = strategy.run(model.train_step, args=((inputs, targets),))
            return strategy.reduce("MEAN", logs["loss"], axis=None)

        def step(inputs, targets):
            inputs = [tensorflow.constant(value, "float32") for value in self.rows(inputs)]
            return train(inputs, tensorflow.constant(self.rows(targets)[0])).numpy()

        return step


ENGINES = {"torch": DistributedDataParallel, "tensorflow": MultiWorkerMirrored}  # of environments
