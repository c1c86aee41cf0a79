"""What PyTorch computes in one operator is what several give; packed weights are never old ones."""

import numpy as np
import pytest
from small_models import build, inputs_of

from bert4keras3.backend import framework, keras, ops, set_values
from bert4keras3.backend.accelerate import accelerates

pytestmark = pytest.mark.skipif(framework != "torch", reason="about Keras 3 on PyTorch")

TOKENS = np.array([[2, 5, 9, 4, 0, 0], [2, 7, 7, 7, 3, 1]])


def predict(model, tokens=TOKENS):
    values = inputs_of(model, tokens)
    return model.predict(values if len(values) > 1 else values[0], verbose=0)


def plain(model, monkeypatch, tokens=TOKENS):
    """Operator by operator, by the operators of Keras."""
    from bert4keras3.backend.accelerate import compiled_model, torch_int8
    from bert4keras3.backend.accelerate import torch as torch_path
    from bert4keras3.layers import attention

    with monkeypatch.context() as patch:
        patch.setattr(compiled_model, "may_trace", lambda model: False)
        patch.setattr(torch_path, "has_onednn", False)
        patch.setattr(torch_int8, "has_fbgemm", False)
        patch.setattr(torch_path, "use_fused_ops", lambda *args: False)
        patch.setattr(attention, "use_fused_ops", lambda *args: False)
        return predict(model, tokens)


def rounded(array):
    """The nearest numbers that bfloat16 has."""
    return ops.convert_to_numpy(ops.cast(ops.cast(array, "bfloat16"), "float32"))


def prefer(name):
    """`select_kernel` that takes the candidate of this name, else the first."""
    return lambda kernels, *others: next((one for one in kernels if one.__name__ == name), kernels[0])


@pytest.fixture
def packed(monkeypatch):
    from bert4keras3.backend.accelerate import torch as torch_path

    monkeypatch.setattr(torch_path, "packed_linear", True)
    monkeypatch.setattr(torch_path, "select_kernel", prefer("onednn_packed"))
    return torch_path


@pytest.mark.parametrize("length", [1, 6])
@pytest.mark.parametrize("name", ["bert", "bert-unilm", "roformer", "t5.1.1"])
def test_one_operator_gives_what_several_give(name, length, monkeypatch):
    model = build(name, with_nsp=False) if name == "bert" else build(name)
    tokens = TOKENS[:1, :length]
    error = np.abs(predict(model, tokens) - plain(model, monkeypatch, tokens)).max()
    assert error < 1e-6, f"largest difference {error:.1e}"


@pytest.mark.skipif(not accelerates(), reason="BERT4KERAS3_ACCELERATE=0 packs no weights")
def test_packed_weights_give_the_same(packed, monkeypatch):
    from bert4keras3.backend.accelerate import torch_packed

    model = build("bert-unilm")
    with_packing = [predict(model) for _ in range(2)]  # traced, and replayed
    assert model.get_layer("Transformer-0-FeedForward").o_dense in torch_packed.pack_cache
    assert np.abs(with_packing - plain(model, monkeypatch)).max() < 1e-6


def test_weights_that_change_after_packing_are_noticed(packed, monkeypatch):
    model = build("bert-unilm")
    before = predict(model)
    layer = model.get_layer("Transformer-0-FeedForward")
    layer.set_weights([weight * 30 + 0.1 for weight in layer.get_weights()])
    with_packing = predict(model)
    assert np.abs(with_packing - before).max() > 1e-4
    assert np.abs(with_packing - plain(model, monkeypatch)).max() < 1e-6


@pytest.mark.parametrize("threads", [1, 2, 5, 100])
@pytest.mark.parametrize("kernel", ["mkl", "onednn", "split_k"])
def test_each_kernel_gives_the_same_for_one_row(kernel, threads, monkeypatch):
    import torch

    from bert4keras3.backend.accelerate import torch as torch_path

    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    layer = keras.layers.Dense(7, bias_initializer="ones")
    inputs = torch.from_numpy(np.random.RandomState(0).normal(size=(1, 1, 64)).astype("float32"))
    layer.build((None, 64))
    weight, bias = layer.kernel.value.t(), layer.bias.value
    with torch.no_grad():
        assert getattr(torch_path, kernel) in torch_path.kernel_candidates(inputs, weight)
        outputs = getattr(torch_path, kernel)(inputs, weight, bias)
        expected = inputs.double() @ layer.kernel.value.double() + bias.double()
    assert outputs.shape == (1, 1, 7) and outputs.dtype == torch.float32
    np.testing.assert_allclose(outputs.numpy(), expected.numpy(), atol=2e-6)


