"""What libraries with the API of bert4keras have in common. `library` holds the modules of one of them."""

from collections import namedtuple

import numpy as np

from bench.implementations import keras_models
from bench.scenarios import GENERATE
from bench.weights import config_path, random_arrays

FORMAT, CHECKPOINT = "tensorflow", "model.ckpt"
Loaded = namedtuple("Loaded", "transformer model hidden")


def convert(scenario, folder):
    from bert4keras3.checkpoints import save_checkpoint  # without Keras

    save_checkpoint(str(folder / CHECKPOINT), random_arrays(scenario.release))


def load(library, scenario, folder, weights=None):
    """Build and load; `hidden` computes the hidden states, whatever heads the model has.

    Args:
        weights: take the place of the checkpoint in the folder.
    """
    transformer = library.build_transformer_model(
        str(config_path(folder)),
        weights or str(folder / CHECKPOINT),
        return_keras_model=False,
        **scenario.arguments,
    )
    model = hidden = transformer.model
    if "with_nsp" in scenario.arguments:
        last = f"Transformer-{transformer.num_hidden_layers - 1}-FeedForward-Norm"
        hidden = library.keras.models.Model(model.inputs, transformer.layers[last].output)
    return Loaded(transformer, model, hidden)


def function(library, loaded, scenario, mode):
    if mode == GENERATE:
        return GENERATORS[scenario.arguments.get("model", scenario.arguments.get("application"))](
            library, loaded, scenario
        )
    model = loaded.model if mode == "train" else loaded.hidden
    return keras_models.model_function(library.keras, model, mode)


def greedy(library, scenario, predict, start_id=None):
    """A function from a sample to all generated ids, by greedy search."""

    class Decoder(library.AutoRegressiveDecoder):
        @library.AutoRegressiveDecoder.wraps(default_rtype="probas")
        def predict(self, inputs, output_ids, states):
            return predict(self, inputs, output_ids)

    decoder = Decoder(start_id=start_id, end_id=-1, maxlen=scenario.new_tokens)
    return lambda sample: [np.asarray(decoder.beam_search(sample, topk=1))[None, -scenario.new_tokens :]]


def generate_gpt(library, loaded, scenario):
    def predict(decoder, inputs, output_ids):
        return decoder.last_token(loaded.model).predict(np.concatenate([inputs[0], output_ids], axis=1))

    decode = greedy(library, scenario, predict)
    return lambda feed: decode([feed[0]])


def generate_unilm(library, loaded, scenario):
    def predict(decoder, inputs, output_ids):
        tokens = np.concatenate([inputs[0], output_ids], axis=1)
        segments = np.concatenate([inputs[1], np.ones_like(output_ids)], axis=1)
        return decoder.last_token(loaded.model).predict([tokens, segments])

    decode = greedy(library, scenario, predict)
    return lambda feed: decode([value[0] for value in feed])


def generate_t5(library, loaded, scenario):
    encoder, decoder_model = loaded.transformer.encoder, loaded.transformer.decoder

    def predict(decoder, inputs, output_ids):
        return decoder.last_token(decoder_model).predict([inputs[0], output_ids])

    decode = greedy(library, scenario, predict, start_id=0)
    return lambda feed: decode([encoder.predict(feed, verbose=0)[0]])


# By what is given to build_transformer_model.
GENERATORS = {"gpt2": generate_gpt, "unilm": generate_unilm, "t5.1.0": generate_t5}
