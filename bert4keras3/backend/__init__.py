"""The only place that knows which Keras and which framework are installed."""

import os
import sys

import numpy as np

from bert4keras3.backend import contract, script_names
from bert4keras3.backend.absent import absent
from bert4keras3.backend.contract import CONTRACT
from bert4keras3.backend.dataset import batched_dataset
from bert4keras3.backend.flavour import FLAVOUR, Tensor, Tensors
from bert4keras3.backend.functions import (
    Sinusoidal,
    align,
    apply_rotary_position_embeddings,
    at_most,
    attention_normalize,
    custom_objects,
    dtype,
    flatten,
    gelu_erf,
    gelu_tanh,
    get_activation,
    integerize_shape,
    leaky_relu,
    mask_value,
    piecewise_linear,
    reshape,
    root_mean_square,
    sequence_masking,
    set_gelu,
    sinusoidal_embeddings,
    swish,
    upcast,
    upcast_floatx,
    where,
)
from bert4keras3.backend.losses import (
    multilabel_categorical_crossentropy,
    sparse_multilabel_categorical_crossentropy,
)
from bert4keras3.backend.recompute import do_recompute, recompute_grad
from bert4keras3.backend.search import search_layer, symbolic
from bert4keras3.backend.sequences import batch_gather, divisible_temporal_padding, pool1d

__all__ = [
    *CONTRACT,
    "FLAVOUR",
    "Sinusoidal",
    "Tensor",
    "Tensors",
    "align",
    "apply_rotary_position_embeddings",
    "at_most",
    "attention_normalize",
    "batch_gather",
    "batched_dataset",
    "custom_objects",
    "divisible_temporal_padding",
    "do_recompute",
    "dtype",
    "flatten",
    "gelu_erf",
    "gelu_tanh",
    "get_activation",
    "integerize_shape",
    "leaky_relu",
    "mask_value",
    "multilabel_categorical_crossentropy",
    "np",
    "os",
    "piecewise_linear",
    "pool1d",
    "recompute_grad",
    "reshape",
    "root_mean_square",
    "search_layer",
    "sequence_masking",
    "set_gelu",
    "sinusoidal_embeddings",
    "sparse_multilabel_categorical_crossentropy",
    "swish",
    "symbolic",
    "sys",
    "where",
    "upcast_floatx",
    "upcast",
]
globals().update({name: getattr(contract, name) for name in CONTRACT})
if "tf" in script_names.__all__:
    tf = script_names.tf
    __all__ += ["tf"]

find_absent = absent(
    __name__,
    {
        "device_lib": "Write get_available_gpus() of bert4keras3.backend.",
        "graph_mode_decorator": "Write @recompute_grad of bert4keras3.backend above the call of a layer.",
        "nest": "Write keras.tree on Keras 3, tensorflow.nest on Keras 2.",
        "strtobool": 'Python 3.12 has no distutils. Write value.lower() in ("1", "true", "yes", "on").',
        "tape": "Write tensorflow.GradientTape.",
        "tf": script_names.NO_TENSORFLOW,
        "tf_inspect": "Write import inspect.",
    },
)


def __getattr__(name):
    return find_absent(name)
