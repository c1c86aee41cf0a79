"""Every release as data: a checkpoint in the format of a released one, its names, configuration and variables.

Names of files, variables and configuration keys are as released; sizes are small, but for those at the end.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class System(NamedTuple):
    """One released family of checkpoints.

    title: as its authors spell it. page: of its release, on github.com. build: what loads it, for docs/checkpoints.md.
    full_size: name of the row of FULL_SIZE with the sizes of its release, base if there is one.
    """

    title: str
    page: str = ""
    build: str = ""
    full_size: str = ""


SYSTEMS = {
    "google_bert": System("Google BERT", "google-research/bert", "`bert`", full_size="bert_base"),
    "brightmart_roberta": System(
        "brightmart RoBERTa", "brightmart/roberta_zh", "`roberta`", full_size="bert_base"
    ),
    "hit_bert_wwm": System("HIT BERT-wwm", "ymcui/Chinese-BERT-wwm", "`bert`", full_size="bert_base"),
    "google_albert": System("Google ALBERT", "google-research/ALBERT", "`albert`", full_size="albert_base"),
    "brightmart_albert": System(
        "brightmart ALBERT", "brightmart/albert_zh", "`albert`", full_size="albert_small"
    ),
    "converted_albert": System(
        "converted ALBERT", "bojone/albert_zh", "`albert`", full_size="albert_base_converted"
    ),
    "nezha": System(
        "NEZHA",
        "huawei-noah/Pretrained-Language-Model/tree/master/NEZHA-TensorFlow",
        "`nezha`",
        full_size="nezha_base",
    ),
    "nezha_gen": System(
        "NEZHA-GEN",
        "huawei-noah/Pretrained-Language-Model/tree/master/NEZHA-Gen-TensorFlow",
        '`bert`, `application="lm"`, `segment_vocab_size=0`',
        full_size="nezha_gen_base",
    ),
    "zhuiyi": System(
        "Zhuiyi",
        "ZhuiyiTechnology/pretrained-models",
        "`bert`, `roformer`, `roformer_v2`, `mt5.1.1`: see [here](#zhuiyi)",
        full_size="roformer_base",
    ),
    "t5": System("T5", "google-research/text-to-text-transfer-transformer", "`t5.1.0`", full_size="t5_base"),
    "cdial_gpt": System("CDial-GPT", "bojone/CDial-GPT-tf", "`gpt`", full_size="cdial_gpt_base"),
    "gpt2_ml": System("GPT2-ML", "imcaspar/gpt2-ml", "`gpt2_ml`", full_size="gpt2_ml_base"),
    "google_electra": System(
        "Google ELECTRA", "google-research/electra", "`electra`", full_size="electra_base"
    ),
    "hit_electra": System("HIT ELECTRA", "ymcui/Chinese-ELECTRA", "`electra`", full_size="electra_base_zh"),
    "clue_electra": System("CLUE ELECTRA", "CLUEbenchmark/ELECTRA", "`electra`", full_size="electra_tiny_zh"),
    "labse": System("LaBSE", "bojone/labse", '`bert`, `with_pool="linear"`', full_size="labse_base"),
    "chinese_gen": System(
        "chinese-gen",
        "bojone/chinese-gen",
        '`bert`, `application="lm"`, `segment_vocab_size=0`',
        full_size="nezha_gen_base",
    ),
    "t5_1_1": System(
        "T5.1.1",
        "google-research/text-to-text-transfer-transformer/blob/master/released_checkpoints.md#t511",
        "`t5.1.1`",
        full_size="t5_1_1_base",
    ),
    "mt5": System("mT5", "google-research/multilingual-t5", "`mt5.1.1`", full_size="mt5_small"),
    "gau_alpha": System("GAU-α", "ZhuiyiTechnology/GAU-alpha", "`gau_alpha`", full_size="gau_alpha_base"),
    "cpm_lm": System("CPM-LM", "bojone/CPM_LM_bert4keras", "`gpt2`", full_size="cpm_lm_base"),
    "minilm": System("MiniLM"),
}
SYSTEM_TITLES = {name: system.title for name, system in SYSTEMS.items()}


class Release(NamedTuple):
    """One tiny checkpoint.

    family: function of `variables.py`. without: parts of the names of variables that this release lacks.
    optimizer: whose slots are in the file. shards: number of data files.
    full_size: of real size; its weights are random numbers that both sides make anew, see random_weights.py.
    folder: where its files lie, if not among the goldens.
    """

    name: str
    system: str
    family: str
    config: dict[str, Any]
    config_name: str = "bert_config.json"
    prefix: str = "bert_model.ckpt"
    without: tuple[str, ...] = ()
    optimizer: str = ""
    shards: int = 1
    full_size: bool = False
    folder: str = ""


SIZES: dict[str, Any] = dict(
    hidden_size=32, intermediate_size=64, num_attention_heads=4, num_hidden_layers=2, vocab_size=120
)
SIZES.update(
    attention_probs_dropout_prob=0.1, hidden_act="gelu", hidden_dropout_prob=0.1, initializer_range=0.02
)
POOLER: dict[str, Any] = dict(
    pooler_fc_size=768, pooler_num_attention_heads=12, pooler_num_fc_layers=3, pooler_size_per_head=128
)
POOLER.update(pooler_type="first_token_transform", type_vocab_size=2)
BERT = dict(SIZES, directionality="bidi", max_position_embeddings=12, **POOLER)
SMALL = dict(BERT, num_hidden_layers=1)
GROUPS: dict[str, Any] = dict(down_scale_factor=1, gap_size=0, inner_group_num=1, num_hidden_groups=1)
GROUPS.update(net_structure_type=0, num_memory_blocks=0, num_hidden_layers=3, type_vocab_size=2)
NO_DROPOUT = dict(attention_probs_dropout_prob=0.0, hidden_dropout_prob=0.0)
ALBERT = dict(SIZES, embedding_size=16, max_position_embeddings=12, **NO_DROPOUT, **GROUPS)
SUMMARY = dict(
    summary_activation="gelu", summary_last_dropout=0.1, summary_type="first", summary_use_proj=True
)
ELECTRA: dict[str, Any] = dict(
    SIZES, layer_norm_eps=1e-12, max_position_embeddings=12, model_type="electra", pad_token_id=0
)
ELECTRA.update(SUMMARY, num_hidden_layers=1, type_vocab_size=2)
LM = dict(SIZES, max_position_embeddings=12)
T5: dict[str, Any] = dict(
    hidden_size=32, intermediate_size=48, num_attention_heads=3, num_hidden_layers=2, vocab_size=120
)
T5.update(attention_head_size=8, hidden_act="relu", hidden_dropout_prob=0.1, initializer_range=0.02)
T5_1_1 = dict(T5, hidden_act=["gelu", "linear"])
GAU = dict(SIZES, attention_key_size=8, hidden_act="swish", num_attention_heads=1, type_vocab_size=2)
GPT = dict(LM, shared_segment_embeddings=True, type_vocab_size=3)
ELECTRA_SMALL = dict(ELECTRA, embedding_size=16)
UNFACTORIZED = {key: value for key, value in ALBERT.items() if key != "embedding_size"}
NO_POSITIONS = ("position_embeddings",)
NO_SEGMENTS = ("token_type", "pooler", "seq_relationship")
ALBERT_FILES, ALBERT_MODEL = ("albert_config.json", "model.ckpt-best"), "albert_model.ckpt"
T5_MODEL = "model.ckpt-1000000"
KERNELS_ONLY = ("beta", "gamma", "bias", "position_embeddings", "pooler", "cls/")

RELEASES = (
    Release("google_bert", "google_bert", "bert", BERT),
    Release("google_bert_with_optimizer", "google_bert", "bert", SMALL, optimizer="adam"),
    Release("google_bert_factorized", "google_bert", "bert", dict(SMALL, embedding_size=16)),
    Release("brightmart_roberta", "brightmart_roberta", "bert", SMALL, without=("cls/",)),
    Release(
        "brightmart_roberta_lm_layer",
        "brightmart_roberta",
        "bert",
        SMALL,
        "bert_config_large.json",
        "roberta_zh_large_model.ckpt",
    ),
    Release("hit_bert_wwm", "hit_bert_wwm", "bert", SMALL),
    Release("google_albert", "google_albert", "albert", ALBERT, *ALBERT_FILES, optimizer="adam"),
    Release("google_albert_zh", "google_albert", "albert", dict(ALBERT, hidden_act="relu"), *ALBERT_FILES),
    Release(
        "brightmart_albert", "brightmart_albert", "albert", ALBERT, "albert_config_tiny_g.json", ALBERT_MODEL
    ),
    Release(
        "converted_albert", "converted_albert", "albert", UNFACTORIZED, "albert_config.json", ALBERT_MODEL
    ),
    Release(
        "nezha",
        "nezha",
        "bert",
        dict(SMALL, use_relative_position=True),
        prefix="model.ckpt-900000",
        without=NO_POSITIONS,
        optimizer="lamb",
    ),
    Release("nezha_gen", "nezha_gen", "bert", SMALL, "config.json", "cn_gpt", without=NO_SEGMENTS),
    Release("zhuiyi_roberta_small", "zhuiyi", "bert", dict(SMALL, embedding_size=16), without=("pooler",)),
    Release("zhuiyi_roberta_plus", "zhuiyi", "bert", dict(SMALL, embedding_size=16, attention_key_size=12)),
    Release("zhuiyi_simbert", "zhuiyi", "bert", SMALL),
    Release("zhuiyi_wobert", "zhuiyi", "bert", SMALL, without=NO_SEGMENTS[1:]),
    Release(
        "zhuiyi_roformer",
        "zhuiyi",
        "bert",
        dict(SMALL, max_position_embeddings=1536),
        without=NO_POSITIONS + NO_SEGMENTS[1:],
    ),
    Release("zhuiyi_roformer_sim", "zhuiyi", "bert", SMALL, without=NO_POSITIONS + NO_SEGMENTS[2:]),
    Release("zhuiyi_roformer_v2", "zhuiyi", "bert", dict(BERT, hidden_act="relu"), without=KERNELS_ONLY),
    Release("zhuiyi_t5_pegasus", "zhuiyi", "mt5", T5_1_1, "config.json", "model.ckpt"),
    Release("t5", "t5", "t5", T5, "t5_config.json", T5_MODEL, optimizer="adafactor_of_t5", shards=2),
    Release(
        "cdial_gpt", "cdial_gpt", "gpt", GPT, "gpt_config.json", "gpt_model.ckpt", without=("token_type",)
    ),
    Release("gpt2_ml", "gpt2_ml", "gpt2_ml", LM, "config.json", "model.ckpt-100000", optimizer="adafactor"),
    Release(
        "google_electra",
        "google_electra",
        "electra",
        ELECTRA_SMALL,
        "electra_config.json",
        "electra_small",
        optimizer="adam",
    ),
    Release("hit_electra", "hit_electra", "electra", ELECTRA_SMALL, "discriminator.json", "electra_small"),
    Release("clue_electra", "clue_electra", "electra", ELECTRA, "config.json", "electra_tiny"),
    Release("labse", "labse", "bert", SMALL, without=("cls/",)),
    Release("chinese_gen", "chinese_gen", "bert", SMALL, "config.json", "gpt.ckpt", without=NO_SEGMENTS),
    Release("t5_1_1", "t5_1_1", "t5.1.1", T5_1_1, "t5_config.json", T5_MODEL),
    Release("mt5", "mt5", "mt5", T5_1_1, "mt5_config.json", T5_MODEL, shards=2),
    Release("gau_alpha", "gau_alpha", "gau_alpha", GAU),
    Release("cpm_lm", "cpm_lm", "cpm", LM, "config.json", "model.ckpt"),
)


def sized(config, layers, hidden, heads, inner, vocabulary, **more):
    """A configuration with the sizes of a release."""
    sizes = dict(num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads)
    return dict(config, intermediate_size=inner, vocab_size=vocabulary, **dict(sizes, **more))


FULL_BERT = dict(BERT, max_position_embeddings=512)
FULL_ALBERT = dict(ALBERT, max_position_embeddings=512, embedding_size=128)
FULL_ELECTRA = dict(ELECTRA, max_position_embeddings=512)
FULL_UNFACTORIZED = dict(UNFACTORIZED, max_position_embeddings=512)
FULL_LM = dict(LM, max_position_embeddings=1024)
FULL_GPT = dict(GPT, max_position_embeddings=513)

# GPT2-ML and CPM-LM were released with 1.5 and 2.6 billion parameters, which few machines hold: these have 12 layers.
FULL_SIZE = tuple(
    Release(name, system, family, config, without=without, full_size=True)
    for name, system, family, config, without in (
        ("bert_base", "google_bert", "bert", sized(FULL_BERT, 12, 768, 12, 3072, 21128), ()),
        ("bert_large", "google_bert", "bert", sized(FULL_BERT, 24, 1024, 16, 4096, 30522), ()),
        ("albert_base", "google_albert", "albert", sized(FULL_ALBERT, 12, 768, 12, 3072, 21128), ()),
        ("albert_xlarge", "google_albert", "albert", sized(FULL_ALBERT, 24, 2048, 16, 8192, 30000), ()),
        ("nezha_base", "nezha", "bert", sized(FULL_BERT, 12, 768, 12, 3072, 21128), NO_POSITIONS),
        ("roformer_base", "zhuiyi", "bert", sized(FULL_BERT, 12, 768, 12, 3072, 50000), NO_POSITIONS),
        ("electra_base", "google_electra", "electra", sized(FULL_ELECTRA, 12, 768, 12, 3072, 30522), ()),
        ("t5_base", "t5", "t5", sized(T5, 12, 768, 12, 3072, 32128, attention_head_size=64), ()),
        ("mt5_small", "mt5", "mt5", sized(T5_1_1, 8, 512, 6, 1024, 250112, attention_head_size=64), ()),
        ("gpt2_ml_base", "gpt2_ml", "gpt2_ml", sized(FULL_LM, 12, 768, 12, 3072, 50270), ()),
        ("albert_small", "brightmart_albert", "albert", sized(FULL_ALBERT, 6, 384, 12, 1536, 21128), ()),
        (
            "albert_base_converted",
            "converted_albert",
            "albert",
            sized(FULL_UNFACTORIZED, 12, 768, 12, 3072, 21128),
            (),
        ),
        ("nezha_gen_base", "nezha_gen", "bert", sized(FULL_BERT, 12, 768, 12, 3072, 21128), NO_SEGMENTS),
        ("cdial_gpt_base", "cdial_gpt", "gpt", sized(FULL_GPT, 12, 768, 12, 3072, 13088), ("token_type",)),
        ("electra_base_zh", "hit_electra", "electra", sized(FULL_ELECTRA, 12, 768, 12, 3072, 21128), ()),
        ("electra_tiny_zh", "clue_electra", "electra", sized(FULL_ELECTRA, 4, 312, 12, 1200, 21128), ()),
        ("labse_base", "labse", "bert", sized(FULL_BERT, 12, 768, 12, 3072, 501153), ("cls/",)),
        (
            "t5_1_1_base",
            "t5_1_1",
            "t5.1.1",
            sized(T5_1_1, 12, 768, 12, 2048, 32128, attention_head_size=64),
            (),
        ),
        ("cpm_lm_base", "cpm_lm", "cpm", sized(FULL_LM, 12, 768, 12, 3072, 30000), ()),
        (
            "gau_alpha_base",
            "gau_alpha",
            "gau_alpha",
            sized(GAU, 24, 768, 1, 1536, 12000, attention_key_size=128),
            (),
        ),
    )
)

BY_NAME = {release.name: release for release in RELEASES + FULL_SIZE}
# Real weights, made by minilm.py and not committed.
BY_NAME["minilm"] = Release("minilm", "minilm", "bert", {})
