"""Gradient checkpointing: less memory for more time. https://arxiv.org/abs/1604.06174"""

import functools
import inspect
from typing import Any, Callable

from bert4keras3.backend.contract import remat
from bert4keras3.backend.flavour import is_on

do_recompute = is_on("RECOMPUTE")


def recompute_grad(call: Callable) -> Callable:
    """Decorator of a layer's `call`: with RECOMPUTE=1, the backward pass computes intermediate results again.

    Gradients stay the same. On Keras 2 the decorator does not change a layer with an attention dropout above 0.

    Args:
        call: a method `call(self, inputs, mask=None, …)` of a layer.

    Returns:
        The method with recomputation; `call` itself without RECOMPUTE=1.
    """
    if not do_recompute:
        return call
    parameters = inspect.signature(call).parameters
    takes_all = any(one.kind is one.VAR_KEYWORD for one in parameters.values())

    @functools.wraps(call)
    def recomputed(self: Any, inputs: Any, mask: Any = None, **kwargs: Any) -> Any:
        # Keras sees **kwargs here and passes arguments that `call` may not accept.
        arguments = {name: value for name, value in kwargs.items() if takes_all or name in parameters}
        return remat(lambda layer, x: call(layer, x, mask=mask, **arguments), self, inputs)

    return recomputed
