"""How an extension derives a class from another, and how optimizers of such classes are saved and loaded.

No module contains a class that is created at run time, so a saved file cannot name it. Therefore an optimizer's
configuration contains the composition of its class. All extended classes are registered under one name, and
`from_config` composes the class again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from bert4keras3.backend import get_custom_objects, keras, parallel_class
from bert4keras3.backend.optimizer_extensions import WithArguments, derived_name, make_extend_with
from bert4keras3.optimizers.steps import Steps

REGISTERED = "ExtendedOptimizer"
EXTENSIONS: dict[str, Callable] = {}


class Extension(WithArguments, Steps):
    """Base of the extensions; saves the composition of the class with the optimizer."""

    # The name of the first class, then [extension, name of the derived class] for each extension.
    composition: list[Any] = []

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), composition=self.composition)

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Any:
        config = dict(config)
        composed = compose(config.pop("composition", cls.composition), custom_objects)
        return keras.optimizers.Optimizer.from_config.__func__(composed, config, custom_objects)


keras.saving.register_keras_serializable("bert4keras3", REGISTERED)(Extension)


def compose(composition: list[Any], custom_objects: dict[str, Any] | None = None) -> type:
    """The class of a composition.

    Raises:
        ValueError: the optimizer or an extension is unknown.
    """
    first, *steps = composition
    result = keras.saving.get_registered_object(first, custom_objects) or getattr(
        keras.optimizers, first, None
    )
    if result is None:
        raise ValueError(f"{first}: no optimizer of this name; import the module that defines it")
    for extension, name in steps:
        if extension not in EXTENSIONS:
            raise ValueError(f"{extension}: no extension of this name; import the module that defines it")
        result = EXTENSIONS[extension](result, name)
    return result


def export_to_custom_objects(base_extend_with: Callable[[type], type]) -> Callable[..., type]:
    """Decorate an extension, a function from a class to a class, so that it names the class that it returns.

    The decorated function has a second argument, `name`. The class is registered under this name among Keras's custom
    objects, unless Keras has an optimizer with that name. The same class and name give the same class again.
    """
    extension = base_extend_with.__name__
    classes: dict[Any, type] = {}

    def new_extend_with(BaseOptimizer: type, name: str | None = None) -> type:
        if (BaseOptimizer, name) not in classes:
            classes[BaseOptimizer, name] = extend(BaseOptimizer, name)
        return classes[BaseOptimizer, name]

    def extend(BaseOptimizer: type, name: str | None) -> type:
        if not (isinstance(BaseOptimizer, type) and issubclass(BaseOptimizer, keras.optimizers.Optimizer)):
            raise TypeError(
                f"{extension}: expected a class of optimizers of Keras 3, such as bert4keras3.optimizers.Adam, "
                f"got {BaseOptimizer!r}"
            )
        NewOptimizer = base_extend_with(parallel_class(BaseOptimizer))
        if name is None:
            name = derived_name(BaseOptimizer, extension)
        NewOptimizer.__name__ = NewOptimizer.__qualname__ = name
        base = getattr(BaseOptimizer, "composition", [keras.saving.get_registered_name(BaseOptimizer)])
        NewOptimizer.composition = base + [[extension, name]]  # type: ignore[attr-defined]
        if issubclass(NewOptimizer, Extension):
            keras.saving.register_keras_serializable("bert4keras3", REGISTERED)(NewOptimizer)
        if not hasattr(keras.optimizers, name):
            get_custom_objects()[name] = NewOptimizer
        return NewOptimizer

    new_extend_with.__name__ = new_extend_with.__qualname__ = extension
    new_extend_with.__doc__ = base_extend_with.__doc__
    EXTENSIONS[extension] = new_extend_with
    return new_extend_with


extend_with = functools.partial(make_extend_with, export_to_custom_objects)
