"""LoRA: which layers get adapters, what trains, what the files hold, and that every path sees the adapters."""

import json

import numpy as np
import pytest
from small_models import SIZES, build, inputs_of, outputs_of

from bert4keras3 import lora
from bert4keras3.backend import FLAVOUR, Model, dense, framework, keras, lora_weights, ops
from bert4keras3.backend.accelerate import plain
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.lora import targets as lora_targets
from bert4keras3.models import build_transformer_model
from parity.adapter import listed, open_library, token_input
from parity.kinds import KINDS_BY_NAME, verdict
from parity.lora.compare import QUICK
from parity.lora.record import record
from parity.models.build import build_case, case_weights, load_case, make_inputs
from parity.models.cases import CASES_BY_NAME, FIRST_OF_SYSTEM
from parity.models.compare import error_ratio, read_golden
from parity.models.training import make_step
from parity.store import golden_folder, release_paths
from parity.subsample import sample_output, seen

pytestmark = [
    pytest.mark.skipif(FLAVOUR != "keras3", reason="LoRA needs Keras 3: tests/library/test_contract.py"),
    pytest.mark.usefixtures("fresh_session"),
]
TOKENS = np.random.RandomState(0).randint(3, 600, (4, 12))
QUICK_SYSTEMS = ("google_bert", "gau_alpha", "t5")


def adapted_layers_of(model):
    return lora_targets.adapters_of(model, "a test")


def fill(model, scale=0.05):
    """Give all adapters random numbers, so that each of them counts."""
    random = np.random.RandomState(1)
    for target in adapted_layers_of(model):
        for weight in lora_weights(target.layer):
            weight.assign(random.normal(scale=scale, size=weight.shape))


def adapted(name, layers="all-linear", scale=0.05, **options):
    """A small transformer with random adapters."""
    keras.utils.set_random_seed(0)
    transformer = build(name, return_keras_model=False, **options)
    lora.enable(transformer, rank=2, lora_alpha=3, layers=layers)
    fill(transformer, scale)
    return transformer


def values_of(weights):
    return {weight.path: ops.convert_to_numpy(weight) for weight in weights}


def adapters_of(model):
    targets = adapted_layers_of(model)
    return {id(one): one for target in targets for one in lora_weights(target.layer)}


def predicted(case, library, model, values):
    """{"<length>/output/<number>": array}"""
    outputs = listed(model.predict(values if len(values) > 1 else values[0], verbose=0))
    return {f"{case.lengths[-1]}/output/{i}": one for i, one in enumerate(outputs)}


@pytest.mark.parametrize(
    "system",
    [pytest.param(one, marks=[] if one in QUICK_SYSTEMS else pytest.mark.slow) for one in FIRST_OF_SYSTEM],
)
def test_every_system_trains_saves_loads_and_merges(system, tmp_path):
    library, case = open_library("bert4keras3"), CASES_BY_NAME[FIRST_OF_SYSTEM[system]]
    if not release_paths(case.checkpoint)[0].exists():
        pytest.skip("nox makes the files of MiniLM")
    case = case._replace(arguments=dict(case.arguments, dropout_rate=0, attention_dropout_rate=0))
    transformer, model = build_case(library, case)
    load_case(transformer, case, case_weights(case))
    values = make_inputs(library, case, case.lengths[-1], transformer, model)
    before = predicted(case, library, model, values)
    lora.enable(transformer, rank=2, lora_alpha=3, layers=["*"])
    assert ratio(case, before, predicted(case, library, model, values)) <= 2
    fill(transformer)
    adapters = adapters_of(transformer)
    frozen = values_of(one for one in model.variables if id(one) not in adapters)
    old = values_of(adapters.values())
    assert {id(one) for one in model.trainable_variables} == set(adapters)
    make_step(library, model, values, seen(values[token_input(model)]))(2.0**10)
    for path, value in values_of(one for one in model.variables if id(one) not in adapters).items():
        np.testing.assert_array_equal(value, frozen[path], path)
    unchanged = [
        path for path, value in values_of(adapters.values()).items() if np.array_equal(value, old[path])
    ]
    assert not unchanged

    unmerged = predicted(case, library, model, values)
    lora.save(transformer, tmp_path)
    other, other_model = build_case(library, case)
    load_case(other, case, case_weights(case))
    lora.load(other, tmp_path)
    for name, output in predicted(case, library, other_model, values).items():
        np.testing.assert_allclose(output, unmerged[name], rtol=1e-6, atol=1e-7)
    lora.merge(transformer)
    assert ratio(case, unmerged, predicted(case, library, model, values)) <= 2
    lora.remove(transformer)
    assert ratio(case, unmerged, predicted(case, library, model, values)) <= 2


