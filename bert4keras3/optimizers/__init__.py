"""bert4keras's optimizers, and extensions that derive a class of optimizers from another class::

    AdamW = extend_with_weight_decay(Adam, "AdamW")
    AdamWLR = extend_with_piecewise_linear_lr(AdamW, "AdamWLR")

On Keras 3, names without a suffix compute what bert4keras computes on keras 2.3.1, and names with `_v2` compute what
it computes on tf.keras. If both compute the same, both names are one object. bert4keras has Adam and Lion on tf.keras
only, and Keras 3 has those. On Keras 2 every name computes what bert4keras computes on the same Keras. On keras 2.3.1
Adam is keras.optimizers.Adam.

One difference: on Keras 3, steps are counted as on tf.keras, from 0 for a schedule and from 1 for Adam's bias
correction. The graph of keras 2.3.1 does not define whether an update reads the counter before or after the counter is
incremented. TensorFlow 1.15 reads it after the increment, so that both bert4keras and this library are one step ahead
there.
"""

import re
from importlib import import_module

from bert4keras3.backend import optimizers_module, piecewise_linear, script_names
from bert4keras3.backend import root_mean_square as rms
from bert4keras3.backend.absent import absent
from bert4keras3.backend.script_names import *  # noqa: F403
from bert4keras3.snippets import insert_arguments, is_one_of, is_string, string_matching

__all__ = [
    "AdaFactor",
    "AdaFactorV1",
    "AdaFactorV2",
    "Adam",
    "Lion",
    "LionV2",
    "export_to_custom_objects",
    "extend_with_exponential_moving_average",
    "extend_with_exponential_moving_average_v2",
    "extend_with_gradient_accumulation",
    "extend_with_gradient_accumulation_v2",
    "extend_with_layer_adaptation",
    "extend_with_layer_adaptation_v2",
    "extend_with_lazy_optimization",
    "extend_with_lazy_optimization_v2",
    "extend_with_lookahead",
    "extend_with_lookahead_v2",
    "extend_with_parameter_wise_lr",
    "extend_with_parameter_wise_lr_v2",
    "extend_with_piecewise_linear_lr",
    "extend_with_piecewise_linear_lr_v2",
    "extend_with_weight_decay",
    "extend_with_weight_decay_v2",
]
if optimizers_module == __name__:
    from bert4keras3.optimizers.accumulation import (
        extend_with_gradient_accumulation,
        extend_with_gradient_accumulation_v2,
        extend_with_lazy_optimization,
        extend_with_lazy_optimization_v2,
    )
    from bert4keras3.optimizers.adafactor import AdaFactor, AdaFactorV1, AdaFactorV2
    from bert4keras3.optimizers.adam import Adam
    from bert4keras3.optimizers.averaging import (
        extend_with_exponential_moving_average,
        extend_with_exponential_moving_average_v2,
        extend_with_lookahead,
        extend_with_lookahead_v2,
    )
    from bert4keras3.optimizers.extending import export_to_custom_objects
    from bert4keras3.optimizers.learning_rates import (
        extend_with_layer_adaptation,
        extend_with_layer_adaptation_v2,
        extend_with_parameter_wise_lr,
        extend_with_parameter_wise_lr_v2,
        extend_with_piecewise_linear_lr,
        extend_with_piecewise_linear_lr_v2,
    )
    from bert4keras3.optimizers.lion import Lion, LionV2
    from bert4keras3.optimizers.weight_decay import (
        extend_with_weight_decay,
        extend_with_weight_decay_v2,
    )
else:
    globals().update({name: getattr(import_module(optimizers_module), name) for name in __all__})

__all__ += [
    "insert_arguments",
    "is_one_of",
    "is_string",
    "piecewise_linear",
    "re",
    "rms",
    "string_matching",
]
__all__ += ["custom_objects"] + script_names.__all__
custom_objects = {"AdaFactor": AdaFactor, "Adam": Adam}
__getattr__ = absent(__name__, {"AdaFactorBase": "Write AdaFactor.", "tf": script_names.NO_TENSORFLOW})
