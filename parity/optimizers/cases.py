"""Optimizers stepping a few variables for 50 steps, in the original library and in ours with the same gradients.

A case is data, so that all of it fits into JSON. Gradients are numbers of float16, so that they arrive exactly in
mixed precision too; they are the same for all weights, but for the cases that pull the weights back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.compare import FLOOR, rank, training_ratio
from parity.subsample import rms

STEPS = 50
KEPT = (1, 13, 50)  # steps after which the weights are compared
RATE = 0.01
PULL = 0.25
# As in a model: an embedding some of whose rows have no gradient, exclusions by name, matrices and vectors.
SHAPES = {
    "Embedding-Token/embeddings": (7, 4),
    "FeedForward/kernel": (4, 6),
    "FeedForward/bias": (6,),
    "Norm/gamma": (4,),
    "Convolution/kernel": (3, 5, 4),
}
# Extension of a name and the arguments that a class with it is given.
EXTENSIONS: dict[str, dict[str, Any]] = {
    "weight_decay": {"weight_decay_rate": 0.1, "exclude_from_weight_decay": ["Norm", "bias"]},
    "layer_adaptation": {"exclude_from_layer_adaptation": ["Norm", "bias"]},
    "piecewise_linear_lr": {"lr_schedule": {"10": 1, "40": 0.1}},
    "gradient_accumulation": {"grad_accum_steps": 3},
    "lookahead": {"steps_per_slow_update": 5, "slow_step_size": 0.5},
    "lazy_optimization": {"include_in_lazy_optimization": ["Embedding"]},
    "exponential_moving_average": {"ema_momentum": 0.9},
    "parameter_wise_lr": {"paramwise_lr_schedule": {"Embedding": 0.5, "kernel": 3, "Conv": 0.5}},
}


def optimizer(base, extensions=(), version="v1", pull=False, **arguments):
    """base: an optimizer of bert4keras, or "keras." and one of Keras's own. extensions: the inner ones first."""
    arguments = dict({"learning_rate": RATE}, **arguments)
    if base == "keras.Adam":
        # numbers of float32, since that of Keras 3 rounds 1 - beta and beta apart
        arguments.update(beta_1=1 - 2.0**-3, beta_2=1 - 2.0**-10)
    for extension in extensions:
        arguments.update(EXTENSIONS[extension])
    return dict(version=version, base=base, extensions=list(extensions), arguments=arguments, pull=pull)


def compose(module, keras, case, suffix=""):
    """The optimizer of a case by a module of optimizers, whose extensions have names that end with `suffix`."""
    *own, name = case["base"].split(".")
    made = getattr(keras.optimizers if own else module, name)
    for extension in case["extensions"]:
        made = getattr(module, f"extend_with_{extension}{suffix}")(made)
    return made(**case["arguments"])


def make_cases():
    cases = {}
    for version, adam in (("v1", "keras.Adam"), ("v2", "Adam")):
        for pull in (False, True):
            end = "-pull" if pull else ""
            options = {"version": version, "pull": pull}
            factored = dict(options, min_dim_size_to_factor=4)
            singles = {
                "adam": optimizer(adam, **options),
                "adafactor": optimizer("AdaFactor", **factored),
                "adafactor-own-rate": optimizer("AdaFactor", learning_rate=None, **factored),
                "adafactor-rate-unscaled": optimizer(
                    "AdaFactor", learning_rate=None, multiply_by_parameter_scale=False, **factored
                ),
                "adafactor-momentum": optimizer(
                    "AdaFactor", beta1=0.9, beta2=0.99, exclude_from_parameter_scale=["Norm"], **factored
                ),
                "adafactor-whole": optimizer("AdaFactor", clipping_threshold=None, **options),
            }
            if version == "v2":
                singles["adam-without-correction"] = optimizer("Adam", bias_correction=False, **options)
                singles["lion"] = optimizer("LionV2", **options)
            for extension in EXTENSIONS:
                singles[extension.replace("_", "-")] = optimizer(adam, [extension], **options)
            cases.update({f"{version}-{name}{end}": case for name, case in singles.items()})
        cases[version + "-layer-adaptation-of-all"] = optimizer(
            adam, ["layer_adaptation"], version=version, exclude_from_layer_adaptation=[]
        )
        cases[version + "-layer-adaptation-of-all"]["arguments"]["exclude_from_layer_adaptation"] = []
        for inner in EXTENSIONS:
            for outer in EXTENSIONS:
                if inner != outer:
                    name = f"{version}-{inner}-in-{outer}"
                    cases[name.replace("_", "-")] = optimizer(adam, [inner, outer], version=version)
    return cases


CASES: dict[str, dict[str, Any]] = make_cases()


def first_weights() -> list[np.ndarray]:
    """Values to begin with; the bias with zeros, as in a model."""
    random = np.random.RandomState(0)
    weights = [random.normal(size=shape).astype("float32") for shape in SHAPES.values()]
    return [
        0 * value if "bias" in name else 1 + value / 4 if "gamma" in name else value / 2
        for name, value in zip(SHAPES, weights)
    ]


def gradients(case: dict[str, Any], step: int, weights: list[np.ndarray]) -> list[np.ndarray]:
    """Gradients of a step in the dtype of the weights, which count only where they pull."""
    results = []
    for name, value in zip(SHAPES, weights):
        random = np.random.RandomState(1000 * step + len(name))
        gradient = random.normal(size=value.shape).astype("float16").astype(value.dtype)
        if "Embedding" in name:
            gradient[random.permutation(len(gradient))[:4]] = 0
            gradient[-1] = 0
        elif case["pull"]:
            gradient = gradient + value.dtype.type(PULL) * value
        results.append(gradient)
    return results


def trained(case: dict[str, Any], step, get_weights, apply_average) -> dict[str, np.ndarray]:
    """{variable: its values after the steps in KEPT, flat}, and those of its average, if there is one.

    step(gradients) makes a step; get_weights() are the weights now; apply_average() puts the average in their place.
    """
    kept = []
    for i in range(1, STEPS + 1):
        step(gradients(case, i, get_weights()))
        if i in KEPT:
            kept.append(get_weights())
    if "exponential_moving_average" in case["extensions"]:
        apply_average()
        kept.append(get_weights())
    return {
        name: np.concatenate([np.ravel(weights[i]) for weights in kept]).astype("float64")
        for i, name in enumerate(SHAPES)
    }


def worst_ratio(golden: dict[str, np.ndarray], record: dict[str, np.ndarray]):
    """(largest error ratio, its variable); the golden has "<variable>@noise". See models/compare.py."""
    sizes = {name: rms([golden[name]]) for name in SHAPES}
    least = max(np.median([golden[name + "@noise"] / sizes[name] for name in SHAPES]), FLOOR)
    ratios = {name: training_ratio(golden, record, name, least * sizes[name]) for name in SHAPES}
    worst = max(ratios, key=lambda name: rank(ratios[name]))
    return ratios[worst], worst
