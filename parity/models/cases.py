"""Every case of the parity run, as data: which released checkpoint, which arguments, which inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

from parity.kinds import KINDS_BY_NAME
from parity.models.releases import BY_NAME as RELEASES_BY_NAME
from parity.models.releases import Release
from parity.store import USER_FILES, read_json, write_json


class Case(NamedTuple):
    """One thing to compute.

    release: name of the checkpoint. arguments: of build_transformer_model. build: name of a builder in `build.py`.
    random_fill: {layer: first weight to fill}, for layers with weights that no release has. The reference and
    bert4keras3 fill them with the same random numbers. lengths: of the inputs, the shorter one first.
    oracle: the library that makes the golden. user_checkpoint: a released checkpoint in a user's folder, in place
    of `release`; see `user_files/identify.py`.
    """

    name: str
    release: str
    arguments: dict[str, Any] = {}
    build: str = "plain"
    random_fill: dict[str, int] = {}
    lengths: tuple[int, ...] = (5, 11)
    gelu: str = "erf"
    oracle: str = "reference"
    user_checkpoint: Release | None = None

    @property
    def checkpoint(self) -> Release:
        return self.user_checkpoint or RELEASES_BY_NAME[self.release]

    @property
    def system(self) -> str:
        return self.checkpoint.system

    @property
    def slow(self) -> bool:
        return self.checkpoint.full_size

    @property
    def trained(self) -> bool:
        """Whether there are gradients and some steps of training to compare with."""
        return self.oracle == "reference" and not (self.slow or self.user_checkpoint)


NORMS = ("MultiHeadSelfAttention-Norm", "FeedForward-Norm")
CONDITIONAL = {f"Transformer-{i}-{norm}": 2 for i in (0, 1) for norm in NORMS}
CONDITIONAL.update({"Embedding-Norm": 2, "MLM-Norm": 2})
MLM_HEAD = {"MLM-Dense": 0, "MLM-Norm": 0, "MLM-Bias": 0}
HEADLESS = dict(with_mlm=True, ignore_invalid_weights=True)
RESIZED = dict(hidden_size=64, intermediate_size=96, num_attention_heads=8)
COMPOUND: dict[str, Any] = dict(keep_tokens=list(range(0, 120, 2)))
COMPOUND["compound_tokens"] = [[3], [5, 7, 11], ([2, 4, 9], [1, 2, 0.5])]
CUSTOM = dict(custom_position_ids=True)
SENTENCES = dict(with_pool="linear", application="unilm")

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
    Case("bert-compound-tokens", "google_bert", dict(with_mlm=True, **COMPOUND)),
    Case("bert-hierarchical-position", "google_bert", dict(hierarchical_position=True), lengths=(5, 23)),
    Case("bert-hierarchical-alpha", "google_bert", dict(hierarchical_position=0.3), lengths=(5, 23)),
    Case("bert-custom-position-ids", "google_bert", CUSTOM),
    Case(
        "bert-custom-hierarchical", "google_bert", dict(CUSTOM, hierarchical_position=True), lengths=(5, 23)
    ),
    Case("bert-shared-segment-embeddings", "google_bert", dict(shared_segment_embeddings=True)),
    Case("bert-no-segments", "google_bert", dict(segment_vocab_size=0, with_mlm=True)),
    Case("bert-residual-scores", "google_bert", dict(residual_attention_scores=True)),
    Case("bert-sequence-length", "google_bert", dict(sequence_length=11), lengths=(11,)),
    Case("bert-prefix", "google_bert", dict(prefix="Left-", with_mlm=True)),
    Case("bert-condition", "google_bert", dict(with_mlm=True), build="condition", random_fill=CONDITIONAL),
    Case("bert-condition-hidden", "google_bert", build="condition_hidden", random_fill=CONDITIONAL),
    Case("bert-attention-caches", "google_bert", build="attention_caches"),
    Case("bert-shared-layers", "google_bert", build="shared_layers"),
    Case("bert-optimizer-slots", "google_bert_with_optimizer", dict(with_nsp=True, with_mlm=True)),
    Case("bert-factorized", "google_bert_factorized", dict(with_mlm=True)),
    Case("bert-autoresize", "google_bert", dict(RESIZED, autoresize_weights=True)),
    Case("brightmart-roberta", "brightmart_roberta", dict(model="roberta", with_pool=True)),
    Case("brightmart-roberta-lm-layer", "brightmart_roberta_lm_layer", dict(model="roberta", with_mlm=True)),
    Case("brightmart-roberta-without-head", "brightmart_roberta", HEADLESS, random_fill=MLM_HEAD),
    Case("hit-bert-wwm", "hit_bert_wwm", dict(with_pool=True, with_mlm=True)),
    Case("albert", "google_albert", dict(model="albert")),
    Case("albert-heads", "google_albert", dict(model="albert", with_nsp=True, with_mlm=True)),
    Case("albert-unshared", "google_albert", dict(model="albert_unshared", with_pool=True)),
    Case("albert-lm", "google_albert", dict(model="albert", application="lm")),
    Case("albert-unilm", "google_albert", dict(model="albert", application="unilm")),
    Case("albert-zh", "google_albert_zh", dict(model="albert", with_mlm=True)),
    Case("brightmart-albert", "brightmart_albert", dict(model="albert", with_mlm=True)),
    Case("converted-albert", "converted_albert", dict(model="albert", with_mlm=True)),
    Case("nezha", "nezha", dict(model="nezha")),
    Case("nezha-heads", "nezha", dict(model="nezha", with_nsp=True, with_mlm=True)),
    Case("nezha-lm", "nezha", dict(model="nezha", application="lm")),
    Case("nezha-unilm", "nezha", dict(model="nezha", application="unilm")),
    Case("nezha-far", "nezha", dict(model="nezha"), lengths=(5, 75)),
    Case("nezha-gen", "nezha_gen", dict(segment_vocab_size=0, application="lm")),
    Case("roberta-small", "zhuiyi_roberta_small", dict(with_mlm=True)),
    Case("roberta-plus", "zhuiyi_roberta_plus", dict(with_mlm=True)),
    Case("simbert", "zhuiyi_simbert", SENTENCES),
    Case("wobert", "zhuiyi_wobert", dict(with_mlm=True)),
    Case("roformer", "zhuiyi_roformer", dict(model="roformer", with_mlm=True)),
    Case("roformer-lm", "zhuiyi_roformer", dict(model="roformer", application="lm")),
    Case("roformer-custom-position-ids", "zhuiyi_roformer", dict(model="roformer", custom_position_ids=True)),
    Case("roformer-sim", "zhuiyi_roformer_sim", dict(model="roformer", **SENTENCES)),
    Case("roformer-v2", "zhuiyi_roformer_v2", dict(model="roformer_v2")),
    Case("roformer-v2-mlm", "zhuiyi_roformer_v2", dict(model="roformer_v2", with_mlm=True)),
    Case("roformer-v2-lm", "zhuiyi_roformer_v2", dict(model="roformer_v2", application="lm")),
    Case("roformer-v2-unilm", "zhuiyi_roformer_v2", dict(model="roformer_v2", application="unilm")),
    Case("t5-pegasus", "zhuiyi_t5_pegasus", dict(model="mt5.1.1")),
    Case("t5", "t5", dict(model="t5.1.0")),
    Case("t5-encoder", "t5", dict(model="t5.1.0_encoder")),
    Case("t5-decoder", "t5", dict(model="t5.1.0_decoder")),
    Case("t5-decoder-logits", "t5", dict(model="t5.1.0_decoder", with_lm="linear")),
    Case("t5-decoder-hidden", "t5", dict(model="t5.1.0_decoder", with_lm=False)),
    Case("t5-without-cross-bias", "t5", dict(model="t5.1.0", cross_position_bias=False)),
    Case("t5-far", "t5", dict(model="t5.1.0"), lengths=(5, 140)),
    Case("cdial-gpt", "cdial_gpt", dict(model="gpt")),
    Case("cdial-gpt-logits", "cdial_gpt", dict(model="gpt", final_activation="linear")),
    Case("gpt2-ml", "gpt2_ml", dict(model="gpt2_ml")),
    Case("electra", "google_electra", dict(model="electra")),
    Case("electra-discriminator", "google_electra", dict(model="electra", with_discriminator=True)),
    Case("hit-electra", "hit_electra", dict(model="electra", with_discriminator="linear")),
    Case("clue-electra", "clue_electra", dict(model="electra", with_discriminator=True)),
    Case("labse", "labse", dict(with_pool="linear")),
    Case("chinese-gen", "chinese_gen", dict(segment_vocab_size=0, application="lm")),
    Case("t5-1-1", "t5_1_1", dict(model="t5.1.1")),
    Case("t5-1-1-encoder", "t5_1_1", dict(model="t5.1.1_encoder")),
    Case("t5-1-1-decoder", "t5_1_1", dict(model="t5.1.1_decoder")),
    Case("mt5", "mt5", dict(model="mt5.1.1")),
    Case("mt5-keep-tokens", "mt5", dict(model="mt5.1.1", keep_tokens=list(range(0, 120, 3)))),
    Case("gau-alpha", "gau_alpha", dict(model="gau_alpha")),
    Case("gau-alpha-mlm", "gau_alpha", dict(model="gau_alpha", with_mlm=True), lengths=(5, 23)),
    Case("cpm-lm", "cpm_lm", dict(model="gpt2")),
    Case("cpm-lm-logits", "cpm_lm", dict(model="gpt2", final_activation="linear")),
    Case("minilm", "minilm", dict(with_pool=True), lengths=(14, 47)),
    Case("minilm-hidden", "minilm", lengths=(14, 47)),
    Case("minilm-embedding", "minilm", build="sentence_embedding", lengths=(14, 47), oracle="transformers"),
    # Real sizes, slow
    Case("bert-base", "bert_base", dict(with_pool=True, with_mlm=True), lengths=(8, 32)),
    Case("bert-large", "bert_large", lengths=(8, 64)),
    Case("albert-xlarge", "albert_xlarge", dict(model="albert"), lengths=(8, 32)),
    Case("nezha-base", "nezha_base", dict(model="nezha"), lengths=(8, 128)),
    Case("roformer-base", "roformer_base", dict(model="roformer"), lengths=(8, 128)),
    Case("electra-base", "electra_base", dict(model="electra", with_discriminator=True), lengths=(8, 64)),
    Case("t5-base", "t5_base", dict(model="t5.1.0"), lengths=(8, 32)),
    Case("mt5-small", "mt5_small", dict(model="mt5.1.1"), lengths=(6, 12)),
    Case("gpt2-ml-base", "gpt2_ml_base", dict(model="gpt2_ml"), lengths=(8, 32)),
    Case("gau-alpha-base", "gau_alpha_base", dict(model="gau_alpha"), lengths=(8, 128)),
)

CASES_BY_NAME = {case.name: case for case in CASES}
FIRST_OF_SYSTEM = {case.system: case.name for case in reversed(CASES)}


def write_user_cases(cases):
    """Keep the cases of a user's folder for the processes that run after `user_files/identify.py`."""
    rows = [dict(case._asdict(), user_checkpoint=case.user_checkpoint._asdict()) for case in cases]
    write_json(USER_FILES / "cases.json", rows)


