"""What subjects on PyTorch share."""

import torch

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def to_device(value):
    return value.to(DEVICE)


def ready(function):
    """A function whose outputs are there when it returns, without gradients."""

    def run(*arguments, **options):
        with torch.no_grad():
            outputs = function(*arguments, **options)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        return outputs

    return run


def arrays(outputs):
    return [one.detach().cpu().numpy() for one in outputs]
