"""The configuration of our layers, from the arguments of `__init__`."""

from __future__ import annotations

import inspect
from typing import Any

from bert4keras3.backend import Layer, keras


class ConfiguredLayer(Layer):
    """Base of layers that keep each argument of `__init__` as an attribute of the same name."""

    def get_config(self) -> dict[str, Any]:
        ours = [one for one in type(self).__mro__ if one.__module__.startswith("bert4keras3.layers.")]
        inits = [vars(one)["__init__"] for one in ours if "__init__" in vars(one)]
        parameters = [one for init in inits for one in inspect.signature(init).parameters.values()]
        names = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD and one.name != "self"]
        return dict(super().get_config(), **{name: serialized(name, getattr(self, name)) for name in names})


def serialized(name: str, value: Any) -> Any:
    """Serialize an initializer, an activation or a list of activations; any other value is unchanged."""
    if name.endswith("initializer"):
        return keras.initializers.serialize(value)
    if name.endswith("activation"):
        is_list = isinstance(value, list)
        return [serialized(name, one) for one in value] if is_list else keras.activations.serialize(value)
    return value
