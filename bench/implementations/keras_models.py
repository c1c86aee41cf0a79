"""A Keras model as a function, in each mode and on every Keras; adapters of Keras libraries share it."""

from functools import partial

import numpy as np

from bench.implementations import Unsupported
from bench.scenarios import CALL, COMPILED, LABELS, PREDICT, RATE, TRAIN
from bench.trackers import watch_traces

INFER_ONLY = ("openvino", "numpy")


def framework(keras):
    """ "jax", "torch", "tensorflow", "openvino", "numpy", or "graph" if Keras 2 has no eager calls."""
    if hasattr(keras, "ops"):
        return keras.config.backend()
    import tensorflow as tf

    is_eager = keras.__name__.startswith("tensorflow") and tf.executing_eagerly()
    return "tensorflow" if is_eager else "graph"


def model_function(keras, model, mode):
    """The model as a function of the result of `feed`. It returns when the outputs are there."""
    if mode == PREDICT:
        return lambda feed: model.predict(feed, verbose=0)
    if mode == TRAIN:
        if framework(keras) in INFER_ONLY:
            raise Unsupported(f"Keras on {framework(keras)} does not train")
        model.compile(keras.optimizers.SGD(RATE), "sparse_categorical_crossentropy")
        return lambda feed: model.train_on_batch(feed, LABELS)
    return call_function(keras, model, compiles=mode == COMPILED)


def call_function(keras, model, compiles):
    name = framework(keras)
    if name == "jax":
        import jax

        if not compiles:
            return lambda feed: jax.block_until_ready(model(feed, training=False))
        both = (model.trainable_variables, model.non_trainable_variables)
        variables = [[one.value for one in some] for some in both]
        compiled = jax.jit(lambda variables, feed: model.stateless_call(*variables, feed, training=False)[0])
        return lambda feed: jax.block_until_ready(compiled(variables, feed))
    if name == "torch":
        import torch

        from bench.implementations.torch_functions import ready

        called = torch.compile(model) if compiles else model
        return ready(lambda feed: called(feed, training=False))
    if name == "tensorflow":
        import tensorflow as tf

        called = partial(model, training=False)
        if compiles:
            options = {"jit_compile": True} if hasattr(keras, "ops") else {}  # a graph, or XLA on Keras 3
            called = watch_traces(tf.function(lambda feed: model(feed, training=False), **options))
        return lambda feed: arrays(called(feed))  # which waits for the outputs
    if name == "graph":
        if not compiles:
            raise Unsupported("this Keras has graphs only: there is no eager call")
        compiled = keras.backend.function(list(model.inputs), list(model.outputs))
        return lambda feed: compiled(feed if isinstance(feed, list) else [feed])
    if compiles:
        raise Unsupported(f"Keras on {name} has one kind of call, which is measured as {CALL!r}")
    return lambda feed: arrays(model(feed))


def feed(keras, mode, inputs):
    """Arrays if the function converts them itself, else tensors on the device of the model."""
    values = inputs if len(inputs) > 1 else inputs[0]
    if mode not in (CALL, COMPILED) or framework(keras) in ("graph", *INFER_ONLY):
        return values
    tensors = [convert(framework(keras), value) for value in inputs]
    return tensors if len(tensors) > 1 else tensors[0]


def convert(name, value):
    if name == "jax":
        import jax

        return jax.device_put(value)
    if name == "torch":
        import torch

        from bench.implementations.torch_functions import to_device

        return to_device(torch.as_tensor(value))
    import tensorflow as tf

    return tf.convert_to_tensor(value)


def arrays(outputs):
    """Outputs of any of the functions as NumPy arrays."""
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return [one.detach().cpu().numpy() if hasattr(one, "detach") else np.asarray(one) for one in outputs]
