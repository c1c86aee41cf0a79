"""Find released files in a user's folder: which system each checkpoint is, and how it is built.

    python -m parity.user_files.identify --weights DIR

The variables of a file decide, then the configuration, then the name of its folder where releases do not differ
otherwise. `results/weights/cases.json` lists the checkpoints as cases, in the form of `models/cases.py`.
"""

from __future__ import annotations

import argparse
import re
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from parity.models.cases import Case, add_case_arguments, write_user_cases
from parity.models.releases import Release
from parity.store import USER_FILES, read_json, write_json

BERT = ("bert/embeddings/word_embeddings",)
ELECTRA = "electra/embeddings/word_embeddings"
HEADS = {
    "with_pool": "bert/pooler/dense/kernel",
    "with_mlm": "cls/predictions/transform/dense/kernel",
    "with_discriminator": "discriminator_predictions/dense_1/kernel",
}


class Rule(NamedTuple):
    """A file is of this system where all of these hold.

    arguments: of build_transformer_model. has, lacks: variables. folder: pattern of the folder's and the prefix's
    name. vocabulary: rows of the token embeddings. config: a key of the configuration that is true.
    heads: arguments that are set where the file has their weights.
    """

    system: str
    arguments: dict[str, Any]
    has: tuple[str, ...] = BERT
    lacks: tuple[str, ...] = ()
    folder: str = ""
    vocabulary: int | None = None
    config: str = ""
    heads: tuple[str, ...] = ("with_pool", "with_mlm")


def decoder(system, variable, *, heads=(), **conditions):
    """A rule for a model that has no heads to choose."""
    return Rule(system, has=(variable,), heads=heads, **conditions)


electra = partial(decoder, variable=ELECTRA, arguments=dict(model="electra"), heads=("with_discriminator",))


def bert_without(system, arguments, *variables, **conditions):
    return Rule(system, arguments, lacks=variables, **conditions)


GROUP = "bert/encoder/transformer/group_0/inner_group_0/attention_1/self/query/kernel"
MAPPING = "bert/encoder/embedding_hidden_mapping_in/kernel"
POSITIONS = "bert/embeddings/position_embeddings"
SEGMENTS = "bert/embeddings/token_type_embeddings"
NORM = "bert/embeddings/LayerNorm/gamma"
T5_INNER = "encoder/block_000/layer_001/DenseReluDense/%s/kernel"
TOKEN_TABLES = ("embeddings/word_embeddings", "shared/embedding", "embeddings/word_embed")
MT5_NORM = "encoder/rms_norm/scale"
ALBERT = dict(model="albert")
CDIAL_GPT = dict(model="gpt", shared_segment_embeddings=True)
NEZHA = dict(model="nezha")
ROFORMER = dict(model="roformer")
LANGUAGE_MODEL = dict(segment_vocab_size=0, application="lm")
SENTENCES = dict(with_pool="linear", application="unilm")

# The first that fits counts.
RULES = (
    decoder("gpt2_ml", "newslm/embeddings/word_embed", arguments=dict(model="gpt2_ml")),
    decoder("gau_alpha", "GAU_alpha/encoder/layer_0/gau/i_dense/kernel", arguments=dict(model="gau_alpha")),
    decoder("zhuiyi", MT5_NORM, arguments=dict(model="mt5.1.1"), vocabulary=50000),
    decoder("zhuiyi", MT5_NORM, arguments=dict(model="mt5.1.1"), folder="pegasus"),
    decoder("mt5", MT5_NORM, arguments=dict(model="mt5.1.1")),
    decoder("t5_1_1", T5_INNER % "wi_0", arguments=dict(model="t5.1.1")),
    decoder("t5", T5_INNER % "wi", arguments=dict(model="t5.1.0")),
    decoder("cpm_lm", "gpt/output/LayerNorm/gamma", arguments=dict(model="gpt2")),
    decoder("cdial_gpt", "gpt/embeddings/word_embeddings", arguments=CDIAL_GPT),
    electra("clue_electra", folder="tiny"),
    electra("hit_electra", folder="chinese"),
    electra("hit_electra", vocabulary=21128),
    electra("google_electra"),
    Rule("brightmart_albert", ALBERT, ("bert/embeddings/word_embeddings_2",)),
    Rule("converted_albert", ALBERT, (GROUP,), (MAPPING,)),
    Rule("brightmart_albert", ALBERT, (GROUP,), folder="albert_(tiny|small)"),
    Rule("google_albert", ALBERT, (GROUP,)),
    bert_without("zhuiyi", dict(model="roformer_v2"), POSITIONS, NORM, heads=()),
    bert_without("nezha", NEZHA, POSITIONS, config="use_relative_position"),
    bert_without("nezha", NEZHA, POSITIONS, folder="nezha"),
    bert_without("zhuiyi", dict(ROFORMER, **SENTENCES), POSITIONS, folder="sim", heads=()),
    bert_without("zhuiyi", dict(ROFORMER, application="lm"), POSITIONS, folder="gpt", heads=()),
    bert_without("zhuiyi", ROFORMER, POSITIONS, heads=("with_mlm",)),
    bert_without("chinese_gen", LANGUAGE_MODEL, SEGMENTS, folder=r"gpt\.ckpt", heads=()),
    bert_without("nezha_gen", LANGUAGE_MODEL, SEGMENTS, heads=()),
    Rule("labse", dict(with_pool="linear"), vocabulary=501153),
    Rule("labse", dict(with_pool="linear"), folder="labse"),
    Rule("zhuiyi", SENTENCES, folder="simbert", heads=()),
    Rule("zhuiyi", {}, folder="wobert|chinese_roberta_L-"),
    Rule("hit_bert_wwm", {}, folder="chinese.*wwm|^rbt"),
    Rule("brightmart_roberta", dict(model="roberta"), folder="roberta.*zh|roeberta"),
    Rule("google_bert", {}),
)


