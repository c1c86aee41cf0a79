"""`K` on Keras 3: the functions of Keras 2's backend under the same names, with the same arguments and defaults.

They call keras.ops, and accept tensors, arrays and symbolic tensors. Two differences stay. `zeros` and `ones` return
tensors instead of variables. `shape` returns a NumPy array if all sizes are known, because a shape on JAX must not be
a tensor. `concatenate`, `stack` and `prod` of such arrays stay NumPy. MISSING gives advice for missing functions.
"""

from __future__ import annotations

import builtins
from typing import Any, Callable, Sequence

import keras
import numpy as np
from keras import ops
from keras.backend import (  # noqa: F401
    backend,
    clear_session,
    epsilon,
    floatx,
    get_uid,
    image_data_format,
    is_float_dtype,
    is_int_dtype,
    is_keras_tensor,
    result_type,
    set_epsilon,
    set_floatx,
    set_image_data_format,
    standardize_dtype,
)

from bert4keras3.backend.flavour import Tensor, Tensors
from bert4keras3.backend.keras3.layer_gradients import gradients  # noqa: F401
from bert4keras3.backend.keras3.training_phase import InTrainPhase, fresh_seed, is_training

MISSING = {
    "batch_normalization": "keras.ops.batch_normalization",
    "control_dependencies": "operations run in the order in which they are written",
    "ctc_batch_cost": "keras.ops.ctc_loss",
    "ctc_decode": "keras.ops.ctc_decode",
    "foldl": "keras.ops.scan",
    "foldr": "keras.ops.scan",
    "get_session": "there is no session: call the model, or K.function(inputs, outputs)",
    "manual_variable_initialization": "variables have their values as soon as they are made",
    "moving_average_update": "x.assign(x * momentum + value * (1 - momentum))",
    "print_tensor": "print, jax.debug.print or tf.print",
    "resize_images": "keras.ops.image.resize",
    "rnn": "keras.layers.RNN or keras.ops.scan",
    "set_learning_phase": "call the model with training=True or training=False",
    "set_session": "there is no session: KERAS_BACKEND chooses the framework, keras.device the device",
}


def __getattr__(name: str) -> Any:
    raise AttributeError(
        f"K.{name} does not exist on Keras 3: {MISSING.get(name, 'look for it in keras.ops')}"
    )


def sizes_of(shape: Any) -> Any:
    """Convert a shape, a tensor or a list of numbers and scalar tensors, to the form of keras.ops."""
    if ops.is_tensor(shape):
        return shape
    sizes = [-1 if size is None else size for size in shape]
    return tuple(int(size) if isinstance(size, np.integer) else size for size in sizes)


def are_numbers(items: Any) -> bool:
    """Whether all items are numbers or arrays, and none is a tensor or a variable."""
    return not builtins.any(
        isinstance(item, (keras.KerasTensor, keras.Variable)) or ops.is_tensor(item)
        for one in items
        for item in (one if isinstance(one, (list, tuple)) else [one])
    )


# Settings and types

name_scope = keras.name_scope
is_tensor = ops.is_tensor
cast = ops.cast


def symbolic(function: Callable) -> Callable:
    """Decorator that returns the function unchanged."""
    return function


eager = symbolic


def normalize_data_format(value: Any) -> str:
    """Check "channels_last" or "channels_first", or return Keras's setting for None; ValueError for another value."""
    value = (value or image_data_format()).lower()
    if value not in ("channels_first", "channels_last"):
        raise ValueError(f"data_format: expected channels_first or channels_last, got {value!r}")
    return value


def cast_to_floatx(x: Tensor) -> Tensor:
    """Cast to K.floatx(): a tensor stays a tensor, any other value becomes a NumPy array."""
    return cast(x, floatx()) if ops.is_tensor(x) else np.asarray(x, dtype=floatx())


def dtype(x: Tensor) -> str:
    """Name of the dtype of a tensor."""
    return standardize_dtype(x.dtype)


