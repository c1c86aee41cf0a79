"""Files of bert4keras that Keras 2 cannot load: weights of tf.keras, Lambda layers of another Python version.

keras 2.3.1 cannot load weights of tf.keras. TensorFlow 2.11 and later refuse weights in a file with the state of an
older optimizer.
"""

import os

from bert4keras3.backend.extensions import extends


def extend_loading(keras):
    """Extend `load_weights` and `load_model`, which load other files as before."""

    @extends(keras.models, "load_model")
    def load_model(original, filepath, custom_objects=None, compile=True, **kwargs):
        from bert4keras3.backend.legacy_models import is_legacy_model, load_legacy_model

        try:
            return original(filepath, custom_objects=custom_objects, compile=compile, **kwargs)
        except Exception:
            if not is_path(filepath) or not is_legacy_model(filepath):
                raise
            return load_legacy_model(filepath, custom_objects, compile, load=original)

    @extends(keras.models.Model, "load_weights")
    def load_weights(original, self, filepath, *args, **kwargs):
        from bert4keras3.backend.object_weights import is_object_checkpoint, load_object_weights

        try:
            return original(self, filepath, *args, **kwargs)
        except Exception:
            if not is_path(filepath) or not is_object_checkpoint(filepath):
                raise
            return load_object_weights(self, filepath)


def is_path(filepath):
    return isinstance(filepath, (str, os.PathLike))
