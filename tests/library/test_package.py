"""What is proven is what is shipped: the installed wheel, light to import, on the frameworks of its pairing."""

import importlib.util
import os
import subprocess
import sys

import pytest

import bert4keras3

FRAMEWORKS = ("keras", "tensorflow", "jax", "torch")


def test_package_is_the_installed_wheel():
    assert "site-packages" in bert4keras3.__file__, "run the tests with nox, which installs the wheel"


def test_version_is_later_than_the_abandoned_port():
    assert int(bert4keras3.__version__.split(".")[0]) >= 2


def modules_after(statement):
    code = "%s; import sys; print(' '.join(sys.modules))" % statement
    return subprocess.check_output([sys.executable, "-c", code]).decode().split()


@pytest.mark.parametrize("module", ["", ".tokenizers", ".snippets", ".checkpoints"])
def test_import_is_light(module):
    loaded = modules_after("import bert4keras3" + module)
    assert not set(FRAMEWORKS) & set(loaded)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_pairing_works_without_tensorflow(backend):
    if os.environ.get("KERAS_BACKEND") != backend:
        pytest.skip("another pairing")
    assert importlib.util.find_spec("tensorflow") is None
    assert "tensorflow" not in modules_after("import bert4keras3.models")


def test_no_keras_gives_one_clear_sentence(monkeypatch):
    from bert4keras3.backend import flavour

    monkeypatch.setattr(flavour, "installed_version", lambda distribution: None)
    with pytest.raises(ImportError, match="pip install bert4keras3"):
        flavour.find_flavour()


@pytest.mark.parametrize(
    "keras, tensorflow, tf_keras, expected",
    [
        ((2, 3), (1, 15), "0", "keras2"),
        ((2, 3), (1, 15), "1", "tf_keras"),
        (None, (1, 15), "0", "tf_keras"),
        ((2, 10), (2, 10), "0", "tf_keras"),
        ((3, 15), None, "0", "keras3"),
        ((3, 15), (2, 21), "1", "keras3"),
    ],
)
def test_flavour_follows_what_is_installed(monkeypatch, keras, tensorflow, tf_keras, expected):
    from bert4keras3.backend import flavour

    versions = {"keras": keras, "tensorflow": tensorflow}
    monkeypatch.setattr(flavour, "installed_version", versions.get)
    monkeypatch.setenv("TF_KERAS", tf_keras)
    assert flavour.find_flavour() == expected


def test_optimizers_say_what_to_take_on_keras_2():
    command = [sys.executable, "-c", "import bert4keras3.optimizers"]
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    from bert4keras3.backend import keras

    if hasattr(keras, "ops"):
        assert result.returncode == 0
    else:
        message = result.stdout.decode().strip().split("\n")[-1]
        assert message.startswith("ImportError: bert4keras3.optimizers is for Keras 3 alone")
        assert "keras.optimizers.Adam" in message and "bert4keras.optimizers" in message
