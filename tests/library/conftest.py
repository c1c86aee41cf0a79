"""What tests of the library share."""

import pytest


@pytest.fixture
def fresh_session():
    """Forget the models of a test: in TensorFlow 1 they would all stay in one graph, and slow it down."""
    from bert4keras3.backend import K

    yield
    K.clear_session()
