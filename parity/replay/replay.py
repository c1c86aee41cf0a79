"""One red case of bert4keras3, in small: `python replay.py` fails as long as it is red."""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from bert4keras3.backend import Layer, dtype_name, keras, ops, set_gelu
from bert4keras3.models import build_transformer_model

FOLDER = Path(__file__).resolve().parent
CASE = json.loads((FOLDER / "case.json").read_text(encoding="utf-8"))
INPUTS, GIVEN, RIGHT = (dict(np.load(str(FOLDER / f"{name}.npz"))) for name in ("inputs", "given", "right"))
original, depth, target = keras.layers.Layer.__call__, [0], []  # type: ignore[var-annotated]
calls = Counter()  # type: ignore[var-annotated]


class Given(Layer):
    def call(self, inputs):
        return ops.convert_to_tensor(self.value.astype(dtype_name(inputs)))


def call(layer, *arguments, **options):
    """Keras's call of a layer. Behind the layers before the wrong one stand the right numbers, with their masks."""
    depth[0] += 1
    outputs = original(layer, *arguments, **options)
    depth[0] -= 1
    if depth[0] or isinstance(layer, Given):
        return outputs
    listed = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    for i, output in enumerate(listed):
        name = layer.name + (f"#{calls[layer.name]}" if calls[layer.name] else "") + (f".{i}" if i else "")
        target.extend([output] if name == CASE["layer"] else [])
        if name in GIVEN:
            given = Given()
            given.value = GIVEN[name]
            listed[i] = given(output)
    calls[layer.name] += 1
    return listed if isinstance(outputs, (list, tuple)) else listed[0]


set_gelu(CASE["gelu"])
keras.layers.Layer.__call__ = call
built = build_transformer_model(str(FOLDER / "config.json"), return_keras_model=False, **CASE["arguments"])
keras.layers.Layer.__call__ = original
built.load_weights_from_checkpoint(str(FOLDER / "weights.npz"))
model = keras.models.Model(built.model.inputs, target or built.model.outputs[0])
found = [np.asarray(model.predict(list(INPUTS.values()), verbose=0))]
if "direction" in RIGHT:  # the gradient of Σ direction · output, by the layer's weights, from a step of SGD
    layer = built.layers[CASE["layer"].split("#")[0]]
    before = layer.get_weights()
    model.compile(keras.optimizers.SGD(2.0**-7), lambda true, found: ops.sum(true * found))
    model.train_on_batch(list(INPUTS.values()), RIGHT["direction"] * np.float32(2.0**20))
    found = [(old - new) * 2.0**-13 for old, new in zip(before, layer.get_weights())]
numbers = np.concatenate([np.ravel(one).astype("float64") for one in found])[RIGHT["places"]]
ratio = np.sqrt(np.mean(np.square(numbers - RIGHT["expected"]))) / CASE["noise"]
print(f"{CASE['layer'] or 'output'}: error ratio {ratio:.3g}, expected at most {CASE['bound']:g}")
sys.exit(int(not ratio <= CASE["bound"]))
