"""Weights on several devices, perhaps of several processes, one slice at a time.

Under keras.distribution a weight is one array of JAX with a sharding. Keras would read and write it as a whole: it
copies the value to one device first, and what NumPy reads of an array on several devices stays in memory beside it.
"""

import contextlib
import ctypes
import functools
import mmap

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from bert4keras3.checkpoints.lazy_array import LazyArray

MAX_TEXT = 2000  # bytes


def is_sharded(weight):
    """Whether a weight lies on several devices."""
    value = weight.value
    is_value = isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    return is_value and len(value.sharding.device_set) > 1


def process_place():
    """(number of this process, number of processes) of the job."""
    return jax.process_index(), jax.process_count()


def assign_slices(weight, value):
    """Assign a value, of which each device gets its own slice; `value` is an array or a LazyArray."""
    dtype = weight.value.dtype

    def read(index):
        piece = memory(weight.value.sharding.shard_shape(weight.shape), dtype)
        if isinstance(value, LazyArray):
            value[index].read(piece)
        else:
            piece[...] = value[index]
        return piece

    weight.assign(array_of(weight.shape, weight.value.sharding, read))
    give_back_freed_memory()


def array_of(shape, sharding, read):
    """An array with this sharding; read(index) → the NumPy array of one slice."""
    places = sharding.addressable_devices_indices_map(shape)
    pieces, on_devices = {}, {}
    for device, index in places.items():
        pieces.setdefault(bounds(index, shape), (index, []))[1].append(device)
    for index, devices in pieces.values():
        piece = read(index)
        on_devices.update((device, jax.device_put(piece, device)) for device in devices)
    return jax.make_array_from_single_device_arrays(shape, sharding, [on_devices[one] for one in places])


def bounds(index, shape):
    """The slices of an index as ((start, stop), ...)."""
    return tuple(one.indices(length)[:2] for one, length in zip(index, shape))


def memory(shape, dtype):
    """Unwritten memory for a slice. JAX on a CPU takes pages as they are, and they go back when the array is gone.

    malloc would keep what it has freed, which was as much as a whole model.
    """
    size = int(np.prod(shape, dtype="int64")) * np.dtype(dtype).itemsize
    if size < mmap.PAGESIZE or not hasattr(mmap, "MAP_ANONYMOUS"):
        return np.empty(shape, dtype)
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    return np.frombuffer(pages, "uint8").view(dtype).reshape(shape)


def sharding_of(axes):
    """The sharding on the mesh of keras.distribution with these axes (PartitionSpec) of the mesh."""
    return NamedSharding(keras.distribution.distribution().device_mesh.backend_mesh, axes)


def unwritten(shape, dtype, sharding):
    """An array on several devices; the first number of each slice is NaN, and no other memory is written."""

    def read(index):
        piece = memory(sharding.shard_shape(shape), dtype)
        piece[(slice(0, 1),) * len(shape)] = np.nan
        return piece

    return array_of(shape, sharding, read)


def give_back_freed_memory():
    """Return what malloc has kept to the system, if it is glibc's: it was 100 MB while a BERT-large was built."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def first_number(weight):
    """The first number of a slice that lies in this process, as an array."""
    piece = weight.value.addressable_shards[0].data
    (device,) = piece.devices()
    piece = np.asarray(piece) if device.platform == "cpu" else piece  # a slice by JAX would be compiled
    return np.asarray(piece[(slice(0, 1),) * piece.ndim])


def gathered(weight):
    """The value of a weight as one NumPy array. All processes have to call it if the weight lies in several."""
    array = weight.value
    owners = {}  # {(start, stop) of a slice: the first process that has it}
    holders = {}  # {process: its slices}
    for device, index in array.sharding.devices_indices_map(array.shape).items():
        place = bounds(index, array.shape)
        owners.setdefault(place, device.process_index)
        holders.setdefault(device.process_index, set()).add(place)
    values = np.empty(array.shape, array.dtype)
    own = {bounds(one.index, array.shape): one.data for one in array.addressable_shards}
    if all(len(places) == len(owners) for places in holders.values()):
        for place, piece in own.items():
            values[slices(place)] = on_host(piece)
        return values
    places = [[place for place, owner in owners.items() if owner == process] for process in sorted(holders)]
    piece_shape = array.sharding.shard_shape(array.shape)
    nothing = np.zeros(piece_shape, array.dtype)
    for turn in range(max(map(len, places))):
        mine = places[sorted(holders).index(jax.process_index())]
        piece = on_host(own[mine[turn]]) if turn < len(mine) else nothing
        for others, found in zip(places, of_processes(piece, sorted(holders))):
            if turn < len(others):
                values[slices(others[turn])] = found
    return values


def slices(place):
    return tuple(slice(*one) for one in place)


def on_host(piece):
    """The array of one device in NumPy. JAX would keep what it copies from a GPU as long as the array exists."""
    (device,) = piece.devices()
    return np.asarray(piece if device.platform == "cpu" else piece.copy())


def of_processes(piece, processes):
    """NumPy arrays of equal shape, one of each process → all of them in each process: (process, …)."""
    devices = [next(one for one in jax.devices() if one.process_index == process) for process in processes]
    mesh = Mesh(np.array(devices), ("process",))
    raw = np.ascontiguousarray(piece).reshape(-1).view("uint8")  # sums and casts never touch the numbers
    own = jax.device_put(raw[None], devices[processes.index(jax.process_index())])
    split, whole = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["process"], []))
    parts = jax.make_array_from_single_device_arrays((len(devices), raw.size), split, [own])
    joined = np.asarray(copier(whole)(parts).addressable_data(0))
    return joined.view(piece.dtype).reshape(len(devices), *piece.shape)


@functools.lru_cache(maxsize=None)
def copier(sharding):
    """A compiled function that moves an array to a sharding."""
    return jax.jit(lambda array: array, out_shardings=sharding)


def texts_of_processes(text):
    """A text of each process. All processes have to call it."""
    if jax.process_count() == 1:
        return [text]
    raw = np.zeros(MAX_TEXT, "uint8")
    encoded = np.frombuffer(text.encode("utf-8")[:MAX_TEXT], "uint8")
    raw[: encoded.size] = encoded
    found = of_processes(raw, list(range(jax.process_count())))
    return [one.tobytes().rstrip(b"\0").decode("utf-8", "ignore") for one in found]
