"""What the implementations on PyTorch have in common."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def to_device(value):
    return value.to(DEVICE)


def ready(function):
    """Wrap a function: it records no gradients, and returns when its outputs are there."""

    def run(*arguments, **options):
        with torch.no_grad():
            outputs = function(*arguments, **options)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return outputs

    return run


def arrays(outputs):
    return [one.detach().cpu().numpy() for one in outputs]
