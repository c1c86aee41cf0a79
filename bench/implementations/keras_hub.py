"""keras-hub on the backends of Keras 3: BERT and GPT-2, as released and with the erf form of GELU.

Its BERT computes the tanh form, and the constructor has no argument for it. That is wrong for the weights of Google
BERT: 2.3e-4 off, 500 times the noise of float32. The GPT-2 here is CPM's, with erf too.
"""

import keras
import keras_hub
import numpy as np

from bench.implementations import Unsupported, keras_models
from bench.implementations.adapter import Adapter
from bench.scenarios import CALL, COMPILED, GENERATE, PREDICT, TRAIN

SUPPORTED = "of keras-hub, the hidden states of Google BERT and the ids of GPT-2 are compared"
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
    model, config = scenario.arguments.get("model", "bert"), scenario.config
    if model == "gpt2" and scenario.new_tokens:
        return "gpt2"
    is_bert = model == "bert" and not scenario.arguments and scenario.build == "plain"
    if not is_bert or scenario.new_tokens or "embedding_size" in config or "attention_key_size" in config:
        raise Unsupported(SUPPORTED)
    return "bert"


def backbone(scenario):
    sizes, kind = scenario.config, family(scenario)
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
        return keras_hub.models.GPT2Backbone(**arguments)
    return keras_hub.models.BertBackbone(num_segments=sizes["type_vocab_size"], **arguments)


def variable_name(kind, path):
    """Name in the checkpoint of a variable by its path in keras-hub."""
    layer, _, rest = path.partition("/")
    part, _, last = rest.rpartition("/")
    if layer.startswith("transformer_layer_"):
        inside = f"layer_{layer.split('_')[-1]}/{LAYERS[kind][part]}/{last}"
        return {"bert": "bert/encoder/", "gpt2": "gpt/transformer/"}[kind] + inside
    return {"bert": "bert/", "gpt2": "gpt/"}[kind] + OTHERS[path]


class KerasHubAsReleased(Adapter):
    FORMAT, CHECK, WEIGHTS = "keras-hub", PREDICT, "model.weights.h5"

    def convert(self, scenario, folder):
        model, arrays = backbone(scenario), scenario.weights
        for one in model.weights:
            one.assign(arrays[variable_name(family(scenario), one.path)].reshape(one.shape))
        model.save_weights(str(folder / self.WEIGHTS))

    def load(self, scenario, folder):
        self.scenario, self.model = scenario, backbone(scenario)
        self.model.load_weights(str(folder / self.WEIGHTS))

    def function(self, mode):
        if mode == TRAIN:
            raise Unsupported(SUPPORTED)
        if mode == GENERATE:
            return self.generate()
        hidden = keras.Model(self.model.input, self.model.output["sequence_output"])
        return keras_models.model_function(keras, hidden, mode)

    def layers(self, inputs):
        """Outputs of the blocks."""
        outputs = [layer.output for layer in self.model.transformer_layers]
        names = [f"Transformer-{i}-FeedForward-Norm" for i in range(len(outputs))]
        found = keras.Model(self.model.input, outputs).predict(self.feed(PREDICT, inputs), verbose=0)
        return dict(zip(names, found if len(names) > 1 else [found]))

    def generate(self):
        generator = keras_hub.models.GPT2CausalLM(self.model, preprocessor=None)
        generator.compile(sampler="greedy")
        new_tokens = self.scenario.new_tokens

        def run(feed):
            room = [(0, 0), (0, new_tokens)]
            padded = {name: np.pad(feed[name], room) for name in ("token_ids", "padding_mask")}
            ids = generator.generate(padded, stop_token_ids=None)["token_ids"]
            return [np.asarray(ids)[:, -new_tokens:]]

        return run

    def feed(self, mode, inputs):
        token_ids, segment_ids = inputs[0], inputs[-1]
        mask = (token_ids != 0).astype(np.int32)
        mask[:, 0] = 1  # as in bert4keras, which never masks the first token
        values = dict(token_ids=token_ids, segment_ids=segment_ids, padding_mask=mask)
        if mode in (CALL, COMPILED):
            name = keras.config.backend()
            return {key: keras_models.convert(name, value) for key, value in values.items()}
        return values

    def arrays(self, outputs):
        return keras_models.arrays(outputs)


class KerasHub(KerasHubAsReleased):
    """With the erf form of GELU."""

    def load(self, scenario, folder):
        super().load(scenario, folder)
        for layer in self.model.transformer_layers:
            layer._feedforward_intermediate_dense.activation = keras.activations.gelu
