"""Which variables a released checkpoint holds: [(name, shape)], from its configuration.

Written from the releases, not from the library's weight tables: a mistake there must not cancel itself here.
"""


def release_variables(release):
    """All variables of a release, with the optimizer's where it has them."""
    variables = [
        (name, shape)
        for name, shape in bert_variables(release.config)
        if not any(part in name for part in release.without)
    ]
    if release.slots:
        variables += [("%s/%s" % (name, slot), shape) for name, shape in variables for slot in release.slots]
        variables.append(("global_step", ()))
    return variables


def bert_variables(config):
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    embedding = config.get("embedding_size", hidden)
    keys = config["num_attention_heads"] * config.get(
        "attention_key_size", hidden // config["num_attention_heads"]
    )
    variables = [
        ("bert/embeddings/word_embeddings", (config["vocab_size"], embedding)),
        ("bert/embeddings/token_type_embeddings", (config["type_vocab_size"], embedding)),
        ("bert/embeddings/position_embeddings", (config["max_position_embeddings"], embedding)),
    ]
    variables += norm("bert/embeddings/LayerNorm", embedding)
    if embedding != hidden:
        variables += dense("bert/encoder/embedding_hidden_mapping_in", embedding, hidden)
    for i in range(config["num_hidden_layers"]):
        layer = "bert/encoder/layer_%d" % i
        variables += dense(layer + "/attention/self/query", hidden, keys)
        variables += dense(layer + "/attention/self/key", hidden, keys)
        variables += dense(layer + "/attention/self/value", hidden, hidden)
        variables += dense(layer + "/attention/output/dense", hidden, hidden)
        variables += norm(layer + "/attention/output/LayerNorm", hidden)
        variables += dense(layer + "/intermediate/dense", hidden, inner)
        variables += dense(layer + "/output/dense", inner, hidden)
        variables += norm(layer + "/output/LayerNorm", hidden)
    variables += dense("bert/pooler/dense", hidden, hidden)
    variables += dense("cls/predictions/transform/dense", hidden, embedding)
    variables += norm("cls/predictions/transform/LayerNorm", embedding)
    variables += [
        ("cls/predictions/output_bias", (config["vocab_size"],)),
        ("cls/seq_relationship/output_weights", (2, hidden)),
        ("cls/seq_relationship/output_bias", (2,)),
    ]
    return variables


def dense(name, inputs, outputs):
    return [(name + "/kernel", (inputs, outputs)), (name + "/bias", (outputs,))]


def norm(name, size):
    return [(name + "/beta", (size,)), (name + "/gamma", (size,))]
