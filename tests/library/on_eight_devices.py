"""What test_sharded_loading.py runs on eight virtual devices: in one process, and in two with four devices each."""

import os

import jax
import keras
import numpy as np
import pytest

from bert4keras3 import weights
from bert4keras3.backend import get_values, is_sharded, process_place, texts_of_processes
from bert4keras3.checkpoints import CheckpointError, bundle_writer, lazy_array
from bert4keras3.models import build_transformer_model

FOLDER = os.environ["SHARED_FOLDER"]
if "COORDINATOR" in os.environ:
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    keras.distribution.initialize(os.environ["COORDINATOR"], 2, int(os.environ["PROCESS"]))

SIZES = dict(
    vocab_size=64,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=8,
    intermediate_size=64,
    hidden_act="gelu",
    max_position=16,
)
KINDS = {"bert": dict(SIZES, with_mlm=True), "gpt2": dict(SIZES, model="gpt2")}
FILES = {
    "bundle": "bert.ckpt",
    "safetensors": "bert-folder",
    "sharded safetensors": "bert-shards",
    "bfloat16": "bert-bfloat16",
}
MESHES = [(1, 8), (2, 4)]


def build(kind="bert", path=None, **arguments):
    return build_transformer_model(
        checkpoint_path=path, return_keras_model=False, **dict(KINDS[kind], **arguments)
    )


def distribution(mesh=(1, 8)):
    """Matrices split by columns or rows, the others on every device."""
    mesh = keras.distribution.DeviceMesh(mesh, ("batch", "model"), keras.distribution.list_devices())
    layouts = keras.distribution.LayoutMap(mesh)
    layouts[".*Embedding-Token/embeddings"] = ("model", None)
    layouts[".*/(q|k|v|i0)_dense/kernel"] = (None, "model")
    layouts[".*/o_dense/kernel"] = ("model", None)
    return keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="batch")


def values_of(transformer):
    return get_values(transformer.model.weights)


def wait():
    """Until every process is here."""
    texts_of_processes("")


def place(name):
    return os.path.join(FOLDER, name)


@pytest.fixture(scope="session")
def plain():
    """Models in one piece, whose files the first process has written."""
    models = {}
    for kind in KINDS:
        models[kind] = build(kind)
        random = np.random.RandomState(0)
        models[kind].model.set_weights([random.normal(size=one.shape) for one in models[kind].model.weights])
    if process_place()[0] == 0:
        models["bert"].save_weights_as_checkpoint(place("bert.ckpt"))
        models["bert"].save_pretrained(place("bert-folder"))
        models["bert"].save_pretrained(place("bert-shards"), max_shard_size="20KB")
        models["bert"].save_pretrained(place("bert-bfloat16"), dtype="bfloat16")
        models["gpt2"].save_pretrained(place("gpt2-folder"))
    wait()
    return models


@pytest.fixture
def bytes_read(monkeypatch):
    """How many bytes each reading of a LazyArray gave."""
    sizes, read = [], lazy_array.LazyArray.read

    def counted(self, values):
        sizes.append(values.nbytes)
        read(self, values)

    monkeypatch.setattr(lazy_array.LazyArray, "read", counted)
    return sizes


def test_there_are_eight_devices():
    assert len(jax.devices()) == 8


@pytest.mark.parametrize("mesh", MESHES)
@pytest.mark.parametrize("form", FILES)
def test_values_are_those_of_one_piece(plain, form, mesh):
    path = place(FILES[form])
    path = path if form == "bundle" else os.path.join(path, "")
    expected = build(path=path)
    with distribution(mesh).scope():
        sharded = build(path=path)
    assert sum(is_sharded(one) for one in sharded.model.weights) == len(sharded.model.weights)
    for weight, one, other in zip(sharded.model.weights, values_of(sharded), values_of(expected)):
        np.testing.assert_array_equal(one, other, err_msg=weight.path)


def test_parts_of_a_parameter_are_read_lazily(plain, bytes_read):
    """GPT-2 has queries, keys and values in one array of the file."""
    with distribution().scope():
        sharded = build("gpt2", place("gpt2-folder"))
    for one, other in zip(values_of(sharded), values_of(plain["gpt2"])):
        np.testing.assert_array_equal(one, other)
    assert sum(bytes_read) == bytes_of_slices(sharded)


@pytest.mark.parametrize("form", ["bundle", "safetensors", "sharded safetensors"])
def test_slices_of_this_process_alone_are_read(plain, form, bytes_read):
    with distribution().scope():
        sharded = build(path=place(FILES[form]))
    assert sum(bytes_read) == bytes_of_slices(sharded)
    whole = sum(one.nbytes for one in values_of(sharded))
    assert jax.process_count() == 1 or sum(bytes_read) < 0.75 * whole


