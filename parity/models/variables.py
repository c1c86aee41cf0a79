"""Which variables a released checkpoint holds: [(name, shape)], from its configuration.

Written from the releases, not from the library's weight tables: a mistake there must not cancel itself here.
"""

from functools import partial


def release_variables(release):
    """All variables of a release, with the optimizer's where it has them."""
    variables = [
        (name, shape)
        for name, shape in FAMILIES[release.family](release.config)
        if not any(part in name for part in release.without)
    ]
    if release.optimizer:
        slots = OPTIMIZERS[release.optimizer]
        variables += [slot for name, shape in variables for slot in slots(name, shape)]
        variables.append(("global_step", ()))
    return variables


def dense(name, inputs, outputs):
    return [(name + "/kernel", (inputs, outputs)), (name + "/bias", (outputs,))]


def norm(name, size):
    return [(name + "/beta", (size,)), (name + "/gamma", (size,))]


# BERT and what shares its names


def embeddings(prefix, config):
    size = config.get("embedding_size", config["hidden_size"])
    rows = {"word": config["vocab_size"], "token_type": config.get("type_vocab_size", 2)}
    rows["position"] = config.get("max_position_embeddings", 512)
    tables = [(f"{prefix}/embeddings/{name}_embeddings", (number, size)) for name, number in rows.items()]
    return tables + norm(prefix + "/embeddings/LayerNorm", size)


def attention(name, hidden, keys):
    sizes = {"self/query": keys, "self/key": keys, "self/value": hidden, "output/dense": hidden}
    return [one for part, size in sizes.items() for one in dense(f"{name}/{part}", hidden, size)]


def block(layer, hidden, inner, keys):
    return [
        *attention(layer + "/attention", hidden, keys),
        *norm(layer + "/attention/output/LayerNorm", hidden),
        *dense(layer + "/intermediate/dense", hidden, inner),
        *dense(layer + "/output/dense", inner, hidden),
        *norm(layer + "/output/LayerNorm", hidden),
    ]


