"""Released files in a user's folder: stand-ins with the names of real files are told apart and checked."""

import shutil

import numpy as np
import pytest

from parity.adapter import open_library
from parity.models.cases import CASES_BY_NAME
from parity.models.releases import BY_NAME, FULL_SIZE
from parity.models.variables import release_variables
from parity.store import checkpoint_folder
from parity.user_files import identify, published

# release: folder as users have it, and what build_transformer_model is given
FOLDERS = {
    "google_bert": ("chinese_L-12_H-768_A-12", dict(with_pool=True, with_mlm=True)),
    "brightmart_roberta": ("RoBERTa_zh_L12", dict(model="roberta", with_pool=True)),
    "brightmart_roberta_lm_layer": (
        "roeberta_zh_L-24_H-1024_A-16_lm_layer",
        dict(model="roberta", with_pool=True, with_mlm=True),
    ),
    "hit_bert_wwm": ("chinese_roberta_wwm_ext_L-12_H-768_A-12", dict(with_pool=True, with_mlm=True)),
    "google_albert": ("albert_base_v2", dict(model="albert", with_pool=True, with_mlm=True)),
    "google_albert_zh": ("albert_base_zh", dict(model="albert", with_pool=True, with_mlm=True)),
    "brightmart_albert": ("albert_tiny_zh_google", dict(model="albert", with_pool=True, with_mlm=True)),
    "converted_albert": ("albert_tiny_google_zh_489k", dict(model="albert", with_pool=True, with_mlm=True)),
    "nezha": ("NEZHA-Base", dict(model="nezha", with_pool=True, with_mlm=True)),
    "nezha_gen": ("models_gpt", dict(segment_vocab_size=0, application="lm")),
    "chinese_gen": ("chinese_nezha_gpt_L-12_H-768_A-12", dict(segment_vocab_size=0, application="lm")),
    "zhuiyi_roberta_small": ("chinese_roberta_L-6_H-384_A-12", dict(with_mlm=True)),
    "zhuiyi_roberta_plus": ("chinese_roberta_L-4_H-312_A-12_K-104", dict(with_pool=True, with_mlm=True)),
    "zhuiyi_simbert": ("chinese_simbert_L-12_H-768_A-12", dict(with_pool="linear", application="unilm")),
    "zhuiyi_wobert": ("chinese_wobert_L-12_H-768_A-12", dict(with_mlm=True)),
    "zhuiyi_roformer": ("chinese_roformer_L-12_H-768_A-12", dict(model="roformer", with_mlm=True)),
    "zhuiyi_roformer_sim": (
        "chinese_roformer-sim-char_L-12_H-768_A-12",
        dict(model="roformer", with_pool="linear", application="unilm"),
    ),
    "zhuiyi_roformer_v2": ("chinese_roformer-v2-char_L-12_H-768_A-12", dict(model="roformer_v2")),
    "zhuiyi_t5_pegasus": ("chinese_t5_pegasus_base", dict(model="mt5.1.1")),
    "t5": ("t5.small", dict(model="t5.1.0")),
    "cdial_gpt": ("GPT_LCCC-base-tf", dict(model="gpt", shared_segment_embeddings=True)),
    "gpt2_ml": ("gpt2_ml_15g_corpus", dict(model="gpt2_ml")),
    "google_electra": ("electra_small", dict(model="electra", with_discriminator=True)),
    "hit_electra": (
        "chinese_electra_small_L-12_H-256_A-4",
        dict(model="electra", with_discriminator=True),
    ),
    "clue_electra": ("electra_tiny", dict(model="electra", with_discriminator=True)),
    "labse": ("labse", dict(with_pool="linear")),
    "t5_1_1": ("t5.1.1.small", dict(model="t5.1.1")),
    "mt5": ("mt5.1.1_small", dict(model="mt5.1.1")),
    "gau_alpha": ("chinese_GAU-alpha-char_L-24_H-768", dict(model="gau_alpha")),
    "cpm_lm": ("CPM_LM_2.6B_TF", dict(model="gpt2")),
}
VOCABULARY = "[PAD] [unused1] [UNK] [CLS] [SEP] [MASK] 语 言 模 型".split()
VOCABULARY += [f"[unused{i}]" for i in range(2, 122 - len(VOCABULARY))]


