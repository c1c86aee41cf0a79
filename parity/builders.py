"""Models of the cases that need more than one call, written once for the reference and for ours.

Each function: (library, configuration file, case) → (transformer whose weights are to be loaded, Keras model).
`library` has `build_transformer_model`, `keras` and `layers` of whoever runs.
"""


def transformer(library, config_path, case, **arguments):
    arguments.update(case.arguments)
    if arguments.get("model") == "gau_alpha" and library.name == "bert4keras":
        from parity.reference_gau_alpha import GAU_alpha

        arguments["model"] = GAU_alpha
    return library.build_transformer_model(config_path, return_keras_model=False, **arguments)


def plain(library, config_path, case):
    built = transformer(library, config_path, case)
    return built, built.model


def condition(library, config_path, case):
    """A vector from outside steers every layer normalization."""
    vector = library.keras.layers.Input(shape=(6,), name="Input-Condition")
    built = transformer(library, config_path, case, layer_norm_cond=vector, additional_input_layers=vector)
    return built, built.model


def condition_hidden(library, config_path, case):
    """The same through a hidden layer."""
    vector = library.keras.layers.Input(shape=(6,), name="Input-Condition")
    built = transformer(
        library,
        config_path,
        case,
        layer_norm_cond=vector,
        layer_norm_cond_hidden_size=10,
        layer_norm_cond_hidden_act="swish",
        additional_input_layers=[vector],
    )
    return built, built.model


def attention_caches(library, config_path, case):
    """Keys and values from outside stand before those of the first attention layer."""
    keys = library.keras.layers.Input(shape=(None, 32), name="Input-Keys")
    values = library.keras.layers.Input(shape=(None, 32), name="Input-Values")
    caches = {"Transformer-0-MultiHeadSelfAttention": [keys, values]}
    built = transformer(
        library, config_path, case, attention_caches=caches, additional_input_layers=[keys, values]
    )
    return built, built.model


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
