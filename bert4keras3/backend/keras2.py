"""keras 2.3.1 on TensorFlow 1.15 to 2.2."""

import keras
from keras import backend as K

from bert4keras3.backend.keras2_common import OurLayer

framework = "tensorflow"
is_tf_keras = False
get_custom_objects = keras.utils.get_custom_objects
get_values = K.batch_get_value
set_values = K.batch_set_value


class Layer(OurLayer, keras.layers.Layer):
    """Base of our layers."""
