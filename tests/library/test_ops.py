"""Each function of `ops` against NumPy. On Keras 3 the same rows hold keras.ops to it, so the two agree."""

import ast
import inspect
from math import erf
from pathlib import Path

import numpy as np
import pytest

import bert4keras3
from bert4keras3 import ops
from bert4keras3.backend import K, dtype_name, keras

RANDOM = np.random.RandomState(0)
X = RANDOM.normal(size=(2, 3, 4)).astype("float32")
Y = RANDOM.normal(size=(2, 3, 4)).astype("float32")
P = np.abs(X) + 0.5
IDS = np.array([[0, 2, 1], [1, 1, 0]], dtype="int32")
B = X > 0


# Our functions, read without importing them, since they import TensorFlow: {name: arguments}, and other names of
# TensorFlow's own.
SOURCE = ast.parse(
    (Path(bert4keras3.__file__).parent / "backend" / "keras2" / "ops.py").read_text(encoding="utf-8")
)
FUNCTIONS = {
    node.name: [argument.arg for argument in node.args.args] + (["operands"] if node.args.vararg else [])
    for node in SOURCE.body
    if isinstance(node, ast.FunctionDef)
}
RENAMED = {node.targets[0].id for node in SOURCE.body if isinstance(node, ast.Assign)}


def softmax(x, axis):
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)


# (name, arguments, keyword arguments, what NumPy says)
ROWS = [
    ("cast", (X, "int32"), {}, X.astype("int32")),
    ("convert_to_tensor", (X,), {}, X),
    ("arange", (5,), {"dtype": "int32"}, np.arange(5)),
    ("arange", (1, 9, 2), {"dtype": "int32"}, np.arange(1, 9, 2)),
    ("ones_like", (X,), {"dtype": "bool"}, np.ones_like(X, dtype=bool)),
    ("zeros_like", (X,), {}, np.zeros_like(X)),
    ("reshape", (X, (2, -1)), {}, X.reshape(2, -1)),
    ("transpose", (X,), {}, X.transpose()),
    ("transpose", (X, (1, 0, 2)), {}, X.transpose(1, 0, 2)),
    ("expand_dims", (X, 1), {}, X[:, None]),
    ("concatenate", ([X, Y],), {"axis": -1}, np.concatenate([X, Y], -1)),
    ("stack", ([X, Y],), {"axis": 1}, np.stack([X, Y], 1)),
    ("repeat", (X, 2), {"axis": -1}, np.repeat(X, 2, -1)),
    ("broadcast_to", (X[:1], (2, 3, 4)), {}, np.broadcast_to(X[:1], (2, 3, 4))),
    ("pad", (X, [[0, 0], [1, 2], [0, 0]]), {}, np.pad(X, [[0, 0], [1, 2], [0, 0]], "constant")),
    ("one_hot", (IDS, 4), {}, np.eye(4, dtype="float32")[IDS]),
    ("take", (X, IDS[0]), {"axis": 1}, X[:, IDS[0]]),
    ("take_along_axis", (X, IDS[:, :, None]), {"axis": 1}, np.take_along_axis(X, IDS[:, :, None], 1)),
    ("take_along_axis", (X, IDS[:, None]), {"axis": -1}, np.take_along_axis(X, IDS[:, None], -1)),
    ("take_along_axis", (X, IDS[0]), {}, X.reshape(-1)[IDS[0]]),
    ("take", (X[0], IDS), {"axis": 0}, X[0][IDS]),
    ("take", (X, IDS), {}, X.reshape(-1)[IDS]),
    ("add", (X, Y), {}, X + Y),
    ("subtract", (X, Y), {}, X - Y),
    ("multiply", (X, Y), {}, X * Y),
    ("divide", (X, P), {}, X / P),
    ("power", (P, 3.0), {}, P**3),
    ("maximum", (X, Y), {}, np.maximum(X, Y)),
    ("minimum", (X, Y), {}, np.minimum(X, Y)),
    ("square", (X,), {}, X * X),
    ("sqrt", (P,), {}, np.sqrt(P)),
    ("rsqrt", (P,), {}, P**-0.5),
    ("exp", (X,), {}, np.exp(X)),
    ("log", (P,), {}, np.log(P)),
    ("sin", (X,), {}, np.sin(X)),
    ("cos", (X,), {}, np.cos(X)),
    ("tanh", (X,), {}, np.tanh(X)),
    ("matmul", (X, Y[0].T), {}, X @ Y[0].T),
    ("einsum", ("bij,bkj->bik", X, Y), {}, np.einsum("bij,bkj->bik", X, Y)),
    ("sum", (X,), {"axis": 1, "keepdims": True}, X.sum(1, keepdims=True)),
    ("mean", (X,), {"axis": -1}, X.mean(-1)),
    ("max", (X,), {"axis": 2}, X.max(2)),
    ("min", (X,), {"axis": 1}, X.min(1)),
    ("all", (B,), {"axis": 1, "keepdims": True}, B.all(1, keepdims=True)),
    ("all", (np.ones_like(B),), {}, np.array(True)),
    ("logsumexp", (X,), {"axis": 1}, np.log(np.exp(X).sum(1))),
    ("logsumexp", (X,), {"axis": -1, "keepdims": True}, np.log(np.exp(X).sum(-1, keepdims=True))),
    ("argmax", (X,), {"axis": 1}, X.argmax(1)),
    ("argmax", (X,), {}, X.argmax()),
    ("cumsum", (X,), {"axis": 1}, X.cumsum(1)),
    ("cumsum", (X,), {}, X.cumsum()),
    ("equal", (IDS, 1), {}, IDS == 1),
    ("not_equal", (IDS, 0), {}, IDS != 0),
    ("greater", (X, Y), {}, X > Y),
    ("greater_equal", (X, Y), {}, X >= Y),
    ("less", (X, Y), {}, X < Y),
    ("less_equal", (X, Y), {}, X <= Y),
    ("logical_and", (B, Y > 0), {}, B & (Y > 0)),
    ("logical_or", (B, Y > 0), {}, B | (Y > 0)),
    ("where", (B, X, 0.0), {}, np.where(B, X, 0)),
    ("where", (B[:, :1], X, Y), {}, np.where(B[:, :1], X, Y)),
    ("max_pool", (X, 2, 2), {}, X[:, :2].max(1, keepdims=True)),
    ("max_pool", (X, 2, 1), {"padding": "valid"}, np.stack([X[:, :2].max(1), X[:, 1:].max(1)], 1)),
    ("average_pool", (X, 2, 2), {}, X[:, :2].mean(1, keepdims=True)),
    (
        "average_pool",
        (X, 2, 1),
        {"padding": "same"},  # what lies outside does not count
        np.stack([X[:, :2].mean(1), X[:, 1:].mean(1), X[:, 2]], 1),
    ),
    ("relu", (X,), {}, np.maximum(X, 0)),
    ("leaky_relu", (X,), {"negative_slope": 0.3}, np.where(X > 0, X, 0.3 * X)),
    ("silu", (X,), {}, X / (1 + np.exp(-X))),
    ("gelu", (X,), {"approximate": False}, X * 0.5 * (1 + np.vectorize(erf)(X / np.sqrt(2)))),
    ("gelu", (X,), {}, 0.5 * X * (1 + np.tanh(np.sqrt(2 / np.pi) * (X + 0.044715 * X**3)))),
    ("softmax", (X,), {"axis": 1}, softmax(X, 1)),
]


