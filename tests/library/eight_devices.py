"""What test_layout_maps.py runs on eight virtual devices, one function for one test: `python eight_devices.py NAME`."""

import sys

import jax
import keras
import numpy as np

from bert4keras3.layers import ConditionalRandomField, GlobalPointer
from bert4keras3.models import build_transformer_model
from bert4keras3.parallel import data_parallel, layout_map, model_parallel
from parity.adapter import open_library
from parity.collectives import collectives, gathered_whole
from parity.compare import Red
from parity.mesh import NUMBERS, Mesh
from parity.models.build import build_case
from parity.models.cases import CASES_BY_NAME

SIZES = dict(
    vocab_size=160, hidden_size=64, num_hidden_layers=2, num_attention_heads=8, intermediate_size=192
)
SIZES.update(hidden_act="gelu", max_position=24)
TOKENS = np.random.RandomState(0).randint(1, 160, (8, 12))
INPUTS = [TOKENS, np.zeros_like(TOKENS)]
TRAINED = dict(rtol=2e-3, atol=2e-6)


def mesh_of(data, model):
    return keras.distribution.DeviceMesh((data, model), ("data", "model"))


def share(weight):
    """Shape of the part of a weight on one device."""
    return weight.value.sharding.shard_shape(tuple(weight.shape))


def is_split(weight):
    return share(weight) != tuple(weight.shape)


def in_order():
    """Keras's order: the distribution, then the model. No device ever has a whole kernel, and slots are split too."""
    plain = build_transformer_model(with_mlm=True, **SIZES)
    expected = plain.predict(INPUTS, verbose=0)
    layouts = layout_map("bert", mesh_of(1, 8))
    keras.distribution.set_distribution(
        keras.distribution.ModelParallel(layout_map=layouts, batch_dim_name="data")
    )
    model = build_transformer_model(with_mlm=True, **SIZES)
    assert share(model.get_layer("Transformer-1-FeedForward").weights[0]) == (64, 24)
    assert share(model.get_layer("Embedding-Token").weights[0]) == (20, 64)
    model.set_weights(plain.get_weights())
    assert share(model.get_layer("Transformer-1-FeedForward").weights[2]) == (24, 64)
    np.testing.assert_allclose(model.predict(INPUTS, verbose=0), expected, rtol=1e-4, atol=1e-6)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(INPUTS, TOKENS, batch_size=8, verbose=0)
    slots = [one for one in model.optimizer.variables if one.shape and is_split(one)]
    assert len(slots) == 2 * len([one for one in model.weights if is_split(one)]) > 0


def compiled_text(model, change=lambda values: values):
    """XLA's text of the forward pass."""
    distribution = keras.distribution.distribution()
    trained, fixed = (
        [one.value for one in group] for group in (model.trainable_variables, model.non_trainable_variables)
    )
    inputs = [
        keras.distribution.distribute_tensor(jax.numpy.asarray(one), distribution.get_data_layout(one.shape))
        for one in INPUTS
    ]

    def forward(trained, fixed, inputs):
        return model.stateless_call(change(trained), fixed, inputs)[0]

    return jax.jit(forward).lower(trained, fixed, inputs).compile().as_text()


def no_weight_is_gathered():
    """BERT on (1, 8): activations are summed, weights stay; a program that gathers a kernel is seen."""
    model = model_parallel(build_transformer_model(with_mlm=True, **SIZES), mesh_of(1, 8))
    weights = {tuple(one.shape) for one in model.weights if is_split(one)}
    text = compiled_text(model)
    assert gathered_whole(text, weights) == []
    sums = [one for one in collectives(text) if one.kind == "all-reduce" and one.shapes[0] == (8, 12, 64)]
    assert len(sums) == 1 + 2 * 2, collectives(text)  # of the embeddings, and of two layers of each block

    def with_whole_weights(values):
        mesh = keras.distribution.distribution().device_mesh.backend_mesh
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        return [jax.lax.with_sharding_constraint(one, whole) for one in values]

    seen = gathered_whole(compiled_text(model, with_whole_weights), weights)
    assert len(seen) >= 2 * 6, seen  # every kernel of both blocks


