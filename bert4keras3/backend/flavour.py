"""Which of the three kinds of Keras this process uses, found without importing any framework.

    keras2     keras 2.3.1 with TensorFlow 1.15 to 2.2
    tf_keras   tf.keras of TensorFlow 1.15 to 2.15, chosen by TF_KERAS=1, or because no other Keras is installed
    keras3     Keras 3 from KERAS_3_FLOOR on, with the framework that KERAS_BACKEND names

All three offer the names of contract.py.
"""

import os
import re
from typing import Any

try:
    from importlib.metadata import PackageNotFoundError, version
except ImportError:  # Python 3.7
    from importlib_metadata import PackageNotFoundError, version  # type: ignore[no-redef]

Tensor = Any  # a tensor of the framework, or a symbolic tensor of Keras
Tensors = Any  # one tensor, or a list of tensors
KERAS_3_FLOOR = (3, 10)  # as in pyproject.toml
OPENVINO_FLOOR = (3, 15)  # as in pyproject.toml
FIRST_TENSORFLOW, LAST_TF_KERAS = (1, 15), (2, 15)
TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-macos", "tf-nightly")
TRUE = ("1", "true", "yes", "on", "y", "t")
NO_KERAS = (
    "found none. Install one framework with it: "
    "pip install bert4keras3[jax], bert4keras3[torch] or bert4keras3[tensorflow]"
)


def is_on(variable, default="0"):
    """Whether an environment variable is set to a word for true."""
    return os.environ.get(variable, default).strip().lower() in TRUE


def installed_version(distribution):
    """(major, minor) of a distribution; None if it is not installed."""
    try:
        numbers = re.findall(r"\d+", version(distribution)) + ["0"]
    except PackageNotFoundError:
        return None
    return int(numbers[0]), int(numbers[1])


def first_version(*distributions):
    """(major, minor) of the first distribution that is installed; None if none is."""
    return next(filter(None, map(installed_version, distributions)), None)


def find_flavour():
    """Name of the flavour: "keras2", "tf_keras" or "keras3".

    Raises:
        ImportError: no Keras is installed, or this library or its TensorFlow cannot run the installed Keras.
    """
    keras = first_version("keras", "keras-nightly")
    tensorflow = first_version(*TENSORFLOW)
    if keras is not None and keras >= (3, 0):
        flavour, problem = "keras3", problem_of_keras_3(keras, tensorflow)
    elif keras is not None and keras < (2, 4) and not is_on("TF_KERAS"):
        flavour, problem = "keras2", problem_of_keras_2(keras, tensorflow)
    elif tensorflow is not None:  # from 2.4 on, a Keras 2 is tf.keras under another name
        flavour, problem = "tf_keras", problem_of_tf_keras(keras, tensorflow)
    else:
        flavour, problem = None, NO_KERAS
    if problem:
        raise ImportError(f"bert4keras3 needs Keras and {problem}")
    return flavour


def problem_of_keras_3(keras, tensorflow):
    """Message for a Keras 3 that is too old, or for a tf.keras that is the package tf-keras; None without a problem."""
    floor = OPENVINO_FLOOR if os.environ.get("KERAS_BACKEND") == "openvino" else KERAS_3_FLOOR
    if keras < floor:
        floor = dotted(floor)
        return f"found Keras {dotted(keras)}. Take Keras {floor} or later: pip install --upgrade 'keras>={floor}'"
    if is_on("TF_KERAS") and is_on("TF_USE_LEGACY_KERAS") and tensorflow and tensorflow > LAST_TF_KERAS:
        return (
            f"found TF_USE_LEGACY_KERAS=1 with TensorFlow {dotted(tensorflow)}, whose tf.keras is the package "
            f"tf-keras. Unset it to take Keras {dotted(keras)}, or install TensorFlow 2.15 for tf.keras: "
            "pip install 'tensorflow==2.15.*'"
        )
    return None


def problem_of_keras_2(keras, tensorflow):
    """Message for a Keras before 2.4 that is too old, or whose TensorFlow cannot run it; None without a problem."""
    found = f"found Keras {dotted(keras)}"
    if keras < (2, 3):
        return f"{found}. Take Keras 2.3.1: pip install keras==2.3.1"
    if tensorflow is None:
        return (
            f"{found} without TensorFlow. Install TensorFlow 1.15 to 2.2: pip install 'tensorflow>=1.15,<2.3'"
        )
    if not FIRST_TENSORFLOW <= tensorflow < (2, 4):
        return f"{found} with TensorFlow {dotted(tensorflow)}. {remedy_of_tensorflow(tensorflow)}"
    return None


def problem_of_tf_keras(keras, tensorflow):
    """Message for a tf.keras that is too old, or whose TensorFlow needs another Keras; None without a problem."""
    separate = tensorflow >= (2, 6)  # an older TensorFlow contains its Keras
    if tensorflow >= FIRST_TENSORFLOW and (not separate or keras == tensorflow):
        return None
    found = f"Keras {dotted(keras)}" if keras and separate else "no Keras" if separate else "its Keras"
    return f"found {found} with TensorFlow {dotted(tensorflow)}. {remedy_of_tensorflow(tensorflow)}"


def remedy_of_tensorflow(tensorflow):
    """Which Keras goes with a TensorFlow."""
    if tensorflow < FIRST_TENSORFLOW:
        return "Take TensorFlow 1.15 or later: pip install --upgrade 'tensorflow>=1.15'"
    if tensorflow > LAST_TF_KERAS:
        return f"This TensorFlow takes Keras 3: pip install --upgrade 'keras>={dotted(KERAS_3_FLOOR)}'"
    if tensorflow >= (2, 6):
        same = dotted(tensorflow)
        return f"This TensorFlow takes Keras {same}: pip install 'keras=={same}.*'"
    return "Set TF_KERAS=1 to take the tf.keras of this TensorFlow"


def dotted(version):
    """(3, 10) → "3.10"."""
    return "{}.{}".format(*version)


FLAVOUR = find_flavour()
