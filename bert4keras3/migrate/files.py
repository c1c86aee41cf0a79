"""Names of files of weights and models, as Keras 3 wants them."""

from __future__ import annotations

import os
import re
import warnings
from typing import Any

import libcst as cst


def weights_ending(name: str) -> tuple[str, str]:
    """(old ending, new ending) that make the name of a file of weights one that Keras 3 takes."""
    for old, new in ((".weights.h5", ".weights.h5"), (".weights", ".weights.h5")):
        if name.endswith(old):
            return old, new
    for old in (".h5", ".hdf5"):
        if name.endswith(old):
            return old, ".weights.h5"
    return "", ".weights.h5"


def model_ending(name: str) -> tuple[str, str]:
    """(old ending, new ending) for a file of a whole model."""
    for ending in (".keras", ".h5"):
        if name.endswith(ending):
            return ending, ending
    return "", ".keras"


def tail(node: Any, names: Any, depth: int = 0) -> Any:
    """The literal with which the name of a file ends, through `+`, `%`, format, join and constants; else None."""
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
        values = [names.assigned_value(one) for one in names.assignments(node)]
        return tail(values[0], names, depth + 1) if len(values) == 1 else None
    return None


def fixed(literal):
    """The literal, None if a value is put in at its end: "%s", "{}"."""
    return None if literal is None or re.search(r"(%\w|\})$", text_of(literal)) else literal


def text_of(literal: Any) -> Any:
    """The text of a literal, None for bytes."""
    if isinstance(literal, cst.FormattedStringText):
        return literal.value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that only regular expressions know
        value = literal.evaluated_value
    return value if isinstance(value, str) else None


def same_file(text: str) -> str:
    """One spelling for "best.weights" and "./best.weights"."""
    return os.path.normpath(text)


def looks_like_a_file(text: str) -> bool:
    """Whether equal literals elsewhere in the script are this file, and not a word that is spelled alike."""
    return bool(os.path.splitext(text)[1]) or "/" in text
