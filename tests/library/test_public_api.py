"""Whatever the reference in docs/api names has type hints and says what it does; so has every function of K."""

import importlib
import inspect
import re
from pathlib import Path

import pytest

from bert4keras3.backend import FLAVOUR, K

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "api").glob("*.md"))
ENTRY = re.compile(r"^\.\. (currentmodule|automodule|autofunction|autoclass|autoexception):: (\S+)", re.M)
KERAS_3_ONLY = ("bert4keras3.generation",)
# of Keras's layers, where nothing is to be told
PROTOCOL = ("build", "compute_mask", "compute_output_shape", "compute_output_spec", "get_config")
SAID_BY_CLASS = ("__init__", "call")


def documented():
    """Full names of what the pages of the reference show."""
    for page in PAGES:
        module = None
        for kind, name in ENTRY.findall(page.read_text(encoding="utf-8")):
            if kind.endswith("module"):
                module = name
            elif FLAVOUR == "keras3" or module not in KERAS_3_ONLY:
                yield name if name.startswith("bert4keras3.") else f"{module}.{name}"


def functions_of(name, item):
    """The function itself, or the public methods that a class of ours writes."""
    if not inspect.isclass(item):
        # on Keras 2 a few are Keras's own
        return {name: item} if item.__module__.startswith("bert4keras3") else {}
    own = {
        key: getattr(value, "__func__", value)
        for key, value in vars(item).items()
        if key == "__init__" or not key.startswith("_") and key not in PROTOCOL
    }
    return {
        f"{name}.{key}": value
        for key, value in own.items()
        if inspect.isfunction(value) and value.__module__.startswith("bert4keras3")
    }


def lacking(name, function):
    """What a reader of the signature would look for in vain."""
    signature = inspect.signature(function)
    for one in list(signature.parameters.values()):
        if one.annotation is one.empty and one.name not in ("self", "cls"):
            yield f"{name}: a type for {one.name}"
    if signature.return_annotation is signature.empty:
        yield f"{name}: the type of what it returns"


@pytest.mark.parametrize("name", sorted(documented()))
def test_documented_name_has_types_and_a_docstring(name):
    module, _, short = name.rpartition(".")
    item = getattr(importlib.import_module(module), short)
    missing = [] if item.__doc__ else [name + ": a docstring"]
    for key, function in functions_of(name, item).items():
        missing += lacking(key, function)
        method = key.rpartition(".")[2]
        said = not inspect.isclass(item) or method in SAID_BY_CLASS or inspect.getdoc(getattr(item, method))
        missing += [] if said else [key + ": a docstring"]
    assert not missing


@pytest.mark.skipif(FLAVOUR != "keras3", reason="K is Keras's own there")
def test_functions_of_k_have_types_and_docstrings():
    ours = {
        "K." + name: item
        for name, item in vars(K).items()
        if inspect.isfunction(item) and item.__module__ == K.__name__ and name != "__getattr__"
    }
    missing = [line for name, item in sorted(ours.items()) for line in lacking(name, item)]
    assert len(ours) > 90
    assert not missing + [name + ": a docstring" for name, item in sorted(ours.items()) if not item.__doc__]