def is_variable(x: Tensor) -> bool:
    """Whether x is a variable of Keras."""
    return isinstance(x, keras.Variable)


def is_sparse(tensor: Tensor) -> bool:
    """Whether the tensor is a sparse tensor of TensorFlow or JAX."""
    return builtins.bool(getattr(tensor, "sparse", False)) or type(tensor).__name__ in (
        "SparseTensor",
        "BCOO",
    )


def to_dense(tensor: Tensor) -> Tensor:
    """Convert a sparse tensor to a dense tensor."""
    return ops.convert_to_tensor(tensor, sparse=False)


# Shapes


def shape(x: Tensor) -> Any:
    """Sizes of all axes: a NumPy array if they are known, else a tensor; a tuple for symbolic tensors."""
    sizes = ops.shape(x)
    if builtins.any(size is None for size in sizes):
        return sizes
    if not are_numbers(sizes):
        return ops.convert_to_tensor(sizes, dtype="int32")
    known = builtins.all(isinstance(size, int) for size in sizes)
    # JAX uses symbols for sizes while Keras builds a model
    return np.array(sizes, "int32" if known else object)


def int_shape(x: Tensor) -> tuple | None:
    """Sizes of all axes as int or None; None for an object without a shape."""
    return tuple(x.shape) if hasattr(x, "shape") else None


def ndim(x: Tensor) -> int:
    """Number of axes."""
    return len(x.shape)


def size(x: Tensor, name: str | None = None) -> Tensor:
    """Number of elements as a scalar tensor."""
    return ops.size(x)


def count_params(x: Tensor) -> int:
    """Number of elements as an int."""
    return int(np.prod(x.shape))


# Values and variables


def variable(
    value: Any, dtype: str | None = None, name: str | None = None, constraint: Callable | None = None
) -> Tensor:
    """A variable with the shape of `value`; the default type is K.floatx()."""
    made = keras.Variable(ops.convert_to_numpy(value), dtype=dtype or floatx(), name=name)
    made.constraint = constraint
    return made


def constant(value: Any, dtype: str | None = None, shape: Any = None, name: str | None = None) -> Tensor:
    """A tensor of the value, broadcast to `shape`."""
    value = ops.convert_to_tensor(value, dtype=dtype or floatx())
    return value if shape is None else ops.broadcast_to(value, sizes_of(shape))