def ratio(case, expected, found):
    """Largest error ratio of outputs to expected ones, in the unit of the case's golden.

    Both round, so the error of one of them is their difference ÷ √2.
    """
    golden, metadata = read_golden(case, golden_folder(case))
    tokens = f"{case.lengths[-1]}/input/{metadata['token_input']}"
    unit = {name: sample_output(one, golden[tokens]).astype("float64") for name, one in expected.items()}
    unit.update((name, golden[name]) for name in (tokens, *(f"{name}@noise" for name in expected)))
    return max(error_ratio(unit, metadata, found, name.split("/", 1)[1]) for name in expected) / 2**0.5


@pytest.mark.parametrize(
    "name",
    [pytest.param(one, marks=[] if one == "bert-embeddings" else pytest.mark.slow) for one in QUICK],
)
def test_adapters_of_peft_train_as_in_peft(name):
    results = record("lora", open_library("bert4keras3"), FLAVOUR, name)
    assert verdict(KINDS_BY_NAME["lora"], name, results).red is None


@pytest.mark.parametrize(
    "layers, expected",
    [
        ("attention", {"q_dense", "k_dense", "v_dense", "o_dense"}),
        (["value"], {"v_dense"}),
        (["Transformer-0-FeedForward/o_dense", "k_dense"], {"k_dense", "o_dense"}),
        (["Pooler-*", "Embedding-Token"], {"Pooler-Dense", "Embedding-Token"}),
        ("all-linear", {"q_dense", "k_dense", "v_dense", "o_dense", "i0_dense", "Pooler-Dense", "NSP-Proba"}),
    ],
)
def test_layers_are_chosen_by_names_of_ours_and_of_peft(layers, expected):
    transformer = build("bert", return_keras_model=False, with_mlm=False)
    paths = lora.enable(transformer, layers=layers)
    assert {path.split("/")[-1] for path in paths} == expected


def test_adapters_of_gpt2_share_a_as_in_peft():
    transformer = adapted("gpt2", "attention")
    layer = transformer.layers["Transformer-0-MultiHeadSelfAttention"]
    assert layer.q_dense.lora_kernel_a is layer.k_dense.lora_kernel_a is layer.v_dense.lora_kernel_a
    assert layer.o_dense.lora_kernel_a is not layer.q_dense.lora_kernel_a
    assert len(transformer.model.trainable_variables) == 1 + 3 + 2


def test_only_adapters_and_named_layers_train_and_have_state():
    transformer = build("bert", return_keras_model=False, with_mlm=False, with_nsp=False, with_pool=True)
    lora.enable(transformer, rank=2, trainable=["Pooler-*"])
    head = keras.layers.Dense(2, name="Head")(transformer.model.output)
    model = Model(transformer.model.inputs, head)
    names = {one.path.split("/")[-1] for one in model.trainable_variables}
    assert names == {"lora_kernel_a", "lora_kernel_b", "kernel", "bias"}
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.train_on_batch(inputs_of(model, TOKENS), np.zeros((4, 2)))
    slots = [one for one in model.optimizer.variables if len(one.shape)]
    assert len(slots) == 2 * len(model.trainable_variables)


def test_trainable_layers_are_in_the_file(tmp_path):
    transformer = build("bert", return_keras_model=False, with_mlm=False, with_nsp=False, with_pool=True)
    lora.enable(transformer, rank=2, trainable=["Pooler-Dense"])
    fill(transformer)
    lora.save(transformer, tmp_path)
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    names = set(open_checkpoint(str(tmp_path / "adapter_model.safetensors")))
    assert config["modules_to_save"] == ["pooler.dense"] and "base_model.model.pooler.dense.weight" in names
    other = build("bert", return_keras_model=False, with_mlm=False, with_nsp=False, with_pool=True)
    other.model.set_weights([one for one in values_of(transformer_base(transformer)).values()])
    lora.load(other, tmp_path)
    for found, expected in zip(outputs_of(other.model, TOKENS), outputs_of(transformer.model, TOKENS)):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-7)


