"""The weights that an optimizer of the library under test leaves, stepped with the given gradients."""

import importlib

from parity.optimizers.cases import CASES, SHAPES, compose, first_weights, trained


def record(kind, library, flavour, name):
    """{variable: its values after the steps in KEPT}"""
    steps = {"keras2": steps_of_keras_2, "tf_keras": steps_of_tf_keras, "keras3": steps_of_keras_3}[flavour]
    step, optimizer, variables = steps(library, lambda: make_optimizer(library, CASES[name]))
    get_values = library.backend.get_values
    return trained(CASES[name], step, lambda: get_values(variables), lambda: optimizer.apply_ema_weights())


def make_optimizer(library, case):
    module = importlib.import_module(library.name + ".optimizers")
    return compose(module, library.keras, case, "_v2" if case["version"] == "v2" else "")


def make_variables(keras):
    """Variables of Keras 3 with the paths that the exclusions look for."""
    variables = []
    for path, value in zip(SHAPES, first_weights()):
        layer, name = path.split("/")
        with keras.name_scope(layer):
            variables.append(keras.Variable(value, name=name))
    return variables


def steps_of_keras_3(library, make):
    """(function of the gradients that makes a step, as a user's training loop does; optimizer; variables)"""
    variables, optimizer = make_variables(library.keras), make()
    optimizer.build(variables)

    def step(gradients):
        optimizer.apply([library.backend.ops.convert_to_tensor(one) for one in gradients], variables)

    return step, optimizer, variables


def steps_of_tf_keras(library, make):
    """The same in eager mode or, on TensorFlow 1.15, in a graph."""
    import tensorflow as tf

    K = library.K
    K.clear_session()
    optimizer = make()
    variables = [K.variable(value, name=path) for path, value in zip(SHAPES, first_weights())]
    if tf.executing_eagerly():

        def step(given):
            optimizer.apply_gradients(list(zip(map(tf.constant, given), variables)))

        return step, optimizer, variables
    given = [K.placeholder(shape=shape) for shape in SHAPES.values()]
    updates = [optimizer.apply_gradients(list(zip(given, variables)))]
    return K.function(given, [tf.zeros(())], updates=updates), optimizer, variables


def steps_of_keras_2(library, make, leave=None):
    """The same in a graph in which `leave` raises no counter: it is raised after the step, as in `golden.py`."""
    K = library.K
    K.clear_session()
    optimizer = make()
    variables = [K.variable(value, name=path) for path, value in zip(SHAPES, first_weights())]

    @K.symbolic
    def make_step():
        given = [K.placeholder(shape=shape) for shape in SHAPES.values()]
        loss = sum(K.sum(variable * gradient) for variable, gradient in zip(variables, given))
        return K.function(given, [loss], updates=optimizer.get_updates(loss=loss, params=variables))

    update_add = K.update_add
    K.update_add = leave or (lambda variable, by: K.update(variable, variable + 0))
    try:
        run = make_step()
    finally:
        K.update_add = update_add

    def step(gradients):
        run(gradients)
        K.set_value(optimizer.iterations, K.get_value(optimizer.iterations) + 1)

    return step, optimizer, variables
