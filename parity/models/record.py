"""What the library computes for a case, inside a pairing: outputs, every layer, gradients."""

from pairings import find
from parity.adapter import layer_nodes, token_input
from parity.models.build import build_case, case_weights, load_case, make_inputs
from parity.models.random_weights import digest
from parity.models.training import record_training
from parity.subsample import sample_arrays


def record_case(library, case, weights=None):
    """(arrays, info) of one case: "<length>/input/<i>", "…/output/<i>", "…/layer/<name>". weights: if not its own."""
    transformer, model = build_case(library, case)
    weights = case_weights(case) if weights is None else weights
    load_case(transformer, case, weights)
    info = {"random_weights": digest(weights)} if case.slow else {}
    nodes = layer_nodes(library, model)
    probe = library.keras.models.Model(model.input, [tensor for _, tensor in nodes])

    arrays = {}
    for length in case.lengths:
        values = make_inputs(library, case, length, transformer, model)
        for i, value in enumerate(values):
            arrays[f"{length}/input/{i}"] = value
        for i, output in enumerate(library.devices.predict(library, model, values)):
            arrays[f"{length}/output/{i}"] = output
        for (layer, _), value in zip(nodes, library.devices.evaluate(library, probe, values)):
            arrays[f"{length}/layer/{layer}"] = value
    info["layers"] = [layer for layer, _ in nodes]
    info["token_input"] = token_input(model)
    info["model_layers"] = [layer.name for layer in model.layers]
    return arrays, info


def record_and_train(library, pairing, case, train):
    """(arrays, info) of a case, with gradients and losses if it is trained; arrays are subsampled."""
    arrays, info = record_case(library, case)
    trains = train and "training" not in find(pairing).limitations
    if trains:
        arrays.update(record_training(library, case, case_weights(case)))
    elif train:
        expect_limitation("training", record_training, library, case, case_weights(case))
    return sample_arrays(arrays), dict(info, trained=trains)


def expect_limitation(what, function, *arguments):
    """Raise ValueError where the function does what the pairing is declared not to do."""
    try:
        function(*arguments)
    except NotImplementedError:
        return
    raise ValueError(f"{what} works here by now: take it from the limitations in pairings/__init__.py")
