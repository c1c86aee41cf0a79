"""Layout maps: every kernel of a block is split as Megatron splits it, and a split model computes the same."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bert4keras3.backend import framework, keras
from bert4keras3.launch import free_ports
from bert4keras3.layers import ConditionalRandomField, EfficientGlobalPointer, GlobalPointer
from bert4keras3.models import BERT, MODELS, T5, build_transformer_model
from bert4keras3.parallel import indivisible_layers, layout_map, layout_tables, model_parallel
from bert4keras3.transformers import Transformer
from parity.adapter import open_library
from parity.mesh import expected_whole, what_of
from parity.models.build import build_case
from parity.models.cases import CASES, CASES_BY_NAME, FIRST_OF_SYSTEM

pytestmark = [
    pytest.mark.usefixtures("fresh_session"),
    pytest.mark.skipif(framework != "jax", reason="Keras splits weights on JAX alone"),
]

# The first case of each system that has its heads: 21 released families, and MiniLM, whose weights need a download.
HEADS = {"google_bert": "bert-nsp-mlm", "google_albert": "albert-heads", "nezha": "nezha-heads"}
HEADS.update(gau_alpha="gau-alpha-mlm", t5="t5", zhuiyi="roformer")
SYSTEMS = {system: HEADS.get(system, name) for system, name in FIRST_OF_SYSTEM.items() if system != "minilm"}
KERNEL_OF_BLOCK = re.compile(
    r".*Transformer-(?:\d+-)?(?:MultiHead|FeedForward|GatedAttention)\w*/(\w+)/kernel"
)
BY_COLUMNS, BY_ROWS = (None, "model"), ("model",)
SIZES = dict(
    vocab_size=160, hidden_size=64, num_hidden_layers=2, num_attention_heads=8, intermediate_size=128
)
SIZES.update(hidden_act="gelu", max_position=24)


def mesh_of(data, model):
    """A mesh for maps alone: its devices are one device."""
    return keras.distribution.DeviceMesh((data, model), ("data", "model"), ["cpu:0"] * (data * model))


def build(name):
    return build_case(open_library("bert4keras3"), CASES_BY_NAME[name])


def axes_of(layouts, weight):
    layout = layouts[weight.path]
    return None if layout is None else layout.axes


def test_there_are_21_systems():
    assert len(SYSTEMS) == 21


@pytest.mark.parametrize("name", SYSTEMS.values())
def test_a_map_names_real_weights_and_splits_every_kernel_of_a_block(name):
    _, model = build(name)
    layouts = layout_map(model, mesh_of(1, 1))
    paths = {weight.path: weight for weight in model.weights}
    assert set(layouts) and set(layouts) <= set(paths)
    kernels = {path: KERNEL_OF_BLOCK.fullmatch(path) for path in paths if path.endswith("kernel")}
    kernels = {path: match[1] for path, match in kernels.items() if match}
    assert kernels
    for path, inner in kernels.items():
        assert layouts[path].axes == (BY_ROWS if inner == "o_dense" else BY_COLUMNS), path
    assert [path for path in paths if "Embedding-Token" in path and layouts[path].axes == BY_ROWS]
    for path, layout in layouts.items():
        assert len(layout.axes) <= len(paths[path].shape), path


@pytest.mark.parametrize("name", SYSTEMS.values())
def test_the_map_of_a_class_is_the_map_of_its_model(name):
    transformer, model = build(name)
    exact, by_name = layout_map(model, mesh_of(1, 1)), layout_map(type(transformer), mesh_of(1, 1))
    assert {weight.path: axes_of(exact, weight) for weight in model.weights} == {
        weight.path: axes_of(by_name, weight) for weight in model.weights
    }


@pytest.mark.parametrize("devices", [2, 4, 8])
@pytest.mark.parametrize("name", sorted({one.release: one.name for one in CASES if not one.slow}.values()))
def test_what_stays_whole_is_declared(name, devices):
    if CASES_BY_NAME[name].release == "minilm":
        pytest.skip("its weights need a download: nox -s parity-jax-mesh8 judges it")
    _, model = build(name)
    found = {what_of(layer) for layer in indivisible_layers(model, mesh_of(1, devices))}
    assert found == expected_whole(CASES_BY_NAME[name], devices)


def test_equal_names_have_equal_splits_in_all_tables():
    rows = {}
    for table in layout_tables(Transformer):
        for row, split in table.items():
            assert rows.setdefault(row, split) == split, row


@pytest.mark.parametrize("name", MODELS)
def test_every_name_has_a_map(name):
    assert len(layout_map(name, mesh_of(2, 4)))


def test_a_layer_that_cannot_be_split_is_refused_with_the_number():
    model = build_transformer_model(**dict(SIZES, num_attention_heads=4, vocab_size=161))
    message = (
        "layer Embedding-Token: axis 0 of embeddings is 161, which 8 devices do not divide; layer "
        "Transformer-0-MultiHeadSelfAttention: the number of heads is 4, which 8 devices do not divide"
    )
    with pytest.raises(ValueError, match=message):
        layout_map(model, mesh_of(1, 8))
    message = "layer Transformer-%d-MultiHeadSelfAttention: num_attention_heads is 12, which 8 devices"
    with pytest.raises(ValueError, match=message):
        layout_map("bert", mesh_of(1, 8), num_attention_heads=12)
    with pytest.raises(ValueError, match="vocab_size is 161, which 8 devices"):
        layout_map(BERT(**dict(SIZES, vocab_size=161)), mesh_of(1, 8))


def test_a_layer_that_cannot_be_split_stays_whole_on_request(caplog):
    model = build_transformer_model(**dict(SIZES, num_attention_heads=4))
    layouts = layout_map(model, mesh_of(1, 8), indivisible="replicate")
    assert not [path for path in layouts if "MultiHead" in path]
    assert [path for path in layouts if "FeedForward" in path]
    assert (
        "keeps the whole of 2 layers: layer Transformer-0-MultiHeadSelfAttention: the number" in caplog.text
    )


@pytest.mark.parametrize("name, transformer", [("bert", BERT), ("t5.1.1", T5)])
def test_a_model_of_other_numbers_is_refused_before_it_has_weights(name, transformer):
    layouts = layout_map(name, mesh_of(1, 8))
    distribution = keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data")
    with distribution.scope():
        with pytest.raises(ValueError, match=r"num_attention_heads is 4, which 8 devices do not divide"):
            build_transformer_model(model=name, **dict(SIZES, num_attention_heads=4))


@pytest.mark.parametrize(
    "model, arguments, message",
    [
        ("no-model", {}, "expected one of bert, roberta"),
        (
            "BERT",
            {"heads": 12},
            "expected some of intermediate_size, num_attention_heads, vocab_size, got heads",
        ),
        ("bert", {"indivisible": "pad"}, 'expected "refuse" or "replicate"'),
    ],
)
def test_wrong_arguments_are_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        layout_map(model, mesh_of(1, 8), **arguments)


def test_wrong_axes_are_refused():
    mesh = keras.distribution.DeviceMesh((1, 1), ("rows", "columns"), ["cpu:0"])
    with pytest.raises(ValueError, match=r"expected the axes \('data', 'model'\), got \('rows', 'columns'\)"):
        layout_map("bert", mesh)


def test_a_model_in_training_is_refused():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(np.ones((1, 1)), np.ones((1, 1)), verbose=0)
    with pytest.raises(ValueError, match="whose optimizer has slots"):
        model_parallel(model, mesh_of(1, 1))


def test_pointers_are_split_by_heads_and_small_heads_stay_whole():
    hidden = build_transformer_model(**SIZES)
    tags = ConditionalRandomField(name="tags")(keras.layers.Dense(8)(hidden.output))
    pointers = [GlobalPointer(8, 16, name="spans"), EfficientGlobalPointer(8, 16, name="few")]
    model = keras.Model(hidden.input, [tags, *(pointer(hidden.output) for pointer in pointers)])
    layouts = layout_map(model, mesh_of(1, 8))
    assert layouts["spans/dense/kernel"].axes == BY_COLUMNS and layouts["spans/dense/bias"].axes == BY_ROWS
    assert not [path for path in layouts if path.startswith(("tags", "few"))]


# In a process of its own, because JAX counts its devices once.
EIGHT_DEVICES = Path(__file__).with_name("eight_devices.py")


def run_on_eight_devices(part):
    flags = dict(os.environ, XLA_FLAGS="--xla_force_host_platform_device_count=8")
    subprocess.run([sys.executable, str(EIGHT_DEVICES), part], check=True, env=flags, timeout=300)


@pytest.mark.parametrize("part", ["in_order", "no_weight_is_gathered", "a_built_model", "copies_of_a_model"])
def test_on_eight_devices(part):
    run_on_eight_devices(part)


@pytest.mark.slow
@pytest.mark.parametrize("part", ["every_mesh", "heads_of_a_user", "undeclared_layers_are_red"])
def test_training_on_eight_devices(part):
    run_on_eight_devices(part)


# One case of each kind of block; bert-autoresize has eight heads, which every mesh divides.
FAMILIES = ["bert-autoresize", "albert", "nezha", "roformer", "electra", "cdial-gpt", "gpt2-ml", "cpm-lm"]
FAMILIES += ["t5", "t5-1-1", "gau-alpha"]


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [(8, 1), (4, 2), (2, 4), (1, 8)], ids=str)
def test_two_processes_of_four_devices_are_judged_as_one(mesh):
    """Outputs, gradients and losses of 20 steps, by the goldens of the unsplit models."""
    flags = dict(os.environ, XLA_FLAGS="--xla_force_host_platform_device_count=4")
    words = [str(word) for word in (*free_ports(1), *mesh, *FAMILIES)]
    command = [sys.executable, str(EIGHT_DEVICES.with_name("two_processes.py"))]
    processes = [subprocess.Popen([*command, str(i), *words], env=flags) for i in range(2)]
    try:
        assert [one.wait(timeout=1800) for one in processes] == [0, 0]
    finally:
        for one in processes:
            one.kill()
