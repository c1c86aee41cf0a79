"""tf.keras of TensorFlow 1.15 to 2.15."""

import tensorflow as tf

from bert4keras3.backend import keras2_common, ops_tf

framework = "tensorflow"
is_tf_keras = True
keras = tf.keras
K = keras.backend
Model = keras.models.Model
ops = ops_tf
build_child = keras2_common.build_child
dtype_name = keras2_common.dtype_name
weight_shape = keras2_common.weight_shape
get_custom_objects = keras.utils.get_custom_objects
get_values = K.batch_get_value
set_values = K.batch_set_value


class Layer(keras2_common.OurLayer, keras.layers.Layer):  # type: ignore[name-defined]
    """Base of our layers."""
