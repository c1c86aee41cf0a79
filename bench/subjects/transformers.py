"""transformers on PyTorch, attention by SDPA; "compiled" is torch.compile, "generate" has its cache of keys."""

import re

import numpy as np
import torch
import transformers

from bench.scenarios import CALL, COMPILED, GENERATE, LABELS, RATE, TRAIN
from bench.subjects import Unsupported
from bench.subjects.torch_functions import arrays, ready, to_device  # noqa: F401
from bench.weights import random_arrays

FORMAT, CHECK = "transformers", CALL

# Pattern of a variable's name → of a parameter's, the first that fits; kernels are turned around.
COMMON = [
    (r"(.*)/(?:kernel|gamma)", r"\1.weight"),
    (r"(.*)/(?:bias|beta)", r"\1.bias"),
    (r"(.*_embeddings)", r"\1.weight"),
]
NAMES = {
    "bert": [
        (r"cls/predictions/output_bias", "cls/predictions.bias"),
        (r"cls/seq_relationship/output_weights", "cls/seq_relationship.weight"),
        (r"cls/seq_relationship/output_bias", "cls/seq_relationship.bias"),
    ],
    "albert": [
        (r"bert/embeddings/(\w+_embeddings)", r"embeddings/\1.weight"),
        (r"bert/(.*)/group_0/inner_group_0/(.*)", r"\1/\2"),
        (r"bert/(.*)", r"\1"),
    ],
    "roformer": [(r"bert/(.*)", r"\1")],
}
PARTS = {
    "albert": [
        ("encoder/transformer/", "encoder/albert_layer_groups/0/albert_layers/0/"),
        ("attention_1/self/", "attention/"),
        ("attention_1/output/dense", "attention/dense"),
        ("0/LayerNorm_1", "0/full_layer_layer_norm"),
        ("0/LayerNorm", "0/attention/LayerNorm"),
        ("ffn_1/intermediate/output/dense", "ffn_output"),
        ("ffn_1/intermediate/dense", "ffn"),
    ],
    "bert": [("layer_", "layer/")],
    "roformer": [("layer_", "layer/")],
}
T5_PARTS = [
    (r"shared/embedding", "shared.weight"),
    (r"/block_0*(\d+)/layer_0*(\d+)/", r".block.\1.layer.\2."),
    (r"/final_layer_norm/scale", ".final_layer_norm.weight"),
    (r"layer_norm/scale", "layer_norm.weight"),
    (r"SelfAttention/relative_attention_bias", "SelfAttention.relative_attention_bias.weight"),
    (r"Attention/([qkvo])$", r"Attention.\1.weight"),
    (r"DenseReluDense/(\w+)/kernel", r"DenseReluDense.\1.weight"),
]


def family(scenario):
    model = scenario.arguments.get("model", "bert")
    if model == "nezha":
        raise Unsupported("transformers has no NEZHA any more")
    if scenario.arguments.get("application") == "unilm":
        raise Unsupported("transformers has no UniLM")
    return "t5" if model.startswith("t5") else model


def configuration(scenario):
    """The configuration of transformers that computes what the reference does."""
    sizes, kind = scenario.release.config, family(scenario)
    if kind == "gpt2":
        return transformers.GPT2Config(
            vocab_size=sizes["vocab_size"],
            n_positions=sizes["max_position_embeddings"],
            n_embd=sizes["hidden_size"],
            n_layer=sizes["num_hidden_layers"],
            n_head=sizes["num_attention_heads"],
            n_inner=sizes["intermediate_size"],
            activation_function="gelu",  # the erf form
            layer_norm_epsilon=1e-5,
            bos_token_id=None,
            eos_token_id=None,
        )
    if kind == "t5":
        return transformers.T5Config(
            vocab_size=sizes["vocab_size"],
            d_model=sizes["hidden_size"],
            d_kv=sizes["attention_head_size"],
            d_ff=sizes["intermediate_size"],
            num_layers=sizes["num_hidden_layers"],
            num_heads=sizes["num_attention_heads"],
            feed_forward_proj=sizes["hidden_act"],
            decoder_start_token_id=0,
            pad_token_id=0,
            eos_token_id=None,
        )
    names = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    names += ("max_position_embeddings", "type_vocab_size", "hidden_act")
    arguments = {name: sizes[name] for name in names if name in sizes}
    if "embedding_size" in sizes:
        arguments["embedding_size"] = sizes["embedding_size"]
    kinds = {
        "bert": transformers.BertConfig,
        "albert": transformers.AlbertConfig,
        "roformer": transformers.RoFormerConfig,
    }
    return kinds[kind](
        layer_norm_eps=1e-12, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **arguments
    )


def whole_model(scenario):
    """The class whose parameters are all variables of the release that scenarios need."""
    return {
        "bert": transformers.BertForPreTraining,
        "albert": transformers.AlbertModel,
        "roformer": transformers.RoFormerModel,
        "gpt2": transformers.GPT2LMHeadModel,
        "t5": transformers.T5ForConditionalGeneration,
    }[family(scenario)]