def transformer_base(transformer):
    adapters = adapters_of(transformer)
    return [one for one in transformer.model.weights if id(one) not in adapters]


def test_unmerging_gives_the_outputs_and_the_file_of_before(tmp_path):
    transformer = adapted("bert")
    expected = outputs_of(transformer.model, TOKENS)
    lora.save(transformer, tmp_path / "before")
    lora.merge(transformer)
    assert not transformer.model.trainable_variables
    lora.save(transformer, tmp_path / "merged")
    lora.unmerge(transformer)
    for found, one in zip(outputs_of(transformer.model, TOKENS), expected):
        np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)
    lora.save(transformer, tmp_path / "after")
    files = [
        (tmp_path / name / "adapter_model.safetensors").read_bytes() for name in ("before", "merged", "after")
    ]
    assert files[0] == files[1] == files[2]


def test_remove_gives_the_model_of_before():
    transformer = build("bert", return_keras_model=False)
    expected, count = outputs_of(transformer.model, TOKENS), len(transformer.model.weights)
    lora.enable(transformer, layers=["*"])
    fill(transformer)
    lora.remove(transformer)
    assert len(transformer.model.weights) == count
    for found, one in zip(outputs_of(transformer.model, TOKENS), expected):
        np.testing.assert_array_equal(found, one)
    assert lora.enable(transformer)


@pytest.mark.parametrize("name", ["bert", "albert", "gpt2", "t5"])
def test_checkpoints_hold_merged_weights(name, tmp_path):
    transformer = adapted(name, ["*"])
    expected = outputs_of(transformer.model, TOKENS)
    transformer.save_weights_as_checkpoint(str(tmp_path / "model"))
    other = build(name, return_keras_model=False)
    other.load_weights_from_checkpoint(str(tmp_path / "model"))
    for found, one in zip(outputs_of(other.model, TOKENS), expected):
        np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)


def test_a_file_of_keras_holds_merged_weights(tmp_path):
    transformer = adapted("bert", ["*"])
    expected = outputs_of(transformer.model, TOKENS)
    transformer.model.save_weights(str(tmp_path / "model.weights.h5"))
    other = build("bert")
    other.load_weights(str(tmp_path / "model.weights.h5"))
    for found, one in zip(outputs_of(other, TOKENS), expected):
        np.testing.assert_allclose(found, one, rtol=1e-5, atol=1e-6)


