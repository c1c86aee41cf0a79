"""Folders of Hugging Face: their configuration as arguments of our models and back, the Hub, and `save_pretrained`.

FAMILIES says for each `model_type` which key is which argument, and which values of other keys our model can express.
Every key of a configuration is read, checked, known not to change the numbers, or named in a warning.
"""

from __future__ import annotations

import glob
import json
import logging
import os
from typing import Any, Callable, Iterable, Mapping, NamedTuple

import numpy as np

from bert4keras3.backend import K, dtype_name, get_activation, weight_shape
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from bert4keras3.checkpoints.huggingface import PARTS, WEIGHT_FILES, find_weights, places_of
from bert4keras3.checkpoints.safetensors_writer import Spec, write_folder
from bert4keras3.weights import base_weights, iterate_weights, write_once

logger = logging.getLogger("bert4keras3")

HUB = "hf://"
# Keys that do not change what our models compute: of tasks, training, generation, tokenizers and old versions.
HARMLESS = set(
    """
    _name_or_path architectures bad_words_ids begin_suppress_tokens bos_token_id chunk_size_feed_forward
    classifier_dropout classifier_dropout_prob custom_pipelines decoder_start_token_id directionality diversity_penalty
    do_sample dtype early_stopping encoder_no_repeat_ngram_size eos_token_id exponential_decay_length_penalty
    finetuning_task forced_bos_token_id forced_eos_token_id gradient_checkpointing id2label initializer_factor
    initializer_range is_encoder_decoder keys_to_ignore_at_inference label2id language length_penalty max_length
    min_length model_type no_repeat_ngram_size num_beam_groups num_beams num_labels num_return_sequences
    output_attentions output_hidden_states output_past output_scores pad_token_id pooler_fc_size
    pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type prefix problem_type
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate sep_token_id suppress_tokens
    summary_activation summary_first_dropout summary_last_dropout summary_proj_to_labels summary_type summary_use_proj
    task_specific_params temperature tf_legacy_loss tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version typical_p unk_token_id use_bfloat16 use_cache vocab_file
    """.split()
)
# Their name of an activation: ours. A name that is missing here is another function in our library, or none.
ACTIVATIONS = {
    "gelu": "gelu_erf",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_accurate": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_python": "gelu_erf",
    "gelu_10": "gelu_10",
    "linear": "linear",
    "quick_gelu": "quick_gelu",
    "relu": "relu",
    "relu2": "relu2",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "silu": "swish",
    "swish": "swish",
    "tanh": "tanh",
}
BERT = dict(
    vocab_size=30522,
    hidden_size=768,
    num_hidden_layers=12,
    num_attention_heads=12,
    intermediate_size=3072,
    hidden_act="gelu",
    hidden_dropout_prob=0.1,
    attention_probs_dropout_prob=0.1,
    max_position_embeddings=512,
    type_vocab_size=2,
    layer_norm_eps=1e-12,
)
GPT_NAMES = dict(
    hidden_size="n_embd",
    num_hidden_layers="n_layer",
    num_attention_heads="n_head",
    max_position_embeddings="n_positions",
    hidden_dropout_prob="resid_pdrop",
    attention_probs_dropout_prob="attn_pdrop",
    layer_norm_eps="layer_norm_epsilon",
)
GPT = dict(
    vocab_size=40478,
    n_embd=768,
    n_layer=12,
    n_head=12,
    n_positions=512,
    resid_pdrop=0.1,
    attn_pdrop=0.1,
    layer_norm_epsilon=1e-5,
)
T5_NAMES = dict(
    hidden_size="d_model",
    attention_head_size="d_kv",
    intermediate_size="d_ff",
    num_hidden_layers="num_layers",
    num_attention_heads="num_heads",
    hidden_dropout_prob="dropout_rate",
    layer_norm_eps="layer_norm_epsilon",
    hidden_act="feed_forward_proj",
)
T5 = dict(
    vocab_size=32128,
    d_model=512,
    d_kv=64,
    d_ff=2048,
    num_layers=6,
    num_heads=8,
    relative_attention_num_buckets=32,
    relative_attention_max_distance=128,
    dropout_rate=0.1,
    layer_norm_epsilon=1e-6,
    feed_forward_proj="relu",
)
MT5 = dict(T5, vocab_size=250112, d_ff=1024, num_layers=8, num_heads=6, feed_forward_proj="gated-gelu")
ATTRIBUTES = {  # our key: the attribute of a Transformer
    "hidden_dropout_prob": "dropout_rate",
    "attention_probs_dropout_prob": "attention_dropout_rate",
    "max_position_embeddings": "max_position",
    "type_vocab_size": "segment_vocab_size",
}
# {their key: (values that our models can express, why no others)}
EXPECTED: dict[str, tuple] = {
    "add_cross_attention": ((False,), "our decoder with cross-attention is T5's"),
    "auto_map": ((None,), "the model is defined by code of its own"),
    "cross_attention_hidden_size": ((None,), "our decoder with cross-attention is T5's"),
    "is_decoder": ((False,), "a decoder sees earlier tokens alone. Pass application='lm'"),
    "position_embedding_type": (("absolute",), "our attention has no learned vectors of distances"),
    "pruned_heads": ((None, {}), "all our blocks have the same number of heads"),
    "quantization_config": ((None,), "the weights are quantized"),
    "tie_word_embeddings": ((True,), "the head of our model is the table of the tokens"),
}