def measured_model(scenario):
    if "with_nsp" in scenario.arguments:
        return transformers.BertForNextSentencePrediction
    if family(scenario) == "bert":
        return transformers.BertModel
    return (
        transformers.T5EncoderModel
        if not scenario.new_tokens and family(scenario) == "t5"
        else whole_model(scenario)
    )


def parameter(kind, name, value):
    """(parameter's name, its value) of a variable."""
    if (
        name.endswith("kernel")
        and kind != "gpt2"
        or kind == "t5"
        and value.ndim == 2
        and "shared" not in name
    ):
        value = value.T
    if kind == "t5":
        for pattern, to in T5_PARTS:
            name = re.sub(pattern, to, name)
        return name, value
    for pattern, to in NAMES.get(kind, []):
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, to, name)
            break
    for part, to in PARTS[kind]:
        name = name.replace(part, to)
    for pattern, to in COMMON:
        if re.fullmatch(pattern, name):
            name = re.sub(pattern, to, name)
            break
    return name.replace("/", "."), value


def gpt2_parameters(variables):
    """GPT-2 has queries, keys and values in one kernel; ours are those of CPM-LM."""
    parts = {
        "attention/input/LayerNorm/gamma": "ln_1.weight",
        "attention/input/LayerNorm/beta": "ln_1.bias",
        "attention/output/dense/kernel": "attn.c_proj.weight",
        "attention/output/dense/bias": "attn.c_proj.bias",
        "input/LayerNorm/gamma": "ln_2.weight",
        "input/LayerNorm/beta": "ln_2.bias",
        "intermediate/dense/kernel": "mlp.c_fc.weight",
        "intermediate/dense/bias": "mlp.c_fc.bias",
        "output/dense/kernel": "mlp.c_proj.weight",
        "output/dense/bias": "mlp.c_proj.bias",
    }
    whole = {
        "gpt/embeddings/word_embeddings": "transformer.wte.weight",
        "gpt/embeddings/position_embeddings": "transformer.wpe.weight",
        "gpt/output/LayerNorm/gamma": "transformer.ln_f.weight",
        "gpt/output/LayerNorm/beta": "transformer.ln_f.bias",
    }
    for name, to in whole.items():
        yield to, variables[name]
    layers = sum("intermediate/dense/bias" in name for name in variables)
    for i in range(layers):
        here, there = "gpt/transformer/layer_%d/" % i, "transformer.h.%d." % i
        for name, to in parts.items():
            yield there + to, variables[here + name]
        for kind, to in (("kernel", "weight"), ("bias", "bias")):
            three = [
                arrays[here + "attention/self/%s/%s" % (part, kind)] for part in ("query", "key", "value")
            ]
            yield there + "attn.c_attn." + to, np.concatenate(three, axis=-1)


def convert(scenario, folder):
    """Every parameter has to come out of a variable."""
    kind = family(scenario)
    model = whole_model(scenario)(configuration(scenario))
    if kind == "gpt2":
        found = dict(gpt2_parameters(dict(random_arrays(scenario.release))))
    else:
        found = dict(parameter(kind, name, value) for name, value in random_arrays(scenario.release))
    missing = [name for name, _ in model.named_parameters() if name not in found and "pooler" not in name]
    if missing:
        raise ValueError("no variable for the parameters %s" % missing[:5])
    with torch.no_grad():
        for name, one in model.named_parameters():
            if name in found:
                one.copy_(torch.tensor(found[name]))
    model.save_pretrained(str(folder / "model"))


def load(scenario, folder):
    model = measured_model(scenario).from_pretrained(
        str(folder / "model"), attn_implementation="sdpa", dtype=torch.float32
    )
    return to_device(model.eval())


def feed(model, mode, inputs):
    names = ("input_ids", "token_type_ids")
    values = {name: to_device(torch.tensor(value, dtype=torch.long)) for name, value in zip(names, inputs)}
    values["attention_mask"] = (values["input_ids"] != 0).long()
    return values


def function(model, scenario, mode):
    if mode == GENERATE:
        return generate(model, scenario)
    if mode == TRAIN:
        return train(model)
    if mode not in (CALL, COMPILED):
        raise Unsupported("transformers has no predict")
    base = model.bert if "with_nsp" in scenario.arguments else model
    called = torch.compile(base) if mode == COMPILED else base
    return ready(lambda feed: [called(**feed).last_hidden_state])


def generate(model, scenario):
    def run(feed):
        ids = model.generate(**feed, max_new_tokens=scenario.new_tokens, do_sample=False, pad_token_id=0)
        return [ids[:, -scenario.new_tokens :]]

    return ready(run)


def train(model):
    """One step of SGD. transformers' own label 0 says that the second sentence follows, output 0, as in ours."""
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    labels = to_device(torch.tensor(LABELS))

    def step(feed):
        optimizer.zero_grad()
        loss = model(**feed, labels=labels).loss
        loss.backward()
        optimizer.step()
        return loss.item()

    return step
