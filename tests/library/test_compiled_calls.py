"""`model(x)` with `compile_calls`: compiled, and still what a call operator by operator is."""

import numpy as np
import pytest
import small_models
from small_models import inputs_of

from bert4keras3.backend import Layer, Model, framework, keras, ops, value_gradients

COMPILED = hasattr(Model, "compile_calls") and framework in ("jax", "tensorflow", "torch")
pytestmark = pytest.mark.skipif(not COMPILED, reason="so on Keras 3; for OpenVINO see test_openvino.py")


@pytest.fixture(autouse=True)
def gradients(request):
    """PyTorch compiles if it computes no gradient: in all tests but those of gradients."""
    if framework != "torch":
        yield
    else:
        import torch

        with torch.set_grad_enabled("gradients" in request.node.name):
            yield


TOKENS = np.array([[2, 5, 9, 4, 0, 0], [2, 7, 7, 7, 3, 1]])


def build(*args, **kwargs):
    return compiling(small_models.build(*args, **kwargs))


def compiling(model):
    model.compile_calls = True
    return model


def compilations(model):
    """How often the call of a model was compiled."""
    forward = model.compiled_call.forward
    if framework == "torch":
        return len(forward.graphs)
    return forward._cache_size() if framework == "jax" else forward.experimental_get_tracing_count()


def numbers(outputs):
    return [ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)]


def eager(model, *args, **kwargs):
    model.compile_calls = False
    outputs = model(*args, **kwargs)
    model.compile_calls = True
    return outputs


@pytest.mark.parametrize("name", ["bert", "nezha", "t5.1.1", "gau_alpha"])
def test_a_compiled_call_gives_what_operators_give(name):
    model = build(name)
    inputs = inputs_of(model, TOKENS)
    inputs = inputs if len(inputs) > 1 else inputs[0]
    for compiled, expected in zip(numbers(model(inputs)), numbers(eager(model, inputs))):
        error = np.abs(compiled - expected).max()
        assert error < 1e-6 * max(1, np.abs(expected).max()), f"largest difference {error:.1e}"
    assert compilations(model) == 1


def test_a_call_is_not_compiled_unless_asked_for():
    bert = small_models.build("bert")
    layer = bert.get_layer("Embedding-Norm")
    model = Model(bert.inputs, layer.output)
    inputs = inputs_of(model, TOKENS)
    before = numbers(model(inputs))[0]
    layer.epsilon = 1.0
    assert np.abs(numbers(model(inputs))[0] - before).max() > 0.1
    assert getattr(model, "compiled_call", None) is None


def test_a_length_seen_before_is_not_compiled_again():
    model = build("bert")
    for length in (6, 4, 6, 4, 6):
        model(inputs_of(model, TOKENS[:, :length]))
    assert compilations(model) == 2


def test_changed_weights_count_at_the_next_call():
    model = build("bert-unilm")
    inputs = inputs_of(model, TOKENS)
    before = numbers(model(inputs))[0]
    bias = model.get_layer("MLM-Bias")
    bias.set_weights([np.arange(600, dtype="float32") / 100])
    after = numbers(model(inputs))[0]
    assert np.abs(after - before).max() > 0.005
    assert compilations(model) == 1


def test_outputs_keep_their_masks():
    model = build("roformer_v2", with_mlm=False)
    pooled = keras.layers.GlobalAveragePooling1D()
    inputs = inputs_of(model, TOKENS)
    compiled, expected = [numbers(pooled(call(inputs)))[0] for call in (model, lambda x: eager(model, x))]
    assert np.abs(compiled - expected).max() < 1e-5
    unmasked = numbers(model(inputs))[0].mean(axis=1)
    assert np.abs(compiled - unmasked).max() > 1e-3, "the padding was averaged too"


def test_training_and_symbolic_calls_are_not_compiled():
    model = build("bert")
    model(inputs_of(model, TOKENS), training=True)
    Model(model.inputs, model(model.inputs))
    assert getattr(model, "compiled_call", None) is None


def test_gradients_pass_through_a_call():
    model = build("bert", with_mlm=False)
    weight = model.get_layer("Embedding-Token").embeddings
    inputs = inputs_of(model, TOKENS)

    def loss(call):
        return value_gradients(lambda: ops.sum(ops.square(call(inputs)[:, 0])), [weight])[0]

    compiled, expected = loss(model), loss(lambda x: eager(model, x))
    assert np.abs(expected).max() > 0
    assert np.abs(compiled - expected).max() < 1e-5 * np.abs(expected).max()


class AddsItsMean(Layer):
    def call(self, inputs, mask=None):
        self.add_loss(ops.mean(inputs))
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def test_losses_that_a_call_adds_are_there_after_it():
    x = keras.layers.Input((3,))
    model = compiling(Model(x, AddsItsMean()(x)))
    for value in (1.0, 3.0):
        model(np.full((2, 3), value, "float32"))
        assert [float(loss) for loss in model.losses] == [value]


class Doubles(Layer):
    calls = 0

    def call(self, inputs, mask=None):
        self.calls += 1
        return 2 * inputs

    def compute_output_shape(self, input_shape):
        return input_shape


