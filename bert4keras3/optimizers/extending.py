"""How an extension makes a class out of a class, and how what it made is saved and loaded.

A class made at run time has no place of its own where a file could find it. So an optimizer's configuration holds
its composition, and every extended class is registered under one name, whose `from_config` composes it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from bert4keras3.backend import get_custom_objects, keras, parallel_class
from bert4keras3.optimizers.steps import Steps

REGISTERED = "ExtendedOptimizer"
EXTENSIONS: dict[str, Callable] = {}

Extend = TypeVar("Extend", bound=Callable)


class Extension(Steps):
    """Base of the extensions: saves with an optimizer what it is composed of."""

    # Name of the class that was extended first, then [extension, name of the class that it made] for each.
    composition: list[Any] = []

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), composition=self.composition)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        config = dict(config)
        made = composed(config.pop("composition", cls.composition), custom_objects)
        return keras.optimizers.Optimizer.from_config.__func__(made, config, custom_objects)


keras.saving.register_keras_serializable("bert4keras3", REGISTERED)(Extension)


def composed(composition: list[Any], custom_objects: dict[str, Any] | None = None) -> type:
    """The class of a composition. Raises ValueError for what is not known here."""
    first, *steps = composition
    made = keras.saving.get_registered_object(first, custom_objects) or getattr(keras.optimizers, first, None)
    if made is None:
        raise ValueError(f"{first}: no optimizer of this name; import the module that defines it")
    for extension, name in steps:
        if extension not in EXTENSIONS:
            raise ValueError(f"{extension}: no extension of this name; import the module that defines it")
        made = EXTENSIONS[extension](made, name)
    return made


def export_to_custom_objects(base_extend_with: Callable[[type], type]) -> Callable[..., type]:
    """Decorator of an extension, a function from a class to a class: gives what it makes a name.

    The function gets a second argument, `name`, of the class. Under it the class is among Keras's custom objects,
    unless Keras has an optimizer of that name. The same class and name give the same class again.
    """
    extension = base_extend_with.__name__
    made: dict[Any, type] = {}

    def new_extend_with(BaseOptimizer: type, name: str | None = None) -> type:
        if (BaseOptimizer, name) not in made:
            made[BaseOptimizer, name] = extend(BaseOptimizer, name)
        return made[BaseOptimizer, name]

    def extend(BaseOptimizer: type, name: str | None) -> type:
        if not (isinstance(BaseOptimizer, type) and issubclass(BaseOptimizer, keras.optimizers.Optimizer)):
            raise TypeError(
                f"{extension}: expected a class of optimizers of Keras 3, such as bert4keras3.optimizers.Adam, "
                f"got {BaseOptimizer!r}"
            )
        NewOptimizer = base_extend_with(parallel_class(BaseOptimizer))
        if name is None:
            name = BaseOptimizer.__name__ + extension.replace("extend_", "").title().replace("_", "")
        NewOptimizer.__name__ = NewOptimizer.__qualname__ = name
        known = getattr(BaseOptimizer, "composition", [keras.saving.get_registered_name(BaseOptimizer)])
        NewOptimizer.composition = known + [[extension, name]]  # type: ignore[attr-defined]
        if issubclass(NewOptimizer, Extension):
            keras.saving.register_keras_serializable("bert4keras3", REGISTERED)(NewOptimizer)
        if not hasattr(keras.optimizers, name):
            get_custom_objects()[name] = NewOptimizer
        return NewOptimizer

    new_extend_with.__name__ = new_extend_with.__qualname__ = extension
    new_extend_with.__doc__ = base_extend_with.__doc__
    EXTENSIONS[extension] = new_extend_with
    return new_extend_with


def extended(extension: type[Extension], BaseOptimizer: type) -> type:
    """A subclass of both. Raises TypeError if BaseOptimizer has the extension."""
    if issubclass(BaseOptimizer, extension):
        raise TypeError(f"{BaseOptimizer.__name__} has {extension.__name__} already")
    return type(extension.__name__, (extension, BaseOptimizer), {"__doc__": extension.__doc__})
