"""Names that a star import of any module of bert4keras adds to the module's own; `tf` on TensorFlow alone."""

import numpy as np  # noqa: F401

from bert4keras3.backend.contract import K, framework, is_tf_keras, keras  # noqa: F401

__all__ = ["K", "is_tf_keras", "keras", "np"]
if framework == "tensorflow":
    import tensorflow as tf  # noqa: F401

    __all__ += ["tf"]

NO_TENSORFLOW = (
    f"The framework of this process is {framework}. Write ops of bert4keras3 (keras.ops), which every framework has, "
    "or import tensorflow as tf."
)