def no_change(values: dict[str, Any], config: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Arguments of a family whose keys are arguments."""
    return values


def gpt_arguments(values, config, path):
    """GPT has no segments, and its feed-forward layer is four times as wide unless `n_inner` says another width."""
    width = values.get("intermediate_size") or 4 * values["hidden_size"]
    return dict(values, intermediate_size=width, type_vocab_size=0)


def openai_arguments(values, config, path):
    """GPT's first code called the tanh form "gelu"."""
    if config.get("afn", "gelu") == "gelu":
        values = dict(values, hidden_act="gelu_tanh")
    return gpt_arguments(values, config, path)


def t5_arguments(values, config, path):
    """T5's versions differ in the gate, the output table and its scale."""
    kind, _, name = str(
        config.get("feed_forward_proj") or FAMILIES[config["model_type"]].defaults["feed_forward_proj"]
    ).rpartition("-")
    activation = (
        "gelu_tanh" if (kind, name) == ("gated", "gelu") else our_activation(path, "feed_forward_proj", name)
    )
    gated, depth = kind == "gated", values["num_hidden_layers"]
    derived = config.get("dense_act_fn", name)
    if kind not in ("", "gated") or our_activation(path, "dense_act_fn", derived) not in (
        activation,
        ACTIVATIONS.get(name),
    ):
        raise refusal(
            path, "feed_forward_proj", config.get("feed_forward_proj"), "no layer of ours is like this"
        )
    if config.get("num_decoder_layers") not in (None, depth):
        raise refusal(
            path,
            "num_decoder_layers",
            config["num_decoder_layers"],
            f"the encoder has {depth} layers, and ours have equal depths",
        )
    if values["relative_attention_max_distance"] <= values["relative_attention_num_buckets"] // 2:
        raise refusal(
            path,
            "relative_attention_max_distance",
            values["relative_attention_max_distance"],
            "it is within the distances that have a bucket each",
        )
    tied = config.get("tie_word_embeddings", True) is not False
    scaled = config.get("scale_decoder_outputs", tied) and config["model_type"] != "mt5"
    version = "umt5" if config["model_type"] == "umt5" else "t5.1.1" if gated else "t5.1.0"
    if not gated and not (version == "t5.1.0" and scaled and tied):
        raise refusal(
            path,
            "feed_forward_proj",
            config.get("feed_forward_proj"),
            "a T5 without gates has the table of the tokens as its head, and a scale before it",
        )
    return dict(
        values,
        hidden_act=[activation, "linear"] if gated else activation,
        attention_probs_dropout_prob=values["hidden_dropout_prob"],
        version=version,
        scale_output=bool(scaled),
        cross_position_bias=False,
    )


class Family(NamedTuple):
    """How models of one `model_type` are ours.

    Attributes:
        model: name in MODELS.
        defaults: {their key: the value that counts if the file lacks it}.
        names: {our key: theirs}, where they differ.
        expected: {their key: (values that we can express, why no others)}, besides EXPECTED.
        harmless: their keys that do not change the numbers, besides HARMLESS.
        arguments: (values, config, path) → arguments of our model.
        architectures: {class of transformers 5: heads of ours}, see HEADS; none: it has no such model.
    """

    model: str
    defaults: dict[str, Any]
    names: dict[str, str] = {}
    expected: dict[str, tuple] = {}
    harmless: str = ""
    arguments: Callable = no_change
    architectures: dict[str, str] = {}


ROBERTA = Family(
    "fb_roberta",
    dict(BERT, pad_token_id=1),
    expected={
        "type_vocab_size": ((1, 2), "our RoBERTa has no segments"),
        "hidden_act": (("gelu",), "the head of this family has gelu in any case"),
    },
    architectures={"RobertaModel": "pool", "RobertaForMaskedLM": "mlm"},
)
T5_ARCHITECTURES = {"T5EncoderModel": "", "T5ForConditionalGeneration": "decoder"}
T5_HARMLESS = (
    "dense_act_fn is_gated_act num_decoder_layers scale_decoder_outputs tie_word_embeddings use_return_dict"
)
FAMILIES = {
    "bert": Family(
        "bert",
        BERT,
        architectures={
            "BertModel": "pool",
            "BertForMaskedLM": "mlm",
            "BertLMHeadModel": "mlm causal",
            "BertForNextSentencePrediction": "pool nsp",
            "BertForPreTraining": "pool nsp mlm",
        },
    ),
    "ernie": Family(
        "bert",
        BERT,
        expected={"use_task_id": ((False,), "our BERT has no embeddings of tasks")},
        harmless="task_type_vocab_size",
    ),
    "roberta": ROBERTA,
    "xlm-roberta": ROBERTA,
    "camembert": ROBERTA,
    "distilbert": Family(
        "distilbert",
        dict(
            vocab_size=30522,
            dim=768,
            n_layers=6,
            n_heads=12,
            hidden_dim=3072,
            activation="gelu",
            dropout=0.1,
            attention_dropout=0.1,
            max_position_embeddings=512,
        ),
        names=dict(
            hidden_size="dim",
            num_hidden_layers="n_layers",
            num_attention_heads="n_heads",
            intermediate_size="hidden_dim",
            hidden_act="activation",
            hidden_dropout_prob="dropout",
            attention_probs_dropout_prob="attention_dropout",
        ),
        harmless="sinusoidal_pos_embds tie_weights_ qa_dropout seq_classif_dropout",
        arguments=lambda values, config, path: dict(values, layer_norm_eps=1e-12),
        architectures={"DistilBertModel": "", "DistilBertForMaskedLM": "mlm"},
    ),
    "albert": Family(
        "albert",
        dict(
            BERT,
            vocab_size=30000,
            embedding_size=128,
            hidden_size=4096,
            num_attention_heads=64,
            intermediate_size=16384,
            hidden_act="gelu_new",
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        ),
        expected={
            "num_hidden_groups": ((1,), "our ALBERT has one group of layers"),
            "inner_group_num": ((1,), "the group of our ALBERT has one layer"),
        },
        harmless="down_scale_factor gap_size layers_to_keep net_structure_type num_memory_blocks",
        arguments=lambda values, config, path: dict(values, embedding_mapping=True),
        architectures={
            "AlbertModel": "pool",
            "AlbertForMaskedLM": "mlm",
            "AlbertForPreTraining": "pool nsp mlm",
        },
    ),
    "electra": Family(
        "electra",
        dict(BERT, embedding_size=128, hidden_size=256, num_attention_heads=4, intermediate_size=1024),
        architectures={
            "ElectraModel": "",
            "ElectraForPreTraining": "discriminator",
            "ElectraForMaskedLM": "mlm",
        },
    ),
    "roformer": Family(
        "roformer",
        dict(BERT, vocab_size=50000, embedding_size=None, max_position_embeddings=1536),
        expected={"rotary_value": ((False,), "our RoFormer rotates queries and keys alone")},
        harmless="keep_tokens",
        architectures={
            "RoFormerModel": "",
            "RoFormerForMaskedLM": "mlm",
            "RoFormerForCausalLM": "mlm causal",
        },
    ),
    "nezha": Family(
        "nezha",
        dict(BERT, vocab_size=21128),
        expected={
            "max_relative_position": ((64,), "our NEZHA clips distances at 64"),
            "use_relative_position": ((True,), "our NEZHA has relative positions"),
        },
        harmless="embedding_size",
    ),
    "openai-gpt": Family(
        "gpt",
        dict(GPT, afn="gelu"),
        names=dict(GPT_NAMES, hidden_act="afn"),
        harmless="embd_pdrop n_ctx n_special predict_special_tokens",
        arguments=openai_arguments,
        architectures={"OpenAIGPTLMHeadModel": ""},
    ),
    "gpt2": Family(
        "gpt2",
        dict(GPT, vocab_size=50257, n_positions=1024, n_inner=None, activation_function="gelu_new"),
        names=dict(GPT_NAMES, hidden_act="activation_function", intermediate_size="n_inner"),
        expected={
            "scale_attn_weights": ((True,), "our attention scales its scores"),
            "scale_attn_by_inverse_layer_idx": ((False,), "all our blocks scale alike"),
            "reorder_and_upcast_attn": ((False,), "our attention has one order of operations"),
        },
        harmless="embd_pdrop n_ctx",
        arguments=gpt_arguments,
        architectures={"GPT2LMHeadModel": ""},
    ),
    "t5": Family("t5", T5, T5_NAMES, {}, T5_HARMLESS, t5_arguments, T5_ARCHITECTURES),
    "mt5": Family("t5", MT5, T5_NAMES, {}, T5_HARMLESS, t5_arguments),
    "umt5": Family(
        "t5",
        MT5,
        T5_NAMES,
        {},
        T5_HARMLESS,
        t5_arguments,
        {"UMT5EncoderModel": "", "UMT5ForConditionalGeneration": "decoder"},
    ),
}
# {head: the layer that has it}
HEADS = {
    "pool": "Pooler-Dense",
    "nsp": "NSP-Proba",
    "mlm": "MLM-Bias",
    "discriminator": "Discriminator-Prediction",
    "decoder": "Decoder-Output-Norm",
}


def refusal(path, key, value, reason):
    """The error for a value that our models cannot express."""
    return ValueError(f"{path}: {key} is {value!r}, which bert4keras3 cannot express: {reason}")


def translate_config(path: str, config: Mapping[str, Any], application: str = "encoder") -> dict[str, Any]:
    """Arguments of our model from a configuration of Hugging Face, with `model`, a name in MODELS, and `model_type`.

    Raises:
        ValueError: the model, a value or its type cannot be expressed; the message says why.
    """
    model_type = config["model_type"]
    family = FAMILIES.get(model_type) if isinstance(model_type, str) else None
    if family is None:
        raise ValueError(f"{path}: model_type is {model_type!r}, expected one of {', '.join(FAMILIES)}")
    ours = {theirs: our for our, theirs in family.names.items()}
    values = {}
    for key, default in family.defaults.items():
        our = ours.get(key, key)
        value = config.get(key, config.get(our))
        value = default if value is None else value
        check_value(path, key, value, default)
        values[our] = our_activation(path, key, value) if our == "hidden_act" and "proj" not in key else value
    if "attention_head_size" not in values and values["hidden_size"] % values["num_attention_heads"]:
        raise ValueError(
            f"{path}: hidden_size {values['hidden_size']} is no multiple of {values['num_attention_heads']} heads"
        )
    for key, (allowed, reason) in {**EXPECTED, **family.expected}.items():
        if key in family.harmless.split() or (key == "is_decoder" and application != "encoder"):
            continue
        if key in config and not any(
            config[key] == one and type(config[key]) is type(one) for one in allowed
        ):
            raise refusal(path, key, config[key], reason)
    known = {
        *values,
        *ours,
        *family.defaults,
        *EXPECTED,
        *family.expected,
        *HARMLESS,
        *family.harmless.split(),
    }
    unknown = sorted(str(key) for key in set(config) - known)
    if unknown:
        logger.warning(
            "%s: a %s of transformers has no %s. Ignored: check that these keys do not change the model.",
            path,
            model_type,
            ", ".join(unknown),
        )
    arguments = family.arguments(values, config, path)
    architecture = str((config.get("architectures") or [""])[0])
    model = family.model
    if model == "t5":
        model = arguments["version"] + ("_encoder" if architecture.endswith("EncoderModel") else "")
    if architecture == "ElectraForMaskedLM":
        model = "electra_generator"
    return dict(arguments, model=model, model_type=model_type)


def check_value(path, key, value, default):
    """Raise ValueError for a value of another type than the default, or for a size below 1."""
    if value is None:
        return
    kind = type(1 if default is None else default)
    kinds = (int, float) if kind is float else (kind,)
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise ValueError(f"{path}: {key} is {value!r}, expected a value of type {kind.__name__}")
    if kind is int and value < (0 if key in ("type_vocab_size", "pad_token_id") else 1):
        raise ValueError(f"{path}: {key} is {value!r}, which is no size")
    if kind is float and not 0 <= value < 1:
        raise ValueError(f"{path}: {key} is {value!r}, expected 0 to 1")


def our_activation(path, key, name):
    """Our name of an activation."""
    if name not in ACTIVATIONS:
        raise ValueError(f"{path}: {key} is {name!r}, expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


def find_files(config_path: Any, checkpoint_path: Any) -> tuple[Any, Any]:
    """Paths of configuration and weights; a folder or an "hf://…" is replaced by its files.

    Raises:
        CheckpointError: a folder lacks one of them, or the Hub cannot be reached.
    """
    if isinstance(checkpoint_path, str) and checkpoint_path.startswith(HUB):
        checkpoint_path = download(checkpoint_path)
    if isinstance(config_path, str) and config_path.startswith(HUB):
        config_path = download(config_path)
    if not isinstance(config_path, (str, os.PathLike)) or not os.path.isdir(config_path):
        return config_path, checkpoint_path
    folder = os.fspath(config_path)
    found = sorted(glob.glob(os.path.join(glob.escape(folder), "*config.json")))
    configs = [path for path in found if os.path.basename(path) == "config.json"] or [
        path for path in found if "tokenizer" not in path and "generation" not in path
    ]
    weights = checkpoint_path if checkpoint_path is not None else find_weights(folder)
    bundles = glob.glob(os.path.join(glob.escape(folder), "*.index"))
    if weights is None and len(bundles) == 1:
        weights = bundles[0][: -len(".index")]
    if len(configs) != 1 or weights is None:
        lacks = (
            "config.json"
            if len(configs) != 1
            else f"weights: {', '.join(WEIGHT_FILES)} or one TensorFlow checkpoint"
        )
        raise CheckpointError(
            f"the folder '{folder}' lacks {lacks}. It has {', '.join(sorted(os.listdir(folder))) or 'nothing'}"
        )
    return configs[0], weights


def download(address: str) -> str:
    """Folder with the files of "hf://organisation/name", with "@revision" or without, from the Hub or its cache.

    Raises:
        CheckpointError: the package huggingface_hub is missing, or the files cannot be had.
    """
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise CheckpointError(f"{address} needs huggingface_hub: pip install bert4keras3[hub]") from error
    name, _, revision = address[len(HUB) :].partition("@")
    try:
        for patterns in (["*.json", "*.txt", "*.model", "model*.safetensors"], ["pytorch_model*"]):
            folder = snapshot_download(name, revision=revision or None, allow_patterns=patterns)
            if find_weights(folder):
                break
    except Exception as error:  # of the network, the Hub or its cache: each has its own
        raise CheckpointError(
            f"{address} is neither in the cache nor can it be downloaded: {type(error).__name__}: {error}. Check the "
            "name and the network, or give the path of a folder"
        ) from error
    return folder


def has_huggingface_names(checkpoint: Any) -> bool:
    """Whether weights have the names of Hugging Face: names of TensorFlow have slashes."""
    names = list(open_checkpoint(checkpoint))
    return bool(names) and not any("/" in name for name in names)


def save_pretrained(
    transformer: Any,
    folder: str,
    tokenizer: Any,
    max_shard_size: Any,
    dtype: str | None,
    progress: Callable = iter,
) -> None:
    """`Transformer.save_pretrained`; progress: the (variable, array) pairs → the same, on the way."""
    model_type = "umt5" if getattr(transformer, "version", "") == "umt5" else transformer.model_type
    family = FAMILIES.get(model_type)
    if family is None or not family.architectures:
        raise ValueError(f"save_pretrained: transformers 5 has no {type(transformer).__name__}")
    config = config_of(transformer, model_type, family)
    mapping, rows = transformer.mapped_layers(), transformer.huggingface_rows()
    check_layers(transformer, mapping, rows)

    def stand_ins():
        for layer, names in mapping.items():
            for weight, name in zip(base_weights(transformer.layers[layer]), names):
                yield name, np.broadcast_to(np.zeros((), dtype_name(weight)), weight_shape(weight))

    def parameters(variables):
        values = ((name, transformer.create_variable(name, value)) for name, value in variables)
        yield from named_parameters(values, rows)
        segments = rows.get("bert/embeddings/token_type_embeddings")
        if segments and "type_vocab_size" in family.defaults and not transformer.segment_vocab_size:
            yield places_of(segments)[0].full, np.zeros((1, transformer.embedding_size), K.floatx())
        if model_type == "albert" and transformer.prefixed("Embedding-Mapping") not in mapping:
            yield (
                "albert.encoder.embedding_hidden_mapping_in.weight",
                np.eye(transformer.hidden_size, dtype=K.floatx()),
            )
            yield (
                "albert.encoder.embedding_hidden_mapping_in.bias",
                np.zeros(transformer.hidden_size, K.floatx()),
            )
        if model_type == "roformer":
            yield (
                "roformer.encoder.embed_positions.weight",
                roformer_positions(transformer.max_position, transformer.attention_key_size),
            )

    unique = dict(stand_ins())
    specs = [
        Spec(name, dtype or str(value.dtype), tuple(value.shape))
        for name, value in parameters(unique.items())
    ]
    config["dtype"] = specs[0].dtype
    texts = {
        "config.json": json.dumps(config, indent=2) + "\n",
        **(tokenizer.huggingface_files() if tokenizer else {}),
    }
    write_once(
        lambda arrays: write_folder(folder, specs, arrays, texts, max_shard_size),
        parameters(progress(iterate_weights(transformer.layers, mapping))),
        transformer.layers,
        mapping,
    )


def named_parameters(
    variables: Iterable[tuple[str, Any]], rows: Mapping[str, str]
) -> Iterable[tuple[str, Any]]:
    """(parameter, array) of (variable, array); the thirds of one parameter are collected."""
    thirds: dict[str, dict[int, Any]] = {}
    for variable, value in variables:
        place = places_of(rows[variable])[0]
        value = np.asarray(value).T if place.transposed else value
        if place.part is None:
            yield place.full, value
            continue
        parts = thirds.setdefault(place.full, {})
        parts[place.part] = value
        if len(parts) == PARTS:
            yield place.full, np.concatenate([parts[i] for i in range(PARTS)], axis=-1)
            del thirds[place.full]


def roformer_positions(count, size):
    """The sines and cosines of RoFormer, which transformers keeps in its files: (count, size)."""
    angles = np.arange(count)[:, None] / 10000 ** (np.arange(0, size, 2) / size)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype("float32")


def check_layers(transformer, mapping, rows):
    """Raise ValueError for a layer with weights that the format of transformers has no names for."""
    for name, layer in transformer.layers.items():
        names = [variable for variable in mapping.get(name, ()) if variable in rows]
        weights = base_weights(layer)
        if layer.trainable and len(names) != len(weights):
            raise ValueError(
                f"save_pretrained: transformers has names for {len(names)} of the {len(weights)} weights of "
                f"layer {name!r}. Save with save_weights_as_checkpoint or model.save_weights"
            )


def config_of(transformer: Any, model_type: str, family: Family) -> dict[str, Any]:
    """Configuration of a model for transformers.

    Raises:
        ValueError: the model computes what no configuration expresses.
    """
    ours = {theirs: our for our, theirs in family.names.items()}
    config: dict[str, Any] = {}
    for key in family.defaults:
        our = ours.get(key, key)
        config[key] = getattr(transformer, ATTRIBUTES.get(our, our), None)
        if our == "layer_norm_eps":
            config[key] = config[key] or transformer.norm_arguments.get("epsilon", K.epsilon())
        if our == "hidden_act":
            config[key] = their_activation(transformer.hidden_act, key, model_type)
    check_expressible(transformer, model_type, config)
    heads = {head for head, layer in HEADS.items() if transformer.prefixed(layer) in transformer.layers}
    mask = None if "n_embd" in config or "d_kv" in config else transformer.mask_kind  # theirs are causal too
    if mask == "causal" and any("causal" in need for need in family.architectures.values()):
        heads.add("causal")
        config["is_decoder"], mask = True, None
    architecture = choose_architecture(family, heads)
    if mask:
        logger.warning("save_pretrained: %s has no %s mask. Give each call a mask.", architecture, mask)
    if "pool" in heads and getattr(transformer, "with_pool", True) not in (True, "tanh"):
        logger.warning("save_pretrained: the pooler of transformers has tanh, in place of with_pool.")
    if "n_embd" in config:
        config.update(bos_token_id=None, eos_token_id=None)
    if "type_vocab_size" in config:
        config["type_vocab_size"] = config["type_vocab_size"] or 1
    if "feed_forward_proj" in config:
        config.update(t5_keys(transformer, has_decoder="decoder" in heads))
    if model_type not in ("gpt2", "openai-gpt"):
        config.setdefault("pad_token_id", 0)
    return {"architectures": [architecture], "model_type": model_type, **config}


def check_expressible(transformer, model_type, config):
    """Raise ValueError for an argument of a model that transformers does not have."""
    head_size = transformer.attention_head_size
    problems = {
        "residual_attention_scores": transformer.residual_attention_scores,
        "hierarchical_position": getattr(transformer, "hierarchical_position", None),
        "shared_segment_embeddings": getattr(transformer, "shared_segment_embeddings", False)
        and model_type != "openai-gpt",
        "attention_key_size": transformer.attention_key_size != head_size,
        "attention_head_size": "d_kv" not in config
        and head_size * transformer.num_attention_heads != transformer.hidden_size,
        "intermediate_size": model_type == "openai-gpt"
        and transformer.intermediate_size != 4 * transformer.hidden_size,
    }
    for name, problem in problems.items():
        if problem:
            raise ValueError(f"save_pretrained: a {model_type} of transformers has no {name} as this model")


def choose_architecture(family, heads):
    """The class of transformers with these heads, or the nearest one, which the log names."""
    found = {name: set(need.split()) for name, need in family.architectures.items()}
    fitting = [name for name in found if found[name] >= heads]
    if fitting:
        architecture = min(fitting, key=lambda name: len(found[name]))
    else:
        architecture = max(found, key=lambda name: len(found[name] & heads))
    if found[architecture] != heads:
        logger.warning(
            "save_pretrained: no class of transformers has just the heads %s. %s starts those that it misses anew, and "
            "ignores those that it lacks.",
            ", ".join(sorted(heads)) or "none",
            architecture,
        )
    return architecture


def t5_keys(transformer, has_decoder):
    """Keys of a configuration that only T5 has. The log says if T5 of transformers answers otherwise."""
    decoder = getattr(transformer, "_decoder", transformer)
    scaled, released = getattr(decoder, "scale_output", None), transformer.version == "t5.1.0"
    if has_decoder and (decoder.cross_position_bias or (scaled is None and not released)):
        logger.warning(
            "save_pretrained: T5 of transformers has no position bias in the cross-attention, and T5.1.1 does not "
            "scale its output. Its answers differ from the answers of this model, see docs/checkpoints.md."
        )
    tied = released if scaled is None else scaled
    return dict(eos_token_id=1, decoder_start_token_id=0, tie_word_embeddings=tied)


def their_activation(hidden_act: Any, key: str, model_type: str) -> str:
    """Their name of an activation; T5's also says whether the layer is gated."""
    gated = isinstance(hidden_act, (list, tuple)) and len(hidden_act) == 2 and key == "feed_forward_proj"
    if gated and get_activation(hidden_act[1]) is not get_activation("linear"):
        raise ValueError(f"save_pretrained: a {model_type} of transformers has no hidden_act {hidden_act!r}")
    if isinstance(hidden_act, (list, tuple)) and not gated:
        raise ValueError(
            f"save_pretrained: a {model_type} of transformers has no gated layer, {hidden_act!r}"
        )
    function = get_activation(hidden_act[0] if gated else hidden_act)
    names = [theirs for theirs, our in ACTIVATIONS.items() if get_activation(our) is function]
    if model_type == "openai-gpt":
        if names[:1] == ["gelu"]:
            raise ValueError(
                "save_pretrained: the gelu of an openai-gpt is the tanh form. Build the model with "
                "hidden_act='gelu_new' if its weights were trained with it"
            )
        names = {"gelu_new": ["gelu"], "relu": ["relu"], "silu": ["silu"]}.get((names or [""])[0], [])
    if not names:
        raise ValueError(f"save_pretrained: a {model_type} of transformers has no activation {hidden_act!r}")
    if gated:
        return "gated-" + {"gelu_new": "gelu", "gelu": "gelu_python"}.get(names[0], names[0])
    return names[0]
