"""What tests of the library share."""

import pytest


@pytest.fixture
def fresh_session():
    """Forget the models of a test: in TensorFlow 1 they would all stay in one graph, and slow it down."""
    from bert4keras3.backend import K

    yield
    K.clear_session()


def pytest_collection_modifyitems(items):
    """Leave out what would end the process: OpenVINO's loop of no steps divides by zero."""
    from bert4keras3.backend import framework

    for item in items:
        if framework == "openvino" and item.name.startswith("test_crf_takes_texts_of_one_token"):
            item.add_marker(pytest.mark.skip(reason="OpenVINO crashes in a loop of no steps"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """On OpenVINO and NumPy a test of what Keras lacks there, as training, is one that is expected to fail."""
    outcome = yield
    from bert4keras3.backend import framework

    infers = framework in ("openvino", "numpy")
    if infers and outcome.excinfo and issubclass(outcome.excinfo[0], NotImplementedError):
        outcome.force_exception(pytest.xfail.Exception(f"Keras on {framework}: {outcome.excinfo[1]}"))
