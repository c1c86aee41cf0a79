"""Weights in the layout of a library; packed once, and again after a weight has changed."""

import functools
import weakref

import keras

from bert4keras3.backend.accelerate.torch_graph import lifted
from bert4keras3.backend.keras3 import private

# {layer: {function that packs: (state of the weights, the packed weight)}}
pack_cache: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()


def packed_weight(layer, pack):
    """pack(weight), or pack(weight, scale) for int8, of a Dense or an Embedding. The weight is (units, size).

    A traced function gets the packed weight as an input.
    """
    return lifted(functools.partial(cached_packed_weight, layer, pack))


def cached_packed_weight(layer, pack):
    values = [weight.value.detach() for weight in private.own_weights(layer)]
    state = [(one.data_ptr(), private.version_of(one)) for one in values]
    of_layer = pack_cache.setdefault(layer, {})
    if pack not in of_layer or of_layer[pack][0] != state:
        weight = values[0].t() if isinstance(layer, keras.layers.Dense) else values[0]
        of_layer[pack] = state, pack(weight.contiguous(), *values[1:])
    return of_layer[pack][1]
