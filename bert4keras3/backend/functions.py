"""bert4keras's tensor helpers, written once on `ops`."""

from __future__ import annotations

import functools
import inspect
from typing import Any, Callable, Mapping, Sequence

import numpy as np

from bert4keras3.backend.contract import K, dtype_name, framework, gelu, get_custom_objects, keras, ops
from bert4keras3.backend.flavour import Tensor, Tensors


def gelu_erf(x: Tensor) -> Tensor:
    """Exact GELU, x · Φ(x), element by element: https://arxiv.org/abs/1606.08415"""
    return gelu(x)


def gelu_tanh(x: Tensor) -> Tensor:
    """GELU by the tanh approximation of the same paper. It differs from `gelu_erf` by at most 5e-4."""
    return ops.gelu(x, approximate=True)


gelu_erf.is_elementwise = gelu_tanh.is_elementwise = True  # type: ignore[attr-defined]


def set_gelu(version: str) -> None:
    """Choose which function the name "gelu" means in this process.

    Args:
        version: "erf" for `gelu_erf`, the default, or "tanh" for `gelu_tanh`.

    Raises:
        ValueError: the version is neither.
    """
    versions = {"erf": gelu_erf, "tanh": gelu_tanh}
    if version.lower() not in versions:
        raise ValueError(f'set_gelu: expected "erf" or "tanh", got {version!r}')
    get_custom_objects()["gelu"] = versions[version.lower()]


def swish(x: Tensor) -> Tensor:
    """x · sigmoid(x)"""
    return ops.silu(x)


def leaky_relu(x: Tensor, alpha: float = 0.2) -> Tensor:
    """max(x, alpha · x)"""
    return ops.leaky_relu(x, negative_slope=alpha)


def quick_gelu(x: Tensor) -> Tensor:
    """x · sigmoid(1.702 · x), the GELU of CLIP"""
    return swish(1.702 * x) / 1.702


def gelu_10(x: Tensor) -> Tensor:
    """Exact GELU, clipped to [-10, 10]: https://arxiv.org/abs/2004.09602"""
    return ops.minimum(ops.maximum(gelu_erf(x), -10.0), 10.0)


def relu2(x: Tensor) -> Tensor:
    """relu(x)²: https://arxiv.org/abs/2109.08668"""
    return ops.square(ops.relu(x))


def relu6(x: Tensor) -> Tensor:
    """min(relu(x), 6)"""
    return ops.minimum(ops.relu(x), 6.0)


# {name in a configuration of Hugging Face: the function of this file}
HUGGING_FACE_ACTIVATIONS = {
    "gelu_10": gelu_10,
    "gelu_accurate": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "gelu_new": gelu_tanh,
    "gelu_python": gelu_erf,
    "gelu_python_tanh": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "relu2": relu2,
    "relu6": relu6,
    "silu": swish,
}


def root_mean_square(x: Tensor, axis: None | int | Sequence[int] = None, keepdims: bool = False) -> Tensor:
    """sqrt(mean(x²))

    Args:
        x: tensor of any shape.
        axis: axis or axes of the mean; None for all.
        keepdims: whether the axes of the mean stay, with size 1.
    """
    return ops.sqrt(ops.mean(ops.square(x), axis=axis, keepdims=keepdims))


def get_activation(identifier: None | str | dict | Callable, argument: str = "activation") -> Callable:
    """Find an activation function. Custom objects come before Keras's own functions, so that `set_gelu` counts.

    Args:
        identifier: a name, a function, a serialized function, or None for the linear activation.
        argument: name of the identifier in error messages.

    Returns:
        A function of a tensor of any shape.

    Raises:
        ValueError: no activation has this name; the message lists the known names.
    """
    if isinstance(identifier, dict) and isinstance(identifier.get("config"), str):
        identifier = identifier["config"]  # how TensorFlow 2.13 and later serialize a function
    if isinstance(identifier, str) and identifier in get_custom_objects():
        return get_custom_objects()[identifier]
    try:
        return keras.activations.get(identifier)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{argument}: expected an activation, got {identifier!r}. Give a function, or one of these names: "
            f"{', '.join(activation_names())}"
        ) from error


def activation_names() -> list[str]:
    """Names that `get_activation` knows, with Keras's own and without custom objects of the user."""
    found = inspect.getmembers(keras.activations, inspect.isfunction)
    names = {name for name, _ in found if not name.startswith(("_", "deserialize", "get", "serialize"))}
    return sorted(names | set(OUR_ACTIVATIONS) | set(HUGGING_FACE_ACTIVATIONS))


