"""Names of weights files and model files that Keras 3 accepts."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

import libcst as cst


def weights_ending(name: str) -> tuple[str, str]:
    """(old ending, new ending) of a weights file; Keras 3 accepts the new one."""
    endings = (".weights.h5", ".weights", ".h5", ".hdf5", "")
    return next(old for old in endings if name.endswith(old)), ".weights.h5"


def model_ending(name: str) -> tuple[str, str]:
    """(old ending, new ending) of a file with a whole model."""
    for ending in (".keras", ".h5"):
        if name.endswith(ending):
            return ending, ending
    return "", ".keras"


def tail(node: Any, names: Any, depth: int = 0) -> Any:
    """The literal at the end of a file name, through `+`, `%`, format, join and constants; None if there is none."""
    if depth > 5:
        return None
    if isinstance(node, cst.SimpleString):
        return node if text_of(node) is not None else None
    if isinstance(node, cst.FormattedString):
        last = node.parts[-1] if node.parts else None
        return last if isinstance(last, cst.FormattedStringText) else None
    if isinstance(node, cst.BinaryOperation):
        if isinstance(node.operator, cst.Modulo):
            return fixed(tail(node.left, names, depth + 1))
        return tail(node.right, names, depth + 1)
    if isinstance(node, cst.Call):
        if isinstance(node.func, cst.Attribute) and node.func.attr.value == "format":
            return fixed(tail(node.func.value, names, depth + 1))
        if node.args and names.raw(node.func) in ("os.path.join", "pathlib.Path", "builtins.str"):
            return tail(node.args[-1].value, names, depth + 1)
    if isinstance(node, cst.Name):
        values = names.values(node)
        return tail(values[0], names, depth + 1) if len(values) == 1 else None
    return None


def fixed(literal):
    """The literal; None if it ends with a placeholder: "%s", "{}"."""
    return None if literal is None or re.search(r"(%\w|\})$", text_of(literal)) else literal


def text_of(literal: Any) -> Any:
    """Text of a literal; None for bytes."""
    if isinstance(literal, cst.FormattedStringText):
        return literal.value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for invalid escapes, as in regular expressions
        value = literal.evaluated_value
    return value if isinstance(value, str) else None


def same_file(text: str) -> str:
    """Normalize a path: "./best.weights" is "best.weights"."""
    return os.path.normpath(text)


def looks_like_a_file(text: str) -> bool:
    """Whether an equal literal elsewhere in the script is probably the same file, and not just the same word."""
    return bool(os.path.splitext(text)[1]) or "/" in text