def placeholder(
    shape: Any = None,
    ndim: int | None = None,
    dtype: str | None = None,
    sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """An input of a model: K.function([K.placeholder((None, 3))], …)."""
    return keras.Input(batch_shape=(None,) * ndim if ndim else shape, dtype=dtype, sparse=sparse, name=name)


def random_uniform_variable(
    shape: Any,
    low: float,
    high: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """A variable of this shape with uniform random values from low to high."""
    return variable(random_uniform(shape, low, high, seed=seed), dtype, name)


def random_normal_variable(
    shape: Any,
    mean: float,
    scale: float,
    dtype: str | None = None,
    name: str | None = None,
    seed: int | None = None,
) -> Tensor:
    """A variable of this shape with normal random values; `scale` is the standard deviation."""
    return variable(random_normal(shape, mean, scale, seed=seed), dtype, name)


def eval(x: Tensor) -> np.ndarray:
    """Value of a tensor as a NumPy array."""
    if isinstance(x, keras.KerasTensor):
        raise ValueError(f"K.eval: expected a tensor with a value, got the symbolic {x}: use K.function")
    return ops.convert_to_numpy(x)


get_value = eval


def batch_get_value(tensors: Sequence[Tensor]) -> list[np.ndarray]:
    """Values of several tensors as NumPy arrays."""
    return [eval(x) for x in tensors]


def set_value(x: Tensor, value: Any) -> None:
    """Assign a value to a variable."""
    x.assign(value)


def batch_set_value(tuples: Sequence[tuple]) -> None:
    """Assign values to variables: `tuples` are pairs (variable, value)."""
    for x, value in tuples:
        x.assign(value)


def update(x: Tensor, new_x: Tensor) -> Tensor:
    """Assign a tensor to a variable, and return the new value."""
    return x.assign(new_x)


def update_add(x: Tensor, increment: Tensor) -> Tensor:
    """Add a tensor to a variable, and return the new value."""
    return x.assign_add(increment)


def update_sub(x: Tensor, decrement: Tensor) -> Tensor:
    """Subtract a tensor from a variable, and return the new value."""
    return x.assign_sub(decrement)


def function(
    inputs: Sequence[Tensor], outputs: Tensors, updates: list | None = None, **kwargs: Any
) -> Callable:
    """A function from values of the symbolic `inputs` to values of `outputs`, a list or one array.

    If K.learning_phase() is the last input, its value is 1 for training, else 0.
    """
    if updates:
        raise ValueError(
            "K.function: Keras 3 has no updates; assign to variables in a layer or in train_step"
        )
    symbolic_inputs = [x for x in inputs if isinstance(x, keras.KerasTensor)]
    model = keras.models.Model(symbolic_inputs, outputs)

    def run(values):
        training = builtins.bool(values[-1]) if len(symbolic_inputs) < len(values) else False
        tensors = [ops.convert_to_tensor(x) for x in values[: len(symbolic_inputs)]]
        results = keras.tree.flatten(model(tensors, training=training))
        arrays = [ops.convert_to_numpy(x) for x in results]
        return arrays if isinstance(outputs, (list, tuple)) else arrays[0]

    return run


def stop_gradient(variables: Tensors) -> Tensors:
    """Return a tensor, or a list of tensors, whose gradient is zero."""
    return keras.tree.map_structure(ops.stop_gradient, variables)


# Creating tensors


def zeros(shape: Any, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A tensor of zeros; the default type is K.floatx()."""
    return ops.zeros(sizes_of(shape), dtype=dtype or floatx())


def ones(shape: Any, dtype: str | None = None, name: str | None = None) -> Tensor:
    """A tensor of ones; the default type is K.floatx()."""
    return ops.ones(sizes_of(shape), dtype=dtype or floatx())


def zeros_like(x: Tensor, dtype: str | None = None, name: str | None = None) -> Tensor:
    """Zeros in the shape of x; the default is x's dtype."""
    return ops.zeros_like(x, dtype=dtype)


def ones_like(x: Tensor, dtype: str | None = None, name: str | None = None) -> Tensor:
    """Ones in the shape of x; the default is x's dtype."""
    return ops.ones_like(x, dtype=dtype)


def eye(size: int, dtype: str | None = None, name: str | None = None) -> Tensor:
    """Identity matrix (size, size)."""
    return ops.eye(size, dtype=dtype or floatx())


def identity(x: Tensor, name: str | None = None) -> Tensor:
    """A copy of a tensor."""
    return ops.copy(x)


def arange(start: Any, stop: Any = None, step: Any = 1, dtype: str = "int32") -> Tensor:
    """Numbers from start up to, but without, stop; `arange(n)` begins at 0."""
    return ops.arange(start, stop, step, dtype=dtype)


def one_hot(indices: Tensor, num_classes: int) -> Tensor:
    """(…) → (…, num_classes)"""
    return ops.one_hot(ops.cast(indices, "int32"), num_classes)


def random_uniform(
    shape: Any, minval: float = 0.0, maxval: float = 1.0, dtype: str | None = None, seed: int | None = None
) -> Tensor:
    """Uniform random numbers from minval to maxval; without a seed each call draws other numbers."""
    return keras.random.uniform(sizes_of(shape), minval, maxval, dtype, seed=fresh_seed(seed))


def random_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: int | None = None
) -> Tensor:
    """Normal random numbers; without a seed each call draws other numbers."""
    return keras.random.normal(sizes_of(shape), mean, stddev, dtype, seed=fresh_seed(seed))


def truncated_normal(
    shape: Any, mean: float = 0.0, stddev: float = 1.0, dtype: str | None = None, seed: int | None = None
) -> Tensor:
    """Normal random numbers; numbers beyond two standard deviations are drawn again."""
    return keras.random.truncated_normal(sizes_of(shape), mean, stddev, dtype, seed=fresh_seed(seed))


def random_binomial(shape: Any, p: float = 0.0, dtype: str | None = None, seed: int | None = None) -> Tensor:
    """Random numbers: 1 with probability p, else 0."""
    return ops.cast(random_uniform(shape, seed=seed) < p, dtype or floatx())


random_bernoulli = random_binomial


def dropout(
    x: Tensor, level: float, noise_shape: Sequence[int] | None = None, seed: int | None = None
) -> Tensor:
    """Set elements to 0 with probability `level`, and divide the others by 1 − level."""
    return keras.random.dropout(x, level, noise_shape, seed=fresh_seed(seed))


# Changing shapes

transpose = ops.transpose


def reshape(x: Tensor, shape: Any) -> Tensor:
    """Reshape a tensor. The shape may contain tensors, and one −1 or None."""
    return ops.reshape(x, sizes_of(shape))


def permute_dimensions(x: Tensor, pattern: Sequence[int]) -> Tensor:
    """Permute axes: axis `pattern[i]` becomes axis i."""
    return ops.transpose(x, pattern)


def expand_dims(x: Tensor, axis: int = -1) -> Tensor:
    """Insert an axis of size 1."""
    return ops.expand_dims(x, axis)


def squeeze(x: Tensor, axis: int) -> Tensor:
    """Remove an axis of size 1."""
    return ops.squeeze(x, axis)


def concatenate(tensors: Sequence[Tensor], axis: int = -1) -> Tensor:
    """Join tensors along an axis. Numbers and arrays, such as parts of shapes, stay NumPy."""
    if are_numbers(tensors):
        return np.concatenate(tensors, axis)
    return ops.concatenate([ops.convert_to_tensor(x) if isinstance(x, list) else x for x in tensors], axis)


def stack(x: Tensor, axis: int = 0) -> Tensor:
    """Join tensors on a new axis. Numbers, such as sizes, stay NumPy."""
    return np.stack(x, axis) if are_numbers(x) else ops.stack(x, axis)


def flatten(x: Tensor) -> Tensor:
    """(…) → (all,)"""
    return ops.reshape(x, (-1,))


def batch_flatten(x: Tensor) -> Tensor:
    """(batch, …) → (batch, all others)"""
    known = [size for size in x.shape[1:] if isinstance(size, int)]
    return ops.reshape(x, (-1, int(np.prod(known))) if len(known) == ndim(x) - 1 else (ops.shape(x)[0], -1))


def repeat(x: Tensor, n: int) -> Tensor:
    """(batch, size) → (batch, n, size)"""
    return ops.repeat(ops.expand_dims(x, 1), n, axis=1)


def repeat_elements(x: Tensor, rep: int, axis: int) -> Tensor:
    """Repeat each element `rep` times along an axis."""
    return ops.repeat(x, rep, axis=axis)


def tile(x: Tensor, n: int) -> Tensor:
    """Repeat a tensor; n is a number for each axis, or one number for the last axis."""
    repeats = [n] if isinstance(n, int) else list(n)
    return ops.tile(x, [1] * (len(x.shape) - len(repeats)) + repeats)


def reverse(x: Tensor, axes: None | int | Sequence[int]) -> Tensor:
    """Reverse a tensor along an axis or several axes."""
    return ops.flip(x, axes)


def slice(x: Tensor, start: Sequence[int], size: Sequence[int]) -> Tensor:
    """`size` elements from `start` on, with a number for each axis; −1 takes all remaining elements."""
    ends = [None if n == -1 else first + n for first, n in zip(start, size)]
    return x[tuple(builtins.slice(first, end) for first, end in zip(start, ends))]


def gather(reference: Tensor, indices: Tensor) -> Tensor:
    """Look up rows of (size, …) by integers of any shape → (*indices, …)"""
    return ops.take(reference, ops.cast(indices, "int32"), axis=0)


def temporal_padding(x: Tensor, padding: Any = (1, 1)) -> Tensor:
    """Pad (batch, length, channels) with zeros before and after axis 1."""
    return ops.pad(x, [(0, 0), tuple(padding), (0, 0)])


def spatial_2d_padding(x: Tensor, padding: Any = ((1, 1), (1, 1)), data_format: str | None = None) -> Tensor:
    """Pad rows and columns of (batch, rows, columns, channels), or channels first, with zeros."""
    rows, columns = [tuple(one) for one in padding]
    if normalize_data_format(data_format) == "channels_first":
        return ops.pad(x, [(0, 0), (0, 0), rows, columns])
    return ops.pad(x, [(0, 0), rows, columns, (0, 0)])


# Reductions

sum = ops.sum
mean = ops.mean
max = ops.max
min = ops.min
var = ops.var
std = ops.std
logsumexp = ops.logsumexp


def prod(x: Tensor, axis: None | int | Sequence[int] = None, keepdims: bool = False) -> Tensor:
    """Product over an axis, several axes, or all axes for None. The product of numbers is a number."""
    product = np if are_numbers([x]) else ops
    return product.prod(x, axis=axis, keepdims=keepdims)


def any(x: Tensor, axis: None | int | Sequence[int] = None, keepdims: bool = False) -> Tensor:
    """Whether any element is true, or not 0, along an axis, several axes, or all axes for None."""
    return ops.any(ops.cast(x, "bool"), axis=axis, keepdims=keepdims)


def all(x: Tensor, axis: None | int | Sequence[int] = None, keepdims: bool = False) -> Tensor:
    """Whether all elements are true, or not 0, along an axis, several axes, or all axes for None."""
    return ops.all(ops.cast(x, "bool"), axis=axis, keepdims=keepdims)


def argmax(x: Tensor, axis: int = -1) -> Tensor:
    """Index of the maximum along an axis."""
    return ops.argmax(x, axis=axis)


def argmin(x: Tensor, axis: int = -1) -> Tensor:
    """Index of the minimum along an axis."""
    return ops.argmin(x, axis=axis)


def cumsum(x: Tensor, axis: int = 0) -> Tensor:
    """Cumulative sum along an axis."""
    return ops.cumsum(x, axis=axis)


def cumprod(x: Tensor, axis: int = 0) -> Tensor:
    """Cumulative product along an axis."""
    return ops.cumprod(x, axis=axis)


# Arithmetic

abs = ops.absolute
cos = ops.cos
equal = ops.equal
exp = ops.exp
greater = ops.greater
greater_equal = ops.greater_equal
less = ops.less
less_equal = ops.less_equal
log = ops.log
maximum = ops.maximum
minimum = ops.minimum
not_equal = ops.not_equal
round = ops.round
sigmoid = ops.sigmoid
sign = ops.sign
sin = ops.sin
softplus = ops.softplus
softsign = ops.softsign
square = ops.square
tanh = ops.tanh


def sqrt(x: Tensor) -> Tensor:
    """Square root; 0 for negative numbers."""
    return ops.sqrt(ops.maximum(x, 0))


def pow(x: Tensor, a: Any) -> Tensor:
    """x to the power of a, element by element."""
    return ops.power(x, a)


def clip(x: Tensor, min_value: float | None, max_value: float | None) -> Tensor:
    """Clip to the range of two numbers; None for no bound."""
    low, high = -np.inf if min_value is None else min_value, np.inf if max_value is None else max_value
    return ops.clip(x, low, high)


def relu(x: Tensor, alpha: float = 0.0, max_value: float | None = None, threshold: float = 0.0) -> Tensor:
    """x above the threshold, at most max_value; alpha · (x − threshold) below the threshold."""
    return keras.activations.relu(x, negative_slope=alpha, max_value=max_value, threshold=threshold)


def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    """x above 0, alpha · (e^x − 1) below 0: https://arxiv.org/abs/1511.07289"""
    return ops.elu(x, alpha)


def hard_sigmoid(x: Tensor) -> Tensor:
    """0.2 · x + 0.5, clipped to [0, 1]. The slope of Keras 3's own function is 1/6."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def softmax(x: Tensor, axis: int = -1) -> Tensor:
    """e^x ÷ Σ e^x along an axis."""
    return ops.softmax(x, axis=axis)


def l2_normalize(x: Tensor, axis: None | int | Sequence[int] = None) -> Tensor:
    """Divide by the Euclidean norm along an axis; the divisor is at least 1e-6."""
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))


def dot(x: Tensor, y: Tensor) -> Tensor:
    """Dot product of the last axis of x and the last but one axis of y; keras.ops.dot differs on PyTorch."""
    return ops.tensordot(x, y, axes=[[ndim(x) - 1], [builtins.max(ndim(y) - 2, 0)]])


def batch_dot(x: Tensor, y: Tensor, axes: None | int | Sequence[int] = None) -> Tensor:
    """Dot product of each sample over one axis of x and one axis of y; `axes` is a number for both, or a pair.

    The default is the last axis of x, and the last but one axis of y (the last if y has two). The result has the other
    axes of x, then the other axes of y; for two vectors in each sample it is (batch, 1).
    """
    if axes is None:
        axes = (-1, -1 if ndim(y) == 2 else -2)
    x_axis, y_axis = [a % ndim(z) for a, z in zip([axes] * 2 if isinstance(axes, int) else axes, (x, y))]
    x_letters = list("abcdefgh"[: ndim(x)])
    y_letters = ["a"] + list("stuvwxyz"[: ndim(y) - 1])
    y_letters[y_axis] = x_letters[x_axis]
    kept = x_letters[:x_axis] + x_letters[x_axis + 1 :] + y_letters[1:y_axis] + y_letters[y_axis + 1 :]
    result = ops.einsum(f"{''.join(x_letters)},{''.join(y_letters)}->{''.join(kept)}", x, y)
    return ops.expand_dims(result, 1) if len(kept) == 1 else result


# Losses: the target comes first


def categorical_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """−Σ target · log output, both (…, classes) → (…); `output` is probabilities, or logits with from_logits."""
    return ops.categorical_crossentropy(target, output, from_logits=from_logits, axis=axis)


def sparse_categorical_crossentropy(
    target: Tensor, output: Tensor, from_logits: bool = False, axis: int = -1
) -> Tensor:
    """Cross entropy of class numbers in any shape and outputs (…, classes) → (…); on JAX NaN for an unknown class."""
    if axis not in (-1, ndim(output) - 1):
        output = ops.moveaxis(output, axis, -1)
    target = ops.reshape(ops.cast(target, "int32"), ops.shape(output)[:-1])
    loss = ops.sparse_categorical_crossentropy(target, output, from_logits=from_logits)
    if backend() != "jax":  # other backends raise an error
        return loss
    is_class = ops.logical_and(ops.greater_equal(target, 0), ops.less(target, output.shape[-1]))
    return ops.where(is_class, loss, float("nan"))


def binary_crossentropy(target: Tensor, output: Tensor, from_logits: bool = False) -> Tensor:
    """Cross entropy of each element; `output` is probabilities, or logits with from_logits."""
    return ops.binary_crossentropy(target, output, from_logits=from_logits)


def in_top_k(predictions: Tensor, targets: Tensor, k: int) -> Tensor:
    """Whether each class number, (batch,), is among the k best of (batch, classes) → (batch,)"""
    return ops.in_top_k(targets, predictions, k)


# Convolutions


def conv1d(
    x: Tensor,
    kernel: Tensor,
    strides: Any = 1,
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = 1,
) -> Tensor:
    """Convolve (batch, length, channels) by (width, channels, filters); padding "same", "valid" or "causal"."""
    data_format = normalize_data_format(data_format)
    if padding == "causal":
        before = dilation_rate * (kernel.shape[0] - 1)
        where = [(before, 0), (0, 0)] if data_format == "channels_last" else [(0, 0), (before, 0)]
        x, padding = ops.pad(x, [(0, 0)] + where), "valid"
    return ops.conv(x, kernel, strides, padding, data_format, dilation_rate)


def conv2d(
    x: Tensor,
    kernel: Tensor,
    strides: Any = (1, 1),
    padding: Any = "valid",
    data_format: str | None = None,
    dilation_rate: Any = (1, 1),
) -> Tensor:
    """Convolve (batch, rows, columns, channels) by a kernel (height, width, channels, filters)."""
    return ops.conv(x, kernel, strides, padding, normalize_data_format(data_format), dilation_rate)


def pool2d(
    x: Tensor,
    pool_size: Any,
    strides: Any = (1, 1),
    padding: Any = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:
    """Pool (batch, rows, columns, channels) over windows of `pool_size`; pool_mode "max" or "avg"."""
    pool = {"max": ops.max_pool, "avg": ops.average_pool}[pool_mode]
    return pool(x, pool_size, strides, padding, normalize_data_format(data_format))


def bias_add(x: Tensor, bias: Tensor, data_format: str | None = None) -> Tensor:
    """Add a bias, (channels,) or with all axes but the batch, channels last."""
    if normalize_data_format(data_format) == "channels_first":
        bias = ops.moveaxis(bias, -1, 0)
        if ndim(bias) == 1:
            bias = ops.reshape(bias, (-1,) + (1,) * (ndim(x) - 2))
    return x + bias


# Choices and loops


def value_of(expression: Any) -> Any:
    """The result of a function without arguments; any other value unchanged."""
    return expression() if callable(expression) else expression


def learning_phase() -> int:
    """1 if the running call has `training=True`, else 0."""
    return int(is_training())


def in_train_phase(x: Tensor, alt: Any, training: Any = None) -> Any:
    """x in training, else alt; both are tensors or functions that return tensors.

    By default the running call says whether it is training. For symbolic tensors the choice becomes a layer.
    """
    if training is not None:
        return switch(training, x, alt) if ops.is_tensor(training) else value_of(x if training else alt)
    chosen = value_of(x if is_training() else alt)
    if isinstance(chosen, keras.KerasTensor) or isinstance(x, keras.KerasTensor):
        return InTrainPhase()([value_of(x), value_of(alt)])
    return chosen


def in_test_phase(x: Tensor, alt: Any, training: Any = None) -> Any:
    """alt in training, else x: `in_train_phase` with reversed arguments."""
    return in_train_phase(alt, x, training)


def switch(condition: Tensor, then_expression: Any, else_expression: Any) -> Any:
    """then_expression if the condition is true, else else_expression; tensors, or functions that return tensors.

    The condition is a scalar, or has the leading axes of both.
    """
    ranks = len(getattr(condition, "shape", ()))
    if ranks == 0 and callable(then_expression) and callable(else_expression):
        return ops.cond(ops.cast(condition, "bool"), then_expression, else_expression)
    then_expression, else_expression = value_of(then_expression), value_of(else_expression)
    condition = ops.cast(condition, "bool")
    for _ in range(len(then_expression.shape) - ranks if ranks else 0):
        condition = ops.expand_dims(condition, -1)
    return ops.where(condition, then_expression, else_expression)


def map_fn(fn: Callable, elems: Tensor, name: str | None = None, dtype: str | None = None) -> Tensor:
    """Apply fn to each elems[i], and stack the results."""
    return ops.map(fn, elems)
