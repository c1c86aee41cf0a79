"""What libraries with the API of bert4keras have in common. `library` holds the modules of one of them."""

from collections import namedtuple
from functools import partial

import numpy as np

from bench.implementations import keras_models
from bench.scenarios import GENERATE
from bench.weights import random_arrays

FORMAT, CHECKPOINT = "tensorflow", "model.ckpt"
Loaded = namedtuple("Loaded", "transformer model hidden")


def adapter(library):
    """What an adapter of such a library has: convert, load, function, feed, arrays."""
    with_library = [partial(one, library) for one in (load, function)]
    return (convert, *with_library, partial(keras_models.feed, library.keras), keras_models.arrays)


def convert(scenario, folder):
    from bert4keras3.checkpoints import save_checkpoint  # without Keras

    save_checkpoint(str(folder / CHECKPOINT), random_arrays(scenario.release))


def load(library, scenario, folder, weights=None):
    """Build and load the checkpoint, or `weights`; `hidden` computes the hidden states, whatever heads there are."""
    transformer = library.build_transformer_model(
        str(folder / "config.json"),
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
        return generate(library, loaded, scenario)
    model = loaded.model if mode == "train" else loaded.hidden
    return keras_models.model_function(library.keras, model, mode)


def generate(library, loaded, scenario):
    """A function from a feed to all generated ids, by greedy search; T5 generates from what its encoder has read."""
    is_t5, new = hasattr(loaded.transformer, "encoder"), scenario.new_tokens
    model = loaded.transformer.decoder if is_t5 else loaded.model

    class Decoder(library.AutoRegressiveDecoder):
        @library.AutoRegressiveDecoder.wraps(default_rtype="probas")
        def predict(self, inputs, output_ids, states):
            values = [inputs[0], output_ids]
            if not is_t5:  # new tokens of UniLM have segment 1
                pairs = zip(inputs, (output_ids, np.ones_like(output_ids)))
                values = [np.concatenate(pair, axis=1) for pair in pairs]
            return self.last_token(model).predict(values if len(values) > 1 else values[0])

    decoder = Decoder(start_id=0 if is_t5 else None, end_id=-1, maxlen=new)

    def run(feed):
        values = feed if isinstance(feed, list) else [feed]
        sample = (
            loaded.transformer.encoder.predict(feed, verbose=0)[:1] if is_t5 else [one[0] for one in values]
        )
        return [np.asarray(decoder.beam_search(sample, topk=1))[None, -new:]]

    return run
