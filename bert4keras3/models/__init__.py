"""All models by name, and `build_transformer_model`, which builds a model and loads its weights."""

from __future__ import annotations

import inspect
import json
from typing import Any

from bert4keras3 import layers
from bert4keras3.backend import Model, deferred_initialization, get_available_gpus
from bert4keras3.backend.absent import absent
from bert4keras3.huggingface import find_files, has_huggingface_names, translate_config
from bert4keras3.layers import *  # noqa: F403
from bert4keras3.models.albert import ALBERT, ALBERT_Unshared
from bert4keras3.models.bert import BERT
from bert4keras3.models.distilbert import DistilBERT
from bert4keras3.models.electra import ELECTRA, ELECTRA_Generator
from bert4keras3.models.gau_alpha import GAU_alpha
from bert4keras3.models.gpt import GPT, GPT2, GPT2_ML
from bert4keras3.models.keywords import check_keywords
from bert4keras3.models.nezha import NEZHA
from bert4keras3.models.roberta import RoBERTa
from bert4keras3.models.roformer import RoFormer, RoFormerV2
from bert4keras3.models.t5 import T5, T5_Base, T5_Decoder, T5_Encoder
from bert4keras3.parallel import data_parallel
from bert4keras3.snippets import (
    delete_arguments,
    insert_arguments,
    is_string,
    orthogonally_resize,
    string_matching,
)
from bert4keras3.transformers import LM_Mask, Transformer, UniLM_Mask

# Users write `from bert4keras3.models import *` for layers too.
__all__ = layers.__all__ + [
    "ALBERT",
    "ALBERT_Unshared",
    "BERT",
    "DistilBERT",
    "ELECTRA",
    "ELECTRA_Generator",
    "GAU_alpha",
    "GPT",
    "GPT2",
    "GPT2_ML",
    "LM_Mask",
    "MODELS",
    "Model",
    "NEZHA",
    "RoBERTa",
    "RoFormer",
    "RoFormerV2",
    "T5",
    "T5_Base",
    "T5_Decoder",
    "T5_Encoder",
    "Transformer",
    "UniLM_Mask",
    "build_transformer_model",
    "data_parallel",
    "delete_arguments",
    "extend_with_language_model",
    "extend_with_unified_language_model",
    "get_available_gpus",
    "insert_arguments",
    "is_string",
    "json",
    "orthogonally_resize",
    "string_matching",
]
__getattr__ = absent(__name__, layers.ABSENT, layers)

MODELS = {
    "bert": BERT,
    "roberta": BERT,
    "fb_roberta": RoBERTa,
    "distilbert": DistilBERT,
    "albert": ALBERT,
    "albert_unshared": ALBERT_Unshared,
    "nezha": NEZHA,
    "roformer": RoFormer,
    "roformer_v2": RoFormerV2,
    "electra": ELECTRA,
    "electra_generator": ELECTRA_Generator,
    "gpt": GPT,
    "gpt2": GPT2,
    "gpt2_ml": GPT2_ML,
    "gau_alpha": GAU_alpha,
}
for _version in ("t5", "t5.1.0", "t5.1.1", "mt5.1.1", "umt5"):
    MODELS.update({_version: T5, _version + "_encoder": T5_Encoder, _version + "_decoder": T5_Decoder})

# Versions of T5 whose layers differ.
VERSIONS = {"t5.1.0": 0, "t5.1.1": 1, "mt5.1.1": 1, "umt5": 2}
# Our argument: (the key of a released configuration, the default if neither is given).
CONFIG_ALIASES = {
    "max_position": ("max_position_embeddings", 512),
    "dropout_rate": ("hidden_dropout_prob", None),
    "attention_dropout_rate": ("attention_probs_dropout_prob", None),
    "segment_vocab_size": ("type_vocab_size", 2),
}
REQUIRED = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
)


def extend_with_language_model(BaseModel: type) -> type:
    """The model class with a causal mask and a language-model head."""
    return masked_language_model(LM_Mask, BaseModel)


def extend_with_unified_language_model(BaseModel: type) -> type:
    """The model class with UniLM's mask, for sequence to sequence, and a language-model head."""
    return masked_language_model(UniLM_Mask, BaseModel)


def masked_language_model(mask, model):
    class LanguageModel(mask, model):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.with_mlm = self.with_mlm or True

    LanguageModel.__name__ = model.__name__
    return LanguageModel


APPLICATIONS = {
    "encoder": lambda model: model,
    "lm": extend_with_language_model,
    "unilm": extend_with_unified_language_model,
}


class Default(str):
    """The default of an argument, which differs from the same text that a caller gives."""


BERT_BY_DEFAULT = Default("bert")


