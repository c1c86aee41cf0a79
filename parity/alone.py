"""Run every layer of a case alone on the reference's input: a layer that is wrong is told from one that amplifies.

    python -m parity.alone --pairing jax --case bert-mlm --whole results/whole

The model is built once more, and after each layer stands what the reference computed there, so that the next one
gets the reference's numbers, with the model's own mask.
"""

import argparse
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

from pairings import BY_NAME
from parity.cases import add_case_arguments, chosen_cases
from parity.files import read_arrays, record_folder, write_arrays
from parity.library import (
    build_case,
    case_weights,
    evaluate,
    layer_nodes,
    listed,
    load_case,
    make_inputs,
    open_library,
    output_name,
)
from parity.sampling import sample_arrays


@contextmanager
def reference_outputs(library, arrays):
    """While a model is built in here, each layer hands on the reference's output in place of its own.

    arrays: {name of the layer's call: array}, as in a record of one length.
    """
    backend = library.backend

    class FromReference(backend.Layer):
        """The reference's array in the dtype of the input, and the input's mask."""

        def __init__(self, value, **kwargs):
            super(FromReference, self).__init__(**kwargs)
            self.value = value

        def call(self, inputs):
            return backend.ops.convert_to_tensor(self.value.astype(backend.dtype_name(inputs)))

        def compute_mask(self, inputs, mask=None):
            return mask

        def compute_output_shape(self, input_shape):
            return input_shape

    base = library.keras.layers.Layer
    original, calls, depth = base.__call__, Counter(), [0]

    def call(layer, *arguments, **options):
        depth[0] += 1
        try:
            outputs = original(layer, *arguments, **options)
        finally:
            depth[0] -= 1
        if depth[0] or isinstance(layer, FromReference):
            return outputs
        replaced = []
        for i, output in enumerate(listed(outputs)):
            name = output_name(layer, calls[layer.name], i)
            replaced.append(FromReference(arrays[name])(output) if name in arrays else output)
        calls[layer.name] += 1
        return replaced if isinstance(outputs, (list, tuple)) else replaced[0]

    base.__call__ = call
    try:
        yield
    finally:
        base.__call__ = original


def run_alone(library, case, whole):
    """{"<length>/layer/<name>": output on the reference's input}. whole: the reference's record of the case."""
    arrays = {}
    for length in case.lengths:
        start = "%d/layer/" % length
        given = {name[len(start) :]: value for name, value in whole.items() if name.startswith(start)}
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
    parser.add_argument("--whole", required=True, type=Path, help="folder of the reference's whole records")
    add_case_arguments(parser)
    options = parser.parse_args()
    library = open_library(BY_NAME[options.pairing].library)
    for case in chosen_cases(options):
        whole = read_arrays(options.whole / (case.name + ".float64.npz"))
        arrays = run_alone(library, case, whole)
        write_arrays(record_folder(case, options.pairing) / (case.name + ".alone.npz"), sample_arrays(arrays))
        print("%s %s: layers run alone" % (options.pairing, case.name), flush=True)


if __name__ == "__main__":
    main()
