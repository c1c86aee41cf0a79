"""Layers of scripts for Keras 2: layers that `call` creates or uses first, and weights that it replaces.

In Keras 2 a call on symbolic tensors creates and builds inner layers. Keras 3 skips this call if a class has its own
`compute_output_shape`, and forbids new layers after `build`. Here `build` of a user's class ends with a symbolic call.

A `call` may replace a weight by a tensor, `self.embeddings = …`, until the call ends.
"""

import dis
import functools
import inspect
import threading
from contextvars import ContextVar

import keras

from bert4keras3.backend.extensions import extends, set_attribute
from bert4keras3.backend.keras3.private import inner_layers, is_in_call, set_weight

# ids of the layers whose `build` is running: the symbolic call does not follow an inner `super().build(…)`
building: ContextVar = ContextVar("building", default=())


def with_inner_layers(build):
    """`build` of a class of layers, followed by a symbolic call that creates and builds inner layers."""
    if hasattr(build, "makes_inner_layers"):
        return build

    @functools.wraps(build)
    def wrapped(self, *args, **kwargs):
        if id(self) in building.get():
            return build(self, *args, **kwargs)
        token = building.set(building.get() + (id(self),))
        try:
            build(self, *args, **kwargs)
        finally:
            building.reset(token)
        shapes = [*args, *kwargs.values()]
        if len(shapes) == 1 and shapes[0] is not None and lacks_inner_layers(self, may_add=True):
            call_symbolically(self, symbolic_inputs(shapes[0], self.compute_dtype))

    wrapped.makes_inner_layers = True
    return wrapped


def symbolic_inputs(shape, dtype):
    """Symbolic tensors for a shape, or for a nest of shapes."""
    if isinstance(shape, dict):
        return {name: symbolic_inputs(one, dtype) for name, one in shape.items()}
    if any(isinstance(one, (list, tuple, dict)) for one in shape):
        return [symbolic_inputs(one, dtype) for one in shape]
    return keras.KerasTensor(shape, dtype)


def lacks_inner_layers(layer, may_add=False):
    """Whether a user's layer contains unbuilt layers, or with `may_add` a `call` that may create layers."""
    if type(layer).__module__.split(".")[0] == "keras" or isinstance(layer, keras.Model):
        return False
    return any(not one.built for one in inner_layers(layer)) or may_add and sets_attributes(type(layer).call)


@functools.lru_cache(maxsize=None)
def sets_attributes(call):
    """Whether a function sets attributes."""
    return "setattr" in inspect.unwrap(call).__code__.co_names or bool(names_of_set_attributes(call))


def names_of_set_attributes(call):
    """Names of the attributes that a function sets."""
    instructions = dis.get_instructions(inspect.unwrap(call))
    return sorted({one.argval for one in instructions if one.opname == "STORE_ATTR"})


def call_symbolically(layer, *args, **kwargs):
    """Run `call` on symbolic tensors. Errors are ignored: symbolic inputs may not suffice, and later calls raise."""
    try:
        keras.Operation.compute_output_spec(layer, *args, **kwargs)
    except Exception:  # noqa: BLE001 any error of a user's call
        pass


def compute_output_spec(original, self, *args, **kwargs):
    """Keras's own method, after a symbolic call that builds inner layers."""
    if lacks_inner_layers(self):
        call_symbolically(self, *args, **kwargs)
    return original(self, *args, **kwargs)


def compute_output_shape(original, self, input_shape):
    """Shape of the outputs by a symbolic call: in Keras 2 every layer has this method."""
    if not self.built:
        self.build(input_shape)
    outputs = keras.Operation.compute_output_spec(self, symbolic_inputs(input_shape, self.compute_dtype))
    return keras.tree.map_structure(lambda output: output.shape, outputs)


# Threads share the weights of a layer, so only one thread at a time may replace weights.
replacing = threading.RLock()
calling: ContextVar = ContextVar("calling", default=False)


