"""keras-hub on the backends of Keras 3: BERT and GPT-2, with their activation set to the erf form of GELU.

Without this its BERT computes the tanh form. That is wrong for the weights of Google BERT: 2.3e-4 off, 500 times the
noise of float32. The constructor has no argument for it. The GPT-2 here is CPM's, with erf too.
"""

import keras
import keras_hub
import numpy as np

from bench.implementations import Unsupported, keras_models
from bench.scenarios import CALL, COMPILED, GENERATE, PREDICT, TRAIN
from bench.weights import random_arrays

FORMAT, CHECK = "keras-hub", PREDICT
WEIGHTS = "model.weights.h5"
SUPPORTED = "of keras-hub, BERT as an encoder and GPT-2 are measured"
# Parts of a layer in keras-hub, and in the checkpoint of each model.
BERT = {
    "self_attention_layer/query": "attention/self/query",
    "self_attention_layer/key": "attention/self/key",
    "self_attention_layer/value": "attention/self/value",
    "self_attention_layer/attention_output": "attention/output/dense",
    "self_attention_layer_norm": "attention/output/LayerNorm",
    "feedforward_intermediate_dense": "intermediate/dense",
    "feedforward_output_dense": "output/dense",
    "feedforward_layer_norm": "output/LayerNorm",
}
GPT2 = {
    name.replace("attention_layer/", "attention/"): part.replace("output/L", "input/L")
    for name, part in BERT.items()
}
LAYERS = {"bert": BERT, "gpt2": GPT2}
OTHERS = {
    "token_embedding/embeddings": "embeddings/word_embeddings",
    "position_embedding/embeddings": "embeddings/position_embeddings",
    "position_embedding/position_embedding/embeddings": "embeddings/position_embeddings",
    "segment_embedding/embeddings": "embeddings/token_type_embeddings",
    "embeddings_layer_norm/gamma": "embeddings/LayerNorm/gamma",
    "embeddings_layer_norm/beta": "embeddings/LayerNorm/beta",
    "pooled_dense/kernel": "pooler/dense/kernel",
    "pooled_dense/bias": "pooler/dense/bias",
    "layer_norm/gamma": "output/LayerNorm/gamma",
    "layer_norm/beta": "output/LayerNorm/beta",
}


def family(scenario):
    """Name of the model in LAYERS."""
    if scenario.arguments.get("model") == "gpt2":
        return "gpt2"
    if scenario.release.system != "google_bert" or scenario.arguments.get("model") or scenario.new_tokens:
        raise Unsupported(SUPPORTED)
    return "bert"


def backbone(scenario):
    sizes, kind = scenario.release.config, family(scenario)
    arguments = dict(
        vocabulary_size=sizes["vocab_size"],
        num_layers=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        hidden_dim=sizes["hidden_size"],
        intermediate_dim=sizes["intermediate_size"],
        dropout=0.0,
        max_sequence_length=sizes["max_position_embeddings"],
    )
    if kind == "gpt2":
        model = keras_hub.models.GPT2Backbone(**arguments)
    else:
        model = keras_hub.models.BertBackbone(num_segments=sizes["type_vocab_size"], **arguments)
    for layer in model.transformer_layers:
        layer._feedforward_intermediate_dense.activation = keras.activations.gelu
    return model


def variable_name(kind, path):
    """Name in the checkpoint of a variable by its path in keras-hub."""
    layer, _, rest = path.partition("/")
    part, _, last = rest.rpartition("/")
    if layer.startswith("transformer_layer_"):
        inside = f"layer_{layer.split('_')[-1]}/{LAYERS[kind][part]}/{last}"
        return {"bert": "bert/encoder/", "gpt2": "gpt/transformer/"}[kind] + inside
    return {"bert": "bert/", "gpt2": "gpt/"}[kind] + OTHERS[path]


def convert(scenario, folder):
    model, arrays = backbone(scenario), dict(random_arrays(scenario.release))
    for one in model.weights:
        one.assign(arrays[variable_name(family(scenario), one.path)].reshape(one.shape))
    model.save_weights(str(folder / WEIGHTS))


def load(scenario, folder):
    model = backbone(scenario)
    model.load_weights(str(folder / WEIGHTS))
    return model


def function(model, scenario, mode):
    if mode == TRAIN:
        raise Unsupported(SUPPORTED)
    if mode == GENERATE:
        return generate(model, scenario)
    hidden = keras.Model(model.input, model.output["sequence_output"])
    return keras_models.model_function(keras, hidden, mode)


def generate(model, scenario):
    generator = keras_hub.models.GPT2CausalLM(model, preprocessor=None)
    generator.compile(sampler="greedy")

    def run(feed):
        room = [(0, 0), (0, scenario.new_tokens)]
        padded = {name: np.pad(feed[name], room) for name in ("token_ids", "padding_mask")}
        ids = generator.generate(padded, stop_token_ids=None)["token_ids"]
        return [np.asarray(ids)[:, -scenario.new_tokens :]]

    return run


def feed(model, mode, inputs):
    token_ids, segment_ids = inputs[0], inputs[-1]
    values = dict(
        token_ids=token_ids, segment_ids=segment_ids, padding_mask=(token_ids != 0).astype(np.int32)
    )
    if mode in (CALL, COMPILED):
        return {name: keras_models.convert(keras.config.backend(), value) for name, value in values.items()}
    return values


arrays = keras_models.arrays
