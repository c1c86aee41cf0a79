"""Every Keras offers every name of the contract, and nothing in place of one."""

import pytest

from bert4keras3 import backend, lora
from bert4keras3.backend import contract
from bert4keras3.backend.absent import NotSupported, not_supported


@pytest.mark.parametrize("name", contract.CONTRACT)
def test_each_name_is_offered(name):
    assert getattr(contract, name) is not None
    assert name in backend.__all__


def test_backend_exports_what_the_contract_lists():
    for name in contract.CONTRACT:
        assert getattr(backend, name) is getattr(contract, name)


def test_what_a_keras_lacks_says_why():
    with pytest.raises(NotImplementedError, match="needs Keras 3"):
        not_supported("this needs Keras 3")("anything")
    with pytest.raises(NotImplementedError, match="needs Keras 3"):
        getattr(not_supported("this needs Keras 3"), "values")  # noqa: B009


@pytest.mark.skipif(backend.FLAVOUR == "keras3", reason="about Keras 2")
def test_lora_says_why_it_needs_keras_3():
    model = backend.keras.models.Sequential([backend.keras.layers.Dense(2, input_shape=(3,))])
    with pytest.raises(NotImplementedError, match="LoRA need Keras 3"):
        lora.enable(model)


def test_reasons_are_sentences():
    for name in contract.CONTRACT:
        item = getattr(contract, name)
        if isinstance(item, NotSupported):
            assert len(item.reason.split()) > 3, name