def evaluate(x):
    if hasattr(keras, "ops"):
        return keras.ops.convert_to_numpy(x)
    return K.eval(x)


def tensors(argument):
    """Arrays as tensors, since a function need not take arrays; everything else as it is."""
    if isinstance(argument, list):
        return [tensors(item) for item in argument]
    return ops.convert_to_tensor(argument) if isinstance(argument, np.ndarray) else argument


@pytest.mark.parametrize(
    "name, arguments, keywords, expected", ROWS, ids=[f"{r[0]}-{i}" for i, r in enumerate(ROWS)]
)
def test_function_computes_what_numpy_does(name, arguments, keywords, expected):
    result = getattr(ops, name)(*[tensors(argument) for argument in arguments], **keywords)
    np.testing.assert_allclose(evaluate(result), expected, rtol=2e-5, atol=2e-6)
    assert (dtype_name(result) == "bool") == (expected.dtype == bool)


def running_sum(carry, x):
    return carry + x, carry * 2


@pytest.mark.parametrize("number", [0, 1])
def test_scan_returns_the_last_carry_and_all_results(number):
    result = ops.scan(running_sum, tensors(Y[0]), tensors(X))[number]
    expected = (Y[0] + X[0] + X[1], np.stack([Y[0] * 2, (Y[0] + X[0]) * 2]))[number]
    np.testing.assert_allclose(evaluate(result), expected, rtol=1e-5, atol=1e-6)


def test_scan_carries_and_reads_lists():
    def step(carry, x):
        carry = [carry[0] + x[0], carry[1] * x[1]]
        return carry, carry

    carry, _ = ops.scan(step, [tensors(Y[0]), tensors(P[0])], [tensors(X), tensors(P)])
    np.testing.assert_allclose(evaluate(carry[0]), Y[0] + X[0] + X[1], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(evaluate(carry[1]), P[0] * P[0] * P[1], rtol=1e-5, atol=1e-6)


def test_shape_is_a_tuple_of_known_sizes():
    assert tuple(ops.shape(tensors(X))) == (2, 3, 4)


def test_rows_cover_every_function():
    assert {row[0] for row in ROWS} | {"scan", "shape"} == set(FUNCTIONS) | RENAMED


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_signature_begins_like_keras_ops(name):
    """Ours may lack arguments that we do not use, but has none of its own, and the same order."""
    if not hasattr(keras, "ops"):
        pytest.skip("keras.ops is not in this pairing")
    ours = FUNCTIONS[name]
    theirs = list(inspect.signature(getattr(keras.ops, name)).parameters)
    assert ours == theirs[: len(ours)]
