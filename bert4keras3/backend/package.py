"""The Keras of this process: the package keras, or tf.keras."""

import sys

from bert4keras3.backend.flavour import FLAVOUR

if FLAVOUR == "tf_keras":
    import tensorflow as tf

    keras = tf.keras
    if keras.Model.__module__.startswith("tensorflow"):
        # Scripts that go on with `from keras.layers import Dense` mean this Keras: TF_KERAS=1 of bert4keras.
        sys.modules["keras"] = keras
else:
    import keras  # type: ignore[no-redef]  # noqa: F401