def test_a_table_is_not_taken_for_a_kernel_of_its_size(monkeypatch):
    import torch

    from bert4keras3.backend.accelerate import torch as torch_path

    taken = []
    monkeypatch.setattr(
        torch_path, "select_kernel", lambda kernels, *others: taken.append(kernels) or kernels[-1]
    )
    inputs, kernel = torch.rand(1, 64), torch.rand(64, 7)
    with torch.no_grad():
        by_kernel = torch_path.linear(None, inputs, kernel.t())
        by_table = torch_path.linear(None, inputs, kernel.t().contiguous())
    assert [torch_path.split_k in kernels for kernels in taken] == [True, False]
    np.testing.assert_allclose(by_table.numpy(), by_kernel.numpy(), rtol=1e-5)


@pytest.mark.parametrize("rows", [1, 6])
def test_a_compiled_model_selects_no_kernel(rows, monkeypatch):
    import torch

    from bert4keras3.backend.accelerate import torch as torch_path

    taken = []
    monkeypatch.setattr(
        torch_path, "select_kernel", lambda kernels, *others: taken.append(kernels) or kernels[0]
    )
    model = build("bert-unilm")
    values = [torch.as_tensor(x) for x in inputs_of(model, TOKENS[:1, :rows])]
    compiled = torch.compile(model, backend="eager")
    with torch.no_grad():
        outputs = compiled(values)
    assert not taken
    assert np.abs(outputs.numpy() - predict(model, TOKENS[:1, :rows])).max() < 1e-6