@pytest.mark.skipif(framework != "torch", reason="others compile whatever the layers are")
@pytest.mark.parametrize("make", [Doubles, lambda: keras.layers.TimeDistributed(Doubles())])
def test_layers_of_users_are_called_each_time(make):
    x = keras.layers.Input((3, 3))
    layer = make()
    model = compiling(Model(x, layer(x)))
    counted = getattr(layer, "layer", layer)
    before = counted.calls
    for _ in range(2):
        model(np.ones((2, 3, 3), "float32"))
    assert counted.calls == before + (2 if counted is layer else 6)


class Counts(Layer):
    def build(self, input_shape):
        self.count = self.add_weight(name="count", shape=(), initializer="zeros", trainable=False)
        self.built = True

    def call(self, inputs, mask=None):
        self.count.assign(self.count + 1)
        return inputs

    def compute_output_shape(self, input_shape):
        return input_shape


def test_variables_that_a_call_changes_are_changed():
    x = keras.layers.Input((3,))
    layer = Counts()
    model = compiling(Model(x, layer(x)))
    before = float(numbers(layer.count)[0])
    for _ in range(3):
        model(np.ones((2, 3), "float32"))
    assert float(numbers(layer.count)[0]) == before + 3


@pytest.mark.skipif(framework != "torch", reason="about graphs of PyTorch")
def test_what_is_written_into_a_part_of_a_tensor_is_traced():
    import torch

    from bert4keras3.backend.accelerate.torch_graph import TracedFunction

    def function(values, x):
        y = values[0] + x
        y[:, 0].fill_(7.0)
        return y

    traced, values = TracedFunction(function), [torch.ones(2, 3)]
    for x in (torch.zeros(2, 3), torch.ones(2, 3)):
        np.testing.assert_array_equal(traced(values, x), function(values, x))


@pytest.mark.skipif(framework != "torch", reason="about graphs of PyTorch")
def test_tracing_keeps_no_tensor_alive():
    import weakref

    import torch

    from bert4keras3.backend.accelerate.torch_graph import TracedFunction

    passing = []

    def function(values, x):
        y = x + 1
        passing.append(weakref.ref(y))
        z = y * 2
        del y
        assert passing[-1]() is None
        return z

    traced = TracedFunction(function)
    for _ in range(2):
        np.testing.assert_array_equal(traced([], torch.ones(3)), np.full(3, 4.0))


def traced_operators(function, *arguments):
    """What the function gives when it is traced and when it is played, and the names of its operations."""
    from bert4keras3.backend.accelerate.torch_graph import TracedFunction

    traced = TracedFunction(function)
    outputs = [traced(*arguments) for _ in range(2)]
    graph = next(iter(traced.graphs.values()))[0].graph
    return outputs, [node.target.__name__ for node in graph.nodes if node.op == "call_function"]


@pytest.mark.skipif(framework != "torch", reason="about graphs of PyTorch")
def test_what_is_computed_twice_is_traced_once():
    import torch

    def function(values, x):
        masks = [torch.where(x > 0, x, torch.tensor(-1e9)) for _ in range(3)]
        return masks[0] + masks[1] + masks[2] @ values[0].t()

    values, x = [torch.ones(2, 2)], torch.tensor([[1.0, -1.0]])
    outputs, operations = traced_operators(function, values, x)
    for output in outputs:
        np.testing.assert_array_equal(output, function(values, x))
    assert operations == ["gt.Scalar", "where.self", "add.Tensor", "t.default", "mm.default", "add.Tensor"]


@pytest.mark.skipif(framework != "torch", reason="about graphs of PyTorch")
def test_cse_keeps_operations_on_changed_memory():
    import torch

    def function(values, x):
        zeros = [torch.zeros(3) for _ in range(2)]
        zeros[0][1:].add_(x[1:])
        before = values[0][0] * 2
        values[0].add_(1)
        return [zeros[0] * zeros[1], *zeros, before, values[0][0] * 2]

    values, x = [torch.ones(3, 3)], torch.arange(3.0)
    outputs, _ = traced_operators(function, values, x)
    for times, output in enumerate(outputs):
        expected = [[0, 0, 0], [0, 1, 2], [0, 0, 0], 3 * [2 + 2 * times], 3 * [4 + 2 * times]]
        np.testing.assert_array_equal(torch.stack(output), expected)


@pytest.mark.skipif(framework != "torch", reason="about graphs of PyTorch")
def test_cse_keeps_outputs_apart():
    import torch

    outputs, _ = traced_operators(lambda values: [torch.zeros(3), torch.zeros(3)[:2], torch.zeros(3)[:2]], [])
    for several in outputs:
        several[0].add_(1)
        several[1].add_(2)
        assert [float(x[0]) for x in several] == [1, 2, 0]


@pytest.mark.skipif(framework != "torch", reason="about graphs of PyTorch")
def test_cse_keeps_random_numbers_apart():
    import torch

    outputs, _ = traced_operators(lambda values: torch.stack([torch.rand(9), torch.rand(9)]), [])
    for first, second in outputs:
        assert not np.array_equal(first, second)
