"""tf.keras of TensorFlow 1.15 to 2.15."""

import tensorflow as tf

from bert4keras3.backend.keras2_common import OurLayer

keras = tf.keras
K = keras.backend
Model = keras.models.Model
framework = "tensorflow"
is_tf_keras = True
get_custom_objects = keras.utils.get_custom_objects
get_values = K.batch_get_value
set_values = K.batch_set_value


class Layer(OurLayer, keras.layers.Layer):  # type: ignore[name-defined]
    """Base of our layers."""
