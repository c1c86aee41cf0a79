"""Folders that transformers wrote: our models compute the same from them, and write them again."""

import json
import logging
import pickle
import zipfile

import numpy as np
import pytest

from bert4keras3.backend import get_values
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.checkpoints.dtypes import without_bfloat16
from bert4keras3.convert import main
from bert4keras3.models import BERT, build_transformer_model
from bert4keras3.tokenizers import Tokenizer
from parity.compare import BOUND
from parity.huggingface.compare import joint_ratio, names, read
from parity.huggingface.record import outputs_of

pytestmark = pytest.mark.usefixtures("fresh_session")
NAMES = names()
BERT_SIZES = dict(
    vocab_size=20,
    hidden_size=8,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=12,
    hidden_act="gelu",
    max_position=10,
)


@pytest.fixture
def unpack(tmp_path):
    """Write a folder by its name, and return its path and what is known of it."""

    def write(name):
        known = read(name)
        (tmp_path / name).mkdir()
        for file, content in known.files.items():
            (tmp_path / name / file).write_bytes(content)
        return tmp_path / name, known

    return write


@pytest.fixture
def log(caplog):
    caplog.set_level(logging.WARNING, logger="bert4keras3")
    return lambda: [record.getMessage() for record in caplog.records if record.name == "bert4keras3"]


def ratio(model, known, answer):
    """Error ratio of all outputs of a model."""
    return joint_ratio(outputs_of(model, known.inputs), *answer[1:], known.seen)


def change(path, **keys):
    """Change keys of a configuration; ... removes a key."""
    config = dict(json.loads((path / "config.json").read_text()), **keys)
    (path / "config.json").write_text(json.dumps({k: v for k, v in config.items() if v is not ...}))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "nezha"])
def test_a_folder_is_written_with_the_same_bytes(name, unpack, tmp_path):
    path, known = unpack(name)
    arguments = max((answer[0] for answer in known.answers), key=len)
    transformer = build_transformer_model(str(path), return_keras_model=False, **arguments)
    transformer.save_pretrained(str(tmp_path / "ours"))
    theirs, ours = open_checkpoint(str(path)), open_checkpoint(str(tmp_path / "ours"))
    base = next((one[: -len(two)] for one in ours for two in theirs if one.endswith("." + two)), "")
    lacking = {one for one in ours if one not in theirs and one[len(base) :] not in theirs}
    # mt5 and umt5 are tied in these files
    assert lacking <= {"lm_head.weight"}
    for one in set(ours) - lacking:
        np.testing.assert_array_equal(ours[one], theirs[one] if one in theirs else theirs[one[len(base) :]])
    again = build_transformer_model(str(tmp_path / "ours"), return_keras_model=False, **arguments)
    for one, two in zip(get_values(again.model.weights), get_values(transformer.model.weights)):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("file, dtype", [("zip.bin", "float16"), ("legacy.bin", "float32")])
def test_pickles_of_pytorch_are_read(file, dtype, unpack):
    path, _ = unpack("bert-model")
    expected, found = open_checkpoint(str(path / "model.safetensors")), open_checkpoint(str(path / file))
    assert set(found) == set(expected)
    for name in expected:
        assert found[name].dtype == dtype and not found[name].flags.writeable
        np.testing.assert_array_equal(found[name], expected[name].astype(dtype))
        assert found.shape(name) == expected.shape(name)


def test_shards_are_written_and_read(unpack, tmp_path):
    path, known = unpack("bert-model")
    transformer = build_transformer_model(str(path), return_keras_model=False, with_pool=True)
    transformer.save_pretrained(str(tmp_path / "shards"), max_shard_size=1000)
    files = sorted(file.name for file in (tmp_path / "shards").glob("model*"))
    assert files[-1] == "model.safetensors.index.json" and len(files) > 3
    assert (
        ratio(build_transformer_model(str(tmp_path / "shards"), with_pool=True), known, known.answers[1])
        <= BOUND
    )
    transformer.save_pretrained(str(tmp_path / "shards"))  # one file takes the place of many
    assert [file.name for file in (tmp_path / "shards").glob("model*")] == ["model.safetensors"]


