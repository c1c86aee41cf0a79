"""keras 2.3.1 on TensorFlow 1.15 to 2.2."""

import keras

from bert4keras3.backend import keras2_common, ops_tf

framework = "tensorflow"
is_tf_keras = False
K = keras.backend
Model = keras.models.Model
ops = ops_tf
build_child = keras2_common.build_child
dtype_name = keras2_common.dtype_name
weight_shape = keras2_common.weight_shape
get_custom_objects = keras.utils.get_custom_objects
get_values = K.batch_get_value
set_values = K.batch_set_value


class Layer(keras2_common.OurLayer, keras.layers.Layer):
    """Base of our layers."""
