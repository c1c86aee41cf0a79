"""What names and shapes say about a checkpoint that does not fit: which model it is of, and what to try."""

from __future__ import annotations

import re
from typing import Iterable, NamedTuple, Sequence


class Family(NamedTuple):
    """Models whose variables have the same names.

    present, absent: parts of names that some variable of the family has, and that none has.
    """

    present: str
    text: str
    absent: str | None = None


# The first that fits counts.
FAMILIES = (
    Family(
        "word_embeddings_2",
        "This is an ALBERT of brightmart/albert_zh in its own format. Take one of its google versions "
        "(albert_tiny_zh_google, albert_small_zh_google) or one converted by bojone/albert_zh",
    ),
    Family("GAU_alpha/", "This is GAU-alpha: try model='gau_alpha'"),
    Family("electra/", "This is an ELECTRA: try model='electra'"),
    Family("newslm/", "This is a GPT2-ML: try model='gpt2_ml'"),
    Family("gpt/output/LayerNorm", "This is a GPT-2 in the format of CPM-LM: try model='gpt2'"),
    Family("gpt/embeddings/", "This is a GPT, such as CDial-GPT: try model='gpt'"),
    Family("group_0/inner_group_0", "This is an ALBERT: try model='albert'"),
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
        "It has the names of Hugging Face. Take the TensorFlow checkpoint of the same release, or a dict of arrays "
        "with the names of that checkpoint",
    ),
)


class Advice(NamedTuple):
    """For a missing variable whose name has `missing`, in a checkpoint of the model's own family."""

    missing: str
    text: str


# The first that fits counts.
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
    """What decides an axis of the variables whose names match `names`."""

    names: str
    axis: int
    argument: str


# The first that fits counts.
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
    """The family of variables with these names; None for one that is not known."""
    everything = "\n".join(names)
    for family in FAMILIES:
        if family.present in everything and (family.absent is None or family.absent not in everything):
            return family
    return None


def advise_family(names: Iterable[str], asked: Iterable[str]) -> str:
    """Which model a checkpoint is of, if the model that asks is another one; otherwise "".

    Args:
        names: of the variables of the checkpoint.
        asked: names of the variables that the model asks for.
    """
    found, expected = family_of(names), family_of(asked)
    return found.text if found and expected and found is not expected else ""


def advise(missing: str, names: Iterable[str], asked: Iterable[str]) -> str:
    """What to try if a checkpoint lacks the variable `missing`; "" if there is no advice."""
    names = list(names)
    advice = advise_family(names, asked)
    if advice:
        return advice
    block = BLOCK.match(missing)
    if block:
        same = re.compile(re.escape(block.group(1)) + r"(\d+)" + re.escape(block.group(3)) + "$")
        numbers = [int(match.group(1)) for match in map(same.match, names) if match]
        if numbers and int(block.group(2)) > max(numbers):
            return "It has %d blocks: try num_hidden_layers=%d" % ((max(numbers) + 1,) * 2)
    return next((advice.text for advice in ADVICE if advice.missing in missing), "")


def advise_shape(
    variable: str, found: Sequence[int], expected: Sequence[int], names: Iterable[str], asked: Iterable[str]
) -> str:
    """What to try if a variable has the shape `found` and the weight the shape `expected`; "" if there is no advice."""
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
            return "Try %s = %d, as in the checkpoint" % (argument, found[axis])
    return ""
