"""Every case of the parity run, as data: which released checkpoint, which arguments, which inputs."""

from typing import Any, Dict, NamedTuple, Tuple

BERT_CONFIG = {
    "attention_probs_dropout_prob": 0.1,
    "directionality": "bidi",
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 32,
    "initializer_range": 0.02,
    "intermediate_size": 64,
    "max_position_embeddings": 12,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "pooler_fc_size": 768,
    "pooler_num_attention_heads": 12,
    "pooler_num_fc_layers": 3,
    "pooler_size_per_head": 128,
    "pooler_type": "first_token_transform",
    "type_vocab_size": 2,
    "vocab_size": 120,
}


class Release(NamedTuple):
    """One tiny checkpoint in the format of a released one: its configuration and set of variables.

    without: parts of variable names that this release lacks. slots: suffixes of the optimizer's variables in it.
    """

    name: str
    system: str
    config: Dict[str, Any]
    prefix: str = "bert_model.ckpt"
    without: Tuple[str, ...] = ()
    slots: Tuple[str, ...] = ()


RELEASES = (
    Release("google_bert", "google_bert", BERT_CONFIG),
    Release(
        "google_bert_with_optimizer",
        "google_bert",
        dict(BERT_CONFIG, num_hidden_layers=1),
        slots=("adam_m", "adam_v"),
    ),
    Release(
        "google_bert_without_heads", "google_bert", dict(BERT_CONFIG, num_hidden_layers=1), without=("cls/",)
    ),
    Release(
        "google_bert_factorized", "google_bert", dict(BERT_CONFIG, embedding_size=16, num_hidden_layers=1)
    ),
    Release(
        "google_bert_key_size", "google_bert", dict(BERT_CONFIG, attention_key_size=12, num_hidden_layers=1)
    ),
)


class Case(NamedTuple):
    """One thing to compute.

    release: name of the checkpoint. arguments: of build_transformer_model. build: function of `builders.py`.
    fill: {layer: first weight to fill}, layers whose further weights no release has; both sides fill them with
    the same numbers. lengths: of the inputs, a shorter one first. oracle: who makes the golden.
    """

    name: str
    release: str
    arguments: Dict[str, Any] = {}
    build: str = "plain"
    fill: Dict[str, int] = {}
    lengths: Tuple[int, ...] = (5, 11)
    gelu: str = "erf"
    oracle: str = "reference"

    @property
    def system(self) -> str:
        return SYSTEM_OF[self.release]


NORMS = ("MultiHeadSelfAttention-Norm", "FeedForward-Norm")
CONDITIONAL = {"Transformer-%d-%s" % (i, norm): 2 for i in (0, 1) for norm in NORMS}
CONDITIONAL.update({"Embedding-Norm": 2, "MLM-Norm": 2})
MLM_HEAD = {"MLM-Dense": 0, "MLM-Norm": 0, "MLM-Bias": 0}

CASES = (
    Case("bert", "google_bert"),
    Case("bert-pool", "google_bert", dict(with_pool=True)),
    Case("bert-pool-linear", "google_bert", dict(with_pool="linear")),
    Case("bert-nsp", "google_bert", dict(with_nsp=True)),
    Case("bert-mlm", "google_bert", dict(with_mlm=True)),
    Case("bert-mlm-logits", "google_bert", dict(with_mlm="linear")),
    Case("bert-nsp-mlm", "google_bert", dict(with_nsp=True, with_mlm=True)),
    Case("bert-lm", "google_bert", dict(application="lm")),
    Case("bert-unilm", "google_bert", dict(application="unilm")),
    Case("bert-unilm-pool", "google_bert", dict(application="unilm", with_pool="linear")),
    Case("bert-gelu-tanh", "google_bert", gelu="tanh"),
    Case("bert-relu", "google_bert", dict(hidden_act="relu", with_mlm=True)),
    Case("bert-keep-tokens", "google_bert", dict(with_mlm=True, keep_tokens=list(range(0, 120, 3)))),
    Case(
        "bert-compound-tokens",
        "google_bert",
        dict(
            with_mlm=True,
            keep_tokens=list(range(0, 120, 2)),
            compound_tokens=[[3], [5, 7, 11], ([2, 4, 9], [1, 2, 0.5])],
        ),
    ),
    Case("bert-hierarchical-position", "google_bert", dict(hierarchical_position=True), lengths=(5, 23)),
    Case("bert-hierarchical-alpha", "google_bert", dict(hierarchical_position=0.3), lengths=(5, 23)),
    Case("bert-custom-position-ids", "google_bert", dict(custom_position_ids=True)),
    Case(
        "bert-custom-hierarchical",
        "google_bert",
        dict(custom_position_ids=True, hierarchical_position=True),
        lengths=(5, 23),
    ),
    Case("bert-shared-segment-embeddings", "google_bert", dict(shared_segment_embeddings=True)),
    Case("bert-no-segments", "google_bert", dict(segment_vocab_size=0, with_mlm=True)),
    Case("bert-residual-scores", "google_bert", dict(residual_attention_scores=True)),
    Case("bert-sequence-length", "google_bert", dict(sequence_length=11), lengths=(11,)),
    Case("bert-prefix", "google_bert", dict(prefix="Left-", with_mlm=True)),
    Case("bert-condition", "google_bert", dict(with_mlm=True), build="condition", fill=CONDITIONAL),
    Case("bert-condition-hidden", "google_bert", build="condition_hidden", fill=CONDITIONAL),
    Case("bert-attention-caches", "google_bert", build="attention_caches"),
    Case("bert-shared-layers", "google_bert", build="shared_layers"),
    Case("bert-optimizer-slots", "google_bert_with_optimizer", dict(with_nsp=True, with_mlm=True)),
    Case(
        "bert-missing-head",
        "google_bert_without_heads",
        dict(with_mlm=True, ignore_invalid_weights=True),
        fill=MLM_HEAD,
    ),
    Case("bert-factorized", "google_bert_factorized", dict(with_mlm=True)),
    Case("bert-key-size", "google_bert_key_size", dict(with_pool=True)),
    Case(
        "bert-autoresize",
        "google_bert",
        dict(hidden_size=64, intermediate_size=96, num_attention_heads=8, autoresize_weights=True),
    ),
    Case("minilm", "minilm", dict(with_pool=True), lengths=(14, 47)),
    Case("minilm-hidden", "minilm", lengths=(14, 47)),
    Case("minilm-embedding", "minilm", build="sentence_embedding", lengths=(14, 47), oracle="transformers"),
)

SYSTEM_OF = {release.name: release.system for release in RELEASES}
SYSTEM_OF["minilm"] = "minilm"
CASES_BY_NAME = {case.name: case for case in CASES}


def add_case_arguments(parser):
    """The options that narrow a run to some cases."""
    systems = sorted({case.system for case in CASES})
    parser.add_argument(
        "--case", action="append", choices=sorted(CASES_BY_NAME), help="only this case; repeatable"
    )
    parser.add_argument("--system", action="append", choices=systems, help="only its cases; repeatable")


def chosen_cases(options):
    return [
        case
        for case in CASES
        if (not options.case or case.name in options.case)
        and (not options.system or case.system in options.system)
    ]
