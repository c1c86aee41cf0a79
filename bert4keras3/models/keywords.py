"""Checks the keywords of `build_transformer_model`: unknown ones are an error if misspelt, else a warning.

Unknown keys of a configuration file are ignored, because releases have many that no model needs.
"""

from __future__ import annotations

import difflib
import inspect
import logging
from typing import Any, Iterable, Iterator

from bert4keras3.generation.legacy_cache_model import OPTION_NAMES
from bert4keras3.transformers import Transformer

logger = logging.getLogger("bert4keras3")

# Keys of released configurations that no model reads; users pass them with `**json.load(file)`.
CONFIG_KEYS = set(
    """
    architectures attention_head_size bos_token_id classifier_dropout classifier_dropout_prob decoder_start_token_id
    directionality do_sample down_scale_factor eos_token_id finetuning_task gap_size gradient_checkpointing id2label
    initializer_factor initializer_range inner_group_num is_decoder is_encoder_decoder label2id language
    layer_norm_eps layer_norm_epsilon layer_norm_type ln_type max_relative_position model_type n_ctx n_embd n_head
    n_layer n_positions net_structure_type num_hidden_groups num_labels num_memory_blocks output_attentions
    output_hidden_states output_past pad_token_id pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
    pooler_size_per_head pooler_type position_embedding_type pruned_heads rotary_value shared_segment_embeddings
    summary_activation summary_first_dropout summary_last_dropout summary_type summary_use_proj
    task_specific_params tie_word_embeddings tokenizer_class torch_dtype torchscript transformers_version
    use_bfloat16 use_cache use_relative_position vocab_file
    """.split()
)


def check_keywords(model: type, keywords: Iterable[str], known: Iterable[str]) -> None:
    """Find the keywords that a model class does not accept, and log a warning for each.

    Args:
        model: class of the Transformer.
        keywords: names that the caller passed.
        known: names that every model accepts.

    Raises:
        ValueError: a keyword is similar to a known name, so it is probably misspelt.
    """
    parameters = set(known) | set(OPTION_NAMES)
    mentioned: set[str] = set()
    for function in functions_of(model, set()):
        parameters.update(parameters_of(function))
        mentioned.update(strings_of(function.__code__.co_consts))
        for cell in function.__closure__ or ():  # of a decorator such as insert_arguments
            if isinstance(cell.cell_contents, (dict, list, set, tuple)):
                mentioned.update(one for one in cell.cell_contents if isinstance(one, str))
    for name in keywords:
        if name in parameters or name in mentioned or name in CONFIG_KEYS or name.startswith("_"):
            continue
        near = difflib.get_close_matches(name, sorted(parameters), n=1, cutoff=0.8)
        if near:
            raise ValueError(
                f"build_transformer_model: {model.__name__} takes no {name!r}. Is it {near[0]!r}? A class of yours "
                "takes it as an argument of its __init__ or build"
            )
        logger.warning("build_transformer_model: %s takes no %r, which is ignored.", model.__name__, name)


def functions_of(model: type, seen: set[type]) -> Iterator[Any]:
    """`__init__` and `build` of a class, its bases and the models that they create, without their decorators."""
    for base in model.__mro__:
        if base in seen:
            continue
        seen.add(base)
        for method in ("__init__", "build"):
            function = vars(base).get(method)
            while inspect.isfunction(function):
                yield function
                for name in function.__code__.co_names:
                    part = function.__globals__.get(name)
                    if inspect.isclass(part) and issubclass(part, Transformer):
                        yield from functions_of(part, seen)
                function = getattr(function, "__wrapped__", None)


def parameters_of(function: Any) -> Iterator[str]:
    """Names of the parameters of a function, without *args and **kwargs."""
    code = function.__code__
    yield from code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]


def strings_of(item: Any) -> Iterator[str]:
    """Strings in constants and in nested code: `kwargs.pop("name")` means that a method reads the argument."""
    if isinstance(item, str):
        yield item
    elif isinstance(item, (frozenset, tuple)):
        for one in item:
            yield from strings_of(one)
    elif inspect.iscode(item):
        yield from strings_of(item.co_consts)