def build_transformer_model(
    config_path: str | None = None,
    checkpoint_path: Any = None,
    model: Any = BERT_BY_DEFAULT,
    application: str = "encoder",
    return_keras_model: bool = True,
    **kwargs: Any,
) -> Any:
    """Build a model from a configuration file and load its checkpoint.

    Args:
        config_path: JSON file of the release; or a folder with configuration and weights; or "hf://organisation/name",
            with "@revision" or without, for such a folder of the Hugging Face Hub.
        checkpoint_path: prefix of a TensorFlow checkpoint, a `.npz`, a file or folder of Hugging Face (`.safetensors`,
            `pytorch_model.bin`) or a dict of arrays; None: random weights.
        model: a name in MODELS or a class. The `model_type` of a configuration of Hugging Face replaces the default.
        application: "encoder", "lm" (causal mask) or "unilm" (the prefix attends to itself).
        return_keras_model: return the Keras model; False: return the `Transformer`, whose `model` is the Keras model.
        kwargs: values that replace those of the configuration file, and other arguments of the model class. An unknown
            name is logged and ignored.

    Raises:
        ValueError: a name is unknown or misspelt, or the configuration lacks a key.
        CheckpointError: the checkpoint does not fit the model.
    """
    config_path, checkpoint_path = find_files(config_path, checkpoint_path)
    configs, version = read_file(config_path), ""
    translated = hugging_face_configs(config_path, configs, checkpoint_path, model, application)
    if translated is None:
        configs.pop("layer_norm_eps", None)  # files of Google's format have it without meaning it
    else:
        configs = translated
        model = chosen_model(config_path, configs.pop("model_type"), configs.pop("model"), model)
    if isinstance(model, str):
        if model.lower() not in MODELS:
            raise ValueError(f"model: expected a class or one of {', '.join(MODELS)}, got {model!r}")
        version = model.lower().split("_")[0]
        model = MODELS[model.lower()]
    if inspect.isclass(model):
        check_keywords(model, [name for name in kwargs if name not in configs], known_arguments())
    configs = complete_configs(config_path, configs, kwargs)
    if version.endswith(("t5.1.1", "umt5")):
        configs["version"] = version
    if application.lower() not in APPLICATIONS:
        raise ValueError(f"application: expected one of {', '.join(APPLICATIONS)}, got {application!r}")
    if application.lower() not in getattr(model, "applications", APPLICATIONS):
        raise ValueError(
            f"application: {model.__name__} can be used as {model.applications[0]} only, got {application!r}"
        )
    transformer = APPLICATIONS[application.lower()](model)(**configs)
    if checkpoint_path is None:
        transformer.build(**configs)
    else:
        with deferred_initialization():
            transformer.build(**configs)
            transformer.load_weights_from_checkpoint(checkpoint_path)
    return transformer.model if return_keras_model else transformer


def hugging_face_configs(config_path, configs, checkpoint_path, model, application):
    """Our arguments from a configuration of Hugging Face; None if it goes with weights in TensorFlow's names.

    A configuration without weights is translated if no model is named.
    """
    if "model_type" not in configs:
        return None
    if checkpoint_path is None or str(checkpoint_path).endswith(".h5"):
        is_theirs = isinstance(model, Default)
    else:
        is_theirs = has_huggingface_names(checkpoint_path)
    return translate_config(config_path, configs, application.lower()) if is_theirs else None


def chosen_model(config_path, model_type, expected, given):
    """The model of a folder of Hugging Face; an error if the caller asked for another."""
    if isinstance(given, Default):
        return expected
    name = given.lower() if isinstance(given, str) else ""
    model = MODELS.get(name, given)
    versions = [VERSIONS.get(one.split("_")[0]) for one in (name, expected)]
    fits = getattr(model, "model_type", None) == MODELS[expected].model_type
    if (inspect.isclass(model) and not fits) or (None not in versions and versions[0] != versions[1]):
        raise ValueError(
            f"model={name or given.__name__!r} contradicts {config_path}: its model_type {model_type!r} is "
            f"model={expected!r}. Leave model out"
        )
    return given


def read_file(config_path):
    """Content of a configuration file; {} if `config_path` is None."""
    if config_path is None:
        return {}
    with open(config_path, encoding="utf-8-sig") as file:  # some editors put a byte order mark first
        try:
            return dict(json.load(file))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{config_path}: expected a JSON configuration: {error}")


def known_arguments():
    """Names of the arguments that `build_transformer_model` accepts for every model."""
    aliases = [key for key, _ in CONFIG_ALIASES.values()]
    return [*inspect.signature(build_transformer_model).parameters, *REQUIRED, *CONFIG_ALIASES, *aliases]


def complete_configs(config_path, configs, overrides):
    """Arguments of the model classes, from a configuration and the keyword arguments that replace its values."""
    configs = dict(configs, **overrides)
    for argument, (key, default) in CONFIG_ALIASES.items():
        configs.setdefault(argument, configs.get(key, default))
    missing = [key for key in REQUIRED if key not in configs]
    if missing:
        raise ValueError(
            f"{config_path or 'build_transformer_model'}: the configuration lacks {', '.join(missing)}. "
            "Add it to the file or pass it to build_transformer_model."
        )
    return configs
