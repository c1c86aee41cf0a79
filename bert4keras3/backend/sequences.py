"""Helpers for sequences of vectors: gather, pool, pad."""

from __future__ import annotations

from bert4keras3.backend.contract import dtype_name, keras, ops
from bert4keras3.backend.flavour import Tensor


def batch_gather(params: Tensor, indices: Tensor) -> Tensor:
    """Gather vectors of each sample: params[batch, indices[batch]].

    Args:
        params: (…, n, …); the last axes are the axes of a vector.
        indices: (…, m), integers. All axes but the last are batch axes.

    Returns:
        The vectors, (…, m, …).
    """
    if not dtype_name(indices).startswith("int"):
        indices = ops.cast(indices, "int32")
    axis = len(indices.shape) - 1
    while len(indices.shape) < len(params.shape):
        indices = ops.expand_dims(indices, -1)
    return ops.take_along_axis(params, indices, axis=axis)


def pool1d(
    x: Tensor,
    pool_size: int,
    strides: int = 1,
    padding: str = "valid",
    data_format: str | None = None,
    pool_mode: str = "max",
) -> Tensor:
    """Pool over windows of a sequence of vectors.

    Args:
        x: (batch, length, size).
        pool_size: length of a window.
        strides: distance of the windows.
        padding: "valid" or "same".
        data_format: "channels_last", or "channels_first" for (batch, size, length). The default is Keras's setting.
        pool_mode: "max", or "avg" for the average.

    Returns:
        (batch, windows, size), or (batch, size, windows) with channels first.

    Raises:
        ValueError: the mode is unknown.
    """
    pools = {"max": ops.max_pool, "avg": ops.average_pool}
    if pool_mode not in pools:
        raise ValueError(f'pool1d: expected "max" or "avg" as pool_mode, got {pool_mode!r}')
    channels_first = (data_format or keras.backend.image_data_format()) == "channels_first"
    if channels_first:
        x = ops.transpose(x, (0, 2, 1))
    x = pools[pool_mode](x, pool_size, strides, padding)
    return ops.transpose(x, (0, 2, 1)) if channels_first else x


def divisible_temporal_padding(x: Tensor, n: int) -> Tensor:
    """Pad a sequence of vectors with zeros at its end, until n divides the length.

    Args:
        x: (batch, length, size).
        n: the divisor.

    Returns:
        (batch, padded length, size)
    """
    length = -(-ops.shape(x)[1] // n) * n
    return ops.pad(x, [[0, 0], [0, n - 1], [0, 0]])[:, :length]
