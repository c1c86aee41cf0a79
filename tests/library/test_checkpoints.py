"""Checkpoints: what one library writes another reads bit for bit; bad input is a CheckpointError, no worse.

TensorFlow is the oracle where it is installed; the other tests run in every pairing.
"""

import contextlib
import json
import os
import struct
import subprocess
import sys
import weakref

import numpy as np
import pytest

from bert4keras3.checkpoints import (
    CheckpointError,
    VariableNotFoundError,
    bundle,
    checksum,
    dtypes,
    open_checkpoint,
    save_checkpoint,
    table,
    wire,
)

DTYPES = sorted(dtypes.BUNDLE_NUMBERS)
DATA = ".data-00000-of-00001"


@pytest.fixture
def prefix(tmp_path):
    return str(tmp_path / "model.ckpt")


@pytest.fixture
def tensorflow():
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return pytest.importorskip("tensorflow", reason="TensorFlow is not installed in this pairing")


def sample(dtype, shape=(3, 5)):
    """Random values that fill every byte of the dtype; no NaN."""
    random = np.random.RandomState(7)
    if dtype == "bool":
        return random.rand(*shape) > 0.5
    if dtype == "bfloat16":
        return dtypes.upcast_bfloat16(dtypes.round_to_bfloat16(random.standard_normal(shape)))
    if np.dtype(dtype).kind in "iu":
        return np.frombuffer(random.bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize), dtype).reshape(
            shape
        )
    values = random.standard_normal(shape) + (1j * random.standard_normal(shape) if "complex" in dtype else 0)
    return values.astype(dtype)


def assert_same(actual, expected):
    """Same dtype, shape and bits."""
    assert actual.dtype == expected.dtype
    assert actual.shape == expected.shape
    assert actual.tobytes() == expected.tobytes()


def read_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def flip(path, position, mask=0xFF):
    with open(str(path), "r+b") as file:
        file.seek(position)
        (byte,) = file.read(1)
        file.seek(position)
        file.write(bytes([byte ^ mask]))


def environment_with_path():
    """For a subprocess that shall import what this process can."""
    return dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))


def entry(dtype="float32", shape=(2,), shard=0, offset=0, size=8, data=b"\0" * 8, slices=()):
    """BundleEntryProto, right or wrong; `slices` are lists of (start, length)."""
    number = dtypes.BUNDLE_NUMBERS.get(dtype, dtype)
    dimensions = b"".join(wire.bytes_field(2, wire.varint_field(1, length)) for length in shape)
    value = wire.varint_field(1, number) + wire.bytes_field(2, dimensions) + wire.varint_field(3, shard)
    value += wire.varint_field(4, offset) + wire.varint_field(5, size)
    value += wire.fixed32_field(6, checksum.masked_crc32c(data))
    for extents in slices:
        parts = [
            wire.varint_field(1, start)
            + (wire.write_varint(2 << 3) + wire.write_varint(length) if length >= 0 else b"")
            for start, length in extents
        ]
        value += wire.bytes_field(7, b"".join(wire.bytes_field(1, part) for part in parts))
    return value


def slice_key(name, extents):
    numbers = b"".join(wire.ordered_signed(number) for extent in extents for number in extent)
    return wire.ordered_number(0) + wire.ordered_string(name) + wire.ordered_number(len(extents)) + numbers


def write_raw_bundle(prefix, entries, data=b"\0" * 8, shards=1, header=b""):
    """A bundle with valid checksums around whatever the entries claim."""
    entries = dict(entries)
    entries.setdefault(b"", wire.varint_field(1, shards) + header)
    with open(prefix + ".index", "wb") as file:
        file.write(table.write_table(sorted(entries.items())))
    with open(prefix + f".data-00000-of-{shards:05d}", "wb") as file:
        file.write(data)


def read_all(prefix):
    checkpoint = open_checkpoint(prefix)
    return {name: checkpoint[name] for name in checkpoint}


# ---- round trips ----


@pytest.mark.parametrize("shape", [(), (3, 5), (0, 4), (1,)], ids=str)
@pytest.mark.parametrize("dtype", [name for name in DTYPES if name != "bfloat16"])
def test_round_trip_keeps_bits(prefix, dtype, shape):
    expected = np.array(sample(dtype, shape), dtype)
    save_checkpoint(prefix, [("one/byte", np.int8(1)), ("variable", expected)])
    checkpoint = open_checkpoint(prefix)
    assert_same(checkpoint["variable"], expected)
    assert checkpoint.shape("variable") == shape


def test_round_trip_keeps_many_names_in_several_blocks(prefix):
    names = [f"bert/encoder/layer_{number}/{'long_name/' * 20}kernel" for number in range(3000)]
    save_checkpoint(prefix, ((name, np.int32(number)) for number, name in enumerate(names)))
    assert os.path.getsize(prefix + ".index") > table.BLOCK_SIZE / 2
    checkpoint = open_checkpoint(prefix)
    assert list(checkpoint) == sorted(names)
    assert [int(checkpoint[name]) for name in names] == list(range(3000))


def test_table_of_several_blocks_round_trips(tmp_path):
    entries = [(b"%06d" % number, bytes(1000)) for number in range(1000)]
    (tmp_path / "table").write_bytes(table.write_table(entries))
    assert (tmp_path / "table").stat().st_size > 3 * table.BLOCK_SIZE
    assert list(table.read_table(str(tmp_path / "table")).items()) == entries


