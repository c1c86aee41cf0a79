"""Extended methods of Keras, which accept more arguments than Keras's own: one decorator, one list, one switch.

With `BERT4KERAS3_LEGACY_SCRIPTS=0` no method of Keras changes.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from bert4keras3.backend.flavour import is_on

SWITCH = "BERT4KERAS3_LEGACY_SCRIPTS"

# {"Model.save_weights": Keras's own attribute, …}; None if Keras lacks the attribute
EXTENDED: dict[str, Any] = {}


def extends(owner, *names):
    """Decorator: `function(original, *arguments)` replaces methods of a class or module of Keras, if the switch is on.

    `original` is Keras's own method, or None if Keras lacks the name.
    """

    def decorate(function):
        for name in names:
            original = getattr(owner, name, None)
            set_attribute(owner, name, bind(function, original, name))
        return function

    return decorate


def bind(function, original, name):
    @functools.wraps(original or function)
    def method(*args, **kwargs):
        return function(original, *args, **kwargs)

    if original is None:
        signature = inspect.signature(function)
        parameters = list(signature.parameters.values())[1:]
        method.__name__, method.__signature__ = name, signature.replace(parameters=parameters)
        del method.__wrapped__
    return method


def set_attribute(owner, name, value):
    """Replace or add an attribute of Keras, and remember the original in EXTENDED."""
    if is_on(SWITCH, "1"):
        key = f"{owner.__name__.split('.')[-1]}.{name}"
        EXTENDED.setdefault(key, getattr(owner, name, None))
        setattr(owner, name, value)
