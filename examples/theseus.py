"""Half as many layers, trained by putting each at random in the place of two: https://arxiv.org/abs/2002.02925

Two models share all other layers, and a switch in the style of Keras 2 asks K for chance and phase.
"""

import numpy as np
from tiny import config_path, token_dict

from bert4keras3.backend import K, keras
from bert4keras3.layers import Dense, Lambda, Layer
from bert4keras3.models import build_transformer_model
from bert4keras3.tokenizers import Tokenizer

np.random.seed(0)
tokenizer = Tokenizer(token_dict, do_lower_case=True)
texts = [" ".join(np.random.choice(list("abcdefgx"), 6)) for _ in range(320)]
labels = np.array([int("x" in text) for text in texts])
token_ids, segment_ids = [np.array(one) for one in zip(*[tokenizer.encode(text) for text in texts])]
train, test = [token_ids[:256], segment_ids[:256]], [token_ids[256:], segment_ids[256:]]


class BinaryRandomChoice(Layer):
    """The first input or the second, by chance in training; the first afterwards."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs):
        source, target = inputs
        mask = K.random_binomial(shape=[1], p=0.5)
        return K.in_train_phase(mask * source + (1 - mask) * target, target)

    def compute_mask(self, inputs, mask=None):
        return None if mask is None else mask[1]

    def compute_output_shape(self, input_shape):
        return input_shape[1]


def compiled(inputs, output):
    model = keras.models.Model(inputs, output)
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


large = build_transformer_model(config_path)
small = build_transformer_model(config_path, num_hidden_layers=1, prefix="Small-")
small_output = small([large.inputs[0], large.inputs[1]])
first_token, classify = Lambda(lambda x: x[:, 0]), Dense(2, activation="softmax")
teacher = compiled(large.inputs, classify(first_token(large.output)))
student = compiled(large.inputs, classify(first_token(small_output)))
both = compiled(large.inputs, classify(first_token(BinaryRandomChoice()([large.output, small_output]))))

teacher.fit(train, labels[:256], epochs=12, batch_size=32, verbose=0)
both.fit(train, labels[:256], epochs=12, batch_size=32, verbose=0)
accuracy = student.evaluate(test, labels[256:], verbose=0)[1]
np.testing.assert_allclose(student.predict(test, verbose=0), both.predict(test, verbose=0), atol=1e-5)
assert accuracy > 0.8, accuracy
print(f"accuracy of the small model: {accuracy:.2f}")
