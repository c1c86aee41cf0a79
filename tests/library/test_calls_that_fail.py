"""A call may raise, be interrupted or run beside others: the model stays what it was, and every answer is right."""

import signal
import threading
import time

import numpy as np
import pytest
from small_models import TINY, build

from bert4keras3.backend import FLAVOUR, framework, keras
from bert4keras3.layers import Layer
from bert4keras3.models import build_transformer_model

pytestmark = pytest.mark.skipif(
    FLAVOUR != "keras3" or framework in ("openvino", "numpy"), reason="about Keras 3 and its three frameworks"
)
SHORT = [np.array([[2, 5, 9, 4, 0, 0], [2, 7, 7, 7, 3, 1]]), np.zeros((2, 6), "int64")]
LONG = [np.ones((2, 30), "int64"), np.zeros((2, 30), "int64")]
LABELS = np.array([0, 1])


class Trouble(Exception):
    pass


class Breaks(Layer):
    """Raises in its call while `broken`, also if Keras calls it without numbers first, as on PyTorch."""

    broken = False

    def call(self, inputs, mask=None):
        if Breaks.broken:
            raise Trouble("in the middle of a call")
        return inputs


def make_model(compiled=True):
    bert = build_transformer_model(**TINY)
    pooled = keras.layers.GlobalAveragePooling1D()(Breaks()(bert.output))
    model = keras.Model(bert.inputs, keras.layers.Dense(2, activation="softmax")(pooled))
    if compiled:
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def compiled_call(model, x):
    model.compile_calls = True
    return model([keras.ops.convert_to_tensor(one) for one in x])


CALLS = {
    "predict": lambda model, x: model.predict(x, verbose=0),
    "predict_on_batch": lambda model, x: model.predict_on_batch(x),
    "evaluate": lambda model, x: model.evaluate(x, LABELS, verbose=0),
    "test_on_batch": lambda model, x: model.test_on_batch(x, LABELS),
    "fit": lambda model, x: model.fit(x, LABELS, verbose=0),
    "train_on_batch": lambda model, x: model.train_on_batch(x, LABELS),
    "call": lambda model, x: model([keras.ops.convert_to_tensor(one) for one in x]),
    "compiled call": compiled_call,
}


@pytest.mark.parametrize("name", list(CALLS))
def test_a_call_that_is_refused_leaves_the_model_as_it_was(name):
    model = make_model()
    expected, weights = model.predict(SHORT, verbose=0), model.get_weights()
    with pytest.raises(Exception, match="max_position"):
        CALLS[name](model, LONG)
    for before, after in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(model.predict(SHORT, verbose=0), expected)
    CALLS[name](model, SHORT)


@pytest.mark.parametrize("name", list(CALLS))
def test_a_call_that_raises_inside_leaves_the_model_as_it_was(name):
    model = make_model()
    weights = model.get_weights()
    Breaks.broken = True
    try:
        with pytest.raises(Exception, match="in the middle of a call"):
            CALLS[name](model, SHORT)
    finally:
        Breaks.broken = False
    for before, after in zip(weights, model.get_weights()):
        np.testing.assert_array_equal(before, after)
    CALLS[name](model, SHORT)
    assert np.isfinite(model.predict(SHORT, verbose=0)).all()


def test_training_that_fails_in_an_epoch_keeps_the_finished_steps():
    model, other = make_model(), make_model()
    other.set_weights(model.get_weights())

    def batches(wrong):
        yield tuple(SHORT), LABELS
        yield tuple(SHORT), LABELS
        if wrong:
            raise Trouble("the data is used up")

    with pytest.raises(Exception, match="the data is used up"):
        model.fit(batches(True), steps_per_epoch=3, epochs=1, verbose=0)
    other.fit(batches(False), steps_per_epoch=2, epochs=1, verbose=0)
    for one, two in zip(model.get_weights(), other.get_weights()):
        np.testing.assert_allclose(one, two, atol=1e-6)
    model.fit(SHORT, LABELS, verbose=0)


@pytest.mark.parametrize("seconds", [0.2, 0.5, 0.9])
def test_an_interrupt_of_training_leaves_a_model(seconds):
    """The signal arrives at some moment of an epoch without end."""
    import _thread

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    model = make_model()
    model.fit(SHORT, LABELS, verbose=0)

    def endless():
        while True:
            yield tuple(SHORT), LABELS

    interrupt = threading.Timer(seconds, _thread.interrupt_main)
    interrupt.start()
    with pytest.raises(KeyboardInterrupt):
        model.fit(endless(), steps_per_epoch=10**6, epochs=1, verbose=0)
    signal.signal(signal.SIGINT, before)
    assert all(np.isfinite(value).all() for value in model.get_weights())
    assert np.isfinite(model.predict(SHORT, verbose=0)).all()
    model.fit(SHORT, LABELS, verbose=0)


