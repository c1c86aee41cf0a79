"""Files of goldens: what an oracle computed for a case, with its provenance."""

import numpy as np

from parity.store import checkpoint_folder, golden_folder, sha256, write_arrays, write_json
from parity.subsample import is_distribution, judged, rms, sample_arrays, sample_output, unpadded


def write_golden(case, single, double, info, provenance):
    """One golden from what an oracle computed in float32 and float64: `<case>.npz` and its metadata in JSON.

    Arrays: "<length>/input/<i>"; "<length>/output/<i>" and "<length>/layer/<name>" in float64, sampled; with
    "@noise" the oracle's own float32 error over the whole array, with "@float32" its float32 output. The arrays of
    training.py likewise, gradients sampled.
    """
    arrays, distributions = {}, []
    for name, value in double.items():
        if "/input/" in name:
            arrays[name] = value
            continue
        is_probability = "training/" not in name and is_distribution(value)
        if is_probability:
            distributions.append(name)
        pair = [value, single[name]]
        if "/output/" in name:
            tokens = double[f"{name.split('/')[0]}/input/{info['token_input']}"]
            arrays[name] = sample_output(value, tokens)
            arrays[name + "@float32"] = sample_output(single[name], tokens)
            pair = [unpadded(array, tokens) for array in pair]
        else:
            arrays[name] = value
        noise = judged(pair[1], is_probability) - judged(pair[0], is_probability)
        arrays[name + "@noise"] = np.array(rms([noise]))
    path = golden_folder(case) / (case.name + ".npz")
    write_arrays(path, sample_arrays(arrays))
    metadata = {
        "case": case.name,
        "oracle": case.oracle,
        "layers": info["layers"],  # every call, in the order of computation
        "model_layers": info["model_layers"],  # as in model.layers
        "distributions": distributions,
        "token_input": info["token_input"],  # the input whose padding the outputs have
        "shapes": {name: list(value.shape) for name, value in double.items() if "/output/" in name},
        "checkpoint": checkpoint_checksums(case),
        "random_weights": info.get("random_weights"),  # their digest, where no file holds them
        "sha256": sha256(path),
        "provenance": provenance,
    }
    write_json(path.with_suffix(".json"), metadata)


def checkpoint_checksums(case):
    folder = checkpoint_folder(case.checkpoint)
    return {path.name: sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
