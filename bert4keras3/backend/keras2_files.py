"""Files that bert4keras saved and Keras 2 does not read: weights of tf.keras, Lambda layers of another Python."""

import os

from bert4keras3.backend.flavour import FLAVOUR
from bert4keras3.backend.keras3_extensions import extends


def extend_loading(keras):
    """Let `load_weights` of keras 2.3.1 and `load_model` read them. What Keras reads, Keras reads as before."""

    @extends(keras.models, "load_model")
    def load_model(original, filepath, custom_objects=None, compile=True, **kwargs):
        from bert4keras3.backend.legacy_models import is_legacy_model, load_legacy_model

        try:
            return original(filepath, custom_objects=custom_objects, compile=compile, **kwargs)
        except Exception:
            if not isinstance(filepath, (str, os.PathLike)) or not is_legacy_model(filepath):
                raise
            return load_legacy_model(filepath, custom_objects, compile, load=original)

    if FLAVOUR == "keras2":

        @extends(keras.models.Model, "load_weights")
        def load_weights(original, self, filepath, *args, **kwargs):
            from bert4keras3.backend.object_weights import is_object_checkpoint, load_object_weights

            if not os.path.exists(filepath) and is_object_checkpoint(filepath):
                return load_object_weights(self, filepath)
            return original(self, filepath, *args, **kwargs)
