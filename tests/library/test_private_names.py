"""Only backend/keras3/private.py touches what Keras, JAX and PyTorch do not promise; each of its names works here.

keras2/ is free: the releases of Keras 2 do not change any more.
"""

import ast
from pathlib import Path

import numpy as np
import pytest

import bert4keras3
from bert4keras3.backend import FLAVOUR, framework, keras, ops

PACKAGE = Path(bert4keras3.__file__).parent
PRIVATE = PACKAGE / "backend" / "keras3" / "private.py"
WITHOUT_KERAS = ("checkpoints", "migrate", "snippets", "tokenizers.py")  # tests/harness/test_dependencies.py
FILES = [
    path
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PRIVATE
    and path.parent != PACKAGE / "backend" / "keras2"
    and path.relative_to(PACKAGE).parts[0] not in WITHOUT_KERAS
]
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}

on_keras_3 = pytest.mark.skipif(FLAVOUR != "keras3", reason="about Keras 3")


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def own_names():
    """Private names that this package defines: functions, attributes of self, names of modules."""
    for tree in TREES.values():
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
                yield node.name
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                if isinstance(node.value, ast.Name) and node.value.id == "self":
                    yield node.attr


PUBLIC_OF_NAMEDTUPLE = {"_asdict", "_fields", "_make", "_replace"}
OWN = {name for name in own_names() if is_private(name)} | PUBLIC_OF_NAMEDTUPLE
# What Keras's Optimizer leaves to its subclasses, under names of one underscore as in Keras's own optimizers.
PROTECTED = {
    "_backend_update_step",
    "_get_variable_index",
    "_learning_rate",
    "_momentums",
    "_trainable_variables",
    "_velocities",
}


def private_names(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [node.attr]
        elif isinstance(node, ast.ImportFrom):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in alias.name.split(".")]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
            "getattr",
            "setattr",
            "set_attribute",
            "extends",
        ):
            values = [getattr(one, "value", getattr(one, "s", None)) for one in node.args]  # .s in Python 3.7
            names = [value for value in values if isinstance(value, str)]
        else:
            continue
        yield from (name for name in names if is_private(name) and name not in OWN)
        if isinstance(node, (ast.Import, ast.ImportFrom)) and names[:2] == ["keras", "src"]:
            yield "keras.src"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_other_files_use_public_names(path):
    allowed = PROTECTED if path.parent.name == "optimizers" else set()
    assert set(private_names(TREES[path])) <= allowed


@pytest.mark.parametrize(
    "code",
    [
        "model._nodes_by_depth",
        "from keras.src import ops",
        "torch._foreach_add_(a, b)",
        "getattr(layer, '_kernel')",
    ],
)
def test_a_private_name_is_found(code):
    assert list(private_names(ast.parse(code)))


def functional():
    inputs = keras.Input((3,), name="inputs")
    hidden = keras.layers.Dense(4, activation="relu", name="hidden")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2, name="outputs")(hidden))


@on_keras_3
def test_graph_of_a_model_is_read():
    from bert4keras3.backend.keras3 import private

    model = functional()
    hidden = model.get_layer("hidden")
    assert {node.operation.name for node in private.nodes_of(model)} == {"inputs", "hidden", "outputs"}
    assert private.inner_layers(model) == model.layers
    assert private.inputs_of_call(hidden) == [model.inputs[0]]
    assert private.outputs_of_call(hidden, -1) is hidden.output
    assert private.layer_of(model.outputs[0]).name == "outputs"
    x = ops.ones((1, 3))
    (found,) = private.compute_between(model, {id(model.inputs[0]): x}, [hidden.output])
    np.testing.assert_allclose(ops.convert_to_numpy(found), ops.convert_to_numpy(hidden(x)), rtol=1e-6)


@on_keras_3
def test_a_running_call_is_seen():
    from bert4keras3.backend.keras3 import private

    seen = []

    class Probe(keras.layers.Layer):
        def call(self, inputs):
            seen.append(private.is_in_call())
            return inputs

    Probe()(ops.ones((1, 1)))
    assert seen == [True] and not private.is_in_call()