def with_weights_put_back(call):
    """`call` of a class of layers, after which replaced weights are restored, even if the call raises.

    On TensorFlow these weights are tensors during the call. TensorFlow multiplies a tensor by a float64 array in the
    dtype of the tensor, but Keras multiplies a variable by the array in float64.
    """
    names = () if hasattr(call, "puts_weights_back") else names_of_set_attributes(call)
    if not names:
        return call

    @functools.wraps(call)
    def wrapped(self, *args, **kwargs):
        with replacing:
            found = {name: getattr(self, name, None) for name in names}
            weights = {name: one for name, one in found.items() if isinstance(one, keras.Variable)}
            if weights:
                token = calling.set(True)
                try:
                    if keras.config.backend() == "tensorflow":
                        for name, weight in weights.items():
                            # convert_to_tensor would return TensorFlow's variable
                            setattr(self, name, keras.ops.reshape(weight, weight.shape))
                    return call(self, *args, **kwargs)
                finally:
                    for name, weight in weights.items():
                        object.__setattr__(self, name, weight)
                    calling.reset(token)
        return call(self, *args, **kwargs)

    wrapped.puts_weights_back = True
    return wrapped


def complete_subclass(cls):
    """Wrap `build` and `call` of a new subclass; for `__init_subclass__` of a base class."""
    if issubclass(cls, keras.Model):
        return
    if "build" in vars(cls):
        cls.build = with_inner_layers(cls.build)
    if inspect.isfunction(vars(cls).get("call")):
        cls.call = with_weights_put_back(cls.call)


KerasLayer = keras.layers.Layer


class LayerOfKeras2(KerasLayer):  # type: ignore[misc,valid-type]
    """Base class of our layers and of users' layers, with or without the extensions of Keras."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        complete_subclass(cls)

    def compute_output_spec(self, *args, **kwargs):
        if lacks_inner_layers(self):
            call_symbolically(self, *args, **kwargs)
        # not super(): another base class, such as Embedding, may accept fewer arguments
        return KerasLayer.compute_output_spec(self, *args, **kwargs)

    @property
    def weights(self):
        """Trainable weights, then the others, in the order of Keras 2's `get_weights`."""
        return sorted(super().weights, key=lambda weight: not weight.trainable)


def init_subclass(cls, **kwargs):
    super(KerasLayer, cls).__init_subclass__(**kwargs)
    complete_subclass(cls)


set_attribute(KerasLayer, "__init_subclass__", classmethod(init_subclass))
set_attribute(KerasLayer, "build", with_inner_layers(KerasLayer.build))
extends(KerasLayer, "compute_output_shape")(compute_output_shape)
extends(KerasLayer, "compute_output_spec")(compute_output_spec)


def replaceable(own, name):
    """A property with a setter for a weight that Keras gives without one: `build` sets a weight, `call` a tensor."""

    def get(self):
        replaced = vars(self).get("replaced_weights", {})
        return replaced[name] if name in replaced else own.fget(self)

    def put(self, value):
        if isinstance(value, keras.Variable):
            vars(self).get("replaced_weights", {}).pop(name, None)
            set_weight(self, name, value)
        elif is_in_call() or calling.get():
            vars(self).setdefault("replaced_weights", {})[name] = value
        else:
            raise ValueError(
                f"{self.name}.{name}: expected a keras.Variable, got {type(value).__name__}. A tensor may replace a "
                f"weight inside `call` alone. To change the weight, write layer.{name}.assign(value)."
            )

    return property(get, put, doc=own.__doc__)


for _kind in ("Embedding", "Dense", "EinsumDense", "Conv1D", "Conv2D", "Conv3D"):
    _name = "embeddings" if _kind == "Embedding" else "kernel"
    _own = getattr(getattr(keras.layers, _kind), _name, None)
    if isinstance(_own, property) and _own.fset is None:
        set_attribute(getattr(keras.layers, _kind), _name, replaceable(_own, _name))