def user_cases():
    cases = [Case(**row) for row in read_json(USER_FILES / "cases.json")]
    return [
        one._replace(user_checkpoint=Release(**one.user_checkpoint), lengths=tuple(one.lengths))
        for one in cases
    ]


def add_case_arguments(parser):
    """The options that narrow a run to some cases, or take others."""
    systems = [*sorted({case.system for case in CASES}), *KINDS_BY_NAME]
    add = parser.add_argument
    add("--case", action="append", help="only this case, or kind; repeatable")
    add("--system", action="append", choices=systems, help="only its cases; repeatable")
    add("--everything", action="store_true", help="also the cases at full size, and train all cases")
    add("--weights", metavar="DIR", help="the released files in a folder, instead of our cases")


def case_words(cases):
    """The command-line words that choose these cases."""
    words = ["--weights", cases[0].user_checkpoint.folder] if cases and cases[0].user_checkpoint else []
    return words + [word for case in cases for word in ("--case", case.name)]


def chosen_cases(options):
    """Cases by name and system; those at full size only where they are asked for."""
    cases = user_cases() if options.weights else CASES
    unknown = set(options.case or ()) - {case.name for case in cases} - set(KINDS_BY_NAME)
    if unknown:
        raise SystemExit("--case: no case is named {}".format(", ".join(sorted(unknown))))
    return [
        case
        for case in cases
        if (case.name in options.case if options.case else options.everything or not case.slow)
        and (not options.system or case.system in options.system)
    ]


def trained_cases(options):
    """Those of the chosen cases that are trained too: one a system, unless it is asked for more."""
    more = options.everything or options.case or options.system
    return [
        case
        for case in chosen_cases(options)
        if case.trained and (more or case.name == FIRST_OF_SYSTEM[case.system])
    ]