def find(directory):
    """([Case], [reason]): every TensorFlow checkpoint under a folder, and those that are of no known system."""
    cases, unknown = [], []
    directory = Path(directory).resolve()
    for index in sorted(directory.rglob("*.index")):
        try:
            cases.append(user_case(index.with_suffix(""), directory))
        except (CheckpointError, ValueError) as error:
            unknown.append(f"{index}: {error}")
    return cases, unknown


def user_case(prefix, directory):
    name = "-".join(prefix.parent.relative_to(directory).parts or (directory.name,))
    others = len(list(prefix.parent.glob("*.index"))) > 1
    checkpoint = open_checkpoint(str(prefix))
    shapes = {name: checkpoint.shape(name) for name in checkpoint}
    config_path = find_config(prefix.parent)
    config = read_json(config_path) if config_path else None
    rule = identify(prefix, shapes, config or {})
    if rule is None:
        raise ValueError(f"its {len(shapes)} variables are those of no system that bert4keras loads")
    if config is None:
        config, config_path = derive_config(shapes), USER_FILES / "configs" / (name + ".json")
        write_json(config_path, config)
    release = Release(name, rule.system, "", config, str(config_path), prefix.name, folder=str(prefix.parent))
    return Case(
        name=name + ("-" + prefix.name if others else ""),
        release=name,
        arguments=arguments_of(rule, shapes, config),
        lengths=(8, min(32, config.get("max_position_embeddings", 32))),
        user_checkpoint=release,
    )


def find_config(folder):
    """The JSON file that holds a model's configuration; of ELECTRA's two the discriminator's."""
    for path in sorted(folder.glob("*.json"), key=lambda path: ("generator" in path.name, path.name)):
        content = read_json(path)
        if isinstance(content, dict) and "hidden_size" in content:
            return path
    return None


def identify(prefix, shapes, config):
    """The first rule that fits a checkpoint, or None."""
    where = f"{prefix.parent.name}/{prefix.name}"
    vocabulary = next((shape[0] for name, shape in shapes.items() if name.endswith(TOKEN_TABLES)), None)
    for rule in RULES:
        if (
            all(name in shapes for name in rule.has)
            and not any(name in shapes for name in rule.lacks)
            and re.search(rule.folder, where, re.IGNORECASE)
            and rule.vocabulary in (None, vocabulary)
            and (not rule.config or config.get(rule.config))
        ):
            return rule
    return None


def arguments_of(rule, shapes, config):
    """Arguments of the rule, the heads that the file has, and a key size that its configuration does not say."""
    arguments = dict(rule.arguments)
    for head in rule.heads:
        if HEADS[head] in shapes:
            arguments.setdefault(head, True)
    query = shapes.get("bert/encoder/layer_0/attention/self/query/kernel")
    if query and query[1] != config["hidden_size"] and "attention_key_size" not in config:
        arguments["attention_key_size"] = query[1] // config["num_attention_heads"]
    return arguments


# Releases without a configuration file: Google's ELECTRA and T5, GPT2_ML, NEZHA-GEN


def derive_config(shapes):
    """A configuration from the shapes of the variables.

    Heads are 64 wide, except in the tiny releases: 312 is no multiple of 64, and they have 12 heads.
    """

    def shape(pattern):
        return next((shapes[name] for name in sorted(shapes) if re.search(pattern, name)), None)

    table = shape(r"embeddings/word_embed(dings)?$|shared/embedding$")
    query = shape(r"^(?!generator).*(query(_layer)?/kernel|SelfAttention/q)$")
    inner = shape(r"^(?!generator).*(intermediate(/dense)?/kernel|DenseReluDense/wi(_0)?/kernel)$")
    if not (table and query and inner):
        raise ValueError("its configuration (a .json with hidden_size) is not beside it: copy it there")
    numbers = [int(match) for name in shapes for match in re.findall(r"(?:layer_?|block_)(\d+)/", name)]
    config = dict(vocab_size=table[0], hidden_act="gelu", num_hidden_layers=max(numbers, default=0) + 1)
    heads = 12 if query[1] == 312 else max(1, query[1] // 64)
    config.update(hidden_size=query[0], num_attention_heads=heads, intermediate_size=inner[1])
    bias = shape("relative_attention_bias$")
    if bias:
        blocks = [int(match) for name in shapes for match in re.findall(r"encoder/block_(\d+)/", name)]
        config.update(num_hidden_layers=max(blocks) + 1, num_attention_heads=bias[0])
        config["attention_head_size"] = query[1] // bias[0]
        config["hidden_act"] = ["gelu", "linear"] if shape("wi_0/kernel$") else "relu"
    if table[1] != query[0]:
        config["embedding_size"] = table[1]
    for key, pattern in (
        ("max_position_embeddings", r"embeddings/pos(ition)?_embed(dings)?$"),
        ("type_vocab_size", "token_type_embeddings$"),
    ):
        if shape(pattern):
            config[key] = shape(pattern)[0]
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_case_arguments(parser)
    options = parser.parse_args()
    cases, unknown = find(options.weights)
    write_user_cases(cases)
    print("\n".join(unknown))
    if not cases:
        raise SystemExit(f"{options.weights}: found no checkpoint of a system in it or below")
    for case in cases:
        arguments = ", ".join("{}={!r}".format(*item) for item in sorted(case.arguments.items()))
        print(f"{case.name}: {case.system}, build_transformer_model({arguments})", flush=True)


if __name__ == "__main__":
    main()
