"""Advice on a checkpoint that does not fit a model, from the names and shapes of its variables."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple, Sequence


class Family(NamedTuple):
    """Models whose variables have the same names.

    `present` is a part of the name of some variable; no variable has `absent` in its name.
    """

    present: str
    text: str
    absent: str | None = None


# The first match counts.
FAMILIES = (
    Family(
        "word_embeddings_2",
        "This is an ALBERT of brightmart/albert_zh in its own format. Take one of its google versions "
        "(albert_tiny_zh_google, albert_small_zh_google) or one converted by bojone/albert_zh",
    ),
    Family("distilbert/", "This is a DistilBERT: try model='distilbert'"),
    Family("roberta/", "This is a RoBERTa of Facebook: try model='fb_roberta'"),
    Family(
        "generator/", "This is the generator of an ELECTRA: try model='electra_generator'", "electra/encoder"
    ),
    Family("GAU_alpha/", "This is GAU-alpha: try model='gau_alpha'"),
    Family("electra/", "This is an ELECTRA: try model='electra'"),
    Family("newslm/", "This is a GPT2-ML: try model='gpt2_ml'"),
    Family("gpt/output/LayerNorm", "This is a GPT-2 in the format of CPM-LM: try model='gpt2'"),
    Family("gpt/embeddings/", "This is a GPT, such as CDial-GPT: try model='gpt'"),
    Family("group_0/inner_group_0", "This is an ALBERT: try model='albert'"),
    Family("block_001/layer_000/SelfAttention/relative_attention_bias", "This is a umT5: try model='umt5'"),
    Family("/rms_norm/", "This is an mT5 or a T5-PEGASUS: try model='mt5.1.1'"),
    Family(
        "DenseReluDense/wi_0/",
        "This is a T5 of version 1.1: try model='t5.1.1' with hidden_act=['gelu', 'linear']",
    ),
    Family("DenseReluDense/wi/", "This is a T5 of version 1.0: try model='t5.1.0'"),
    Family("bert/encoder/layer_0/", "This is a RoFormerV2: try model='roformer_v2'", "output/LayerNorm"),
    Family(
        "bert/encoder/layer_0/",
        "It has no positions, as NEZHA and RoFormer have none: try model='nezha' or 'roformer'",
        "bert/embeddings/position_embeddings",
    ),
    Family("bert/encoder/layer_0/", "This is a BERT: try model='bert'"),
    Family(
        "encoder.layer.0.",
        "It has the names of another model of Hugging Face. Give build_transformer_model its folder, with config.json",
    ),
)


class Advice(NamedTuple):
    """Advice if a variable whose name contains `missing` is missing in a checkpoint of the model's own family."""

    missing: str
    text: str


# The first match counts.
ADVICE = (
    Advice(
        "token_type_embeddings",
        "It has no segments: try segment_vocab_size=0, or shared_segment_embeddings=True for CDial-GPT",
    ),
    Advice(
        "embedding_hidden_mapping_in", "Its embeddings have hidden_size columns: leave embedding_size out"
    ),
    Advice("embeddings_project", "Its embeddings have hidden_size columns: leave embedding_size out"),
    Advice("/pooler/", "It has no pooler: leave with_pool and with_nsp out"),
    Advice("cls/seq_relationship", "It has no next-sentence head: leave with_nsp out"),
    Advice(
        "cls/predictions",
        "It has no language-model head: leave with_mlm and application out, or start a fresh head with "
        "ignore_invalid_weights=True",
    ),
    Advice("discriminator_predictions", "It has no discriminator head: leave with_discriminator out"),
)
BLOCK = re.compile(r"^(.*?(?:layer_?|block_))(\d+)(/.*)$")


class Size(NamedTuple):
    """The argument that sets the size of one axis of the variables whose names match the regular expression `names`."""

    names: str
    axis: int
    argument: str


# The first match counts.
SIZES = (
    Size("word_embed|shared/embedding", 0, "vocab_size"),
    Size("word_embed|shared/embedding", 1, "hidden_size"),
    Size("pos(ition)?_embed", 0, "max_position"),
    Size("token_type_embeddings", 0, "segment_vocab_size"),
    Size("relative_attention_bias", 1, "num_attention_heads"),
    Size("query(_layer)?/kernel", 1, "num_attention_heads * attention_key_size"),
    Size("value(_layer)?/kernel|Attention/[qkv]$", 1, "num_attention_heads * attention_head_size"),
    Size("intermediate/(dense/)?kernel|DenseReluDense/wi", 1, "intermediate_size"),
)


def family_of(names: Iterable[str]) -> Family | None:
    """The family of variables with these names; None if the names are unknown."""
    everything = "\n".join(names)
    for family in FAMILIES:
        if family.present in everything and (family.absent is None or family.absent not in everything):
            return family
    return None


def advise_family(names: Iterable[str], asked: Iterable[str]) -> str:
    """Advice if the checkpoint is of another model than the one that loads it; otherwise "".

    Args:
        names: names of the variables of the checkpoint.
        asked: names of the variables of the model.
    """
    found, expected = family_of(names), family_of(asked)
    return found.text if found and expected and found is not expected else ""


def advise(missing: str, names: Iterable[str], asked: Iterable[str]) -> str:
    """Advice if a checkpoint lacks the variable `missing`; "" if there is no advice. See `advise_family`."""
    names = list(names)
    advice = advise_family(names, asked)
    if advice:
        return advice
    block = BLOCK.match(missing)
    if block:
        same = re.compile(re.escape(block.group(1)) + r"(\d+)" + re.escape(block.group(3)) + "$")
        numbers = [int(match.group(1)) for match in map(same.match, names) if match]
        if numbers and int(block.group(2)) > max(numbers):
            count = max(numbers) + 1
            return f"It has {count} blocks: try num_hidden_layers={count}"
    return next((advice.text for advice in ADVICE if advice.missing in missing), "")


def advise_shape(
    variable: str, found: Sequence[int], expected: Sequence[int], names: Iterable[str], asked: Iterable[str]
) -> str:
    """Advice if a variable has the shape `found` and the weight has the shape `expected`; "" if there is no advice."""
    names = list(names)
    advice = advise_family(names, asked)
    if advice:
        return advice
    for size in SIZES:
        axis = size.axis
        fits = re.search(size.names, variable) and len(found) == len(expected) > axis
        if fits and found[axis] != expected[axis]:
            argument = size.argument
            if argument == "hidden_size" and any(
                "mapping_in" in n or "embeddings_project" in n for n in names
            ):
                argument = "embedding_size"
            return f"Try {argument} = {found[axis]}, as in the checkpoint"
    return ""