@on_keras_3
def test_masks_travel_on_tensors():
    from bert4keras3.backend.keras3 import private

    tensor, mask = ops.ones((1, 2)), ops.ones((1, 2), "bool")
    private.set_keras_mask(tensor, mask)
    assert private.get_keras_mask(tensor) is mask


@on_keras_3
@pytest.mark.parametrize(
    "layer", [keras.layers.Dense(3), keras.layers.Embedding(5, 3)], ids=["Dense", "Embedding"]
)
def test_weights_are_found_as_they_are_stored(layer):
    from bert4keras3.backend.keras3 import private

    layer.build((None, 3))
    weight = layer.kernel if hasattr(layer, "kernel") else layer.embeddings
    assert private.own_weight(layer) is weight
    if framework in ("jax", "tensorflow", "torch"):
        layer.quantize("int8")
        weight, scale = private.own_weights(layer)
        assert str(weight.dtype) == "int8" and scale.shape in ((3,), (5,))


@on_keras_3
@pytest.mark.skipif(framework != "jax", reason="about Keras's JAX trainer")
def test_jax_trainer_has_the_state_that_is_set():
    from bert4keras3.backend.keras3 import private

    model = functional()
    names = ("trainable_variables", "non_trainable_variables", "optimizer_variables", "metrics_variables")
    model.compile("sgd", "mse")
    values = [ops.zeros(variable.shape) for variable in model.trainable_variables]
    state = dict(zip(names, [values, [], [variable.value for variable in model.optimizer.variables], []]))
    private.set_state(model, state)
    model.jax_state_sync()
    assert not any(ops.convert_to_numpy(variable).any() for variable in model.trainable_variables)
    assert hasattr(keras.Model, private.PURGE)


@pytest.mark.skipif(framework != "torch", reason="about PyTorch")
def test_operators_of_pytorch_compute():
    import torch

    from bert4keras3.backend.keras3 import private

    inputs, weight = torch.rand(2, 8), torch.rand(4, 8)
    expected = inputs @ weight.t()
    for form in (weight, private.pack_for_onednn(weight)):
        torch.testing.assert_close(private.onednn_linear(inputs, form, None), expected)
    assert isinstance(private.has_bfloat16_instructions(), bool)
    assert isinstance(private.has_float16_instructions(), bool)
    before = private.version_of(weight)
    weight.add_(1)
    assert private.version_of(weight) > before
    assert private.schema_of(torch.ops.aten.add_.Tensor).is_mutable
    assert private.schema_of(len) is None
    rows = torch.randint(-127, 128, (4, 8), dtype=torch.int8)
    quantized = private.quantized_tensor(
        rows, torch.ones(4, dtype=torch.double), torch.zeros(4, dtype=torch.long)
    )
    torch.testing.assert_close(quantized.dequantize(), rows.float())
    tokens = torch.rand(6, 8)
    integers, scale, low = private.quantize_tokens(tokens)
    torch.testing.assert_close(low + scale * integers, tokens, atol=1 / 500, rtol=0)
    if private.has_int8_instructions():
        packed = private.pack_int8_for_onednn(rows)
        product = private.onednn_int8_linear(integers, packed, torch.full((4,), 0.5))
        torch.testing.assert_close(product, integers.float() @ rows.float().t() / 2)


@pytest.mark.skipif(framework != "torch", reason="about PyTorch")
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("foreach_add_", (1.0,), 3.0),
        ("foreach_addcmul_", ("xs", "xs"), 6.0),
        ("foreach_copy_", ("ones",), 1.0),
        ("foreach_div", (2.0,), 1.0),
        ("foreach_mul", (2.0,), 4.0),
        ("foreach_mul_", (2.0,), 4.0),
        ("foreach_norm", (), 2.0),
        ("foreach_sqrt", (), 2.0**0.5),
        ("foreach_sub", ("ones",), 1.0),
    ],
)
def test_operators_over_lists_compute(name, arguments, expected):
    import torch

    from bert4keras3.backend.keras3 import private

    lists = {"xs": [torch.full((1,), 2.0)], "ones": [torch.ones(1)]}
    xs = [torch.full((1,), 2.0)]
    outputs = getattr(private, name)(xs, *(lists.get(one, one) for one in arguments))
    found = xs if name.endswith("_") else outputs
    assert found[0].item() == pytest.approx(expected)
