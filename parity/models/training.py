"""Train a case for some steps of plain SGD: gradients of every variable, and the losses on the way.

The gradient is what one step changes, ÷ rate: so it comes out of each framework's own training, masks and all, and
no autograd of any framework is called here.
"""

import numpy as np

from parity.adapter import known_shape, listed, token_input
from parity.mesh import weights_of
from parity.models.build import build_case, load_case, make_inputs
from parity.subsample import seen, unpadded_places

STEPS = 20
RATE = 2.0**-7
# One step with the loss so much larger changes the weights by more than float32 rounds away; powers of two are exact.
LARGE = 2.0**20


def record_training(library, case, weights):
    """{"training/losses": (STEPS,), "training/gradient/<layer>/<weight>": as the weight}; without dropout."""
    case = case._replace(arguments=dict(case.arguments, dropout_rate=0, attention_dropout_rate=0))
    transformer, model = build_case(library, case)
    load_case(transformer, case, weights)
    values = make_inputs(library, case, case.lengths[-1], transformer, model)
    tokens = values[token_input(model)]
    step = make_step(library, model, values, seen(tokens))
    arrays = {
        f"training/gradient/{layer}/{i}": gradient
        for layer, gradients in measure_gradients(model, step).items()
        for i, gradient in gradients.items()
    }
    arrays["training/losses"] = np.array([step(1.0) for _ in range(STEPS)], "float64")
    return arrays


def make_step(library, model, values, seen, optimizer=None):
    """Function that makes one step, (scale of the loss) → loss.

    Args:
        seen: (batch, length), False for padding.
        optimizer: None: SGD.
    """
    shapes = [np.asarray(output).shape for output in library.devices.predict(library, model, values)]
    trained = with_loss(library, model)
    trained.compile(optimizer or library.keras.optimizers.SGD(RATE), "mean_absolute_error")
    train = library.devices.trainer(library, trained, RATE)
    targets, importances = targets_and_importances(shapes, seen)
    zeros = np.zeros((len(seen), 1))

    def step(scale):
        feed = values + targets + [scale * one for one in importances]
        trained.reset_metrics()  # Keras 3 before 3.15 returns the mean over all batches since
        return np.ravel(train(feed, zeros))[0]

    return step


def targets_and_importances(shapes, seen):
    """What outputs of these shapes are trained towards, and how much each number counts."""
    targets = [np.random.RandomState(i).normal(size=shape) for i, shape in enumerate(shapes)]
    return targets, [unpadded_places(shape, seen) / np.prod(shape[1:]) for shape in shapes]


def measure_gradients(model, step):
    """{layer: {number of a trainable weight: its gradient}}, from one step, which is then taken back."""
    layers = [layer for layer in model.layers if layer.trainable_weights]
    before = [weights_of(layer) for layer in layers]
    step(LARGE)
    gradients = {}
    for layer, old in zip(layers, before):
        trainable = [any(one is weight for one in layer.trainable_weights) for weight in layer.weights]
        gradients[layer.name] = {
            i: (was.astype("float64") - now.astype("float64")) / (RATE * LARGE)
            for i, (was, now) in enumerate(zip(old, weights_of(layer)))
            if trainable[i]
        }
        layer.set_weights(old)
    return gradients


def with_loss(library, model):
    """A model from inputs, targets and importances to the loss of each sample: (batch, 1)."""
    layers = library.keras.layers
    reduce = library.keras.ops.sum if hasattr(library.keras, "ops") else library.K.sum

    class SquaredError(layers.Layer):
        """Σ importance · (output − target)², over all outputs."""

        def call(self, inputs):
            count = len(inputs) // 3
            total = 0
            for output, target, importance in zip(inputs[:count], inputs[count:], inputs[2 * count :]):
                error = importance * (output - target) * (output - target)
                axes = list(range(1, len(output.shape)))
                total = total + reduce(error, axis=axes)
            return total[:, None]

        def compute_mask(self, inputs, mask=None):
            return None

        def compute_output_shape(self, input_shape):
            return (input_shape[0][0], 1)

    outputs = listed(model.outputs)
    given = [layers.Input(shape=known_shape(output)[1:]) for output in outputs * 2]
    loss = SquaredError()(outputs + given)
    return library.keras.models.Model(listed(model.inputs) + given, loss)
