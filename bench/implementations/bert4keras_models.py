"""What libraries with the API of bert4keras have in common."""

from typing import Any

import numpy as np

from bench.implementations import Unsupported, keras_models
from bench.implementations.adapter import Adapter
from bench.scenarios import GENERATE, PREDICT, TRAIN


class Bert4kerasModels(Adapter):
    """`library` holds the modules of one of them."""

    CHECK = PREDICT
    library: Any = None

    def load(self, scenario, folder, weights=None):
        """Build and load the checkpoint, or `weights`; `hidden` computes the hidden states, whatever the heads."""
        if scenario.build != "plain":
            raise Unsupported("the mean of the hidden states is built beside its models")
        self.scenario = scenario
        self.transformer = self.library.build_transformer_model(
            str(folder / "config.json"),
            weights or str(folder / self.CHECKPOINT),
            return_keras_model=False,
            **scenario.arguments,
        )
        self.model = self.hidden = self.transformer.model
        if TRAIN in scenario.modes:
            last = f"Transformer-{self.transformer.num_hidden_layers - 1}-FeedForward-Norm"
            output = self.transformer.layers[last].output
            self.hidden = self.library.keras.models.Model(self.model.inputs, output)

    def function(self, mode):
        if mode == GENERATE:
            return self.generate()
        return keras_models.model_function(
            self.library.keras, self.model if mode == TRAIN else self.hidden, mode
        )

    def feed(self, mode, inputs):
        return keras_models.feed(self.library.keras, mode, inputs)

    def arrays(self, outputs):
        return keras_models.arrays(outputs)

    def generate(self):
        """A function from a feed to all generated ids, by greedy search; T5's decoder follows its encoder."""
        library, transformer = self.library, self.transformer
        is_t5, new = hasattr(transformer, "encoder"), self.scenario.new_tokens
        model = transformer.decoder if is_t5 else self.model

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
            sample = transformer.encoder.predict(feed, verbose=0)[:1] if is_t5 else [one[0] for one in values]
            return [np.asarray(decoder.beam_search(sample, topk=1))[None, -new:]]

        return run