def every_mesh():
    """A step of training on each mesh is the step on one device."""
    start = build_transformer_model(with_mlm="linear", **SIZES)
    weights = start.get_weights()

    def trained(model):
        model.set_weights(weights)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1), loss)
        return [model.train_on_batch(INPUTS, TOKENS) for _ in range(2)], model.get_weights()

    expected = trained(start)
    for shape in ((8, 1), (4, 2), (2, 4), (1, 8)):
        keras.distribution.set_distribution(None)
        model = model_parallel(build_transformer_model(with_mlm="linear", **SIZES), mesh_of(*shape))
        assert any(map(is_split, model.weights)) == (shape[1] > 1)
        losses, found = trained(model)
        np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
        for one, other in zip(found, expected[1]):
            np.testing.assert_allclose(one, other, **TRAINED)


def a_built_model():
    """`model_parallel` moves the weights of a model; loading and saving keep their layout and values."""
    model = build_transformer_model(with_mlm=True, **SIZES)
    before = model.get_weights()
    assert model_parallel(model, mesh_of(2, 4)) is model
    for one, other in zip(model.get_weights(), before):
        np.testing.assert_array_equal(one, other)
    model.set_weights([2 * one for one in before])
    assert share(model.get_layer("Embedding-Token").weights[0]) == (40, 64)
    np.testing.assert_array_equal(model.get_weights()[0], 2 * before[0])


def copies_of_a_model():
    """`data_parallel` copies the weights to every device, and new values too."""
    model = data_parallel(build_transformer_model(**SIZES), keras.distribution.list_devices())
    model.set_weights([2 * one for one in model.get_weights()])
    assert {len(one.value.sharding.device_set) for one in model.weights} == {8}


def undeclared_layers_are_red():
    """A parity run states which layers stay whole; another one is an error."""
    case, library = CASES_BY_NAME["bert"], open_library("bert4keras3", Mesh((1, 8)))
    build_case(library, case)  # four heads over eight devices, as declared
    for wrong in ({}, {"heads": 4, "vocabulary": 63}):
        NUMBERS["bert"] = wrong
        try:
            build_case(library, case)
        except Red as error:
            assert "whole on each device: expected layers by" in str(error)
        else:
            raise AssertionError(f"not red: {wrong}")


def heads_of_a_user():
    """A CRF and a GlobalPointer on a split encoder compute and learn as on one device."""
    keras.utils.set_random_seed(0)

    def build():
        hidden = build_transformer_model(**SIZES)
        spans = GlobalPointer(8, 16, name="spans")(hidden.output)
        crf = ConditionalRandomField(name="tags")
        model = keras.Model(hidden.input, [spans, crf(keras.layers.Dense(8, name="scores")(hidden.output))])
        return model, crf

    def trained(model, crf):
        loss = {
            "spans": lambda y, x: keras.ops.mean(keras.ops.sigmoid(x), axis=(1, 2, 3)),
            "tags": crf.sparse_loss,
        }
        model.compile(keras.optimizers.SGD(0.1), loss)
        targets = [np.zeros((8, 8, 12, 12)), TOKENS % 8]
        return [model.train_on_batch(INPUTS, targets)[0] for _ in range(3)], model.get_weights()

    plain = build()
    weights = plain[0].get_weights()
    expected = trained(*plain)
    model, crf = build()
    model_parallel(model, mesh_of(2, 4)).set_weights(weights)
    assert share(model.get_layer("spans").weights[0]) == (64, 64)
    losses, found = trained(model, crf)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-5)
    for one, other in zip(found, expected[1]):
        np.testing.assert_allclose(one, other, **TRAINED)


if __name__ == "__main__":
    globals()[sys.argv[1]]()
