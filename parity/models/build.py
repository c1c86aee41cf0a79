"""Models of the cases, built once for the reference and for bert4keras3, with their weights and inputs.

A builder takes (library, configuration file, case) and returns (transformer that loads the weights, Keras model).
`library` is what `parity.adapter.open_library` returns.
"""

import numpy as np

from parity.adapter import input_name, known_shape
from parity.models import inputs
from parity.models.random_weights import release_weights
from parity.store import checkpoint_folder, release_paths


def transformer(library, config_path, case, **arguments):
    arguments.update(case.arguments)
    if "model" in arguments and library.name == "bert4keras":
        from parity.models.reference_models import REFERENCE_MODELS

        arguments["model"] = REFERENCE_MODELS.get(arguments["model"], arguments["model"])
    return library.build_transformer_model(config_path, return_keras_model=False, **arguments)


def plain(library, config_path, case, **arguments):
    built = transformer(library, config_path, case, **arguments)
    return built, built.model


def condition(library, config_path, case, **arguments):
    """A vector from outside steers every layer normalization."""
    vector = library.keras.layers.Input(shape=(6,), name="Input-Condition")
    arguments.update(layer_norm_cond=vector, additional_input_layers=vector)
    return plain(library, config_path, case, **arguments)


def condition_hidden(library, config_path, case):
    """The same through a hidden layer."""
    hidden = dict(layer_norm_cond_hidden_size=10, layer_norm_cond_hidden_act="swish")
    return condition(library, config_path, case, **hidden)


def attention_caches(library, config_path, case):
    """Keys and values from outside stand before those of the first attention layer."""
    keys = library.keras.layers.Input(shape=(None, 32), name="Input-Keys")
    values = library.keras.layers.Input(shape=(None, 32), name="Input-Values")
    caches = {"Transformer-0-MultiHeadSelfAttention": [keys, values]}
    arguments = dict(attention_caches=caches, additional_input_layers=[keys, values])
    return plain(library, config_path, case, **arguments)


def shared_layers(library, config_path, case):
    """A language model on the layers of an encoder."""
    encoder = transformer(library, config_path, case)
    decoder = transformer(library, config_path, case, layers=encoder.layers, application="unilm")
    return decoder, decoder.model


def sentence_embedding(library, config_path, case):
    """Mean of the hidden states that are not padding."""
    built = transformer(library, config_path, case)
    pooled = library.layers.GlobalAveragePooling1D(name="Sentence-Embedding")(built.model.output)
    return built, library.keras.models.Model(built.model.inputs, pooled)


BUILDERS = {
    builder.__name__: builder
    for builder in (plain, condition, condition_hidden, attention_caches, shared_layers, sentence_embedding)
}


def build_case(library, case):
    """(transformer, Keras model) of a case, with the weights that its layers began with."""
    config_path, _ = release_paths(case.checkpoint)
    library.set_gelu(case.gelu)
    library.devices.forget(library)
    transformer, model = BUILDERS[case.build](library, str(config_path), case)
    library.devices.split(library, case, model)
    return transformer, model


def case_weights(case):
    """Prefix of the case's checkpoint, or its random weights."""
    return release_weights(case.checkpoint) if case.slow else str(release_paths(case.checkpoint)[1])


def load_case(transformer, case, weights):
    """Set the weights of a case."""
    transformer.load_weights_from_checkpoint(weights)
    fill_weights(transformer, case)


def make_inputs(library, case, length, transformer, model):
    if case.release == "minilm":
        vocabulary = checkpoint_folder(case.checkpoint) / "vocab.txt"
        return inputs.real_sentences(library.Tokenizer(str(vocabulary), do_lower_case=True).encode, length)
    positions = 40 if case.arguments.get("hierarchical_position") else 12
    return [
        inputs.random_input(input_name(x), length, transformer.vocab_size, known_shape(x), positions)
        for x in model.inputs
    ]


def fill_weights(transformer, case):
    """Give weights that no checkpoint has the same random numbers on both sides."""
    for name, first in case.random_fill.items():
        layer = transformer.layers.get(transformer.prefixed(name))
        if layer is None:
            continue
        random = np.random.RandomState(len(name))
        values = layer.get_weights()
        filled = [random.normal(scale=0.3, size=value.shape).astype(value.dtype) for value in values[first:]]
        layer.set_weights(values[:first] + filled)
