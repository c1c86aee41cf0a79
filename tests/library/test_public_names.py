"""Every public name of bert4keras 0.11.5 (`parity/goldens/public_names.json`) beside ours: the same kind of object, the
same arguments with the same defaults, the same attributes. What differs on purpose is a row of DIFFERENCES.
"""

import ast
import importlib
import inspect
import json
from fnmatch import fnmatch
from typing import NamedTuple

import pytest

from bert4keras3.backend import FLAVOUR, framework, keras
from parity.public_names import GOLDEN, arguments_of, kind_of

# keras 2.3.1 and Keras 3 are compared with bert4keras on keras 2.3.1
NAMES = json.loads(GOLDEN.read_text(encoding="utf-8"))["tf_keras" if FLAVOUR == "tf_keras" else "keras"][
    "names"
]
ROWS = [(module, name) for module, names in sorted(NAMES.items()) for name in sorted(names)]
IS_TENSORFLOW = framework == "tensorflow"
IS_KERAS_3 = FLAVOUR == "keras3"


class Difference(NamedTuple):
    """names: patterns of "module.name". lacks: patterns of what `found_lacking` says of them, all of which it says."""

    names: str
    lacks: str
    reason: str
    here: bool = True


INSIDE_TENSORFLOW = "It is an internal part of TensorFlow 1; the error says what to write."
DROPPED_BY_KERAS = "Keras 3 has removed it; the error says what to write."
DIFFERENCES = [
    Difference(
        "backend.device_lib backend.nest backend.tape backend.tf_inspect", "the name", INSIDE_TENSORFLOW
    ),
    Difference("backend.graph_mode_decorator", "the name", "recompute_grad does it on every framework."),
    Difference(
        "backend.strtobool", "the name", "Python 3.12 has no distutils; the error says what to write."
    ),
    Difference("*.tf", "the name", "Without TensorFlow there is none; the error says so.", not IS_TENSORFLOW),
    Difference("snippets.basestring snippets.six", "the name", "It is for Python 2."),
    Difference("tokenizers.open", "the name", "It is in snippets; tokenizers needs the builtin."),
    Difference(
        "[lm]*s.Node [lm]*s.NodeBase", "the name", "They are internal to Keras 2.", FLAVOUR != "tf_keras"
    ),
    Difference(
        "[lm]*s.AtrousConvolution?D [lm]*s.ConvLSTM2DCell [lm]*s.ConvRecurrent2D [lm]*s.Deconvolution?D "
        "[lm]*s.Highway [lm]*s.LocallyConnected?D [lm]*s.MaxoutDense [lm]*s.Recurrent [lm]*s.ThresholdedReLU "
        "[lm]*s.deserialize_keras_object",
        "the name",
        DROPPED_BY_KERAS,
        IS_KERAS_3,
    ),
    Difference("[lm]*s.CuDNN*", "the name", DROPPED_BY_KERAS, not hasattr(keras.layers, "CuDNNGRU")),
    Difference(
        "layers.ConditionalRandomField", "log_norm_step", "It is a step of K.rnn; ours needs no step."
    ),
    Difference("layers.Embedding", "supports_masking", "It gives a mask out; Keras 3 asks this first."),
    Difference(
        "models.GPT2 models.GPT2_ML", "attribute segment_vocab_size", "These models have no segments: 0."
    ),
    Difference("models.RoFormerV2", "initializer", "It is a property, as the other models have it."),
    Difference(
        "optimizers.AdaFactor optimizers.AdaFactorV?",
        "factored_shape",
        "It is a step inside, under another name.",
    ),
    Difference(
        "optimizers.AdaFactor optimizers.AdaFactorV?",
        "beta2",
        "It is an argument, and an attribute of what is made.",
    ),
    Difference(
        "optimizers.AdaFactor optimizers.AdaFactorV1", "get_updates", "Keras 3 calls update_step.", IS_KERAS_3
    ),
    Difference(
        "optimizers.AdaFactor optimizers.AdaFactorV?",
        "learning_rate",
        "tf.keras gives it to what is made.",
        FLAVOUR == "tf_keras",
    ),
    Difference("optimizers.AdaFactorBase", "the name", "AdaFactor is one class."),
    Difference(
        "snippets.WebServing", "arguments", "Other machines cannot reach it by default; uvicorn serves it."
    ),
    Difference("snippets.open", "close, flush, tell", "It asks the file itself for every method."),
]


def expected_lacks(full_name):
    """Patterns of what is to differ."""
    return {
        lacks
        for row in DIFFERENCES
        if row.here and any(fnmatch(full_name, name) for name in row.names.split())
        for lacks in row.lacks.split(", ")
    }


def find(module, name):
    return getattr(importlib.import_module("bert4keras3." + module), name)


