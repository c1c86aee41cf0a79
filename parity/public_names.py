"""Every public name of bert4keras 0.11.5: what kind of object it is, its arguments with their defaults, what it has.

In the environment of the reference, once on keras 2.3.1 and once on tf.keras, by `nox -s golden`:
`python -m parity.public_names`. It writes the part of its Keras in `goldens/public_names.json`. The library's tests
describe bert4keras3 with the same functions. An object that a module only imports is described only by its kind.
"""

import importlib
import inspect
import json
import platform

from parity.store import GOLDENS, write_whole

GOLDEN = GOLDENS / "public_names.json"
MODULES = ("backend", "layers", "models", "optimizers", "snippets", "tokenizers")

# What to pass for arguments without a default, to see what attributes an object has.
NUMBERS = dict(input_dim=7, output_dim=4, heads=2, head_size=4, units=8, key_size=4, parts=2, vocab_size=9)
SIZES = dict(hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position=12)
ARGUMENTS = dict(NUMBERS, hidden_act="gelu", **SIZES)
SIMPLE = (bool, int, float, str, type(None))


def describe_package():
    """{module: {name: description}} of bert4keras."""
    modules = {name: importlib.import_module("bert4keras." + name) for name in MODULES}
    modules["snippets"] = modules["snippets"].module  # the name is an object that imports uniout late
    layer_class = modules["backend"].keras.layers.Layer
    return {
        name: {
            key: describe(item, module.__name__, layer_class)
            for key, item in sorted(vars(module).items())
            if not key.startswith("_") and not is_inside_keras(item)
        }
        for name, module in modules.items()
    }


def is_inside_keras(item):
    """Whether `from keras.layers import *` gave the item by accident: its own files and a __future__ import."""
    return getattr(item, "__name__", "").startswith("keras.layers.") or type(item).__module__ == "__future__"


def describe(item, module, layer_class):
    """What a user can see of an object. module: where it was found."""
    description = {"kind": kind_of(item)}
    if isinstance(item, SIMPLE):
        description["value"] = item
    if isinstance(item, dict):
        description["keys"] = sorted(item)
    if description["kind"] not in ("class", "function") or getattr(item, "__module__", None) != module:
        return description
    description["arguments"] = arguments_of(item)
    if description["kind"] == "class":
        description["methods"] = methods_of(item, "bert4keras")
        example = example_arguments(item)
        if example is not None:
            made = item(**example)
            description.update(example=example, attributes=attributes_of(made, layer_class))
            if isinstance(made, layer_class):
                description["supports_masking"] = bool(made.supports_masking)
    return description


def kind_of(item):
    """module, class, function or constant."""
    if inspect.ismodule(item):
        return "module"
    if inspect.isclass(item):
        return "class"
    return "function" if callable(item) else "constant"


def arguments_of(item):
    """["inputs", "mask=None", "**kwargs"] of a function or a class."""
    if inspect.isclass(item):
        return arguments_of(item.__init__)[1:]
    found = []
    for one in inspect.signature(item).parameters.values():
        stars = {one.VAR_POSITIONAL: "*", one.VAR_KEYWORD: "**"}.get(one.kind, "")
        default = one.default.__name__ if callable(one.default) else repr(one.default)
        found.append(stars + one.name + ("" if one.default is one.empty else "=" + default))
    return found


def methods_of(item, package):
    """{name: arguments} of the public methods that classes of the package define; None for a property."""
    found = {}
    for base in reversed(item.__mro__):
        if base.__module__.split(".")[0] == package:
            for name, value in vars(base).items():
                value = getattr(value, "__func__", value)
                if not name.startswith("_") and (callable(value) or isinstance(value, property)):
                    found[name] = arguments_of(value) if callable(value) else None
    return found


def example_arguments(item):
    """Arguments that make an object of a layer's or a model's class; None for other classes."""
    if not item.__module__.endswith((".layers", ".models")):
        return None
    needed = {}
    for base in item.__mro__:
        if base is not object and "__init__" in vars(base):
            names = [one for one in arguments_of(base) if one.isidentifier()]
            needed.update((name, ARGUMENTS.get(name)) for name in names)
    return None if None in needed.values() else needed


def attributes_of(made, layer_class):
    """{name: value} of what a new object has that Keras's layers have not; values that are not simple as "…"."""
    keras_has = set(dir(layer_class())) | {"batch_input_shape", "input_length"}
    return {
        name: value if isinstance(value, SIMPLE) else "…"
        for name, value in vars(made).items()
        if not name.startswith("_") and not (isinstance(made, layer_class) and name in keras_has)
    }


def main():
    import bert4keras
    import tensorflow
    from bert4keras.backend import is_tf_keras, keras

    assert bert4keras.__version__ == "0.11.5"
    golden = json.loads(GOLDEN.read_text(encoding="utf-8")) if GOLDEN.exists() else {}
    golden["tf_keras" if is_tf_keras else "keras"] = {
        "provenance": {
            "bert4keras": bert4keras.__version__,
            "keras": keras.__version__,
            "tensorflow": tensorflow.__version__,
            "python": platform.python_version(),
        },
        "names": describe_package(),
    }
    write_golden(golden)


def write_golden(golden):
    """One name a line, so that a difference between two versions can be read."""

    def mapping(texts):
        lines = ",\n".join(f"{json.dumps(name)}: {text}" for name, text in sorted(texts.items()))
        return f"{{\n{lines}\n}}"

    parts = {}
    for flavour, found in golden.items():
        provenance = json.dumps(found["provenance"], sort_keys=True)
        modules = {
            module: mapping({name: json.dumps(one, ensure_ascii=False) for name, one in names.items()})
            for module, names in found["names"].items()
        }
        parts[flavour] = f'{{"provenance": {provenance},\n"names": {mapping(modules)}}}'
    text = mapping(parts) + "\n"
    write_whole(GOLDEN, lambda file: file.write(text.encode("utf-8")))


if __name__ == "__main__":
    main()
