"""Gradient checkpointing: less memory for more time. https://arxiv.org/abs/1604.06174"""

import functools
import inspect
from typing import Any, Callable

from bert4keras3.backend.contract import remat
from bert4keras3.backend.flavour import is_on

do_recompute = is_on("RECOMPUTE")


def recompute_grad(call: Callable) -> Callable:
    """Decorator of a layer's `call(self, inputs, mask=None, …)`; it does something only with RECOMPUTE=1 set.

    What the call computes on its way is then not kept for the gradient but computed a second time. Gradients
    stay the same. On Keras 2 a layer with an attention dropout above 0 is left as it is.
    """
    if not do_recompute:
        return call
    parameters = inspect.signature(call).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())

    @functools.wraps(call)
    def recomputed(self: Any, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
        # Keras sees that this takes any argument, and passes more than the call may know
        arguments = {name: value for name, value in kwargs.items() if takes_all or name in parameters}
        return remat(lambda layer, x: call(layer, x, mask=mask, **arguments), self, inputs)

    return recomputed
