"""What all tests of the library share."""

import sys

import pytest


@pytest.fixture(autouse=True)
def fresh_session():
    """Forget the models of a test: in TensorFlow 1 they would all stay in one graph, and slow it down."""
    yield
    if "bert4keras3.backend" in sys.modules:
        sys.modules["bert4keras3.backend"].K.clear_session()