@pytest.mark.parametrize("order", [">f4", "<f4"])
def test_round_trip_of_strided_array_keeps_values(prefix, order):
    expected = np.arange(24, dtype=order).reshape(4, 6).T[::2]
    save_checkpoint(prefix, {"variable": expected})
    np.testing.assert_array_equal(open_checkpoint(prefix)["variable"], expected)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", np.float16, np.dtype("float64")], ids=str)
def test_save_with_dtype_converts_floats_only(prefix, dtype):
    weights, step = sample("float32"), np.int64(1 << 40)
    save_checkpoint(prefix, [("weights", weights), ("global_step", step)], dtype=dtype)
    checkpoint = open_checkpoint(prefix)
    assert_same(checkpoint["weights"], weights.astype(dtype))
    assert_same(checkpoint["global_step"], np.asarray(step))


@pytest.mark.parametrize(
    "bits, expected",
    [
        (0x3F800000, 0x3F80),
        (0x3F808000, 0x3F80),  # halfway: to even, down
        (0x3F818000, 0x3F82),  # halfway: to even, up
        (0x3F808001, 0x3F81),
        (0xBF80FFFF, 0xBF81),
        (0x7F800000, 0x7F80),  # infinity
        (0x7F800001, 0x7FC0),  # NaN whose payload would round away
        (0xFFFFFFFF, 0xFFFF),  # NaN that would overflow
    ],
)
def test_bfloat16_rounds_to_nearest_even(bits, expected):
    values = np.array([bits], np.uint32).view(np.float32)
    assert dtypes.round_to_bfloat16(values)[0] == expected


@pytest.mark.parametrize("shape", [(), (3, 5), (0, 4)], ids=str)
def test_bfloat16_is_saved_in_half_the_bytes_and_read_as_float32(prefix, shape):
    expected = np.array(sample("bfloat16", shape), np.float32)
    save_checkpoint(prefix, [("variable", expected)], dtype="bfloat16")
    assert os.path.getsize(prefix + DATA) == expected.size * 2
    assert_same(open_checkpoint(prefix)["variable"], expected)


def test_bfloat16_arrays_of_ml_dtypes_are_saved_and_read(prefix):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="ml_dtypes is not installed in this pairing")
    expected = sample("bfloat16")
    narrow = {"variable": expected.astype(ml_dtypes.bfloat16)}
    save_checkpoint(prefix, narrow)
    assert os.path.getsize(prefix + DATA) == expected.size * 2
    assert_same(open_checkpoint(prefix)["variable"], expected)
    assert_same(open_checkpoint(narrow)["variable"], expected)


def test_big_endian_bundle_is_read(prefix):
    data = np.array([1.5, -2.0], ">f4").tobytes() + np.array([0x3FC0], ">u2").tobytes()
    entries = {
        b"float": entry(data=data[:8]),
        b"brain": entry("bfloat16", (1,), offset=8, size=2, data=data[8:]),
    }
    write_raw_bundle(prefix, entries, data, header=wire.varint_field(2, 1))
    assert_same(open_checkpoint(prefix)["float"], np.array([1.5, -2.0], np.float32))
    assert_same(open_checkpoint(prefix)["brain"], np.array([1.5], np.float32))


# ---- the interface ----


@pytest.fixture(params=["dict", "bundle", "npz", "safetensors"])
def any_kind(request, tmp_path):
    """The same two variables in each kind of checkpoint."""
    arrays = {"bert/kernel": sample("float32"), "step": np.array(3, np.int64)}
    path = tmp_path / "model"
    if request.param == "dict":
        return open_checkpoint(arrays), arrays
    if request.param == "bundle":
        save_checkpoint(path, arrays)
        return open_checkpoint(path), arrays
    if request.param == "npz":
        np.savez(str(path), **arrays)
        return open_checkpoint(str(path) + ".npz"), arrays
    write_safetensors(
        tmp_path / "model.safetensors",
        {"bert/kernel": ("F32", arrays["bert/kernel"]), "step": ("I64", arrays["step"])},
    )
    return open_checkpoint(tmp_path / "model.safetensors"), arrays


def write_safetensors(path, tensors):
    header, data = {"__metadata__": {"format": "np"}}, b""
    for name, (kind, array) in tensors.items():
        offsets = [len(data), len(data) + array.nbytes]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
        data += array.tobytes()
    write_safetensors_header(path, header, data)


def write_safetensors_header(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode("utf-8")
    text += b" " * (-len(text) % 8)  # the library aligns its data like this
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_every_kind_reads_the_same(any_kind):
    checkpoint, arrays = any_kind
    assert sorted(checkpoint) == sorted(arrays)
    assert len(checkpoint) == 2
    for name, expected in arrays.items():
        assert checkpoint.shape(name) == expected.shape
        assert_same(checkpoint[name], expected)


def test_every_kind_gives_read_only_arrays(any_kind):
    checkpoint, arrays = any_kind
    with pytest.raises(ValueError, match="read-only"):
        checkpoint["bert/kernel"][0] = 1
    assert arrays["bert/kernel"].flags.writeable


@pytest.mark.parametrize("access", ["__getitem__", "shape"])
def test_missing_name_lists_near_names(any_kind, access):
    checkpoint, _ = any_kind
    with pytest.raises(VariableNotFoundError) as caught:
        getattr(checkpoint, access)("bert/kernle")
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, CheckpointError)
    message = f"'{checkpoint.path}' has no variable 'bert/kernle' among its 2; similar names: 'bert/kernel'"
    assert str(caught.value) == message


