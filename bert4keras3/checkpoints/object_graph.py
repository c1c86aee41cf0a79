"""The object graph that tf.keras writes into a checkpoint: which variable is which attribute of which layer.

`model.save_weights("best_model.weights")` of tf.keras writes a bundle whose keys are paths of attributes, such as
`layer_with_weights-4/q_dense/kernel/.ATTRIBUTES/VARIABLE_VALUE`. The bundle also contains the graph of the objects, a
protocol buffer.
"""

from __future__ import annotations

from typing import NamedTuple

from .bundle import BundleCheckpoint
from .errors import CheckpointError, damaged
from .wire import DecodeError, Message

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
SLOT = ".OPTIMIZER_SLOT"


class ObjectVariable(NamedTuple):
    """A variable of an object graph."""

    key: str  # in the checkpoint
    path: tuple[str, ...]  # attributes from the model to the variable
    full_name: str  # TensorFlow's name of the variable, "layer/…/kernel"


def read_object_graph(checkpoint: BundleCheckpoint) -> list[ObjectVariable]:
    """The variables of the model in the order of the graph, without the slots of optimizers.

    Args:
        checkpoint: result of `open_checkpoint` for the prefix of a TensorFlow checkpoint.

    Raises:
        CheckpointError: the checkpoint has no object graph, or the graph is damaged.
    """
    if GRAPH not in checkpoint:
        raise CheckpointError(
            f"'{checkpoint.path}' is a checkpoint of named variables, expected weights that tf.keras saved. "
            "Load it with build_transformer_model(config_path, checkpoint_path)"
        )
    try:
        graph = Message(checkpoint.read_string(GRAPH))
        attributes = [attribute for node in graph.messages(1) for attribute in node.messages(2)]
        found = [_variable(attribute) for attribute in attributes if attribute.text(1) == "VARIABLE_VALUE"]
    except (DecodeError, UnicodeDecodeError) as error:
        raise damaged(checkpoint.path + ".index", f"its object graph: {error}") from error
    for variable in found:
        if variable.key not in checkpoint:
            raise damaged(checkpoint.path + ".index", f"its graph names {variable.key!r}, which is missing")
    return [variable for variable in found if SLOT not in variable.path]


def _variable(attribute):
    key = attribute.text(3)
    names = key[: -len(VALUE)].split("/") if key.endswith(VALUE) else [SLOT]
    return ObjectVariable(key, tuple(_unescaped(name) for name in names), attribute.text(2))


def _unescaped(name):
    """Name of an attribute; TensorFlow escapes "/" as ".S" and "." as ".."."""
    return name if name == SLOT else name.replace(".S", "/").replace("..", ".")
