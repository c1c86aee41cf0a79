"""Names of variables in released checkpoints → names of parameters in transformers."""

import re

import numpy as np

# Pattern of a variable's name → of a parameter's, the first that fits; kernels are transposed.
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


def parameter(kind, name, value):
    """(parameter's name, its value) of a variable."""
    if name.endswith("kernel") or kind == "t5" and value.ndim == 2 and "shared" not in name:
        value = value.T
    if kind == "t5":
        for pattern, to in T5_PARTS:
            name = re.sub(pattern, to, name)
        return name, value
    name = first_replaced(NAMES[kind], name)
    for part, to in PARTS[kind]:
        name = name.replace(part, to)
    return first_replaced(COMMON, name).replace("/", "."), value


def first_replaced(patterns, name):
    """The name by the first pattern that fits it, or as it is."""
    return next((re.sub(pattern, to, name) for pattern, to in patterns if re.fullmatch(pattern, name)), name)


def gpt2_parameters(variables):
    """GPT-2 has queries, keys and values in one kernel; ours are those of CPM-LM."""
    modules = {
        "attention/input/LayerNorm": "ln_1",
        "attention/output/dense": "attn.c_proj",
        "input/LayerNorm": "ln_2",
        "intermediate/dense": "mlp.c_fc",
        "output/dense": "mlp.c_proj",
    }
    parts = {}
    for module, to in modules.items():
        weight, bias = ("gamma", "beta") if "LayerNorm" in module else ("kernel", "bias")
        parts.update({f"{module}/{weight}": to + ".weight", f"{module}/{bias}": to + ".bias"})
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
        here, there = f"gpt/transformer/layer_{i}/", f"transformer.h.{i}."
        for name, to in parts.items():
            yield there + to, variables[here + name]
        for kind, to in (("kernel", "weight"), ("bias", "bias")):
            three = [variables[here + f"attention/self/{part}/{kind}"] for part in ("query", "key", "value")]
            yield there + "attn.c_attn." + to, np.concatenate(three, axis=-1)


def parameters(kind, variables):
    """{parameter's name: value} of all variables, (name, value) pairs."""
    if kind == "gpt2":
        return dict(gpt2_parameters(dict(variables)))
    return dict(parameter(kind, name, value) for name, value in variables)