def test_missing_name_is_absent_and_has_a_default(any_kind):
    checkpoint, _ = any_kind
    assert "bert/kernle" not in checkpoint
    assert checkpoint.get("bert/kernle") is None


def test_open_checkpoint_leaves_an_open_one_as_it_is(any_kind):
    checkpoint, _ = any_kind
    assert open_checkpoint(checkpoint) is checkpoint


@pytest.mark.parametrize("kind", ["bundle", "safetensors"])
def test_reading_maps_the_file_without_a_copy(tmp_path, kind):
    expected = sample("float32", (64, 64))
    if kind == "bundle":
        save_checkpoint(tmp_path / "model", {"variable": expected})
        checkpoint = open_checkpoint(tmp_path / "model")
    else:
        write_safetensors(tmp_path / "model.safetensors", {"variable": ("F32", expected)})
        checkpoint = open_checkpoint(tmp_path / "model.safetensors")
    assert np.shares_memory(checkpoint["variable"], checkpoint["variable"])


def test_reading_goes_on_after_the_files_are_replaced(prefix):
    save_checkpoint(prefix, {"variable": np.arange(4)})
    checkpoint = open_checkpoint(prefix)
    save_checkpoint(prefix, ((name, checkpoint[name] + 1) for name in checkpoint))
    np.testing.assert_array_equal(checkpoint["variable"], np.arange(4))
    np.testing.assert_array_equal(open_checkpoint(prefix)["variable"], np.arange(1, 5))


def test_importing_checkpoints_imports_no_framework():
    code = "import sys, bert4keras3.checkpoints; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = (
        subprocess.check_output([sys.executable, "-c", code], env=environment_with_path()).decode().split()
    )
    assert not {"tensorflow", "keras", "jax", "torch"}.intersection(loaded)


# ---- saving that fails ----


def failing_generator():
    yield "first", np.zeros(3)
    raise RuntimeError("from the generator")


def repeated_names():
    return [("first", np.zeros(3)), ("first", np.ones(3))]


@pytest.mark.parametrize(
    "variables, options, error, match",
    [
        (failing_generator(), {}, RuntimeError, "from the generator"),
        (repeated_names(), {}, CheckpointError, "two variables named 'first'"),
        ([("a", np.array(["text"]))], {}, CheckpointError, "'a'.*dtype str"),
        ([("a", np.array([None]))], {}, CheckpointError, "'a'.*dtype object"),
        ([("a", np.zeros(2)), 5], {}, CheckpointError, "pairs, got a int"),
        ([("", np.zeros(2))], {}, CheckpointError, "'' is not a name"),
        ([(b"a", np.zeros(2))], {}, CheckpointError, "b'a' is not a name"),
        ([("\0a", np.zeros(2))], {}, CheckpointError, "is not a name"),
        ([], {}, CheckpointError, "no variables"),
        ([("a", np.zeros(2))], {"dtype": "int8"}, CheckpointError, "int8.*expected one of float16"),
        ([("a", np.zeros(2))], {"dtype": "half a float"}, CheckpointError, "expected one of float16"),
        ([("a", np.array([1e9]))], {"dtype": "float16"}, CheckpointError, "'a'.*too large for float16"),
        ([("a", np.array([3.4e38]))], {"dtype": "bfloat16"}, CheckpointError, "'a'.*too large for bfloat16"),
    ],
)
def test_failed_save_leaves_old_files(prefix, tmp_path, variables, options, error, match):
    save_checkpoint(prefix, {"old": np.arange(10)})
    before = read_files(tmp_path)
    with pytest.raises(error, match=match):
        save_checkpoint(prefix, variables, **options)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize(
    "old, step, calls",
    [
        (True, "fsync", 0),  # the data
        (True, "fsync", 1),  # the index
        (True, "replace", 0),  # old data aside
        (True, "replace", 1),  # new data
        (True, "replace", 2),  # new index
        (False, "fsync", 0),
        (False, "fsync", 1),
        (False, "replace", 0),
        (False, "replace", 1),
    ],
)
def test_save_that_the_system_stops_leaves_old_files(prefix, tmp_path, monkeypatch, old, step, calls):
    if old:
        save_checkpoint(prefix, {"old": np.arange(10)})
    before, left, real = read_files(tmp_path), [calls], getattr(os, step)

    def stop(*arguments):
        left[0] -= 1
        if left[0] == -1:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, step, stop)
    with pytest.raises(CheckpointError, match="cannot write '.*model.ckpt': No space left"):
        save_checkpoint(prefix, {"new": np.zeros(3)})
    assert read_files(tmp_path) == before