def test_a_failure_while_writing_leaves_the_old_folder(unpack, tmp_path):
    path, _ = unpack("bert-model")
    transformer = build_transformer_model(str(path), return_keras_model=False)
    before = {file.name: file.read_bytes() for file in path.iterdir()}

    def create_variable(name, value, dtype=None):
        if value.strides != (0,) * value.ndim and "layer_1" in name:
            raise RuntimeError("disk full")
        return value

    transformer.create_variable = create_variable
    with pytest.raises(RuntimeError):
        transformer.save_pretrained(str(path))
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


def test_half_precision_and_a_tokenizer_are_written(tmp_path):
    transformer = build_transformer_model(return_keras_model=False, **BERT_SIZES)
    tokenizer = Tokenizer(
        {token: i for i, token in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"])}, True
    )
    transformer.save_pretrained(str(tmp_path), tokenizer=tokenizer, dtype="bfloat16")
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "bfloat16"
    assert (tmp_path / "vocab.txt").read_text().split() == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a"]
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["do_lower_case"] is True
    again = build_transformer_model(str(tmp_path))
    for one, two in zip(get_values(again.weights), get_values(transformer.model.weights)):
        np.testing.assert_allclose(one, without_bfloat16(np.asarray(two)), rtol=2**-8)


@pytest.mark.parametrize(
    "arguments, reason",
    [
        (dict(model="roformer_v2"), "no RoFormerV2"),
        (dict(model="gpt2_ml"), "no GPT2_ML"),
        (dict(model="nezha"), "no NEZHA"),
        (dict(embedding_size=4), "0 of the 2 weights of layer 'Embedding-Mapping'"),
        (dict(hidden_act=["gelu", "linear"]), "no gated layer"),
        (dict(residual_attention_scores=True), "no residual_attention_scores"),
        (dict(attention_head_size=8), "no attention_head_size"),
        (dict(hidden_act="leaky_relu"), "no activation 'leaky_relu'"),
    ],
)
def test_what_transformers_lacks_is_refused(arguments, reason, tmp_path):
    transformer = build_transformer_model(return_keras_model=False, **dict(BERT_SIZES, **arguments))
    with pytest.raises(ValueError, match=reason):
        transformer.save_pretrained(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_arguments_of_ours_go_on_working(unpack):
    path, known = unpack("bert-pretraining")
    kept = build_transformer_model(str(path), keep_tokens=[0, 5, 2], prefix="My-", return_keras_model=False)
    table = open_checkpoint(str(path))["bert.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(get_values(kept.layers["My-Embedding-Token"].weights)[0], table[[0, 5, 2]])
    model = build_transformer_model(str(path), application="unilm", with_mlm="linear")
    assert outputs_of(model, known.inputs)[0].shape == (8, 7, 20)


def test_files_of_a_folder_may_be_given_one_by_one(unpack):
    path, known = unpack("bert-model")
    for weights in ("model.safetensors", ""):
        model = build_transformer_model(str(path / "config.json"), str(path / weights))
        assert ratio(model, known, known.answers[0]) <= BOUND
    arrays = {name: value for name, value in open_checkpoint(str(path)).items()}
    model = build_transformer_model(str(path / "config.json"), arrays)
    assert ratio(model, known, known.answers[0]) <= BOUND


def test_a_configuration_alone_gives_random_weights(unpack):
    path, known = unpack("gpt2")
    model = build_transformer_model(str(path / "config.json"))
    assert outputs_of(model, known.inputs)[0].shape == (8, 7, 20)


def test_a_tensorflow_checkpoint_beside_the_configuration_loads_as_before(unpack, tmp_path):
    path, known = unpack("bert-model")
    transformer = build_transformer_model(str(path), return_keras_model=False)
    transformer.save_weights_as_checkpoint(str(tmp_path / "bert_model.ckpt"))
    config = str(path / "config.json")
    model = build_transformer_model(config, str(tmp_path / "bert_model.ckpt"), model="roberta")
    assert ratio(model, known, known.answers[0]) <= BOUND
    (tmp_path / "bert_config.json").write_bytes(known.files["config.json"])
    assert ratio(build_transformer_model(str(tmp_path)), known, known.answers[0]) <= BOUND


def test_names_of_before_2020_and_buffers_are_understood(unpack):
    path, known = unpack("bert-model")
    arrays = {}
    for name, value in open_checkpoint(str(path)).items():
        if "LayerNorm" in name:
            name = name.replace("weight", "gamma").replace("bias", "beta")
        arrays["bert." + name] = value
    arrays.update({"bert.embeddings.position_ids": np.arange(10), "classifier.weight": np.ones((2, 8))})
    transformer = build_transformer_model(str(path / "config.json"), return_keras_model=False)
    report = transformer.load_weights_from_checkpoint(arrays)
    assert report.unused == ["bert/pooler/dense/bias", "bert/pooler/dense/kernel", "classifier.weight"]
    assert ratio(transformer.model, known, known.answers[0]) <= BOUND


def test_a_missing_head_is_named_as_hugging_face_does(unpack):
    path, _ = unpack("bert-model")
    with pytest.raises(CheckpointError, match="transform.dense.weight .*It has no language-model head"):
        build_transformer_model(str(path), with_mlm=True)


class MyBERT(BERT):
    """A model of a user."""


@pytest.mark.parametrize("model", ["bert", "roberta", MyBERT])
def test_a_model_that_fits_the_folder_is_taken(model, unpack):
    path, _ = unpack("bert-model")
    transformer = build_transformer_model(str(path), model=model, return_keras_model=False)
    assert type(transformer) is (model if model is MyBERT else BERT)


@pytest.mark.parametrize(
    "name, model",
    [("bert-model", "albert"), ("roberta", "roberta"), ("roberta", MyBERT), ("t5.1.1", "t5.1.0")],
)
def test_a_model_that_contradicts_the_folder_is_an_error(name, model, unpack):
    path, _ = unpack(name)
    with pytest.raises(ValueError, match=r"model='.*' contradicts .*model_type '.*' is model='.*'"):
        build_transformer_model(str(path), model=model)


@pytest.mark.parametrize(
    "name, keys, reason",
    [
        ("bert-model", dict(model_type="deberta"), "expected one of bert, "),
        ("bert-model", dict(model_type=["bert"]), "expected one of bert, "),
        ("bert-model", dict(position_embedding_type="relative_key"), "no learned vectors of distances"),
        ("bert-model", dict(is_decoder=True), "Pass application='lm'"),
        ("bert-model", dict(add_cross_attention=True), "cross-attention"),
        ("bert-model", dict(tie_word_embeddings=False), "the table of the tokens"),
        ("bert-model", dict(quantization_config={"bits": 4}), "quantized"),
        ("bert-model", dict(hidden_size="8"), "hidden_size is '8', expected a value of type int"),
        ("bert-model", dict(hidden_size=True), "expected a value of type int"),
        ("bert-model", dict(hidden_size=9), "no multiple of 2 heads"),
        ("bert-model", dict(num_hidden_layers=-1), "is no size"),
        ("bert-model", dict(layer_norm_eps=[1e-5]), "expected a value of type float"),
        ("bert-model", dict(hidden_act="mystery"), "hidden_act is 'mystery', expected one of"),
        ("bert-model", dict(hidden_act={"a": 1}), "expected a value of type str"),
        ("ernie", dict(use_task_id=True), "embeddings of tasks"),
        ("albert", dict(num_hidden_groups=2), "one group"),
        ("albert", dict(inner_group_num=2), "one layer"),
        ("roformer", dict(rotary_value=True), "queries and keys alone"),
        ("nezha", dict(max_relative_position=32), "clips distances at 64"),
        ("gpt2", dict(scale_attn_by_inverse_layer_idx=True), "all our blocks scale alike"),
        ("gpt2", dict(reorder_and_upcast_attn=True), "one order of operations"),
        ("gpt2", dict(n_inner=1.5), "expected a value of type int"),
        ("t5", dict(num_decoder_layers=3), "equal depths"),
        ("t5", dict(feed_forward_proj="gated-mystery"), "expected one of"),
        ("t5", dict(tie_word_embeddings=False, scale_decoder_outputs=...), "without gates"),
        ("t5", dict(feed_forward_proj=1), "expected a value of type str"),
    ],
)
def test_what_our_model_cannot_express_is_refused(name, keys, reason, unpack):
    path, _ = unpack(name)
    change(path, **keys)
    with pytest.raises(ValueError, match=reason):
        build_transformer_model(str(path))


@pytest.mark.parametrize("folder, application", [("bert-lm", "unilm"), ("albert", "lm"), ("roformer", "lm")])
def test_a_mask_that_transformers_lacks_is_logged(folder, application, unpack, log, tmp_path):
    arguments = dict(application=application, return_keras_model=False)
    build_transformer_model(str(unpack(folder)[0]), **arguments).save_pretrained(str(tmp_path / "ours"))
    found = [line for line in log() if "Give each call a mask" in line]
    assert len(found) == (folder != "roformer")  # transformers has RoFormerForCausalLM


def test_an_unknown_key_is_logged(unpack, log):
    path, _ = unpack("bert-model")
    build_transformer_model(str(path))
    assert log() == []
    change(path, my_new_norm="rms")
    build_transformer_model(str(path))
    assert len(log()) == 1 and "has no my_new_norm" in log()[0]


def sharded(path, weight_map):
    (path / "model.safetensors").rename(path / "one.safetensors")
    (path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


@pytest.mark.parametrize(
    "weight_map, reason",
    [
        ({"pooler.dense.bias": "two.safetensors"}, "do not exist, such as '.*two.safetensors'"),
        ({"pooler.dense.mystery": "one.safetensors"}, "which has no such variable"),
        ({"pooler.dense.bias": "../one.safetensors"}, "names no files of the same folder"),
        ({"pooler.dense.bias": "model.safetensors.index.json"}, "names no files of the same folder"),
        ({"pooler.dense.bias": 3}, "expected a weight_map"),
        ([], "expected a weight_map"),
    ],
)
def test_an_index_that_lies_is_refused(weight_map, reason, unpack):
    path, _ = unpack("bert-model")
    sharded(path, weight_map)
    with pytest.raises(CheckpointError, match=reason):
        build_transformer_model(str(path))


@pytest.mark.parametrize("lacking", ["config.json", "model.safetensors"])
def test_a_folder_without_a_file_says_which(lacking, unpack):
    path, _ = unpack("gpt2")
    (path / lacking).unlink()
    with pytest.raises(CheckpointError, match=f"lacks .*{lacking}"):
        build_transformer_model(str(path))


class Evil:
    """What a pickle that wants to run something pickles."""

    def __init__(self, function, *arguments):
        self.reduced = function, arguments

    def __reduce__(self):
        return self.reduced


def storage(kind=b"FloatStorage", count=2):
    return (
        b"(X\x07\0\0\0storagectorch\n"
        + kind
        + b"\nX\x01\0\0\0"
        + b"0X\x03\0\0\0cpuK"
        + bytes([count])
        + b"tQ"
    )


def tensor(shape, strides, offset=0, **options):
    """A pickled dict with one tensor."""
    numbers = [
        b"(" + b"".join(b"J" + int(n).to_bytes(4, "little") for n in items) + b"t"
        for items in (shape, strides)
    ]
    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage(**options) + b"K" + bytes([offset])
    return b"\x80\x02}X\x01\0\0\0a" + call + b"".join(numbers) + b"\x89}tRs."


def archive(path, pickled, data=b"\0" * 8, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(str(path), "w", compression) as file:
        file.writestr("archive/data.pkl", pickled)
        file.writestr("archive/data/0", data)
    return str(path)


def test_a_pickle_by_hand_is_read(tmp_path):
    data = np.array([1, 2], "<f4").tobytes()
    checkpoint = open_checkpoint(archive(tmp_path / "a.bin", tensor([2], [1]), data))
    np.testing.assert_array_equal(checkpoint["a"], [1, 2])


@pytest.mark.parametrize(
    "pickled, reason",
    [
        (pickle.dumps(Evil(print, "executed"), 2), "print.*Nothing was executed"),
        (pickle.dumps({"a": Evil(eval, "1 + 1")}, 2), "eval.*Nothing was executed"),
        (pickle.dumps(Evil(np.ones, 3), 4), "numpy.*Nothing was executed"),
        (pickle.dumps({"a": 1}, 2), "no tensors with names"),
        (pickle.dumps([1], 2), "no dict of tensors"),
        (tensor([3], [1]), "in a storage of 2 items"),
        (tensor([1 << 30], [0]), "in a storage of 2 items"),
        (tensor([2], [5]), "in a storage of 2 items"),
        (tensor([2], [1], offset=1), "in a storage of 2 items"),
        (tensor([2, 1], [1]), "with strides"),
        (tensor([9], [1], count=9), "missing or too short"),
        (tensor([2], [1], kind=b"MysteryStorage"), "MysteryStorage.*Nothing was executed"),
        (b"\x80\x02r\xff\xff\xff\x7f.", "is damaged"),
        (b"\x80\x02X\xff\xff\xff\x7fa.", "ends early"),
        (b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", "ends early"),
        (b"(" * 100000 + b".", "is damaged"),
        (b"", "is damaged"),
    ],
)
def test_a_pickle_that_is_no_dict_of_tensors_is_refused(pickled, reason, tmp_path, capsys):
    with pytest.raises(CheckpointError, match=reason):
        open_checkpoint(archive(tmp_path / "a.bin", pickled))
    (tmp_path / "b.bin").write_bytes(pickled)
    with pytest.raises(CheckpointError):
        open_checkpoint(str(tmp_path / "b.bin"))
    assert capsys.readouterr().out == ""


def test_a_compressed_archive_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="is compressed"):
        open_checkpoint(archive(tmp_path / "a.bin", tensor([2], [1]), compression=zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize("file", ["zip.bin", "legacy.bin"])
def test_damaged_pickles_raise_one_kind_of_error(file, tmp_path):
    content, random = read("bert-model").files[file], np.random.RandomState(0)
    for i in range(150):
        damaged = bytearray(content[: random.randint(len(content))] if i % 3 == 0 else content)
        for place in random.randint(0, min(len(damaged), 6000), 3 if damaged else 0):
            damaged[place] = random.randint(256)
        (tmp_path / "a.bin").write_bytes(bytes(damaged))
        try:
            checkpoint = open_checkpoint(str(tmp_path / "a.bin"))
            assert all(checkpoint[name].shape == checkpoint.shape(name) for name in checkpoint)
        except CheckpointError:
            pass


def test_a_text_beyond_the_positions_of_roberta_is_an_error():
    with pytest.raises(ValueError, match="at most 8 tokens, got 9. The table has 10 rows"):
        build_transformer_model(model="fb_roberta", segment_vocab_size=1, sequence_length=9, **BERT_SIZES)


@pytest.mark.parametrize("target", ["a.ckpt", "a.npz", "a.h5", "folder"])
def test_convert_gives_the_same_numbers(target, unpack, tmp_path, capsys):
    path, _ = unpack("bert-pretraining")
    (path / "vocab.txt").write_text("[PAD]")
    assert main([str(path), str(tmp_path / target)]) == 0
    said = capsys.readouterr().out
    assert "cls/predictions/output_bias  cls.predictions.bias" in said
    assert "with_mlm=True" in said and "differ by 0 roundings" in said
    assert (tmp_path / "folder" / "vocab.txt").exists() == (target == "folder")


def test_convert_says_what_it_cannot_read(tmp_path, capsys):
    assert main([str(tmp_path / "nothing.ckpt"), str(tmp_path / "a.npz")]) == 2
    assert "nothing.ckpt" in capsys.readouterr().err


def test_the_hub_is_one_sentence_without_its_package_or_the_network(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match=r"pip install bert4keras3\[hub\]"):
        build_transformer_model("hf://google-bert/bert-base-chinese@main")


def test_the_hub_gives_a_folder(monkeypatch, unpack):
    import sys
    import types

    path, known = unpack("bert-model")
    asked = []

    def snapshot_download(name, revision=None, allow_patterns=None):
        asked.append((name, revision))
        if name == "nobody/nothing":
            raise OSError("offline")
        return str(path)

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert ratio(build_transformer_model("hf://me/mine@v1"), known, known.answers[0]) <= BOUND
    assert asked == [("me/mine", "v1")]
    with pytest.raises(
        CheckpointError, match="nobody/nothing is neither in the cache nor .* OSError: offline"
    ):
        build_transformer_model("hf://nobody/nothing")
