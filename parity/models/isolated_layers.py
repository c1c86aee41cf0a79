"""Run every layer of a case in isolation: a wrong layer differs there from one that only amplifies its input's error.

    python -m parity.models.isolated_layers --pairing jax --case bert-mlm --reference-activations DIR

The model is built once more; after each layer stands what the reference computed there, with the model's own mask.
"""

import argparse
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from pairings import find
from parity.adapter import changed_calls, evaluate, layer_nodes, listed, open_library, output_name
from parity.models.build import build_case, case_weights, load_case, make_inputs
from parity.models.cases import add_case_arguments, chosen_cases
from parity.store import read_arrays, record_folder, write_arrays
from parity.subsample import sample_arrays


@contextmanager
def reference_outputs(library, arrays):
    """While a model is built in here, each layer hands on the array of its call in place of its own output."""
    backend = library.backend

    class FromReference(backend.Layer):
        """The reference's array in the dtype of the input, and the input's mask."""

        def __init__(self, value, **kwargs):
            super().__init__(**kwargs)
            self.value = value

        def call(self, inputs):
            return backend.ops.convert_to_tensor(self.value.astype(backend.dtype_name(inputs)))

        def compute_mask(self, inputs, mask=None):
            return mask

        def compute_output_shape(self, input_shape):
            return input_shape

    calls = Counter()

    def replace(layer, arguments, options, outputs):
        if isinstance(layer, FromReference):
            return outputs
        replaced = []
        for i, output in enumerate(listed(outputs)):
            name = output_name(layer, calls[layer.name], i)
            replaced.append(FromReference(arrays[name])(output) if name in arrays else output)
        calls[layer.name] += 1
        return replaced if isinstance(outputs, (list, tuple)) else replaced[0]

    with changed_calls(library, replace):
        yield


def run_isolated_layers(library, case, activations):
    """{"<length>/layer/<name>": output on the reference's input}. activations: the reference's record."""
    arrays = {}
    for length in case.lengths:
        start = f"{length}/layer/"
        given = {name[len(start) :]: value for name, value in activations.items() if name.startswith(start)}
        with reference_outputs(library, given):
            transformer, model = build_case(library, case)
        load_case(transformer, case, case_weights(case))
        nodes = [node for node in layer_nodes(library, model) if node[0] in given]
        probe = library.keras.models.Model(model.input, [tensor for _, tensor in nodes])
        values = make_inputs(library, case, length, transformer, model)
        outputs = evaluate(library, probe, values if len(values) > 1 else values[0])
        arrays.update((start + name, output) for (name, _), output in zip(nodes, outputs))
        library.K.clear_session()
    return arrays


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairing", required=True)
    activations = "folder of the reference's complete records"
    parser.add_argument("--reference-activations", required=True, type=Path, help=activations)
    add_case_arguments(parser)
    options = parser.parse_args()
    library = open_library(find(options.pairing).library)
    for case in chosen_cases(options):
        activations = read_arrays(options.reference_activations / (case.name + ".float64.npz"))
        arrays = run_isolated_layers(library, case, activations)
        path = record_folder(case, options.pairing) / (case.name + ".isolated.npz")
        write_arrays(path, sample_arrays(arrays))
        print(f"{options.pairing} {case.name}: isolated layers recorded", flush=True)


if __name__ == "__main__":
    main()