@pytest.mark.parametrize("release", sorted(FOLDERS))
def test_a_release_is_known_by_its_files(tmp_path, release):
    folder, arguments = FOLDERS[release]
    shutil.copytree(str(checkpoint_folder(BY_NAME[release])), str(tmp_path / folder))
    (case,), unknown = identify.find(tmp_path)
    assert not unknown
    assert (case.name, case.system) == (folder, BY_NAME[release].system)
    assert case.arguments == arguments


def test_every_folder_with_published_numbers_is_one_that_is_known():
    known = "|".join(folder for folder, _ in FOLDERS.values())
    rows = published.read_json(published.PUBLISHED)
    families = {row["folder"].split("_L-")[0] for row in rows} - {"chinese_t5_pegasus_small"}
    assert not [family for family in families if family not in known]


def test_a_checkpoint_of_no_system_is_named(tmp_path):
    from bert4keras3.checkpoints import save_checkpoint

    save_checkpoint(str(tmp_path / "resnet.ckpt"), [("conv1/kernel", np.zeros((3, 3)))])
    cases, (reason,) = identify.find(tmp_path)
    assert not cases and "resnet.ckpt.index" in reason and "no system" in reason


@pytest.mark.parametrize(
    "release",
    # the other two share their layers or have no heads; they are released with a configuration
    [release for release in FULL_SIZE if release.family not in ("albert", "gau_alpha")],
    ids=lambda release: release.name,
)
def test_a_configuration_comes_out_of_the_shapes(release):
    config = identify.derive_config(dict(release_variables(release)))
    for name in (
        "vocab_size",
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "intermediate_size",
    ):
        assert config[name] == release.config[name], name


def test_sizes_that_the_variables_do_not_tell_are_asked_for(tmp_path):
    shutil.copytree(str(checkpoint_folder(BY_NAME["gau_alpha"])), str(tmp_path / "gau"))
    (tmp_path / "gau" / "bert_config.json").unlink()
    cases, (reason,) = identify.find(tmp_path)
    assert not cases and "configuration" in reason


@pytest.fixture
def stand_in(tmp_path):
    """A found case with a vocabulary, and a row of numbers that were published about it."""
    folder = tmp_path / "chinese_L-12_H-768_A-12"
    shutil.copytree(str(checkpoint_folder(BY_NAME["google_bert"])), str(folder))
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    (case,), _ = identify.find(tmp_path)
    library = open_library("bert4keras3")
    output = published.predict(library, case, {}, [3, 6, 7, 8, 9, 4])
    channels = [0, 1, 2, -3, -2, -1]
    expected = np.array([[f"{number:.8g}" for number in row] for row in output[:, channels]], "float64")
    row = {"text": "语言模型", "arguments": {}, "kind": "hidden_states", "channels": channels}
    return library, case, dict(row, expected=expected.tolist())


def test_published_hidden_states_agree(stand_in):
    measured, red = published.check(*stand_in)
    assert red is None and measured.startswith("relative rms")


@pytest.mark.parametrize(
    "change, reason",
    [
        (dict(arguments={"hidden_act": "gelu_tanh"}), "relative rms"),
        (dict(text="语言"), "published are"),
        (dict(tokens=["[CLS]", "语", "[SEP]"]), "tokens are"),
    ],
)
def test_other_numbers_than_the_published_are_red(stand_in, change, reason):
    library, case, row = stand_in
    assert reason in published.check(library, case, dict(row, **change))[1]


def test_published_tokens_behind_masks_are_compared(stand_in):
    library, case, _ = stand_in
    ids = [3, 6, 5, 5, 9, 4]
    probabilities = published.predict(library, case, {"with_mlm": True}, ids)[2:4]
    best = [[VOCABULARY[one.argmax()]] for one in probabilities]
    row = {"text": "语[MASK][MASK]型", "arguments": {"with_mlm": True}, "kind": "masked", "expected": best}
    assert published.check(library, case, row) == ("tokens agree", None)
    assert "best tokens" in published.check(library, case, dict(row, expected=[["语"], ["语"]]))[1]


def test_every_published_row_has_a_source_and_a_way_to_run_or_a_reason():
    for row in published.read_json(published.PUBLISHED):
        assert row["source"] and row["producer"]
        assert row["kind"] in ("hidden_states", "masked") or row["not_run"]


def test_no_case_of_the_registry_has_a_user_checkpoint():
    assert not any(case.user_checkpoint for case in CASES_BY_NAME.values())
