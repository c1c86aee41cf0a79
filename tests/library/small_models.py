"""One small model of every class, and what to feed it; for tests that say the same of all."""

import numpy as np

from bert4keras3 import models, ops
from parity.adapter import input_name, listed

SIZES = dict(
    vocab_size=600,  # more ids than bfloat16 has whole numbers
    hidden_size=8,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=16,
    hidden_act="gelu",
    max_position_embeddings=24,
)
# A BERT that is quick to build and to compile, with few ids and positions to go beyond.
TINY = dict(
    vocab_size=50,
    hidden_size=16,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=32,
    hidden_act="gelu",
    max_position=24,
)
MODELS = {
    "bert": dict(with_nsp=True, with_mlm=True),
    "bert-unilm": dict(application="unilm"),
    "albert": dict(model="albert", embedding_size=4, with_mlm=True),
    "albert_unshared": dict(model="albert_unshared", with_pool=True),
    "distilbert": dict(model="distilbert", with_mlm=True),
    "fb_roberta": dict(model="fb_roberta", max_position=26, segment_vocab_size=1, with_mlm=True),
    "electra_generator": dict(model="electra_generator", embedding_size=4, with_mlm=True),
    "nezha": dict(model="nezha", application="lm"),
    "roformer": dict(model="roformer", with_mlm="linear"),
    "roformer_v2": dict(model="roformer_v2", with_mlm=True),
    "electra": dict(model="electra", with_discriminator=True),
    "gpt": dict(model="gpt"),
    "gpt2": dict(model="gpt2"),
    "gpt2_ml": dict(model="gpt2_ml"),
    "gau_alpha": dict(model="gau_alpha", hidden_act="swish", attention_key_size=4),
    "t5": dict(model="t5.1.0"),
    "t5.1.1": dict(model="t5.1.1", hidden_act=["gelu", "linear"]),
    "umt5": dict(model="umt5", hidden_act=["gelu", "linear"], cross_position_bias=False),
    "t5-encoder": dict(model="t5.1.0_encoder"),
    "t5-decoder": dict(model="t5.1.0_decoder"),
}
CLASSES = {models.MODELS[arguments.get("model", "bert")] for arguments in MODELS.values()}
assert CLASSES == set(models.MODELS.values()), "a model class is missing here"


def build(name, **arguments):
    return models.build_transformer_model(**dict(SIZES, **dict(MODELS[name], **arguments)))


def inputs_of(model, tokens):
    """Values of the inputs by their names: these token ids (batch, length), the second half as segment 1."""
    values = []
    for tensor in model.inputs:
        name = input_name(tensor)
        if name.endswith("Segment"):
            values.append(np.tile(np.arange(tokens.shape[1]) >= tokens.shape[1] // 2, (len(tokens), 1)))
        elif name == "Input-Context":
            numbers = np.sin(np.arange(tokens.shape[1] * SIZES["hidden_size"]))
            values.append(np.tile(numbers.reshape(1, tokens.shape[1], -1), (len(tokens), 1, 1)))
        else:
            values.append(tokens)
    return [np.asarray(value, "float32") for value in values]


def outputs_of(model, tokens):
    """Outputs as a list of arrays, of half precision as float32."""
    values = inputs_of(model, tokens)
    outputs = model.predict_on_batch(values if len(values) > 1 else values[0])
    return [np.asarray(output, "float32") for output in listed(outputs)]


def call(model, tokens):
    """Outputs as a list of tensors, not compiled, on a Keras that computes at once."""
    values = [ops.convert_to_tensor(value) for value in inputs_of(model, tokens)]
    return listed(model(values if len(values) > 1 else values[0]))
