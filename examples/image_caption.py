"""What is bright, the left or the right half? A small CNN steers the layer normalizations of a language model."""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Conv2D, Flatten, Input, Loss
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
right = np.random.randint(0, 2, 256)
images = np.random.uniform(0, 0.2, (256, 8, 8, 1)).astype("float32")
for image, side in zip(images, right):
    image[:, 4 * side : 4 * side + 4] += 0.8
captions = [" ".join(("left", "right")[side]) for side in right]
token_ids = np.array([tokenizer.encode(text, maxlen=6)[0] for text in captions])
segment_ids = np.zeros_like(token_ids)

image_input = Input(shape=(8, 8, 1))
features = Conv2D(4, 3, strides=2, activation="relu")(image_input)
features = Flatten()(features)
lm = build_transformer_model(
    config_path,
    application="lm",
    layer_norm_cond=features,
    layer_norm_cond_hidden_size=16,
    layer_norm_cond_hidden_act="swish",
    additional_input_layers=image_input,
)


class NextToken(Loss):
    def compute_loss(self, inputs, mask=None):
        y_true, y_pred = inputs
        return K.sparse_categorical_crossentropy(y_true[:, 1:], y_pred[:, :-1])


model = keras.models.Model(lm.inputs, NextToken(1)([lm.inputs[0], lm.outputs[0]]))
model.compile(optimizer=keras.optimizers.Adam(3e-3))
model.fit([token_ids, segment_ids, images], epochs=10, batch_size=32, verbose=0)

first = lm.predict([token_ids[:, :1], segment_ids[:, :1], images], verbose=0)[:, 0].argmax(axis=-1)
accuracy = (first == token_ids[:, 1]).mean()
assert accuracy > 0.9, accuracy
print(f"captions that begin right: {accuracy:.2f}")
