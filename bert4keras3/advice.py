"""What a missing variable says about a checkpoint: which model it belongs to, and what to try."""

from typing import Iterable, NamedTuple, Optional


class Advice(NamedTuple):
    """For a missing variable whose name has `missing`, in a checkpoint where some name has `present` (if given)."""

    missing: str
    present: Optional[str]
    text: str


# The first that fits counts.
ADVICE = (
    Advice(
        "bert/",
        "word_embeddings_2",
        "This is an ALBERT of brightmart/albert_zh in its own format. Take one of its google versions "
        "(albert_tiny_zh_google, albert_small_zh_google) or one converted by bojone/albert_zh",
    ),
    Advice("bert/", "GAU_alpha/", "This is GAU-alpha: try model='gau_alpha'"),
    Advice("bert/", "electra/", "This is an ELECTRA: try model='electra'"),
    Advice("bert/encoder/layer_", "group_0/inner_group_0", "This is an ALBERT: try model='albert'"),
    Advice("group_0/inner_group_0", "bert/encoder/layer_0", "This is no ALBERT: try model='bert'"),
    Advice(
        "bert/embeddings/position_embeddings",
        None,
        "It has no positions, as NEZHA and RoFormer have none: try model='nezha', 'roformer' or 'roformer_v2'",
    ),
    Advice(
        "token_type_embeddings",
        None,
        "It has no segments: try segment_vocab_size=0, or shared_segment_embeddings=True for CDial-GPT",
    ),
    Advice("/pooler/", None, "It has no pooler: leave with_pool and with_nsp out"),
    Advice("cls/seq_relationship", None, "It has no next-sentence head: leave with_nsp out"),
    Advice(
        "cls/predictions",
        None,
        "It has no language-model head: leave with_mlm and application out, or start a fresh head with "
        "ignore_invalid_weights=True",
    ),
    Advice("layer_norm", "rms_norm", "This is an mT5 or a T5-PEGASUS: try model='mt5.1.1'"),
    Advice("rms_norm", "layer_norm", "This is no mT5: try model='t5.1.1' or 't5.1.0'"),
    Advice("decoder/", "wi/kernel", "This is a T5 of version 1.0: try model='t5.1.0'"),
    Advice("wi/kernel", "wi_0/kernel", "This is a T5 of version 1.1: try model='t5.1.1' or 'mt5.1.1'"),
)


def advise(missing: str, names: Iterable[str]) -> str:
    """Advice for a variable that is not among the names; empty where there is none."""
    everything = "\n".join(names)
    for advice in ADVICE:
        if advice.missing in missing and (advice.present is None or advice.present in everything):
            return advice.text
    return ""
