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
    code = f"{statement}; import sys; print(' '.join(sys.modules))"
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
        ((2, 4), (2, 5), "0", "tf_keras"),
        ((3, 10), (2, 15), "1", "keras3"),
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


@pytest.mark.parametrize(
    "keras, tensorflow, environment, words",
    [
        ((3, 8), None, {}, r"found Keras 3\.8.*Keras 3\.10 or later: pip install --upgrade 'keras>=3\.10'"),
        ((3, 3), (2, 16), {"TF_KERAS": "1"}, r"found Keras 3\.3.*'keras>=3\.10'"),
        ((3, 12), None, {"KERAS_BACKEND": "openvino"}, r"found Keras 3\.12.*'keras>=3\.15'"),
        (
            (3, 15),
            (2, 21),
            {"TF_KERAS": "1", "TF_USE_LEGACY_KERAS": "1"},
            r"TF_USE_LEGACY_KERAS=1 with TensorFlow 2\.21.*tensorflow==2\.15",
        ),
        ((2, 2), (1, 15), {}, r"found Keras 2\.2.*keras==2\.3\.1"),
        ((2, 3), None, {}, r"Keras 2\.3 without TensorFlow.*tensorflow>=1\.15"),
        ((2, 3), (1, 14), {}, r"Keras 2\.3 with TensorFlow 1\.14.*tensorflow>=1\.15"),
        ((2, 3), (2, 5), {}, r"Keras 2\.3 with TensorFlow 2\.5.*TF_KERAS=1"),
        ((2, 3), (2, 15), {}, r"Keras 2\.3 with TensorFlow 2\.15.*'keras==2\.15\.\*'"),
        ((2, 3), (2, 15), {"TF_KERAS": "1"}, r"Keras 2\.3 with TensorFlow 2\.15.*'keras==2\.15\.\*'"),
        ((2, 10), (2, 15), {}, r"Keras 2\.10 with TensorFlow 2\.15.*'keras==2\.15\.\*'"),
        (None, (2, 12), {}, r"no Keras with TensorFlow 2\.12.*'keras==2\.12\.\*'"),
        (None, (1, 14), {}, r"its Keras with TensorFlow 1\.14.*tensorflow>=1\.15"),
        ((2, 15), (2, 18), {}, r"Keras 2\.15 with TensorFlow 2\.18.*'keras>=3\.10'"),
    ],
)
def test_versions_that_do_not_run_are_named_with_the_command(
    monkeypatch, keras, tensorflow, environment, words
):
    from bert4keras3.backend import flavour

    for variable in ("TF_KERAS", "TF_USE_LEGACY_KERAS", "KERAS_BACKEND"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr(flavour, "installed_version", {"keras": keras, "tensorflow": tensorflow}.get)
    with pytest.raises(ImportError, match=words):
        flavour.find_flavour()


@pytest.mark.parametrize("text, expected", [("3.10.0.dev1", (3, 10)), ("2.15.0rc1", (2, 15)), ("3", (3, 0))])
def test_a_version_is_two_numbers(monkeypatch, text, expected):
    from bert4keras3.backend import flavour

    monkeypatch.setattr(flavour, "version", lambda distribution: text)
    assert flavour.installed_version("keras") == expected
