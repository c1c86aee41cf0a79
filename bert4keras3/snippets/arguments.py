"""Decorators that add arguments to an `__init__` or remove some."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def insert_arguments(**arguments: Any) -> Callable:
    """Decorate `__init__` so that these keyword arguments become attributes and are not passed on.

    Args:
        arguments: names and their default values.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def wrapper(self, *args, **kwargs):
            for name, default in arguments.items():
                setattr(self, name, kwargs.pop(name, default))
            return method(self, *args, **kwargs)

        return wrapper

    return decorate


def delete_arguments(*arguments: str) -> Callable:
    """Decorate `__init__` so that it does not accept these keyword arguments.

    Raises:
        TypeError: a caller passes one of them.
    """

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def wrapper(self, *args, **kwargs):
            for name in arguments:
                if name in kwargs:
                    raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}")
            return method(self, *args, **kwargs)

        return wrapper

    return decorate
