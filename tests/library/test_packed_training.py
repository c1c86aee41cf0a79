"""Training on packed rows: the losses and gradients of padded batches."""

import numpy as np
import pytest
from small_models import build

from bert4keras3.backend import FLAVOUR, Model, keras
from bert4keras3.layers import FirstToken, WithoutMask
from bert4keras3.packing import packed_transformer
from bert4keras3.snippets import DataGenerator, sequence_padding

pytestmark = pytest.mark.usefixtures("fresh_session")


def samples(lengths):
    random = np.random.RandomState(0)
    texts = [random.randint(3, 600, length).tolist() for length in lengths]
    return [(text, [i % 2 for i in range(len(text))], i % 2) for i, text in enumerate(texts)]


SAMPLES = samples(np.random.RandomState(1).randint(1, 25, 40))


class Texts(DataGenerator):
    """(tokens, segments), label of the text, or labels of its tokens."""

    of_tokens = False

    def __iter__(self, random=False):
        batch = []
        for is_end, sample in self.sample(random):
            batch.append(sample)
            if len(batch) == self.batch_size or is_end:
                tokens, segments, labels = zip(*batch)
                if self.of_tokens:
                    labels = sequence_padding([[[token % 2] for token in text] for text in tokens])
                else:
                    labels = sequence_padding([[label] for label in labels])
                padded = sequence_padding(tokens)
                weights = (padded != 0) * (padded.size / (padded != 0).sum())
                batch = [padded, sequence_padding(segments)], labels, weights
                yield batch if self.of_tokens and self.packed is None else batch[:2]
                batch = []


class Tokens(Texts):
    of_tokens = True


def trained(name, generator, pooling, is_packed, steps, **options):
    """(loss, accuracy, what each weight changed by) of steps of SGD."""
    transformer = build(name, return_keras_model=False, **options)
    random = np.random.RandomState(1)
    for layer in transformer.layers.values():
        if layer.trainable_weights:
            layer.set_weights([0.3 * random.normal(size=one.shape) for one in layer.get_weights()])
    x, fed, data = transformer.output, transformer.input, generator(SAMPLES, 16)
    if is_packed:
        packed = packed_transformer(transformer, pooling, row_length=64, max_texts=16)
        x, fed, data = packed.output, packed.input, generator(SAMPLES, 16, packed=packed)
    elif pooling == "cls":
        x = FirstToken()(x)
    elif pooling is None:  # Keras 2 divides by masked targets too, and metrics on JAX know no mask
        x = WithoutMask()(x)
    dense = keras.layers.Dense(2, activation="softmax", name="head")
    model = Model(fed, dense(x))
    dense.set_weights([random.normal(size=one.shape) for one in dense.get_weights()])
    layers = [*transformer.layers.values(), dense]
    before = [weight for layer in layers for weight in layer.get_weights()]
    mode = {"sample_weight_mode": "temporal"} if FLAVOUR != "keras3" and (is_packed or not pooling) else {}
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.SGD(0.1), loss=loss, weighted_metrics=["accuracy"], **mode)
    history = model.fit(data.forfit(random=False), steps_per_epoch=steps, epochs=1, verbose=0).history
    after = [weight for layer in layers for weight in layer.get_weights()]
    accuracy = history.get("accuracy", history.get("acc", history.get("weighted_acc")))
    return history["loss"][0], accuracy[0], [one - other for one, other in zip(after, before)]


@pytest.mark.parametrize(
    "name, generator, pooling, options",
    [
        ("bert", Texts, "pooler", dict(with_nsp=False, with_mlm=False, with_pool=True)),
        ("roformer", Texts, "cls", dict(with_mlm=False)),
        ("nezha", Texts, "cls", dict(application="encoder")),
        ("bert", Tokens, None, dict(with_nsp=False, with_mlm=False)),
        ("gau_alpha", Tokens, None, {}),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_the_losses_and_gradients_of_padded_batches(name, generator, pooling, options):
    args = name, generator, pooling
    loss, accuracy, _ = trained(*args, False, 1, **options)
    packed_loss, packed_accuracy, _ = trained(*args, True, 1, **options)
    assert packed_loss == pytest.approx(loss, rel=1e-5)
    assert packed_accuracy == pytest.approx(accuracy, abs=1e-6)
    changes, packed_changes = (trained(*args, is_packed, 2, **options)[2] for is_packed in (False, True))
    largest = max(np.abs(one).max() for one in changes)
    assert largest > 1e-3
    for one, other in zip(packed_changes, changes):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5 * largest)


class Weighted(DataGenerator):
    def __iter__(self, random=False):
        yield [[[5, 6]], [[0, 0]]], [[[1], [0]]], [[1, 1]]


def test_sample_weights_of_a_generator_are_refused():
    packed = packed_transformer(build("bert", with_nsp=False, with_mlm=False, return_keras_model=False))
    with pytest.raises(ValueError, match="Weighted: expected .inputs, targets. with packed=…, got 3 parts"):
        next(Weighted(SAMPLES, 16, packed=packed).forfit())
