"""Methods of Keras that accept more than Keras lets them: one decorator, one list, one switch.

`BERT4KERAS3_LEGACY_SCRIPTS=0` leaves all of Keras as it is.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from bert4keras3.backend.flavour import is_on

SWITCH = "BERT4KERAS3_LEGACY_SCRIPTS"

# {"Model.save_weights": Keras's own attribute, …}; None for an attribute that Keras does not have
EXTENDED: dict[str, Any] = {}


def extends(owner, *names):
    """Decorator: `function(original, *arguments)` takes the place of these methods of a class or module of Keras.

    `original` is Keras's own method, or None for a name that Keras does not have. If the switch is off, nothing
    happens.
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
    """Replace or add an attribute of Keras and note its original."""
    if is_on(SWITCH, "1"):
        key = f"{owner.__name__.split('.')[-1]}.{name}"
        EXTENDED.setdefault(key, getattr(owner, name, None))
        setattr(owner, name, value)
