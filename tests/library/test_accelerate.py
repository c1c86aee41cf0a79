"""Every path of accelerate/ has the names of plain.py and computes what plain.py computes."""

import inspect
import os
import subprocess
import sys

import numpy as np
import pytest

from bert4keras3.backend import FLAVOUR, framework, keras, ops
from bert4keras3.backend.accelerate import PATHS, accelerates, implementation, plain

NAMES = sorted(
    name
    for name, item in vars(plain).items()
    if inspect.isfunction(item) and item.__module__ == plain.__name__ and name != "rounded"
)
path = implementation(framework if FLAVOUR == "keras3" else "keras2")
random = np.random.RandomState(0)


def tensor(*shape):
    return ops.convert_to_tensor(random.normal(size=shape).astype("float32"))


def numbers(x):
    return ops.convert_to_numpy(x) if hasattr(ops, "convert_to_numpy") else keras.backend.get_value(x)


def without_gradients(function, *arguments):
    if framework != "torch":
        return numbers(function(*arguments))
    import torch

    with torch.no_grad():
        return numbers(function(*arguments))


def dense_layer():
    layer = keras.layers.Dense(5, activation="tanh", bias_initializer="ones")
    layer.build((None, 6))
    return layer


def embedding_layer():
    layer = keras.layers.Embedding(7, 6)
    layer.build((None, None) if FLAVOUR != "keras3" else None)
    return layer


def weight(*shape):
    return keras.Variable(random.normal(size=shape).astype("float32"))


CALLS = {
    "dense, a row": lambda: ("dense", dense_layer(), tensor(1, 1, 6)),
    "dense, rows": lambda: ("dense", dense_layer(), tensor(2, 3, 6)),
    "logits, a row": lambda: ("logits", embedding_layer(), tensor(1, 1, 6), tensor(7, 6)),
    "logits, rows": lambda: ("logits", embedding_layer(), tensor(2, 3, 6), tensor(7, 6)),
    "gelu": lambda: ("gelu", tensor(4, 50)),
    "layer_norm": lambda: ("layer_norm", tensor(2, 3, 6), weight(6), weight(6), 1e-5),
    "attention": lambda: ("attention", *(tensor(2, 3, 2, 4) for _ in "qkv"), None, 0.5),
    **{
        f"attention, bias {rows} x {heads}": lambda rows=rows, heads=heads: (
            "attention",
            *(tensor(2, 3, 2, 4) for _ in "qkv"),
            tensor(rows, heads, 3, 3),
            0.5,
        )
        for rows in (1, 2)
        for heads in (1, 2)
    },
}


@pytest.mark.skipif(framework != "jax" or not accelerates(), reason="an accelerated path of JAX")
@pytest.mark.parametrize("kind", [None, "t5_relative"])
def test_attention_layers_take_large_scores_row_by_row(kind, monkeypatch):
    from bert4keras3.layers import MultiHeadAttention

    layer = MultiHeadAttention(2, 4)
    x, mask = tensor(3, 5, 8), ops.convert_to_tensor(np.arange(15).reshape(3, 5) % 5 < 4)
    inputs = [x, x, x, ops.convert_to_tensor(np.tri(5) > 0)] + ([tensor(5, 5, 2)] if kind else [])
    arguments = dict(mask=[mask] * len(inputs), a_bias=True, p_bias=kind, training=False)
    expected = numbers(layer(inputs, **arguments))
    rows = []
    monkeypatch.setattr(path, "SCORES_IN_CACHES", 0)
    monkeypatch.setattr(
        "jax.lax.map", lambda f, xs, original=path.jax.lax.map: rows.append(3) or original(f, xs)
    )
    np.testing.assert_allclose(numbers(layer(inputs, **arguments)), expected, rtol=2e-6, atol=2e-6)
    assert rows == [3]
    layer(inputs, **dict(arguments, training=True))
    assert rows == [3]


@pytest.mark.parametrize("name", NAMES)
def test_path_has_each_name(name):
    assert callable(getattr(path, name))


@pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 takes plain.py alone")
@pytest.mark.parametrize("call", CALLS)
def test_path_computes_what_plain_computes(call):
    name, *arguments = CALLS[call]()
    expected = without_gradients(getattr(plain, name), *arguments)
    np.testing.assert_allclose(
        without_gradients(getattr(path, name), *arguments), expected, rtol=2e-6, atol=2e-6
    )


@pytest.mark.skipif(framework in ("openvino", "numpy"), reason="draws no random numbers in training there")
@pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 takes plain.py alone")
def test_dropout_keeps_the_mean():
    layer = keras.layers.Dropout(0.25, seed=1)
    outputs = numbers(path.dropout(layer, ops.ones((400, 400))))
    kept = outputs != 0
    assert abs(kept.mean() - 0.75) < 0.01
    np.testing.assert_allclose(outputs[kept], 1 / 0.75, rtol=1e-4)


@pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 takes plain.py alone")
@pytest.mark.parametrize("switch", ["0", "1"])
def test_switch_takes_plain_everywhere(switch):
    code = "from bert4keras3.backend import dense, framework; print('from', framework, dense.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=dict(os.environ, BERT4KERAS3_ACCELERATE=switch),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    name = framework if switch == "1" and framework in PATHS else "plain"
    assert f"from {framework} bert4keras3.backend.accelerate.{name}" in done.stdout


@pytest.mark.skipif(framework != "torch", reason="about PyTorch's kernels")
def test_tuned_kernels_are_kept_in_a_file(tmp_path, monkeypatch, caplog):
    import torch

    from bert4keras3.backend.accelerate import kernels
    from bert4keras3.backend.accelerate import torch as torch_path

    monkeypatch.setenv("BERT4KERAS3_CACHE", str(tmp_path))
    monkeypatch.setattr(kernels, "autotunes", True)
    kernels.tuned.cache_clear()
    inputs, kernel = torch.rand(3, 64), torch.rand(64, 7).t()
    with torch.no_grad(), caplog.at_level("INFO"):
        candidates = torch_path.kernel_candidates(inputs, kernel)
        chosen = kernels.select_kernel(candidates, inputs, kernel, None)
    assert "float32" in caplog.text and chosen.__name__ in caplog.text
    kernels.tuned.cache_clear()
    monkeypatch.setattr(kernels, "seconds", lambda *arguments: pytest.fail("measured again"))
    assert kernels.select_kernel(candidates, inputs, kernel, None) is chosen
    kernels.tuned_path().write_text("{ half a file")
    kernels.tuned.cache_clear()
    assert kernels.tuned() == {}
    kernels.tuned.cache_clear()
