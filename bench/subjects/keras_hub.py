"""keras-hub on the backends of Keras 3: BERT, with its activation set to the erf form of GELU.

As it is shipped it computes the tanh form, which is wrong for the weights of Google's BERT (2.3e-4 off, 500 times
float32's noise), and its constructor has no argument for it.
"""

import keras
import keras_hub
import numpy as np

from bench.scenarios import CALL, COMPILED, GENERATE, PREDICT, TRAIN
from bench.subjects import Unsupported, keras_models
from bench.weights import random_arrays

FORMAT, CHECK = "keras-hub", PREDICT
WEIGHTS = "model.weights.h5"
EMBEDDINGS = {"token": "word", "position": "position", "segment": "token_type"}
LAYERS = {
    "self_attention_layer/query": "attention/self/query",
    "self_attention_layer/key": "attention/self/key",
    "self_attention_layer/value": "attention/self/value",
    "self_attention_layer/attention_output": "attention/output/dense",
    "self_attention_layer_norm": "attention/output/LayerNorm",
    "feedforward_intermediate_dense": "intermediate/dense",
    "feedforward_output_dense": "output/dense",
    "feedforward_layer_norm": "output/LayerNorm",
}


def backbone(scenario):
    if scenario.release.system != "google_bert" or scenario.arguments.get("model") or scenario.new_tokens:
        raise Unsupported("of keras-hub, BERT as an encoder is measured")
    sizes = scenario.release.config
    model = keras_hub.models.BertBackbone(
        vocabulary_size=sizes["vocab_size"],
        num_layers=sizes["num_hidden_layers"],
        num_heads=sizes["num_attention_heads"],
        hidden_dim=sizes["hidden_size"],
        intermediate_dim=sizes["intermediate_size"],
        dropout=0.0,
        max_sequence_length=sizes["max_position_embeddings"],
        num_segments=sizes["type_vocab_size"],
    )
    for layer in model.transformer_layers:
        layer._feedforward_intermediate_dense.activation = keras.activations.gelu
    return model


def variable_name(path):
    """Name in a Google-BERT checkpoint of a variable by its path in keras-hub."""
    layer, _, rest = path.partition("/")
    part, _, kind = rest.rpartition("/")
    if layer.startswith("transformer_layer_"):
        return "bert/encoder/layer_%s/%s/%s" % (layer.split("_")[-1], LAYERS[part], kind)
    if layer == "embeddings_layer_norm":
        return "bert/embeddings/LayerNorm/" + rest
    if layer == "pooled_dense":
        return "bert/pooler/dense/" + rest
    return "bert/embeddings/%s_embeddings" % EMBEDDINGS[layer.split("_")[0]]


def convert(scenario, folder):
    model, arrays = backbone(scenario), dict(random_arrays(scenario.release))
    for one in model.weights:
        one.assign(arrays[variable_name(one.path)].reshape(one.shape))
    model.save_weights(str(folder / WEIGHTS))


def load(scenario, folder):
    model = backbone(scenario)
    model.load_weights(str(folder / WEIGHTS))
    return model


def function(model, scenario, mode):
    if mode in (GENERATE, TRAIN):
        raise Unsupported("of keras-hub, BERT as an encoder is measured")
    hidden = keras.Model(model.input, model.output["sequence_output"])
    return keras_models.model_function(keras, hidden, mode)


def feed(model, mode, inputs):
    names = ("token_ids", "segment_ids", "padding_mask")
    values = dict(zip(names, inputs + [(inputs[0] != 0).astype(np.int32)]))
    if mode in (CALL, COMPILED):
        return {name: keras_models.convert(keras.config.backend(), value) for name, value in values.items()}
    return values


arrays = keras_models.arrays
