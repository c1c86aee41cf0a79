"""What an implementation is: a class with `load` and `outputs`. Whatever else is asked of it has a default here.

    load(scenario, folder)           build the model with the weights of a case or a scenario
    outputs(inputs) → [array]        what the reference's model has as outputs, from int32 arrays (batch, length)
    layers(inputs) → {name: array}   optional: outputs of layers under bert4keras's names, to find the first wrong one
    train_step(inputs, labels)       optional: one step of SGD on the sparse cross-entropy of the first output

The parity run judges `outputs` and `layers`. The bench times `outputs` as the mode "call" and `train_step` as "train".
A library that has more kinds of calls overrides the methods behind them. A class of another package needs no base
class. Where `load` raises NotImplementedError, the library has no such model, and the text says why.
"""

import importlib

import numpy as np

from bench.implementations import Unsupported
from bench.scenarios import CALL, LABELS, TRAIN
from bench.weights import iterate_weights


class Adapter:
    """The defaults.

    Attributes:
        FORMAT: name of the folder of its weights.
        CHECK: the mode of `outputs`; the accuracy gate takes it too if the measured mode has no outputs.
    """

    FORMAT, CHECK = "tensorflow", CALL
    CHECKPOINT = "model.ckpt"

    def convert(self, scenario, folder):
        """Write the weights in the format that `load` reads, once: here as released, for TensorFlow."""
        from bert4keras3.checkpoints import save_checkpoint  # without Keras

        save_checkpoint(str(folder / self.CHECKPOINT), iterate_weights(scenario.release))

    def load(self, scenario, folder):
        raise TypeError(f"{type(self).__name__} has no load(scenario, folder)")

    def outputs(self, inputs):
        return self.arrays(self.function(self.CHECK)(self.feed(self.CHECK, inputs)))

    def layers(self, inputs):
        return {}

    def function(self, mode):
        """A function of the result of `feed`, which returns when its outputs are there."""
        if mode == self.CHECK:
            return self.outputs
        if mode == TRAIN and hasattr(self, "train_step"):
            return lambda inputs: self.train_step(inputs, LABELS)
        raise Unsupported(f"it has no {mode}")

    def feed(self, mode, inputs):
        """From NumPy arrays to what the function takes."""
        return inputs

    def arrays(self, outputs):
        """Outputs as NumPy arrays: hidden states (batch, length, hidden_size), or ids (1, length)."""
        return [np.asarray(one) for one in outputs]

    def settings(self):
        """{name: value} of what decides its speed and is not the same for every model."""
        return {}


def adapter_class(source):
    """The class of "module:Class", with the defaults of Adapter. Raises ImportError if it is none."""
    module, _, name = source.partition(":")
    found = getattr(importlib.import_module(module), name, None)
    if found is None:
        raise ImportError(f"--implementation {source}: the module {module} has no {name}")
    kind = found if issubclass(found, Adapter) else type(name, (found, Adapter), {})
    if kind.convert is not Adapter.convert and kind.FORMAT == Adapter.FORMAT:
        raise ImportError(f"--implementation {source}: {name} has convert, so it needs a FORMAT of its own")
    if kind.outputs is Adapter.outputs and kind.function is Adapter.function:
        raise ImportError(f"--implementation {source}: {name} has no outputs(inputs)")
    return kind


def loaded(kind, scenario, folder):
    """A new model of a class. Raises Unsupported if its library has no such model."""
    model = kind()
    try:
        model.load(scenario, folder)
    except NotImplementedError as reason:
        raise Unsupported(str(reason))
    return model