def run_in_threads(functions):
    """[what each gave, or its error], all begun at once."""
    barrier, results = threading.Barrier(len(functions)), [None] * len(functions)

    def run(place, function):
        barrier.wait()
        try:
            results[place] = function()
        except Exception as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(functions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_calls_of_several_threads_are_right_beside_each_other():
    model = make_model()
    data = [[SHORT[0][:, :length], SHORT[1][:, :length]] for length in (3, 4, 5, 6)]
    predictions = [model.predict(x, verbose=0) for x in data]
    losses = [model.evaluate(x, LABELS, verbose=0) for x in data]

    def many(number):
        for _ in range(5):
            for x, prediction, loss in zip(data, predictions, losses):
                if number % 2:
                    np.testing.assert_allclose(model.predict(x, verbose=0), prediction, atol=1e-6)
                    np.testing.assert_allclose(model.predict_on_batch(x), prediction, atol=1e-6)
                else:
                    np.testing.assert_allclose(model.evaluate(x, LABELS, verbose=0), loss, atol=1e-6)
                    direct = model([keras.ops.convert_to_tensor(one) for one in x])
                    np.testing.assert_allclose(keras.ops.convert_to_numpy(direct), prediction, atol=1e-6)
            with pytest.raises(Exception, match="max_position"):
                model.predict(LONG, verbose=0)
        return "right"

    assert run_in_threads([lambda number=number: many(number) for number in range(4)]) == 4 * ["right"]


def test_generation_of_several_threads_is_right_beside_predictions():
    from bert4keras3.generation import CachedModel, Generator

    transformer = build_transformer_model(application="lm", return_keras_model=False, **TINY)
    generator, cached = Generator(transformer), CachedModel(transformer)
    prompts = [[2, 5, 9], [2, 7], [3, 4, 5, 6, 7]]
    expected = [generator.generate([prompt], max_tokens=6)[0] for prompt in prompts]
    inputs = [np.array([[2, 5, 9]]), np.zeros((1, 3), "int64")]
    after, whole = cached.predict(inputs), transformer.model.predict(inputs, verbose=0)
    fresh = Generator(transformer)  # compiled by whichever thread is first

    def many(number):
        for _ in range(4):
            if number == 0:
                np.testing.assert_allclose(transformer.model.predict(inputs, verbose=0), whole, atol=1e-6)
                np.testing.assert_allclose(cached.predict(inputs), after, atol=1e-6)
            for prompt, tokens in zip(prompts, expected):
                np.testing.assert_array_equal(fresh.generate([prompt], max_tokens=6)[0], tokens)
            with pytest.raises(ValueError, match="positions"):
                fresh.generate([[2] * 20], max_tokens=9)
        return "right"

    assert run_in_threads([lambda number=number: many(number) for number in range(3)]) == 3 * ["right"]


def test_a_cached_model_starts_again_after_a_call_that_fails(monkeypatch):
    from bert4keras3.generation import CachedModel

    cached = CachedModel(build("bert-unilm", return_keras_model=False))
    first = [np.array([[2, 5, 9]]), np.array([[0, 0, 1]])]
    second = [np.array([[2, 5, 9, 4]]), np.array([[0, 0, 1, 1]])]
    expected = cached.predict(second)
    cached.predict(first)
    with monkeypatch.context() as patch:

        def fail(*arguments):
            raise Trouble("in a step")

        patch.setattr(cached, "step", fail)
        with pytest.raises(Trouble):
            cached.predict(second)
    np.testing.assert_allclose(cached.predict(second), expected, atol=1e-5)


def test_a_service_answers_right_after_wrong_requests():
    """Eight threads ask for good, wrong and too long texts at once."""
    pytest.importorskip("uvicorn", reason="bert4keras3[serving] is not installed")
    import json
    from urllib.error import HTTPError
    from urllib.request import urlopen

    from bert4keras3.snippets import WebServing

    model = make_model()

    def classify(ids):
        tokens = np.array([[int(token) for token in ids.split("-")]])
        return model.predict([tokens, np.zeros_like(tokens)], verbose=0)[0].tolist()

    web = WebServing(port=0)
    web.route("/classify", classify, {"ids": (None, True)})
    server = threading.Thread(target=web.start)
    server.start()
    while not web.server.started:
        time.sleep(0.01)
    address = f"http://127.0.0.1:{web.server.servers[0].sockets[0].getsockname()[1]}/classify?ids="
    good = {"2-5-9": None, "2-7-7-7-3": None}
    expected = {ids: classify(ids) for ids in good}
    bad = ["2-x", "-".join(["2"] * 30), "2-4000"]

    def ask(ids):
        try:
            with urlopen(address + ids, timeout=60) as response:
                return json.loads(response.read().decode("utf-8"))["data"]
        except HTTPError as error:
            return error.code

    def many():
        answers = [(ids, ask(ids)) for _ in range(4) for ids in [*good, *bad]]
        for ids, answer in answers:
            if ids in good:
                np.testing.assert_allclose(answer, expected[ids], atol=1e-6)
            else:
                assert answer == 500
        return "right"

    try:
        assert run_in_threads([many] * 8) == 8 * ["right"]
    finally:
        web.server.should_exit = True
        server.join(20)
