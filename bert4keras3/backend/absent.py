"""Names of bert4keras that do not exist here: the error says what to write instead."""


def absent(module, advice, others=None):
    """`__getattr__` of a module, for the names that the module itself lacks.

    Args:
        module: name of the module, for messages.
        advice: {name: what to write instead}.
        others: a module that has more names.

    Returns:
        A function of a name. The function raises ImportError for a name in `advice`: Python shows its text for
        `from module import name` too, and drops the text of an AttributeError there.
    """

    def find(name):
        if hasattr(others, name):
            return getattr(others, name)
        if name in advice:
            raise ImportError(f"{module}.{name} does not exist here. {advice[name]}")
        raise AttributeError(f"module {module!r} has no attribute {name!r}")

    return find
