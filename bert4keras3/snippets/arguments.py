"""Decorators that add arguments to an `__init__`, or take some away."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any


def insert_arguments(**arguments: Any) -> Callable:
    """Decorate `__init__`: these keyword arguments, or defaults, become attributes and do not reach it."""

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def wrapper(self, *args, **kwargs):
            for name, default in arguments.items():
                setattr(self, name, kwargs.pop(name, default))
            return method(self, *args, **kwargs)

        return wrapper

    return decorate


def delete_arguments(*arguments: str) -> Callable:
    """Decorate `__init__`: these keyword arguments are unknown to it; a call with one raises TypeError."""

    def decorate(method: Callable) -> Callable:
        @functools.wraps(method)
        def wrapper(self, *args, **kwargs):
            for name in arguments:
                if name in kwargs:
                    raise TypeError(f"{type(self).__name__} got an unexpected keyword argument {name!r}")
            return method(self, *args, **kwargs)

        return wrapper

    return decorate
