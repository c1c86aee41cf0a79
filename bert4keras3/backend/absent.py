"""Names of bert4keras that do not exist here: the error says what to write instead."""

from typing import Any


def absent(module, advice, others=None):
    """`__getattr__` of a module, for names that the module itself lacks; the module `others` has more names.

    For a name in `advice`, {name: what to write instead}, it raises ImportError, whose text Python also shows for
    `from module import name`. Python would replace the text of an AttributeError there.
    """

    def find(name):
        if hasattr(others, name):
            return getattr(others, name)
        if name in advice:
            raise ImportError(f"{module}.{name} does not exist here. {advice[name]}")
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find


class NotSupported:
    """Stands for a name that the Keras of this process does not offer: calls and attributes raise the reason."""

    def __init__(self, reason):
        self.__dict__["reason"] = reason

    def __call__(self, *args, **kwargs):
        raise NotImplementedError(self.reason)

    def __getattr__(self, name):
        raise NotImplementedError(self.reason)


def not_supported(reason: str) -> Any:
    """What stands in the contract for a name that a Keras lacks; the reason says why, and what to do instead."""
    return NotSupported(reason)
