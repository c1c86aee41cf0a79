"""Models and weights that bert4keras saved, on keras 2.3.1 or tf.keras, load here and compute the same."""

import shutil
import sys

import h5py
import numpy as np
import pytest

from bert4keras3.backend import get_values, keras
from bert4keras3.backend.flavour import FLAVOUR
from bert4keras3.backend.legacy_models import is_legacy_model, load_legacy_model
from bert4keras3.backend.object_weights import is_object_checkpoint, load_object_weights, missing_weights
from bert4keras3.checkpoints import CheckpointError, open_checkpoint
from parity.adapter import open_library
from parity.models.golden_saved_models import MODELS, SAVED, SAVED_MODELS, inputs_of, outputs_of
from parity.store import read_arrays

pytestmark = pytest.mark.usefixtures("fresh_session")
# keras 2.3.1 does not know the arguments of layers of tf.keras
KERAS_FILES = ["keras"] if FLAVOUR == "keras2" else ["keras", "tf.keras"]
WHOLE_FILES = [(name, kind) for kind in KERAS_FILES for name in SAVED_MODELS[kind]]


def build(name):
    return MODELS[name](open_library("bert4keras3"))


def path_of(name):
    return str(SAVED / (name + ".weights"))


def assert_outputs_of_the_reference(model, name, kind):
    expected = read_arrays(SAVED / (f"{name}.{kind}.npz"))
    found = outputs_of(model)
    assert len(found) == len(expected)
    for i, array in enumerate(found):
        seen = np.isfinite(expected[str(i)])  # scores of masked spans are −inf
        assert seen.any() and (np.isfinite(array) == seen).all()
        np.testing.assert_allclose(array[seen], expected[str(i)][seen], rtol=1e-4, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", MODELS)
def test_weights_of_tf_keras_load_and_compute_the_same(name):
    model = build(name)
    load_object_weights(model, path_of(name))
    assert_outputs_of_the_reference(model, name, "tf.keras")


def test_a_weight_goes_by_its_name_if_the_attribute_has_another():
    model = build("tagger")
    load_object_weights(model, path_of("tagger"))
    expected = open_checkpoint(path_of("tagger"))["layer_with_weights-9/trans/.ATTRIBUTES/VARIABLE_VALUE"]
    np.testing.assert_array_equal(get_values(model.get_layer("crf").weights)[0], expected)


def test_layers_with_the_names_of_the_file_match_in_any_order():
    model = build("heads")
    turned = keras.models.Model(model.inputs, model.outputs[::-1])
    names = [[layer.name for layer in one.layers if layer.weights] for one in (model, turned)]
    assert names[0] != names[1]
    load_object_weights(turned, path_of("heads"))
    assert_outputs_of_the_reference(model, "heads", "tf.keras")


def test_other_layers_are_refused_by_their_names():
    bert = build("bert_head")
    model = keras.models.Model(bert.inputs, keras.layers.Dense(5, name="one")(bert.output))
    with pytest.raises(
        CheckpointError, match="expected 11 layers with weights.*found 10.*in the model alone: one"
    ):
        load_object_weights(model, path_of("bert_head"))


def test_another_size_is_refused_and_nothing_is_set():
    bert = build("bert_head")
    model = keras.models.Model(
        bert.inputs, keras.layers.Dense(4, name="head")(bert.get_layer("Pooler-Dense").output)
    )
    before = get_values(model.weights)
    with pytest.raises(CheckpointError, match=r"bert_head.*kernel has shape \[8, 3\], expected \[8, 4\]"):
        load_object_weights(model, path_of("bert_head"))
    for one, two in zip(before, get_values(model.weights)):
        np.testing.assert_array_equal(one, two)


def test_a_checkpoint_of_names_is_refused_with_advice():
    from parity.models.cases import CASES_BY_NAME
    from parity.store import release_paths

    _, prefix = release_paths(CASES_BY_NAME["bert-nsp-mlm"].checkpoint)
    assert is_object_checkpoint(prefix)
    with pytest.raises(CheckpointError, match="build_transformer_model"):
        load_object_weights(build("bert_head"), prefix)


def test_a_damaged_graph_is_named(tmp_path):
    for path in SAVED.glob("bert_head.weights.*"):
        shutil.copy(str(path), str(tmp_path))
    data = tmp_path / "bert_head.weights.data-00001-of-00002"
    data.write_bytes(data.read_bytes().replace(b"gamma", b"gamna"))
    with pytest.raises(CheckpointError, match="checksum of '_CHECKPOINTABLE_OBJECT_GRAPH' is wrong"):
        load_object_weights(build("bert_head"), tmp_path / "bert_head.weights")


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    (tmp_path / "best_model.weights.h5").write_bytes(b"")
    error = missing_weights(tmp_path / "best_model.weight.h5")
    assert isinstance(error, FileNotFoundError)
    assert "does not exist. Similar names in its folder: best_model.weights.h5" in str(error)


def test_keras_loads_weights_of_tf_keras():
    model = build("bert_head")
    model.load_weights(path_of("bert_head"))
    assert_outputs_of_the_reference(model, "bert_head", "tf.keras")


@pytest.mark.filterwarnings("ignore")
def test_keras_loads_a_whole_model_and_trains_it():
    model = keras.models.load_model(str(SAVED / "bert_head.keras.h5"))
    assert_outputs_of_the_reference(model, "bert_head", "keras")
    before = get_values(model.get_layer("head").weights)
    model.fit(inputs_of(model), np.ones((2, 1)), verbose=0)
    assert np.abs(get_values(model.get_layer("head").weights)[0] - before[0]).max() > 0


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(FLAVOUR == "keras3", reason="Keras 3 takes the methods of the layer")
def test_methods_as_losses_are_named_with_what_to_do():
    with pytest.raises(ValueError, match="sparse_loss.*compile=False"):
        keras.models.load_model(str(SAVED / "tagger.keras.h5"))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(FLAVOUR != "keras3", reason="Keras 2 does not know the methods of a layer")
def test_methods_as_losses_of_the_reference_are_those_of_the_layer():
    model = keras.models.load_model(str(SAVED / "tagger.keras.h5"))
    assert model.loss.__self__ is model.get_layer("crf")
    assert_outputs_of_the_reference(model, "tagger", "keras")


@pytest.mark.skipif(FLAVOUR != "tf_keras", reason="tf.keras alone writes this format")
def test_what_tf_keras_saves_loads(tmp_path):
    model, other = build("heads"), build("heads")
    model.save_weights(str(tmp_path / "best_model.weights"))
    load_object_weights(other, str(tmp_path / "best_model.weights"))
    for one, two in zip(outputs_of(model), outputs_of(other)):
        np.testing.assert_array_equal(one, two)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name, kind", WHOLE_FILES)
def test_a_whole_model_loads_and_computes_the_same(name, kind):
    path = SAVED / (f"{name}.{kind}.h5")
    assert is_legacy_model(path)
    assert_outputs_of_the_reference(load_legacy_model(path, compile=False), name, kind)


@pytest.mark.skipif(sys.version_info[:2] == (3, 7), reason="Python 3.7 runs the bytecode that it saved")
def test_an_unknown_lambda_is_named_with_what_to_do(tmp_path):
    path = renamed_lambda(tmp_path, "unilm.keras.h5", "Attention-UniLM-Mask", "Attention-Other-Mask")
    with pytest.raises(ValueError, match=r"Lambda layer 'Attention-Other-Mask'.*model.load_weights\(.*h5'\)"):
        load_legacy_model(path)


@pytest.mark.filterwarnings("ignore")
def test_the_function_of_a_lambda_is_taken_from_custom_objects(tmp_path):
    path = renamed_lambda(tmp_path, "bert_head.keras.h5", "Pooler", "Poolex")
    model = load_legacy_model(path, custom_objects={"Poolex": lambda x: x[:, 0]}, compile=False)
    assert_outputs_of_the_reference(model, "bert_head", "keras")


def renamed_lambda(folder, file, old, new):
    """A copy of a golden with another name of a Lambda layer."""
    path = folder / file
    shutil.copy(str(SAVED / file), str(path))
    with h5py.File(str(path), "r+") as opened:
        for attributes in (opened.attrs, opened["model_weights"].attrs):
            for key in ("model_config", "layer_names"):
                if key in attributes:
                    attributes[key] = replaced(attributes[key], old, new)
        opened["model_weights"].move(old, new)
    return path


def replaced(value, old, new):
    if isinstance(value, np.ndarray):
        return np.array([new.encode() if name == old.encode() else name for name in value])
    value = value if isinstance(value, bytes) else value.encode()
    return value.replace(b'"%s"' % old.encode(), b'"%s"' % new.encode())


@pytest.mark.filterwarnings("ignore")
def test_an_unknown_class_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "other.h5"
    shutil.copy(str(SAVED / "tagger.keras.h5"), str(path))
    with h5py.File(str(path), "r+") as opened:
        text = opened.attrs["model_config"]
        opened.attrs["model_config"] = replaced(text, "ConditionalRandomField", "MyOwnField")
    with pytest.raises(
        ValueError, match=r"other.h5' was saved by Keras 2.*MyOwnField.*custom_objects.*load_weights"
    ):
        load_legacy_model(path)