def found_lacking(module, name):
    """What a script that uses the name of bert4keras would look for in vain."""
    golden = NAMES[module][name]
    try:
        ours = find(module, name)
    except (AttributeError, ImportError):
        return {"the name"}
    lacking = set()
    if kind_of(ours) != golden["kind"]:
        lacking.add("kind")
    if "value" in golden and (ours != golden["value"] and name != "is_tf_keras"):
        lacking.add("value")
    lacking.update("key " + key for key in golden.get("keys", ()) if key not in ours)
    if "arguments" in golden and not accepts(ours, golden["arguments"]):
        lacking.add("arguments")
    for method, arguments in golden.get("methods", {}).items():
        item = getattr(ours, method, None)
        if item is None or callable(item) != (arguments is not None):
            lacking.add(method)
        elif arguments is not None and not accepts(item, arguments):
            lacking.add("arguments of " + method)
    if "example" in golden:
        lacking |= lacking_of_example(ours(**golden["example"]), golden)
    return lacking


def lacking_of_example(made, golden):
    lacking = set()
    for attribute, value in golden["attributes"].items():
        found = getattr(made, attribute, "nothing")
        if found == "nothing" or value != "…" and found != value:
            lacking.add("attribute " + attribute)
    if made_supports_masking(made) != golden.get("supports_masking"):
        lacking.add("supports_masking")
    return lacking


def made_supports_masking(made):
    found = getattr(made, "supports_masking", None)
    return None if found is None else bool(found)


def accepts(ours, golden):
    """Whether a call for the golden's arguments means the same to ours, which may have more."""
    if golden[:1] == ["*args"]:
        return True  # it says nothing about its arguments
    arguments = arguments_of(ours)
    if inspect.ismethod(ours):
        golden = golden[1:]
    if "*args" in arguments:
        return True
    if any(one.startswith("*") and one not in arguments for one in golden):
        return False
    wanted = [one for one in golden if not one.startswith("*")]
    return (
        len(arguments) >= len(wanted)
        and all(map(same_argument, arguments, wanted))
        and all("=" in one or one.startswith("*") for one in arguments[len(wanted) :])
    )


def same_argument(ours, golden):
    """One more default is no difference."""
    (name, _, default), (golden_name, _, golden_default) = ours.partition("="), golden.partition("=")
    return name == golden_name and (not golden_default or same_default(default, golden_default))


def same_default(ours, golden):
    try:
        return ast.literal_eval(ours) == ast.literal_eval(golden)
    except (SyntaxError, ValueError):
        return ours == golden


@pytest.mark.parametrize("module, name", ROWS)
def test_name_is_what_bert4keras_has(module, name):
    lacking, expected = found_lacking(module, name), expected_lacks(f"{module}.{name}")
    assert {one for one in lacking if not any(fnmatch(one, pattern) for pattern in expected)} == set()
    assert {pattern for pattern in expected if not any(fnmatch(one, pattern) for one in lacking)} == set()


@pytest.mark.parametrize("module", sorted({module for module, _ in ROWS}))
def test_star_import_gives_every_name_that_is_there(module):
    given = {}
    exec(f"from bert4keras3.{module} import *", given)
    there = {name for name in NAMES[module] if "the name" not in found_lacking(module, name)}
    # snippets import no framework, so they cannot know whether there is a `tf`
    assert there - set(given) == ({"tf"} if module == "snippets" and IS_TENSORFLOW else set())


@pytest.mark.parametrize(
    "module, name",
    [
        ("backend", "graph_mode_decorator"),
        ("backend", "device_lib"),
        pytest.param("backend", "tf", marks=pytest.mark.skipif(IS_TENSORFLOW, reason="it is there")),
        pytest.param("snippets", "tf", marks=pytest.mark.skipif(IS_TENSORFLOW, reason="it is there")),
        pytest.param("layers", "CuDNNLSTM", marks=pytest.mark.skipif(not IS_KERAS_3, reason="it is there")),
        pytest.param(
            "models", "ThresholdedReLU", marks=pytest.mark.skipif(not IS_KERAS_3, reason="it is there")
        ),
    ],
)
def test_import_of_an_absent_name_says_what_to_write(module, name):
    with pytest.raises(ImportError, match=rf"{name} does not exist here\. .*[Ww]rite "):
        exec(f"from bert4keras3.{module} import {name}")


def test_import_of_an_unknown_name_is_the_usual_error():
    with pytest.raises(ImportError, match="cannot import name 'Dence'"):
        exec("from bert4keras3.layers import Dence")


@pytest.mark.skipif(not IS_TENSORFLOW, reason="TensorFlow is not the framework")
@pytest.mark.parametrize("module", ["backend", "layers", "models", "snippets"])
def test_tf_is_tensorflow(module):
    import tensorflow

    assert find(module, "tf") is tensorflow


def test_integerize_shape_gives_lists_of_numbers():
    class Shaped:
        @find("layers", "integerize_shape")
        def build(self, input_shape):
            return input_shape

    size = type("Dimension", (), {"value": 3})()
    assert Shaped().build([(None, 2), (4, size)]) == [[None, 2], [4, 3]]