def blocks(prefix, config, hidden=None, inner=None):
    hidden, inner = hidden or config["hidden_size"], inner or config["intermediate_size"]
    heads, keys = config["num_attention_heads"], hidden
    if hidden == config["hidden_size"]:
        keys = heads * config.get("attention_key_size", hidden // heads)
    layers = (f"{prefix}/layer_{i}" for i in range(config["num_hidden_layers"]))
    return [variable for layer in layers for variable in block(layer, hidden, inner, keys)]


def mapping_in(config):
    size, hidden = config.get("embedding_size", config["hidden_size"]), config["hidden_size"]
    return [] if size == hidden else dense("bert/encoder/embedding_hidden_mapping_in", size, hidden)


def heads(config):
    hidden = config["hidden_size"]
    size = config.get("embedding_size", hidden)
    return [
        *dense("bert/pooler/dense", hidden, hidden),
        *dense("cls/predictions/transform/dense", hidden, size),
        *norm("cls/predictions/transform/LayerNorm", size),
        ("cls/predictions/output_bias", (config["vocab_size"],)),
        ("cls/seq_relationship/output_weights", (2, hidden)),
        ("cls/seq_relationship/output_bias", (2,)),
    ]


def bert(config):
    return embeddings("bert", config) + mapping_in(config) + blocks("bert/encoder", config) + heads(config)


def albert(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    group = "bert/encoder/transformer/group_0/inner_group_0"
    variables = attention(group + "/attention_1", hidden, hidden) + norm(group + "/LayerNorm", hidden)
    variables += dense(group + "/ffn_1/intermediate/dense", hidden, inner)
    variables += dense(group + "/ffn_1/intermediate/output/dense", inner, hidden)
    variables += norm(group + "/LayerNorm_1", hidden)
    return embeddings("bert", config) + mapping_in(config) + variables + heads(config)


def gau_alpha(config):
    hidden, inner, keys = config["hidden_size"], config["intermediate_size"], config["attention_key_size"]
    variables = embeddings("bert", config)[:2]
    for i in range(config["num_hidden_layers"]):
        layer = f"GAU_alpha/encoder/layer_{i}/gau"
        variables += [
            (layer + "/i_dense/kernel", (hidden, 2 * inner + keys)),
            (layer + "/q_scaleoffset/gamma", (keys,)),
            (layer + "/k_scaleoffset/gamma", (keys,)),
            (layer + "/o_dense/kernel", (inner, hidden)),
        ]
    return variables


def electra(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    size = config.get("embedding_size", hidden)
    small = hidden // 4  # of the generator
    variables = embeddings("electra", config) + blocks("electra/encoder", config)
    for name, width in (("electra", hidden), ("generator", small)):
        if size != width:
            variables += dense(name + "/embeddings_project", size, width)
    return [
        *variables,
        *blocks("generator/encoder", config, small, inner // 4),
        *dense("generator_predictions/dense", small, size),
        *norm("generator_predictions/LayerNorm", size),
        ("generator_predictions/output_bias", (config["vocab_size"],)),
        *dense("discriminator_predictions/dense", hidden, hidden),
        *dense("discriminator_predictions/dense_1", hidden, 1),
    ]


# Language models


def gpt(config):
    tables = [variable for variable in embeddings("gpt", config) if "LayerNorm" not in variable[0]]
    return tables + blocks("gpt/transformer", config)


def cpm(config):
    variables = [(name.replace("output/L", "input/L"), shape) for name, shape in gpt(config)]
    variables = [one for one in variables if "token_type" not in one[0]]
    return variables + norm("gpt/output/LayerNorm", config["hidden_size"])


def gpt2_ml(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    variables = [
        ("newslm/embeddings/word_embed", (config["vocab_size"], hidden)),
        ("newslm/embeddings/pos_embed", (config["max_position_embeddings"], hidden)),
    ]
    variables += norm("newslm/embeddings/LayerNorm_embed_norm", hidden)
    for i in range(config["num_hidden_layers"]):
        layer = f"newslm/layer{i:02d}/"
        for part in ("query_layer", "key_layer", "value_layer", "context_projection_layer"):
            variables += dense(layer + part, hidden, hidden)
        variables += norm(layer + "LayerNorm_mlp_ln0", hidden) + norm(layer + "LayerNorm_mlp_ln1", hidden)
        variables += dense(layer + "intermediate", hidden, inner) + dense(layer + "output", inner, hidden)
    return variables


# T5


def t5(config, gated=False, norm_name="layer_norm", final_norm="final_layer_norm"):
    hidden, inner, heads = (
        config[name] for name in ("hidden_size", "intermediate_size", "num_attention_heads")
    )
    width = heads * config.get("attention_head_size", hidden // heads)
    variables = [("shared/embedding", (config["vocab_size"], hidden))]
    if gated:
        variables.append(("decoder/logits/kernel", (hidden, config["vocab_size"])))
    for side, parts in (("encoder", ["SelfAttention"]), ("decoder", ["SelfAttention", "EncDecAttention"])):
        first = side + "/block_000/layer_000/SelfAttention/relative_attention_bias"
        variables += [(first, (heads, 32)), (f"{side}/{final_norm}/scale", (hidden,))]
        for i in range(config["num_hidden_layers"]):
            for number, part in enumerate([*parts, "DenseReluDense"]):
                layer = f"{side}/block_{i:03d}/layer_{number:03d}/"
                if part == "DenseReluDense":
                    kernels = {
                        f"{name}/kernel": (hidden, inner) for name in (("wi_0", "wi_1") if gated else ("wi",))
                    }
                    kernels["wo/kernel"] = (inner, hidden)
                else:
                    kernels = {**dict.fromkeys("qkv", (hidden, width)), "o": (width, hidden)}
                variables += [(f"{layer}{part}/{name}", shape) for name, shape in kernels.items()]
                variables.append((f"{layer}{norm_name}/scale", (hidden,)))
    return variables


FAMILIES = {
    "bert": bert,
    "albert": albert,
    "gau_alpha": gau_alpha,
    "electra": electra,
    "gpt": gpt,
    "cpm": cpm,
    "gpt2_ml": gpt2_ml,
    "t5": t5,
    "t5.1.1": partial(t5, gated=True),
    "mt5": partial(t5, gated=True, norm_name="rms_norm", final_norm="rms_norm"),
}


# Slots that an optimizer left in the file


def moments(optimizer):
    return lambda name, shape: [(f"{name}/{optimizer}_{moment}", shape) for moment in "mv"]


def adafactor(pattern):
    """Row and column statistics of matrices, full statistics of vectors."""

    def slots(name, shape):
        if len(shape) == 2:
            return [(pattern % (name, "vr"), shape[:1]), (pattern % (name, "vc"), shape[1:])]
        return [(pattern % (name, "v"), shape)]

    return slots


OPTIMIZERS = {
    "adam": moments("adam"),
    "lamb": moments("lamb"),
    "adafactor": adafactor("%s/adafactor_%s"),
    "adafactor_of_t5": adafactor("%s_slot_%s"),
}
