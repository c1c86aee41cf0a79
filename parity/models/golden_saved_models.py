"""Files that bert4keras 0.11.5 saved: `goldens/saved_models/`, for the library's tests.

`<model>.weights` is what `save_weights` wrote on tf.keras, `<model>.<keras>.h5` what `save` wrote on keras 2.3.1 or
tf.keras, `<model>.<keras>.npz` the outputs. In the environment of the reference, with TF_KERAS=0 and then with
TF_KERAS=1: `python -m parity.golden_saved_models`.
"""

import json

import numpy as np

from parity.adapter import input_name, listed, open_library
from parity.store import GOLDENS, write_arrays

SAVED = GOLDENS / "saved_models"
CONFIG = SAVED / "config.json"
NUMBERS = dict(vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
SIZES = dict(NUMBERS, hidden_act="gelu", max_position=9)
TOKENS = np.array([[5, 6, 7, 0, 8, 0], [9, 3, 0, 0, 0, 0]], dtype="float32")
SEGMENTS = np.array([[0, 0, 1, 1, 1, 0], [0, 1, 0, 0, 0, 0]], dtype="float32")


def bert_head(library):
    """A classifier, trained for one step so that the files have weights of an optimizer."""
    bert = library.build_transformer_model(str(CONFIG), with_pool=True)
    output = library.keras.layers.Dense(3, activation="softmax", name="head")(bert.output)
    model = library.keras.models.Model(bert.inputs, output)
    randomize(model)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit([TOKENS, SEGMENTS], np.ones((2, 1)), verbose=0)
    return model


def unilm(library):
    return library.build_transformer_model(str(CONFIG), application="unilm")


def roformer_v2(library):
    return library.build_transformer_model(str(CONFIG), model="roformer_v2", with_mlm=True)


def t5(library):
    return library.build_transformer_model(str(CONFIG), model="t5.1.1", hidden_act=["gelu", "linear"])


def tagger(library):
    """Compiled with methods of its last layer."""
    bert = library.build_transformer_model(str(CONFIG))
    crf = library.layers.ConditionalRandomField(lr_multiplier=10, name="crf")
    output = crf(library.keras.layers.Dense(4, name="scores")(bert.output))
    model = library.keras.models.Model(bert.inputs, output)
    model.compile("adam", crf.sparse_loss, metrics=[crf.sparse_accuracy])
    return model


def heads(library):
    """Heads on one encoder, and a layer norm with a condition."""
    layers = library.layers
    bert = library.build_transformer_model(str(CONFIG))
    condition = library.keras.layers.Input((3,), name="Input-Condition")
    x = layers.LayerNormalization(conditional=True, hidden_units=4, name="norm")([bert.output, condition])
    x = layers.GatedAttentionUnit(units=6, key_size=4, name="gau")(x)
    outputs = [
        layers.MaximumEntropyMarkovModel(hidden_dim=2, name="memm")(x),
        layers.GlobalPointer(2, 4, name="pointer")(x),
        layers.EfficientGlobalPointer(2, 4, name="efficient")(x),
    ]
    return library.keras.models.Model(bert.inputs + [condition], outputs)


def nested(library):
    """A model in a model, with a Sequential behind it."""
    keras = library.keras
    bert = library.build_transformer_model(str(CONFIG))
    inputs = [keras.layers.Input((None,), name="ids"), keras.layers.Input((None,), name="types")]
    tail = keras.models.Sequential(
        [
            keras.layers.BatchNormalization(input_shape=(None, 8), name="batch_norm"),
            keras.layers.Bidirectional(keras.layers.LSTM(3, recurrent_activation="sigmoid"), name="both"),
            keras.layers.Dense(2, name="last"),
        ],
        name="tail",
    )
    return keras.models.Model(inputs, tail(bert(inputs)))


MODELS = {one.__name__: one for one in (bert_head, unilm, roformer_v2, t5, tagger, heads, nested)}
SAVED_MODELS = {
    "keras": ("bert_head", "unilm", "roformer_v2", "t5", "tagger"),
    "tf.keras": ("bert_head", "tagger"),
}


def randomize(model):
    """Weights that tell beta from gamma, and no layer from another by chance."""
    random = np.random.RandomState(0)
    model.set_weights([random.uniform(0.05, 0.3, value.shape) for value in model.get_weights()])


def inputs_of(model):
    values = {"Segment": SEGMENTS, "types": SEGMENTS, "Condition": np.ones((2, 3), "float32")}
    return [values.get(input_name(one).split("-")[-1], TOKENS) for one in model.inputs]


def outputs_of(model):
    return listed(model.predict(inputs_of(model)))


def main():
    library = open_library("bert4keras")
    flavour = "tf.keras" if library.backend.is_tf_keras else "keras"
    SAVED.mkdir(exist_ok=True)
    CONFIG.write_text(json.dumps(SIZES, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    for name, build in MODELS.items():
        model = build(library)
        if name != "bert_head":
            randomize(model)
        if name in SAVED_MODELS[flavour]:
            model.save(str(SAVED / (f"{name}.{flavour}.h5")))
        if flavour == "tf.keras":
            model.save_weights(str(SAVED / (name + ".weights")))
        if flavour == "tf.keras" or name in SAVED_MODELS[flavour]:
            arrays = {str(i): x for i, x in enumerate(outputs_of(model))}
            write_arrays(SAVED / (f"{name}.{flavour}.npz"), arrays)
        library.K.clear_session()


if __name__ == "__main__":
    main()