@pytest.mark.parametrize("rows", [0, 1, 5, 2000])
def test_any_number_of_rows_is_multiplied(rows, monkeypatch):
    import torch

    from bert4keras3.backend.accelerate import torch as torch_path

    layer = keras.layers.Dense(7, bias_initializer="ones")
    layer.build((None, 64))
    inputs = np.random.RandomState(0).normal(size=(2, rows, 64)).astype("float32")
    with torch.no_grad():
        outputs = torch_path.dense(layer, torch.from_numpy(inputs)).numpy()
    kernel, bias = [ops.convert_to_numpy(weight).astype("float64") for weight in layer.weights]
    # the most that a sum of 64 products in float32 may be off
    rounding = (64 + 1) * 2.0**-24 * (np.abs(inputs) @ np.abs(kernel) + bias)
    assert (np.abs(outputs - (inputs @ kernel + bias)) <= rounding).all()


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("kernel", ["mkl", "in_float32", "onednn_packed"])
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_rounded_once(dtype, kernel, rows, packed, monkeypatch):
    import torch

    kind = getattr(torch, dtype)
    if not packed.has_instructions[kind]:
        pytest.skip(f"this processor has no instructions for {dtype}: there is one way")
    monkeypatch.setattr(packed, "select_kernel", prefer(kernel))
    layer = keras.layers.Dense(7, bias_initializer="ones", dtype=dtype)
    inputs = torch.from_numpy(np.random.RandomState(0).normal(size=(rows, 64)).astype("float32")).to(kind)
    layer.build((None, 64))
    kernel, bias = [weight.value.float() for weight in layer.weights]
    with torch.no_grad():
        outputs = packed.dense(layer, inputs)
        expected = inputs.float() @ kernel + bias
    assert outputs.dtype == kind
    np.testing.assert_allclose(outputs.float().numpy(), expected.numpy(), rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("name", ["bert-unilm", "roformer", "t5.1.1", "gpt"])
def test_half_precision_is_as_exact_with_one_operator_as_with_several(name, monkeypatch):
    exact = build(name)
    try:
        keras.config.set_dtype_policy("bfloat16")
        model = build(name)
    finally:
        keras.config.set_dtype_policy("float32")
    for layer in exact.layers:  # numbers that bfloat16 has
        layer.set_weights([rounded(one) for one in layer.get_weights()])
    model.set_weights(exact.get_weights())
    expected = predict(exact)
    errors = [
        np.sqrt(np.square(one - expected).mean()) for one in (predict(model), plain(model, monkeypatch))
    ]
    assert errors[0] < 1.2 * errors[1], "rms errors {:.1e} and {:.1e}".format(*tuple(errors))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method")
def test_int8_weights_that_change_are_noticed(tmp_path, monkeypatch):
    models = [build("bert-unilm") for _ in range(2)]
    for model in models:
        model.quantize("int8")
    before = predict(models[0])
    for layer in models[1].layers:
        layer.set_weights([3 * weight for weight in layer.get_weights()])
    models[0].set_weights(models[1].get_weights())
    after, expected = predict(models[0]), plain(models[0], monkeypatch)
    change = np.abs(before - expected).max()
    error = np.abs(after - expected).max()
    assert error < change / 10, (
        f"largest difference {error:.1e} to what Keras computes, a change of {change:.1e}"
    )


@pytest.fixture
def int8_layer():
    """An int8 Dense and its inputs. Units and tokens differ in their scales."""
    random = np.random.RandomState(0)
    layer = keras.layers.Dense(24, bias_initializer="ones")
    layer.build((None, 64))
    layer.kernel.assign(random.normal(size=(64, 24)) * np.exp(random.normal(size=24)))
    layer.quantize("int8")
    inputs = random.normal(size=(2, 70, 64)) * np.exp(random.normal(size=(2, 70, 1))) + 1
    return layer, inputs.astype("float32")


@pytest.fixture
def onednn_int8():
    from bert4keras3.backend.accelerate import torch_int8

    if not torch_int8.has_int8_instructions:
        pytest.skip("this processor has no instructions for int8")


def int8_outputs(layers, inputs):
    import torch

    from bert4keras3.backend.accelerate import torch_int8

    with torch.no_grad():
        return [np.asarray(one) for one in torch_int8.int8_linears(layers, torch.from_numpy(inputs))]


@pytest.mark.parametrize("is_onednn", [True, False])
def test_int8_matmuls_are_as_exact_as_their_bits_allow(int8_layer, is_onednn, request, monkeypatch):
    """Rounding moves an input by at most half a step, and an output by that times the sum of the weights."""
    if is_onednn:
        request.getfixturevalue("onednn_int8")
    else:
        monkeypatch.setattr("bert4keras3.backend.accelerate.torch_int8.has_int8_instructions", False)
    layer, inputs = int8_layer
    kernel = np.asarray(layer.kernel, "float64") / np.asarray(layer.kernel_scale)
    expected = inputs.astype("float64") @ kernel + 1
    spread = np.ptp(inputs, -1) / 255 if is_onednn else 2 * np.abs(inputs).max(-1) / 127
    bound = 0.51 * spread[..., None] * np.abs(kernel).sum(0)
    found, again = int8_outputs([layer, layer], inputs)
    assert (np.abs(found - expected) <= bound).all()
    np.testing.assert_array_equal(found, again)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_int8_matmuls_of_nan_and_infinity_are_nan(int8_layer, onednn_int8, value):
    layer, inputs = int8_layer
    inputs[1, 7, 3] = value
    found = int8_outputs([layer], inputs)[0]
    assert np.isnan(found[1, 7]).all() and np.isfinite(np.delete(found.reshape(140, -1), 77, 0)).all()


def test_int8_outputs_of_a_token_do_not_depend_on_the_others(int8_layer, onednn_int8):
    layer, inputs = int8_layer
    found, alone = (int8_outputs([layer], one)[0] for one in (inputs, inputs[1:].repeat(2, 0)))
    np.testing.assert_array_equal(found[1], alone[0])


def test_gradients_do_not_go_through_packed_weights(packed):
    model = build("bert-unilm")
    ops.sum(model(inputs_of(model, TOKENS))[..., 0]).backward()
    gradient = model.get_layer("Transformer-0-FeedForward").o_dense.kernel.value.grad
    assert gradient is not None and bool((gradient != 0).any())


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32"])
@pytest.mark.parametrize("turned", [False, True])
def test_weights_get_their_own_memory(dtype, turned):
    array = np.arange(6, dtype=dtype).reshape(2, 3)[:, :: -1 if turned else 1]
    array.flags.writeable = False  # as a mapped file is
    variable = keras.Variable(np.zeros((2, 3), "float32"))
    set_values([(variable, array)])
    variable.assign_add(1)
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), array.astype("float32") + 1)
    assert array[0].tolist() == ([2, 1, 0] if turned else [0, 1, 2])
