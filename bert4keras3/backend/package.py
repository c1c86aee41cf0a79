"""The Keras of this process: the package keras, or tf.keras."""

import sys

from bert4keras3.backend.flavour import FLAVOUR

if FLAVOUR == "tf_keras":
    import tensorflow as tf

    keras = tf.keras
    if keras.Model.__module__.startswith("tensorflow"):
        # As with bert4keras and TF_KERAS=1, `from keras.layers import Dense` in a script means this Keras.
        sys.modules["keras"] = keras
else:
    import keras  # type: ignore[no-redef]  # noqa: F401