@pytest.mark.parametrize("size", [10, 1000, 100000])
def test_save_onto_a_full_disk_leaves_old_files(prefix, tmp_path, size):
    resource = pytest.importorskip("resource", reason="this system has no limit on file sizes")
    save_checkpoint(prefix, {"old": np.arange(10)})
    before, limits = read_files(tmp_path), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    try:
        with pytest.raises(CheckpointError, match="cannot write"):
            save_checkpoint(prefix, ((str(number), np.zeros(size)) for number in range(1000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert read_files(tmp_path) == before


@pytest.mark.parametrize(
    "name, match",
    [
        ("model.ckpt.index", "Give '.*model.ckpt'$"),
        ("model.ckpt" + DATA, "Give '.*model.ckpt'$"),
        ("model.npz", "Give '.*model'$"),
        ("missing/model.ckpt", "folder of .* does not exist"),
        ("", "names no checkpoint"),
        ("folder", "is a folder, but a file"),
        ("a\0b", "expected a path"),
        ("x" * 300, "cannot write"),
    ],
)
def test_save_to_a_bad_path_says_what_to_give(tmp_path, name, match):
    (tmp_path / "folder.index").mkdir()
    with pytest.raises(CheckpointError, match=match):
        save_checkpoint(os.path.join(str(tmp_path), name), {"variable": np.zeros(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["folder.index"]


def test_save_holds_one_array_at_a_time(prefix):
    alive = []

    def variables():
        for number in range(5):
            assert not any(reference() is not None for reference in alive)
            array = np.zeros(1000)
            alive.append(weakref.ref(array))
            yield str(number), array
            del array

    save_checkpoint(prefix, variables())


# ---- bad paths ----


@pytest.mark.parametrize(
    "name, match",
    [
        ("", "is a folder, expected the prefix.*Found there: '.*bert_model.ckpt', '.*weights.npz'"),
        ("empty", "is a folder.*There is no checkpoint in"),
        ("bert_model.ckpt.index", "Give the prefix of its files: '.*bert_model.ckpt'$"),
        ("bert_model.ckpt" + DATA, "Give the prefix of its files: '.*bert_model.ckpt'$"),
        (
            "bert_modle.ckpt",
            "no checkpoint '.*bert_modle.ckpt'. Similar names in its folder: 'bert_model.ckpt'",
        ),
        ("zzz", "no checkpoint '.*zzz'. Found there: '.*bert_model.ckpt'"),
        ("nowhere/bert_model.ckpt", "nor does its folder"),
        ("dataonly", "'.*dataonly.index' is missing"),
        ("dataonly" + DATA, "Give the prefix .*dataonly' .'.*dataonly.index' is missing, too"),
        ("vocab.txt", "is not a checkpoint, expected a TensorFlow V2 prefix"),
        ("old.ckpt", "is a V1 checkpoint of TensorFlow, expected V2. Convert it once"),
        ("a\0b", "expected a path"),
        ("x" * 5000, "no checkpoint|cannot open"),
    ],
)
def test_bad_path_says_what_to_type(tmp_path, name, match):
    save_checkpoint(tmp_path / "bert_model.ckpt", {"variable": np.zeros(3)})
    (tmp_path / "empty").mkdir()
    (tmp_path / ("dataonly" + DATA)).write_bytes(b"data")
    (tmp_path / "vocab.txt").write_bytes(b"[PAD]\n" * 20)
    (tmp_path / "old.ckpt").write_bytes(table.write_table([(b"", b"V1")]))
    (tmp_path / "weights.npz").write_bytes(b"")
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(os.path.join(str(tmp_path), name))


@pytest.mark.parametrize("thing", [None, 5, "", b"\0", ["a"]], ids=repr)
def test_open_of_no_path_is_an_error(thing):
    with pytest.raises(CheckpointError, match="expected a path"):
        open_checkpoint(thing)


# ---- damaged bundles ----


def small_bundle(prefix):
    save_checkpoint(prefix, {"a": sample("float32"), "ab": np.int64(5), "b": sample("bool", (9,))})
    return read_all(prefix)


@pytest.mark.parametrize("mask", [0x01, 0x80, 0xFF])
@pytest.mark.parametrize("suffix", [".index", DATA])
def test_flipped_bits_are_an_error_or_change_nothing(prefix, suffix, mask):
    expected = small_bundle(prefix)
    for position in range(os.path.getsize(prefix + suffix)):
        flip(prefix + suffix, position, mask)
        try:
            actual = read_all(prefix)
        except CheckpointError as error:
            assert prefix in str(error)
        else:
            assert suffix == ".index", f"a flip at byte {position} of the data went unseen"
            assert list(actual) == list(expected), f"flip at byte {position}"
            for name in expected:
                assert_same(actual[name], expected[name])
        flip(prefix + suffix, position, mask)


@pytest.mark.parametrize("suffix", [".index", DATA])
def test_cut_file_is_an_error_that_names_it(prefix, suffix):
    small_bundle(prefix)
    for length in reversed(range(os.path.getsize(prefix + suffix))):
        os.truncate(prefix + suffix, length)
        with pytest.raises(CheckpointError) as caught:
            read_all(prefix)
        assert prefix + suffix in str(caught.value), f"cut to {length} bytes: {caught.value}"


def test_random_entries_are_an_error_or_readable(prefix):
    random = np.random.RandomState(0)
    good = entry(slices=[[(0, 1)], [(1, 1)]])
    for _ in range(3000):
        value = bytearray(good)
        for position in random.randint(len(value), size=random.randint(1, 4)):
            value[position] = random.randint(256)
        write_raw_bundle(prefix, {b"a": bytes(value[: random.randint(1, len(value) + 1)])})
        with contextlib.suppress(CheckpointError):
            read_all(prefix)


def test_flipped_data_spares_the_other_variables(prefix):
    expected = small_bundle(prefix)
    flip(prefix + DATA, 0, mask=1)
    checkpoint = open_checkpoint(prefix)
    assert_same(checkpoint["b"], expected["b"])
    with pytest.raises(
        CheckpointError, match="'.*data-00000-of-00001' is damaged: the checksum of 'a' is wrong"
    ):
        checkpoint["a"]


def test_data_cut_after_opening_is_an_error(prefix):
    small_bundle(prefix)
    checkpoint = open_checkpoint(prefix)
    os.truncate(prefix + DATA, 0)
    with pytest.raises(CheckpointError, match="was cut from 77 to 0 bytes after it was opened"):
        checkpoint["a"]


def test_missing_shard_is_named(prefix):
    small_bundle(prefix)
    os.remove(prefix + DATA)
    with pytest.raises(CheckpointError, match="'.*model.ckpt.data-00000-of-00001' is missing; .* 'a'"):
        open_checkpoint(prefix)


HUGE = 1 << 62


@pytest.mark.parametrize(
    "claims, match",
    [
        ({"shape": (3,)}, r"'a', float32 of shape \[3\], takes 12 bytes, got 8"),
        ({"shape": (HUGE, HUGE)}, "larger than any file"),
        ({"shape": (0, HUGE, HUGE)}, "larger than any file"),
        ({"shape": (-2,)}, "negative length"),
        ({"shape": (1,) * 100}, "100 dimensions"),
        ({"shape": (HUGE // 64,), "size": HUGE // 16}, "the file has 8"),
        ({"size": -8}, "the file has 8"),
        ({"offset": 4}, "'a' lies at bytes 4 to 12, but the file has 8"),
        ({"offset": -8}, "the file has 8"),
        ({"offset": HUGE, "size": HUGE}, "the file has 8"),
        ({"shard": 1}, "'a' lies in shard 1 of 1"),
        ({"shard": -1}, "'a' lies in shard -1 of 1"),
        ({"data": b"other"}, "checksum of 'a' is wrong"),
        ({"dtype": 7}, "'a' holds strings"),
        ({"dtype": 24}, "'a' holds TensorFlow's dtype number 24"),
        ({"slices": [[(0, 1)], [(1, 1)]]}, r"the slice .* of 'a' is missing"),
        ({"slices": [[(0, 2)], [(1, 1)]]}, "'a': its slices overlap"),
        ({"slices": [[(0, 1)]]}, "'a': its slices hold 1 of 2 elements"),
        ({"slices": [[(0, 3)]]}, "'a': a slice lies outside"),
        ({"slices": [[(-1, 2)]]}, "'a': a slice lies outside"),
        ({"slices": [[(HUGE, HUGE)]]}, "'a': a slice lies outside"),
        ({"slices": [[(0, 2), (0, 1)]]}, "another number of dimensions"),
        ({"slices": [[(0, 1)]] * 10001}, "10001 slices"),
        ({"slices": [[(0, -1)]], "shape": (HUGE // 64,)}, "slice .* of 'a' is missing"),
    ],
)
def test_false_claims_of_an_entry_are_an_error(prefix, claims, match):
    write_raw_bundle(prefix, {b"a": entry(**claims)})
    with pytest.raises(CheckpointError, match=match):
        read_all(prefix)


@pytest.mark.parametrize(
    "value, match",
    [
        (b"\x08", "a number runs past the end"),
        (b"\x08" + b"\xff" * 11, "longer than 64 bits"),
        (b"\x12\xff\xff\xff\xff\x0f", "a field runs past the end"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x10\x05", "field 2 is not a message"),
        (b"\x0a\x00", "field 1 is not a number"),
        (wire.bytes_field(2, wire.varint_field(3, 1)), "unknown rank"),
    ],
)
def test_malformed_entry_is_an_error(prefix, value, match):
    write_raw_bundle(prefix, {b"a": value})
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(prefix)


@pytest.mark.parametrize(
    "header, match",
    [
        (b"", "claims 0 shards"),
        (wire.varint_field(1, -1), "claims -1 shards"),
        (wire.varint_field(1, 1) + wire.varint_field(2, 7), "byte order 7"),
        (
            wire.varint_field(1, 1) + wire.bytes_field(3, wire.varint_field(2, 9)),
            "of format 9, expected at most 1",
        ),
    ],
)
def test_bad_header_is_an_error(prefix, header, match):
    write_raw_bundle(prefix, {b"": header, b"a": entry()})
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(prefix)


def block(content, kind=table.NO_COMPRESSION):
    return content + bytes([kind]) + struct.pack("<I", checksum.masked_crc32c(content + bytes([kind])))


def write_blocks(prefix, content, kind=table.NO_COMPRESSION):
    """An index of one data block with any content."""
    data_block = block(content, kind)
    handle = wire.write_varint(0) + wire.write_varint(len(content))
    index = bytes([0, 1, len(handle)]) + b"k" + handle + struct.pack("<II", 0, 1)
    footer = wire.write_varint(0) * 2 + wire.write_varint(len(data_block)) + wire.write_varint(len(index))
    with open(prefix + ".index", "wb") as file:
        file.write(data_block + block(index) + footer.ljust(40, b"\0") + table.MAGIC)


@pytest.mark.parametrize(
    "content, match",
    [
        (b"", "an empty block"),
        (b"\xff\xff\xff\xff", "more restarts than bytes"),
        (b"\x05\x01\x00k" + struct.pack("<II", 0, 1), "an entry runs past its block"),
        (b"\x00\x7f\x00k" + struct.pack("<II", 0, 1), "an entry runs past its block"),
        (b"\x00\x01\x00k\x00\x01\x00j" + struct.pack("<II", 0, 1), "keys are out of order"),
        (b"\x00\x01\x00k" + struct.pack("<II", 0, 1), "has no header"),
    ],
)
def test_malformed_block_is_an_error(prefix, content, match):
    write_blocks(prefix, content)
    with pytest.raises(CheckpointError, match=match):
        open_checkpoint(prefix)


def test_keys_longer_than_their_block_are_an_error(prefix):
    long_key = b"\x00" + wire.write_varint(50000) + b"\x00" + b"k" * 50000
    shared = b"".join(wire.write_varint(50000 + number) + b"\x01\x00k" for number in range(10000))
    write_blocks(prefix, long_key + shared + struct.pack("<II", 0, 1))
    with pytest.raises(CheckpointError, match="longer than its block allows"):
        open_checkpoint(prefix)


def test_snappy_block_is_an_error_that_says_so(prefix):
    write_blocks(prefix, b"compressed", kind=table.SNAPPY)
    with pytest.raises(CheckpointError, match="compressed with Snappy"):
        open_checkpoint(prefix)


def test_empty_index_is_an_error(prefix):
    open(prefix + ".index", "wb").close()
    with pytest.raises(CheckpointError, match="0 bytes long, expected at least 48"):
        open_checkpoint(prefix)


# ---- partitioned variables ----


def test_partitioned_variable_is_assembled(prefix):
    whole = np.arange(6, dtype=np.float32).reshape(2, 3)
    left, right = whole[:, :1].tobytes(), whole[:, 1:].tobytes()
    parts = [[(0, -1), (0, 1)], [(0, -1), (1, 2)]]
    entries = {
        b"a": entry(shape=(2, 3), size=0, slices=parts),
        slice_key(b"a", parts[0]): entry(shape=(2, 1), data=left),
        slice_key(b"a", parts[1]): entry(shape=(2, 2), offset=8, size=16, data=right),
    }
    write_raw_bundle(prefix, entries, left + right)
    checkpoint = open_checkpoint(prefix)
    assert list(checkpoint) == ["a"]
    assert_same(checkpoint["a"], whole)


@pytest.mark.parametrize("claims", [{"dtype": "int32"}, {"shape": (2, 1), "size": 8}], ids=str)
def test_slice_unlike_its_variable_is_an_error(prefix, claims):
    parts = [[(0, 2)]]
    entries = {b"a": entry(slices=parts), slice_key(b"a", parts[0]): entry(**claims)}
    write_raw_bundle(prefix, entries)
    with pytest.raises(CheckpointError, match="a slice of 'a' has another dtype or shape"):
        read_all(prefix)


def test_slices_that_share_bytes_cannot_outgrow_the_file(prefix):
    parts = [[(2 * number, 2)] for number in range(100)]
    entries = {slice_key(b"a", part): entry() for part in parts}
    entries[b"a"] = entry(shape=(200,), slices=parts)
    write_raw_bundle(prefix, entries)
    with pytest.raises(CheckpointError, match="larger than all data files"):
        read_all(prefix)


@pytest.mark.parametrize(
    "value, expected",
    [(0, b"\x80"), (-1, b"\x7f"), (63, b"\xbf"), (-64, b"\x40"), (64, b"\xc0\x40"), (-65, b"\x3f\xbf")],
)
def test_ordered_signed_number_has_known_bytes(value, expected):
    assert wire.ordered_signed(value) == expected


def test_ordered_signed_numbers_sort_like_numbers():
    numbers = sorted(
        sign * (1 << power) + step for power in range(62) for sign in (1, -1) for step in (-1, 0, 1)
    )
    encoded = [wire.ordered_signed(number) for number in sorted(set(numbers))]
    assert encoded == sorted(encoded)
    assert max(map(len, encoded)) == 9


@pytest.mark.parametrize(
    "value, expected", [(b"", b"\0\1"), (b"a", b"a\0\1"), (b"\0", b"\0\xff\0\1"), (b"\xff", b"\xff\0\0\1")]
)
def test_ordered_string_has_known_bytes(value, expected):
    assert wire.ordered_string(value) == expected


# ---- .safetensors and .npz ----


def test_safetensors_bfloat16_is_read_as_float32(tmp_path):
    expected = sample("bfloat16")
    write_safetensors(tmp_path / "a.safetensors", {"a": ("BF16", dtypes.round_to_bfloat16(expected))})
    assert_same(open_checkpoint(tmp_path / "a.safetensors")["a"], expected)


def tensor(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"a": {"dtype": dtype, "shape": shape, "data_offsets": offsets}}


@pytest.mark.parametrize(
    "header, match",
    [
        (tensor(shape=[3]), r"'a', F32 of shape \[3\], takes 12 bytes, got 0 to 8"),
        (tensor(shape=[HUGE, HUGE]), "larger than any file"),
        (tensor(shape=[-2]), "negative length"),
        (tensor(shape=[True, 2]), "of the wrong type"),
        (tensor(shape=[2.0]), "of the wrong type"),
        (tensor(shape=["2"]), "of the wrong type"),
        (tensor(shape=None), "lacks dtype, shape or data_offsets"),
        (tensor(dtype=["F32"]), "of the wrong type"),
        (tensor(offsets=[8, 16]), "'a' lies at bytes 8 to 16, expected from 0 to 8"),
        (tensor(offsets=[8, 0]), "takes 8 bytes, got 8 to 0"),
        (tensor(offsets=[-8, 0]), "got -8 to 0"),
        (tensor(offsets=[0]), "lacks dtype, shape or data_offsets"),
        (tensor(shape=[1], offsets=[0, 4]), "hold 4 of 8 bytes"),
        (tensor(dtype="F4"), "'a' has dtype F4"),
        ({"a": 5}, "lacks dtype, shape or data_offsets"),
        ([], "is not a JSON object"),
        (b"{", "is damaged"),
        (b"\xff", "is damaged"),
        (b"[" * 100000, "is damaged"),
        (b'{"a":' * 100000, "is damaged"),
        (b'{"a":%s}' % (b"9" * 100000), "longer than 64 bits"),
        (b'{"a":{},"a":{}}', "a name occurs twice"),
    ],
)
def test_bad_safetensors_header_is_an_error(tmp_path, header, match):
    write_safetensors_header(tmp_path / "a.safetensors", header, b"\0" * 8)
    with pytest.raises(CheckpointError, match=match):
        read_all(tmp_path / "a.safetensors")


@pytest.mark.parametrize("content", [b"", b"\0" * 7, b"\xff" * 8, struct.pack("<Q", 1 << 33) + b"{}"])
def test_bad_safetensors_length_is_an_error(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="a.safetensors' is damaged"):
        open_checkpoint(tmp_path / "a.safetensors")


@pytest.mark.parametrize("kind", ["npz", "safetensors"])
def test_cut_single_file_is_an_error(tmp_path, kind):
    path = tmp_path / ("a." + kind)
    if kind == "npz":
        np.savez(str(path), a=sample("float32"), b=np.int64(5))
    else:
        write_safetensors(path, {"a": ("F32", sample("float32"))})
    for length in reversed(range(path.stat().st_size)):
        os.truncate(str(path), length)
        with pytest.raises(CheckpointError, match="a." + kind):
            read_all(path)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_flipped_npz_is_an_error_or_changes_nothing_but_names(tmp_path, save):
    path, expected = str(tmp_path / "a.npz"), sample("float32")
    save(path, a=expected)
    for position in range(os.path.getsize(path)):
        flip(path, position)
        with contextlib.suppress(CheckpointError):
            for actual in read_all(path).values():
                np.testing.assert_array_equal(actual, expected)
        flip(path, position)


@pytest.mark.parametrize("array", [np.array([{}], object), np.array(["text"]), np.zeros(3, "V2")], ids=repr)
def test_npz_of_other_things_than_numbers_is_refused(tmp_path, array):
    np.savez(str(tmp_path / "a.npz"), a=array)
    with pytest.raises(CheckpointError, match="cannot read 'a' of '.*a.npz'"):
        read_all(tmp_path / "a.npz")


# ---- TensorFlow is the oracle ----


def tensorflow_session(tensorflow):
    return tensorflow.compat.v1.Session(graph=tensorflow.compat.v1.get_default_graph())


def tensorflow_arrays(tensorflow, prefix):
    """What TensorFlow reads; bfloat16 as float32."""
    reader = tensorflow.train.load_checkpoint(prefix)
    arrays = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    return {
        name: array.astype(np.float32) if array.dtype.name == "bfloat16" else array
        for name, array in arrays.items()
    }


def assert_same_checkpoint(tensorflow, prefix, count):
    checkpoint, expected = open_checkpoint(prefix), tensorflow_arrays(tensorflow, prefix)
    assert len(expected) == count
    assert sorted(checkpoint) == sorted(expected)
    for name, array in expected.items():
        assert_same(checkpoint[name], np.asarray(array))


def save_slices(tensorflow, prefix, names, slices, values):
    """One SaveV2 op, which is all that a Saver runs."""
    raw_ops = tensorflow.raw_ops
    with tensorflow.Graph().as_default(), tensorflow_session(tensorflow) as session:
        tensors = [
            tensorflow.cast(tensorflow.constant(value), kind)
            if kind == "bfloat16"
            else tensorflow.constant(value)
            for kind, value in values
        ]
        session.run(
            raw_ops.SaveV2(prefix=prefix, tensor_names=names, shape_and_slices=slices, tensors=tensors)
        )


def test_bundle_of_tensorflow_saver_is_read(tensorflow, prefix):
    v1 = tensorflow.compat.v1
    with tensorflow.Graph().as_default(), tensorflow_session(tensorflow) as session:
        v1.get_variable("bert/kernel", initializer=sample("float32", (20, 30)))
        v1.get_variable("bert/wide", initializer=sample("float64"))
        v1.get_variable("global_step", initializer=np.int64(1 << 40))
        v1.get_variable("empty", initializer=np.zeros((0, 3), np.float32))
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, prefix)
    assert_same_checkpoint(tensorflow, prefix, count=4)


def test_every_dtype_of_tensorflow_is_read(tensorflow, prefix):
    values = [(dtype, sample(dtype)) for dtype in DTYPES]
    save_slices(tensorflow, prefix, DTYPES, [""] * len(DTYPES), values)
    assert_same_checkpoint(tensorflow, prefix, count=len(DTYPES))
    for dtype, value in values:
        assert_same(open_checkpoint(prefix)[dtype], value)


@pytest.mark.parametrize("axis", [0, 1])
def test_partitioned_variable_of_tensorflow_is_read(tensorflow, prefix, axis):
    v1, shape = tensorflow.compat.v1, (300, 200)
    with tensorflow.Graph().as_default(), tensorflow_session(tensorflow) as session:
        partitioner = v1.fixed_size_partitioner(3, axis=axis)
        with v1.variable_scope("scope", partitioner=partitioner):
            v1.get_variable("parts", shape=shape, initializer=v1.random_normal_initializer())
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, prefix)
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.shape("scope/parts") == shape
    assert sum(key.startswith(b"\0") for key in table.read_table(prefix + ".index")) == 3
    assert_same_checkpoint(tensorflow, prefix, count=1)


def test_slices_at_large_offsets_of_tensorflow_are_read(tensorflow, prefix):
    whole = sample("bfloat16", (20000, 2))
    pairs = [(0, 63), (63, 64), (64, 65), (65, 8191), (8191, 8192), (8192, 20000)]
    slices = [f"20000 2 {start},{stop - start}:-" for start, stop in pairs]
    values = [("bfloat16", whole[start:stop]) for start, stop in pairs]
    save_slices(tensorflow, prefix, ["a"] * len(pairs), slices, values)
    assert_same(open_checkpoint(prefix)["a"], whole)


def test_several_shards_of_tensorflow_are_read(tensorflow, prefix):
    parts = [f"{prefix}-part-{number}" for number in range(3)]
    for number, part in enumerate(parts):
        values = [("float32", sample("float32", (4, 5 + number))), ("int64", sample("int64"))]
        save_slices(tensorflow, part, [f"float_{number}", f"int_{number}"], ["", ""], values)
    with tensorflow.Graph().as_default(), tensorflow_session(tensorflow) as session:
        session.run(
            tensorflow.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=parts, destination_prefix=prefix)
        )
    assert all(os.path.exists(bundle.shard_path(prefix, number, 3)) for number in range(3))
    assert_same_checkpoint(tensorflow, prefix, count=6)
    os.remove(bundle.shard_path(prefix, 1, 3))
    with pytest.raises(CheckpointError, match="'.*data-00001-of-00003' is missing.*all 3 data file"):
        open_checkpoint(prefix)


def test_strings_of_tensorflow_are_listed_but_not_read(tensorflow, prefix):
    save_slices(
        tensorflow,
        prefix,
        ["text", "a"],
        ["", ""],
        [("string", [b"x", b"yy"]), ("float32", sample("float32"))],
    )
    checkpoint = open_checkpoint(prefix)
    assert checkpoint.shape("text") == (2,)
    assert_same(checkpoint["a"], sample("float32"))
    with pytest.raises(CheckpointError, match="'text' holds strings"):
        checkpoint["text"]


def test_v1_checkpoint_of_tensorflow_is_converted_as_the_message_says(tensorflow, prefix):
    v1, expected = tensorflow.compat.v1, sample("float32")
    with tensorflow.Graph().as_default(), tensorflow_session(tensorflow) as session:
        v1.get_variable("a", initializer=expected)
        session.run(v1.global_variables_initializer())
        v1.train.Saver(write_version=v1.train.SaverDef.V1).save(session, prefix)
    with pytest.raises(CheckpointError, match="is a V1 checkpoint") as caught:
        open_checkpoint(prefix)
    remedy = str(caught.value).split("Convert it once:")[1]
    script = "\n".join(line.strip() for line in remedy.splitlines())
    subprocess.check_call([sys.executable, "-c", script], env=environment_with_path())
    assert_same(open_checkpoint(prefix + "-v2")["a"], expected)


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16"])
def test_tensorflow_reads_what_we_write(tensorflow, prefix, dtype):
    variables = {name: sample(name) for name in DTYPES if name != "bfloat16"}
    variables["scalar"], variables["empty"] = np.float32(3), np.zeros((0, 3), np.float32)
    variables.update((f"many/{number:04d}/{'x' * 200}", np.int32(number)) for number in range(2000))
    save_checkpoint(prefix, variables, dtype=dtype)
    assert_same_checkpoint(tensorflow, prefix, count=len(variables))
    assert tensorflow.train.load_variable(prefix, "scalar") == 3


def test_tensorflow_saver_restores_what_we_write(tensorflow, prefix):
    v1, expected = tensorflow.compat.v1, sample("float32")
    save_checkpoint(prefix, {"other": np.zeros(3), "bert/kernel": expected, "global_step": np.int64(9)})
    with tensorflow.Graph().as_default(), tensorflow_session(tensorflow) as session:
        kernel = v1.get_variable("bert/kernel", shape=expected.shape)
        step = v1.get_variable(
            "global_step", shape=(), dtype=tensorflow.int64, initializer=v1.zeros_initializer()
        )
        v1.train.Saver().restore(session, prefix)
        kernel_value, step_value = session.run([kernel, step])
    assert_same(kernel_value, expected)
    assert step_value == 9


@pytest.mark.parametrize("stored_as", ["<f4", ">f4", "bfloat16", "unaligned"])
@pytest.mark.parametrize(
    "part", [np.s_[:], np.s_[3:90], np.s_[:, 1:3], np.s_[5], np.s_[[7, 2]], np.s_[..., 2]]
)
def test_lazy_arrays_are_read_as_their_slices(stored_as, part):
    from bert4keras3.checkpoints.dtypes import decode, stored
    from bert4keras3.checkpoints.lazy_array import LazyArray

    dtype = "bfloat16" if stored_as == "bfloat16" else "float32"
    order = ">" if stored_as == ">f4" else "<"
    numbers = np.arange(400, dtype="f4").astype(order + "f4").view("uint8")
    raw = np.concatenate([np.zeros(1, "uint8"), numbers])[1:] if stored_as == "unaligned" else numbers
    raw = raw[: 400 * (2 if dtype == "bfloat16" else 4)]
    expected, released = decode(raw, dtype, (100, 4), order), []
    lazy = LazyArray(stored(raw, dtype, order).reshape(100, 4), dtype, lambda: released.append(True))
    np.testing.assert_array_equal(np.asarray(lazy[part]), expected[part])
    np.testing.assert_array_equal(np.asarray(lazy[part].T), expected[part].T)
    assert released and lazy.shape == (100, 4) and len(lazy) == 100
    np.testing.assert_array_equal(lazy + 1, expected + 1)
    np.testing.assert_array_equal(lazy.reshape(4, 100), expected.reshape(4, 100))
