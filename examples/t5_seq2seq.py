"""An mT5 learns to add one to each digit, then writes with encoder and decoder apart."""

import numpy as np
from tiny import checkpoint

from bert4keras3.backend import K, keras
from bert4keras3.layers import Loss
from bert4keras3.models import build_transformer_model
from bert4keras3.snippets import AutoRegressiveDecoder

np.random.seed(0)
config_path, checkpoint_path = checkpoint("mt5", "mt5_config.json", "model.ckpt-1000000")
END = 1
sources = np.random.randint(10, 15, (512, 3))
targets = np.concatenate([np.zeros((512, 1)), sources + 20, np.full((512, 1), END)], axis=1)


class CrossEntropy(Loss):
    def compute_loss(self, inputs, mask=None):
        y_true, y_pred = inputs
        y_true, y_mask = y_true[:, 1:], K.cast(mask[1], K.floatx())[:, 1:]
        loss = K.sparse_categorical_crossentropy(y_true, y_pred[:, :-1])
        return K.sum(loss * y_mask) / K.sum(y_mask)


t5 = build_transformer_model(
    config_path, checkpoint_path, model="mt5.1.1", return_keras_model=False, name="T5"
)
output = CrossEntropy(1)([t5.model.inputs[1], t5.model.outputs[0]])
model = keras.models.Model(t5.model.inputs, output)
model.compile(optimizer=keras.optimizers.Adam(3e-3))
model.fit([sources, targets], epochs=25, batch_size=32, verbose=0)


class Adder(AutoRegressiveDecoder):
    @AutoRegressiveDecoder.wraps(default_rtype="probas")
    def predict(self, inputs, output_ids, states):
        return self.last_token(t5.decoder).predict([inputs[0], output_ids])

    def generate(self, token_ids):
        encoded = t5.encoder.predict(np.array([token_ids]), verbose=0)[0]
        return self.beam_search([encoded], topk=1)


adder = Adder(start_id=0, end_id=END, maxlen=4)
written = [list(adder.generate(source)) == list(target) for source, target in zip(sources[:5], targets[:5])]
assert np.mean(written) > 0.5, written
print(f"texts written without a mistake: {np.sum(written)} of 5")