def bytes_of_slices(transformer):
    """Bytes of the different slices of all weights in this process."""
    total = 0
    for weight in transformer.model.weights:
        shards = {str(one.index): one.data.nbytes for one in weight.value.addressable_shards}
        total += sum(shards.values())
    return total


def test_kept_rows_and_other_sizes_load_as_in_one_piece(plain):
    options = dict(path=place("bert.ckpt"), keep_tokens=list(range(0, 64, 4)), autoresize_weights=True)
    expected = build(**options, max_position=20)
    with distribution().scope():
        sharded = build(**options, max_position=20)
    for one, other in zip(values_of(sharded), values_of(expected)):
        np.testing.assert_array_equal(one, other)


def test_half_precision_rounds_as_in_one_piece(plain):
    keras.config.set_dtype_policy("bfloat16")
    try:
        expected = build(path=place("bert.ckpt"))
        with distribution().scope():
            sharded = build(path=place("bert.ckpt"))
    finally:
        keras.config.set_dtype_policy("float32")
    for one, other in zip(values_of(sharded), values_of(expected)):
        np.testing.assert_array_equal(one.view("uint16"), other.view("uint16"))


def test_missing_weights_get_initial_values(plain, caplog):
    names = plain["bert"].variable_mapping()["Transformer-0-FeedForward"]
    arrays = {
        name: value
        for name, value in weights.iterate_weights(plain["bert"].layers, plain["bert"].mapped_layers())
        if name not in names
    }
    with distribution().scope():
        sharded = build(path=arrays, ignore_invalid_weights=True)
    kernel = get_values(sharded.layers["Transformer-0-FeedForward"].weights)[0]
    assert np.isfinite(kernel).all() and 0.01 < kernel.std() < 0.03
    assert len(set(texts_of_processes(str(kernel.sum())))) == 1


@pytest.mark.parametrize("mesh", MESHES)
def test_files_are_those_of_one_piece(plain, mesh):
    with distribution(mesh).scope():
        sharded = build(path=place("bert.ckpt"))
    sharded.save_weights_as_checkpoint(place("again.ckpt"))
    sharded.save_pretrained(place("again"), max_shard_size="20KB")
    for one, other in [("again.ckpt", "bert.ckpt"), ("again", "bert-shards")]:
        assert contents(one) == contents(other)
    wait()


def contents(prefix):
    """{name without the prefix: bytes} of the files of a checkpoint or a folder."""
    path = place(prefix)
    found = [os.path.join(path, name) for name in os.listdir(path)] if os.path.isdir(path) else []
    found = found or [place(name) for name in os.listdir(FOLDER) if name.startswith(prefix + ".")]
    assert found
    return {name[len(path) :]: open(name, "rb").read() for name in found}


def test_an_error_of_writing_is_one_of_all_and_leaves_the_old_files(plain, monkeypatch):
    before = contents("bert.ckpt")
    wait()
    with distribution().scope():
        sharded = build(path=place("bert.ckpt"))
    written, write = [], bundle_writer._write_all

    def fail(file, raw):
        written.append(len(raw))
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        write(file, raw)

    monkeypatch.setattr(bundle_writer, "_write_all", fail)
    with pytest.raises(CheckpointError, match="bert.ckpt.*No space left"):
        sharded.save_weights_as_checkpoint(place("bert.ckpt"))
    wait()
    assert contents("bert.ckpt") == before


def test_a_wrong_shape_names_variable_and_file(plain):
    with distribution().scope():
        with pytest.raises(CheckpointError, match="bert.ckpt.*word_embeddings.*expects"):
            build(path=place("bert.ckpt"), vocab_size=128)


def test_a_damaged_variable_is_an_error_of_all_before_a_weight_changes(plain):
    if process_place()[0] == 0:
        for name, content in contents("bert.ckpt").items():
            changed = content[:-100] + b"\0\1\2" + content[-97:] if ".data" in name else content
            with open(place("damaged.ckpt") + name, "wb") as file:
                file.write(changed)
    wait()
    with distribution().scope():
        sharded = build(path=place("bert.ckpt"))
    with pytest.raises(CheckpointError, match="damaged.ckpt.*checksum"):
        sharded.load_weights_from_checkpoint(place("damaged.ckpt"))
    for one, other in zip(values_of(sharded), values_of(plain["bert"])):
        np.testing.assert_array_equal(one, other)