def integerize_shape(func: Callable) -> Callable:
    """Decorator of a layer's method of a shape, as in bert4keras: the shape becomes a list of int or None."""

    @functools.wraps(func)
    def wrapped(self: Any, input_shape: Any) -> Any:
        return func(self, integer_shape(input_shape))

    return wrapped


def integer_shape(shape):
    """A shape, or a nest of shapes, as lists of int or None; TensorFlow 1 has types of its own for both."""
    if hasattr(shape, "__iter__"):
        return [integer_shape(item) for item in shape]
    return getattr(shape, "value", shape)


def align(tensor: Tensor, axes: Sequence[int], ndim: int | None = None) -> Tensor:
    """Insert axes of size 1, so that axis i of the tensor becomes axis `axes[i]`.

    Args:
        tensor: tensor of any shape.
        axes: the new place of each axis, in ascending order. A negative place needs `ndim`.
        ndim: number of axes of the result; the last place plus one by default.

    Raises:
        ValueError: `axes` has another length than the shape, or a negative place without `ndim`.
    """
    if len(axes) != len(tensor.shape):
        raise ValueError(f"align: expected {len(tensor.shape)} places, got {list(axes)!r}")
    if ndim is None and min(axes) < 0:
        raise ValueError(f"align: negative places {list(axes)!r} need ndim")
    ndim = ndim or max(axes) + 1
    places = [axis % ndim for axis in axes]
    for place in range(ndim):
        if place not in places:
            tensor = ops.expand_dims(tensor, place)
    return tensor


def flatten(tensor: Tensor, start: int | None = None, end: int | None = None) -> Tensor:
    """Join neighbouring axes into one.

    Args:
        tensor: tensor of any shape.
        start: first axis to join; 0 by default.
        end: axis after the last axis to join; the number of axes by default.
    """
    shape = ops.shape(tensor)
    start, end = (start or 0) % len(shape), end or len(shape)
    joined = 1
    for size in shape[start:end]:
        joined = joined * size
    return ops.reshape(tensor, tuple(shape[:start]) + (joined,) + tuple(shape[end:]))


