"""Cases on a mesh of devices: their models are split, and their batches have rows for every device.

Which layers stay whole is data, and strict: the small models have few heads, and some vocabularies are odd.
"""

import importlib
import math

import numpy as np

from parity.adapter import OneDevice, alone, listed
from parity.compare import Red

# {case or release: {what is split: how many of it there are}}, of what some mesh does not divide.
FOUR_HEADS, THREE_HEADS, TWELVE_HEADS = {"heads": 4}, {"heads": 3}, {"heads": 12}
NUMBERS = {
    "bert-compound-tokens": {"heads": 4, "vocabulary": 63},
    "bert-autoresize": {},
    "gau_alpha": {},
    "t5": THREE_HEADS,
    "t5_1_1": THREE_HEADS,
    "mt5": THREE_HEADS,
    "zhuiyi_t5_pegasus": THREE_HEADS,
    "minilm": {"heads": 12, "vocabulary": 30522},
    "bert_base": TWELVE_HEADS,
    "bert_large": {"vocabulary": 30522},
    "albert_xlarge": {},
    "nezha_base": TWELVE_HEADS,
    "roformer_base": TWELVE_HEADS,
    "electra_base": {"heads": 12, "vocabulary": 30522},
    "t5_base": TWELVE_HEADS,
    "mt5_small": {"heads": 6},
    "gpt2_ml_base": {"heads": 12, "vocabulary": 50270},
    "gau_alpha_base": {},
}


def expected_whole(case, devices):
    """What so many devices cannot divide in the model of a case: some of "heads" and "vocabulary"."""
    numbers = NUMBERS.get(case.name, NUMBERS.get(case.release, FOUR_HEADS))
    return {what for what, number in numbers.items() if number % devices}


def what_of(layer):
    """What of a layer is split, by its name."""
    if "MultiHead" in layer or "Relative-Position" in layer:
        return "heads"
    return "units" if "FeedForward" in layer or "GatedAttention" in layer else "vocabulary"


class Mesh(OneDevice):
    """A mesh of devices, perhaps of several processes.

    Args:
        sizes: numbers of devices along the axes "data" and "model".
    """

    def __init__(self, sizes):
        self.sizes = sizes

    def forget(self, library):
        """Build what follows on one device."""
        library.keras.distribution.set_distribution(None)

    def split(self, library, case, model):
        """Split the weights of a model over the devices.

        Raises:
            Red: other layers stay whole than NUMBERS says.
        """
        parallel = importlib.import_module(library.name + ".parallel")
        mesh = library.keras.distribution.DeviceMesh(self.sizes, ("data", "model"))
        found = parallel.indivisible_layers(model, mesh)
        expected = expected_whole(case, self.sizes[1])
        if {what_of(layer) for layer in found} != expected:
            raise Red(
                f"whole on each device: expected layers by {sorted(expected)}, got {sorted(found.values())}"
            )
        parallel.model_parallel(model, mesh, indivisible="replicate")

    def copies(self, rows):
        """How often a batch is repeated, so that the devices along the first axis share its rows equally."""
        return self.sizes[0] // math.gcd(rows, self.sizes[0])

    def repeated(self, library, values):
        """Arrays with one row a sample, repeated for the mesh; of several processes each has its own rows."""
        values = [np.concatenate([value] * self.copies(len(value))) for value in values]
        distribution = library.keras.distribution.distribution()
        shards = min(distribution.num_model_replicas, distribution.num_processes)
        rows = len(values[0]) // shards
        start = distribution.data_shard_id * rows if shards > 1 else 0
        return [value[start : start + rows] for value in values]

    def predict(self, library, model, values):
        feed, rows = self.repeated(library, values), len(values[0])
        if library.keras.distribution.distribution().num_processes > 1:
            outputs = predict_in_processes(library, model, feed)
        else:
            outputs = model.predict(alone(feed), verbose=0)
        count = rows * self.copies(rows)
        return [one[:rows] if count > rows and one.shape[:1] == (count,) else one for one in listed(outputs)]

    # Compiled too: each operation alone would be compiled for all devices.
    evaluate = predict

    def trainer(self, library, model, rate):
        def train(inputs, targets):
            (targets,) = self.repeated(library, [targets])
            return model.train_on_batch(self.repeated(library, inputs), targets)

        return train


def predict_in_processes(library, model, feed):
    """Outputs of a model that lies on devices of several processes, whole in each process.

    `predict` of Keras fails for what lies in other processes.
    """
    import jax

    distribution = library.keras.distribution.distribution()
    whole = jax.sharding.NamedSharding(distribution.device_mesh.backend_mesh, jax.sharding.PartitionSpec())
    inputs = [
        jax.make_array_from_process_local_data(distribution.get_data_layout(one.shape).backend_layout, one)
        for one in feed
    ]
    state = [
        [one.value for one in group] for group in (model.trainable_variables, model.non_trainable_variables)
    ]

    def forward(state, inputs):
        return model.stateless_call(*state, inputs if len(inputs) > 1 else inputs[0], training=False)[0]

    return jax.tree.map(np.asarray, jax.jit(forward, out_shardings=whole)(state, inputs))


def weights_of(layer):
    """`get_weights` of a layer, whose weights may lie on devices of several processes."""
    if all(getattr(getattr(one, "value", None), "is_fully_addressable", True) for one in layer.weights):
        return layer.get_weights()
    from jax.experimental.multihost_utils import process_allgather

    return [np.asarray(process_allgather(one.value, tiled=True)) for one in layer.weights]
