"""Which of the three kinds of Keras this process uses, found without importing any framework.

    keras2     keras 2.3.1 with TensorFlow 1.15 to 2.2
    tf_keras   tf.keras of TensorFlow 1.15 to 2.15, chosen with TF_KERAS=1 or where it is the only Keras
    keras3     Keras 3 with the framework that KERAS_BACKEND names

Each is a file of this folder; all offer the same names.
"""

import os
from typing import Any

try:
    from importlib.metadata import PackageNotFoundError, version
except ImportError:  # Python 3.7
    from importlib_metadata import PackageNotFoundError, version  # type: ignore[no-redef]

Tensor = Any  # of whichever framework, or of Keras while a model is built
Tensors = Any  # one, or a list of them
TRUE = ("1", "true", "yes", "on", "y", "t")


def is_on(variable, default="0"):
    """Whether an environment variable is set to a word for true."""
    return os.environ.get(variable, default).strip().lower() in TRUE


def installed_version(distribution):
    """(major, minor) of an installed distribution, None where it is absent."""
    try:
        major, minor = version(distribution).split(".")[:2]
    except PackageNotFoundError:
        return None
    return int(major), int(minor)


def find_flavour():
    """Name of the flavour; raises ImportError where no Keras is installed."""
    keras = installed_version("keras")
    if keras is not None and keras >= (3, 0):
        return "keras3"
    if keras is not None and keras < (2, 4) and not is_on("TF_KERAS"):
        return "keras2"
    # From 2.4 on, the distribution "keras" of a Keras 2 is tf.keras under another name.
    if any(installed_version(name) for name in ("tensorflow", "tensorflow-cpu", "tensorflow-gpu")):
        return "tf_keras"
    raise ImportError(
        "bert4keras3 needs Keras and found none. Install one framework with it: "
        "pip install bert4keras3[jax], bert4keras3[torch] or bert4keras3[tensorflow]"
    )


FLAVOUR = find_flavour()
