"""Functions that exist for speed alone. `plain.py` defines each; docs/accelerate.md says what each path gains.

`BERT4KERAS3_ACCELERATE=0` selects `plain.py` everywhere.
"""

from importlib import import_module
from types import ModuleType

from bert4keras3.backend.flavour import is_on

SWITCH = "BERT4KERAS3_ACCELERATE"
PATHS = ("jax", "tensorflow", "torch")  # the frameworks with a file of their own


def accelerates() -> bool:
    """Whether the switch is on."""
    return is_on(SWITCH, "1")


def implementation(framework: str) -> ModuleType:
    """The module whose functions the layers call.

    Args:
        framework: the framework of Keras 3, or "keras2".
    """
    name = framework if framework in PATHS and accelerates() else "plain"
    return import_module(f"bert4keras3.backend.accelerate.{name}")