# Every path sees the adapters


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_low_rank_form_equals_the_form_of_keras(dtype):
    layer = keras.layers.Dense(6, activation="gelu", dtype=dtype)
    layer.build((None, 8))
    layer.enable_lora(2, lora_alpha=3, b_initializer="normal")
    tolerance = 1e-5 if dtype == "float32" else 0.03
    for shape in ((2, 5, 8), (1, 1, 8)):
        x = ops.cast(np.random.RandomState(0).normal(size=shape), layer.compute_dtype)
        outputs = [ops.cast(one(layer, x), "float32") for one in (dense, plain.dense)]
        np.testing.assert_allclose(*map(ops.convert_to_numpy, outputs), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("mode", ["embedding", "dense"])
def test_embedding_with_an_adapter_equals_its_merged_table(mode):
    layer = build("bert", return_keras_model=False).layers["Embedding-Token"]
    layer.enable_lora(2, lora_alpha=3, b_initializer="normal")
    x = TOKENS if mode == "embedding" else np.random.RandomState(0).normal(size=(2, 5, 8))
    x = ops.convert_to_tensor(x, "float32")
    table = ops.convert_to_numpy(layer.embeddings)
    expected = table[TOKENS] if mode == "embedding" else ops.convert_to_numpy(x) @ table.T
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x, mode=mode)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["bert-unilm", "gau_alpha"])
def test_packed_rows_see_the_adapters(name):
    from bert4keras3.packing import predict_packed

    transformer = adapted(name, ["*"])
    values = inputs_of(transformer.model, TOKENS)
    expected = listed(transformer.model.predict_on_batch(values))[0]
    found = predict_packed(transformer, *([list(row) for row in one.astype(int)] for one in values))
    np.testing.assert_allclose(np.stack(listed(found)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(framework not in ("jax", "tensorflow", "torch"), reason="compiles no generation")
@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_cached_generation_sees_the_adapters(name):
    from bert4keras3.generation import CachedModel

    transformer = adapted(name, ["*"], scale=0.3)
    last = transformer._decoder if name == "t5" else transformer
    cached = CachedModel(last)
    values = inputs_of(last.model, TOKENS)
    for length in (8, 9):
        fed = [*values[:-1], values[-1][:, :length]]
        expected = last.model.predict_on_batch(fed if len(fed) > 1 else fed[0])[:, -1]
        np.testing.assert_allclose(cached.predict(fed), expected, rtol=1e-4, atol=1e-6)


def test_adapters_train_beside_int8():
    transformer = build("bert", return_keras_model=False, with_mlm=False)
    transformer.model.quantize("int8")
    before = outputs_of(transformer.model, TOKENS)
    lora.enable(transformer, rank=2)
    for found, one in zip(outputs_of(transformer.model, TOKENS), before):
        np.testing.assert_allclose(found, one, rtol=0.05, atol=0.05)
    transformer.model.compile(keras.optimizers.SGD(1.0), "mse")
    targets = [np.zeros(one.shape) for one in before]
    old = values_of(adapters_of(transformer).values())
    transformer.model.train_on_batch(
        inputs_of(transformer.model, TOKENS), targets if len(targets) > 1 else targets[0]
    )
    new = values_of(adapters_of(transformer).values())
    assert any(not np.array_equal(old[path], new[path]) for path in old)
    with pytest.raises(NotImplementedError, match="int8"):
        lora.merge(transformer)


# Errors


def test_unknown_names_are_refused():
    transformer = build("bert", return_keras_model=False)
    with pytest.raises(ValueError, match="no layer is named 'q_dens'"):
        lora.enable(transformer, layers=["q_dens"])
    with pytest.raises(ValueError, match="trainable names 'Poler'"):
        lora.enable(transformer, trainable=["Poler"])
    with pytest.raises(ValueError, match="expected 'attention', 'all-linear' or a list"):
        lora.enable(transformer, layers="query")
    assert len(transformer.model.trainable_variables) > 10  # nothing was frozen


def test_calls_in_the_wrong_order_are_refused(tmp_path):
    transformer = build("bert", return_keras_model=False)
    for function in (lora.merge, lora.unmerge, lora.remove, lambda one: lora.save(one, tmp_path)):
        with pytest.raises(ValueError, match="has no adapters"):
            function(transformer)
    lora.enable(transformer)
    with pytest.raises(ValueError, match="has an adapter"):
        lora.enable(transformer)
    with pytest.raises(ValueError, match="not merged"):
        lora.unmerge(transformer)
    lora.save(transformer, tmp_path)
    lora.merge(transformer)
    with pytest.raises(ValueError, match="merged already"):
        lora.merge(transformer)
    with pytest.raises(ValueError, match="are merged"):
        lora.load(transformer, tmp_path)


@pytest.mark.parametrize(
    "key, value, words",
    [("peft_type", "IA3", "peft_type"), ("use_dora", True, "use_dora"), ("bias", "all", "bias")],
)
def test_an_adapter_that_keras_cannot_express_is_refused(tmp_path, key, value, words):
    transformer = adapted("bert", "attention")
    lora.save(transformer, tmp_path)
    path = tmp_path / "adapter_config.json"
    path.write_text(json.dumps(dict(json.loads(path.read_text()), **{key: value})))
    with pytest.raises(ValueError, match=words):
        lora.load(build("bert", return_keras_model=False), tmp_path)


def test_an_adapter_of_another_model_changes_nothing(tmp_path):
    lora.save(adapted("bert", "attention"), tmp_path)
    wide = build_transformer_model(
        return_keras_model=False, **dict(SIZES, hidden_size=12, num_hidden_layers=1)
    )
    count = len(wide.model.trainable_variables)
    with pytest.raises(CheckpointError, match="query.lora_A.weight.*expected"):
        lora.load(wide, tmp_path)
    with pytest.raises(CheckpointError, match="no layer for"):
        lora.load(build("gpt2", return_keras_model=False), tmp_path)
    assert len(wide.model.trainable_variables) == count


def test_an_adapter_of_other_layers_is_refused(tmp_path):
    lora.save(adapted("bert", "attention"), tmp_path)
    other = adapted("bert", ["q_dense"])
    with pytest.raises(ValueError, match="adapters differ from the model's at"):
        lora.load(other, tmp_path)