def reshape(tensor: Tensor, *args: Any) -> Tensor:
    """`reshape(x, shape)`, or `reshape(x, shape1, axis1, shape2, axis2, …)` to split axes.

    Args:
        tensor: tensor of any shape.
        args: one shape, or pairs of a shape and the axis that the shape replaces. A shape may contain one −1:
            `(3, -1), 2` makes (batch, length, 3, 4) of (batch, length, 12).

    Raises:
        ValueError: a shape has no axis.
    """
    if len(args) == 1:
        return ops.reshape(tensor, args[0])
    if len(args) % 2:
        raise ValueError(f"reshape: expected one shape or pairs of shape and axis, got {args!r}")
    sizes = ops.shape(tensor)
    parts = [[size] for size in sizes]
    for shape, axis in zip(args[::2], args[1::2]):
        rest = int(np.prod([size for size in shape if size != -1], dtype=int))
        parts[axis] = [sizes[axis] // rest if size == -1 else size for size in shape]
    return ops.reshape(tensor, tuple(sum(parts, [])))


def dtype(x: Tensor) -> str | None:
    """Name of the dtype of a tensor or variable.

    Returns:
        A string, or None for a number or an array, which takes the dtype of a tensor beside it. On the NumPy backend
        arrays are tensors.
    """
    is_array = isinstance(x, (np.ndarray, np.generic)) and framework != "numpy"
    if is_array or not hasattr(x, "dtype"):
        return None
    return dtype_name(x)


def where(cond: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Choose elements of x if the condition is true, else elements of y.

    Args:
        cond: tensor of bools or numbers.
        x: tensor, array or number. Arrays and numbers take the dtype of the other tensor.
        y: like x.

    Returns:
        A tensor, to whose shape all three broadcast.
    """
    kind = dtype(x) or dtype(y) or K.floatx()
    x, y = [one if dtype(one) else ops.convert_to_tensor(one, dtype=kind) for one in (x, y)]
    return ops.where(ops.cast(cond, "bool"), x, y)


def upcast(x: Tensor) -> Tensor:
    """Cast a tensor of half precision to float32, for sums, counts and logarithms. Other tensors stay as they are."""
    return ops.cast(x, "float32") if dtype(x) in ("float16", "bfloat16") else x


def upcast_floatx() -> str:
    """`K.floatx()`, or "float32" if floatx is of half precision, which would round ids and positions."""
    return "float64" if K.floatx() == "float64" else "float32"


def piecewise_linear(t: Tensor, schedule: Mapping[float, float], from_zero: bool = True) -> Tensor:
    """Interpolate a schedule linearly. The value is constant before the first point and after the last point.

    Args:
        t: times, a tensor of any shape.
        schedule: {time: value}.
        from_zero: whether the line begins with value 0 at time 0, unless the schedule has a value for time 0.

    Returns:
        The values at these times, in the shape of t.
    """
    points = sorted(schedule.items())
    if from_zero and points[0][0] != 0:
        points = [(0, 0.0)] + points
    t = ops.cast(t, K.floatx())
    x = ops.zeros_like(t) + points[0][1]
    for (start, low), (end, high) in zip(points, points[1:]):
        x = ops.where(t >= start, low + (t - start) * ((high - low) / (end - start)), x)
    return ops.where(t >= points[-1][0], ops.zeros_like(t) + points[-1][1], x)


def at_most(length: Any, limit: int, message: str) -> Any:
    """Check a length: an integer at once, a tensor of TensorFlow when its graph runs.

    Args:
        length: an integer or a scalar tensor.
        limit: the largest length that is allowed.
        message: the message of the error, with a %s for the length.

    Returns:
        The length.

    Raises:
        ValueError: an integer is above the limit.
    """
    if isinstance(length, int):
        if length > limit:
            raise ValueError(message % length)
        return length
    if framework != "tensorflow":
        return length
    import tensorflow as tf

    checks = [tf.debugging.assert_less_equal(length, limit, message=message % "more tokens")]
    with tf.control_dependencies(checks):
        return tf.identity(length)


def sequence_masking(
    x: Tensor,
    mask: Tensor = None,
    value: float = 0,
    axis: None | int | list[int] = None,
    bias: Tensor = None,
    return_mask: bool = False,
) -> Tensors:
    """Add a bias, then replace masked elements by a value.

    Args:
        x: (batch, …).
        mask: (batch, length), true for elements to keep.
        value: what replaces masked elements.
        axis: axis or axes of x to which the length of the mask belongs; 1 by default.
        bias: tensor that broadcasts to x. A bias of bools is one more mask.
        return_mask: whether to return the mask too.

    Returns:
        The tensor, or with `return_mask` a pair of the tensor and the combined mask, which may be None.
    """
    keep = None
    if bias is not None:
        if dtype_name(bias) == "bool":
            keep = bias
        else:
            x = x + bias
    if mask is not None:
        if dtype_name(mask) != "bool":
            mask = ops.cast(mask, "bool")
        axes = axis if isinstance(axis, list) else [1 if axis is None else axis]
        for place in axes:
            aligned = align(mask, [0, place % len(x.shape)], len(x.shape))
            keep = aligned if keep is None else ops.logical_and(keep, aligned)
    if keep is not None:
        x = ops.where(keep, x, ops.cast(value, dtype_name(x)))
    return (x, keep) if return_mask else x


def mask_value(x: Tensor) -> float:
    """A large negative number in the range of x's dtype. Its exponential is 0, and gradients stay finite."""
    return -6e4 if dtype_name(x) == "float16" else -1e30


def attention_normalize(
    a: Tensor, mask: Tensor = None, axis: int = -1, method: str = "softmax", bias: Tensor = None
) -> Tensor:
    """Turn attention scores into attention weights.

    Masked scores become a large negative number instead of −inf, so that a row without any key stays finite. Scores
    of half precision are normalized in float32.

    Args:
        a: scores, (…, query, key).
        mask: (batch, key), true for keys that count.
        axis: axis of the keys.
        method: "softmax", "squared_relu" (relu² / number of keys, https://arxiv.org/abs/2202.10447), or
            "softmax_plus" (scores · log(keys) / log 512 before the softmax, https://kexue.fm/archives/8823).
        bias: added to the scores. A bias of bools is one more mask.

    Returns:
        Weights, in the shape and dtype of the scores.

    Raises:
        ValueError: the method is unknown.
    """
    weights = normalize_wide(upcast(a), mask, axis, method, upcast(bias))
    return ops.cast(weights, dtype_name(a))


def normalize_wide(a, mask, axis, method, bias):
    masked = mask_value(a)
    if method == "softmax":
        return ops.softmax(sequence_masking(a, mask, masked, axis, bias), axis=axis)
    a, keep = sequence_masking(a, mask, masked, axis, bias, return_mask=True)
    if keep is None:
        keys = ops.cast(ops.shape(a)[axis], dtype_name(a))
    else:
        keys = ops.sum(ops.cast(keep, dtype_name(a)), axis=axis, keepdims=True)
    if method == "squared_relu":
        return ops.square(ops.relu(a)) / ops.maximum(keys, 1)
    if method == "softmax_plus":
        # sequences of fewer than 16 keys take the scale of 16 keys
        a = a * (ops.log(ops.maximum(keys, 16)) / np.log(512))
        # The scores are masked again, because compilers may round the scaled mask value differently in each place.
        return ops.softmax(sequence_masking(a, value=masked, bias=keep), axis=axis)
    raise ValueError(
        f"attention_normalize: expected softmax, squared_relu or softmax_plus as the method, got {method!r}"
    )


def inverse_frequencies(dim: int, base: float = 10000.0) -> np.ndarray:
    """base^(−2i / dim) for i from 0 to dim / 2 − 1."""
    if dim % 2:
        raise ValueError(f"sinusoidal embeddings: expected an even size, got {dim}")
    return base ** (-2.0 * np.arange(dim // 2) / dim)


def sinusoidal_embeddings(pos: Tensor, dim: int, base: float = 10000.0) -> Tensor:
    """Sine and cosine of each frequency, in turns: https://arxiv.org/abs/1706.03762

    Args:
        pos: positions, (…).
        dim: even size of an embedding.
        base: the lowest frequency is almost 1 / base.

    Returns:
        (…, dim)

    Raises:
        ValueError: the size is odd.
    """
    frequencies = ops.cast(inverse_frequencies(dim, base), dtype_name(pos))
    angles = ops.expand_dims(pos, -1) * frequencies  # (…, dim / 2)
    return flatten(ops.stack([ops.sin(angles), ops.cos(angles)], axis=-1), -2)


class Sinusoidal(keras.initializers.Initializer):
    """Initializer of a table (positions, size): row i is `sinusoidal_embeddings` of position i."""

    def __call__(self, shape, dtype=None, **kwargs):
        positions, dim = shape
        angles = np.arange(positions)[:, None] * inverse_frequencies(dim)
        table = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(positions, dim)
        return table.astype(getattr(dtype, "name", dtype) or keras.backend.floatx())


def apply_rotary_position_embeddings(sinusoidal: Tensor, *tensors: Tensor) -> Tensors:
    """Rotate each pair (2i, 2i + 1) of the last axis by its position's angle: https://arxiv.org/abs/2104.09864

    Args:
        sinusoidal: (1 or batch, length, size), from `sinusoidal_embeddings`.
        tensors: one or several tensors (batch, length, …, size).

    Returns:
        The rotated tensor, or a list of rotated tensors for several.
    """
    ndim = len(tensors[0].shape)
    sinusoidal = align(sinusoidal, [0, 1, -1], ndim)
    sin = ops.repeat(sinusoidal[..., ::2], 2, axis=-1)
    cos = ops.repeat(sinusoidal[..., 1::2], 2, axis=-1)
    outputs = []
    for x in tensors:
        orthogonal = flatten(ops.stack([-x[..., 1::2], x[..., ::2]], axis=-1), -2)
        outputs.append(x * cos + orthogonal * sin)
    return outputs[0] if len(outputs) == 1 else outputs


OUR_ACTIVATIONS = {
    "gelu": gelu_erf,
    "gelu_erf": gelu_erf,
    "gelu_tanh": gelu_tanh,
    "swish": swish,
    "leaky_relu": leaky_relu,
}
for _name, _function in HUGGING_FACE_ACTIVATIONS.items():
    get_custom_objects().setdefault(_name, _function)
custom_objects: dict[str, Any] = dict(
    OUR_ACTIVATIONS, root_mean_square=root_mean_square, Sinusoidal=Sinusoidal
)
# the name of a method of bert4keras's models, which stands in files as the initializer
custom_objects["initializer"] = keras.initializers.glorot_uniform
get_custom_objects().update(custom_objects)
