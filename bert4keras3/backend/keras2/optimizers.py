"""bert4keras's optimizers on Keras 2, and the extensions that make a class of optimizers out of another.

On keras 2.3.1 an optimizer assigns by `K.update` inside `get_updates`: an extension changes what is assigned there.
On tf.keras an optimizer updates one weight in `_resource_apply_dense`, often by one fused operation: an extension
compares the weight before and after. `Extension` drives both. An extension is hooks, each for one weight:

    step_gradient(weight, gradient) → the gradient that the step is made with
    new_weight(weight, old, new)    → what is assigned to the weight instead of `new`
    new_slot(old, new)              → what is assigned to a slot of the optimizer inside instead of `new`
    after_step(weight, gradient)    → an operation after the step; gradient: that of the batch

Hooks run from the innermost extension outward, `step_gradient` from the outermost inward.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from typing import Any, Callable, Sequence

import numpy as np
import tensorflow as tf

from bert4keras3.backend.contract import (
    K,
    get_custom_objects,
    get_values,
    is_tf_keras,
    keras,
    ops,
    serializable,
    set_values,
)
from bert4keras3.backend.functions import piecewise_linear, root_mean_square
from bert4keras3.snippets import string_matching

# From TensorFlow 2.11 on, keras.optimizers.Optimizer is another class; the one with slots has moved.
Optimizer: Any = getattr(getattr(keras.optimizers, "legacy", None), "Optimizer", keras.optimizers.Optimizer)
Schedule: Any = keras.optimizers.schedules.LearningRateSchedule if is_tf_keras else object
symbolic = getattr(K, "symbolic", None)  # keras 2.3.1 on TensorFlow 2 builds its graph in this
plain_update = K.update
Mixed: Any = object  # what follows in the order of classes is an optimizer of Keras


@contextmanager
def assigning_by(update):
    """Inside, `K.update` is another function."""
    before, K.update = K.update, update
    try:
        yield
    finally:
        K.update = before


class Hooks(Mixed):
    """Which extensions a class has, with their arguments and slots.

    arguments: {keyword argument: its default}; slots: names of the variables that it keeps beside each weight.
    """

    arguments: dict[str, Any] = {}
    slots: Sequence[str] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        given = {name: copy(kwargs.pop(name, default)) for name, default in self.all_arguments().items()}
        super().__init__(*args, **kwargs)
        for name, value in given.items():
            setattr(self, name, value)

    @classmethod
    def extensions(cls, outside=None):
        """The extensions of a class, the innermost first; only those outside of one, if it is given."""
        found = [one for one in cls.__mro__ if one.__bases__ == (Extension,)]
        return found[: None if outside is None else found.index(outside)][::-1]

    @classmethod
    def all_arguments(cls):
        return {name: value for one in cls.extensions() for name, value in one.arguments.items()}

    def hooks(self, name, outside=None):
        return [vars(one)[name] for one in self.extensions(outside) if name in vars(one)]

    def all_slots(self):
        return [name for one in self.extensions() for name in one.slots]

    def gradient_inside(self, weight, gradient):
        """The gradient that the step is made with."""
        for hook in reversed(self.hooks("step_gradient")):
            gradient = hook(self, weight, gradient)
        return gradient

    def altered(self, old, new, weight=None, outside=None):
        """What the extensions assign instead of `new`, to a weight or, without one, to a slot."""
        for hook in self.hooks("new_slot" if weight is None else "new_weight", outside):
            new = hook(self, old, new) if weight is None else hook(self, weight, old, new)
        return new

    def get_config(self) -> dict[str, Any]:
        return dict(super().get_config(), **{name: getattr(self, name) for name in self.all_arguments()})


class GraphSteps(Hooks):
    """Steps of keras 2.3.1: one graph of the assignments to all weights."""

    def get_gradients(self, loss, params):
        gradients = [tf.convert_to_tensor(gradient) for gradient in super().get_gradients(loss, params)]
        self.batch_gradients = gradients
        self.step_gradients = [self.gradient_inside(*pair) for pair in zip(params, gradients)]
        return self.step_gradients

    def get_updates(self, loss, params):
        self.model_weights, self.known = params, {}
        self.beside = {
            name: [K.zeros(K.int_shape(weight), K.dtype(weight)) for weight in params]
            for name in self.all_slots()
        }
        outer_update = K.update

        def update(x, new):
            weight = x if self.place(x) is not None else None
            return outer_update(x, self.altered(x, new, weight))

        with assigning_by(update):
            updates = super().get_updates(loss=loss, params=params)
        for hook in self.hooks("after_step"):
            with tf.control_dependencies(updates):
                updates = [hook(self, *pair) for pair in zip(params, self.batch_gradients)]
        return updates

    if symbolic:
        get_updates = symbolic(get_updates)

    def place(self, weight):
        """Index of a weight, found by identity; None if it is a slot."""
        return next((i for i, one in enumerate(self.model_weights) if one is weight), None)

    def slot(self, weight, name):
        return self.beside[name][self.place(weight)]

    def all_of(self, slot):
        return self.beside[slot]

    def once(self, function):
        """function(), which reads the counter of steps, computed once a step: or its parts could disagree."""
        if function.__name__ not in self.known:
            with tf.control_dependencies(None):
                self.known[function.__name__] = function()
        return self.known[function.__name__]

    def rate(self, weight):
        return self.learning_rate if hasattr(self, "learning_rate") else self.lr

    def seen_gradient(self, weight, extension):
        """The gradient that an extension sees: that of the step."""
        return self.step_gradients[self.place(weight)]


class SlotSteps(Hooks):
    """Steps of tf.keras, one weight at a time. Sparse gradients are made dense, so that each hook runs once."""

    def _create_slots(self, var_list):
        super()._create_slots(var_list)
        self.model_weights = var_list
        for name in self.all_slots():
            for weight in var_list:
                self.add_slot(weight, name)

    def _resource_apply_dense(self, grad, var):
        self.batch_gradient, self.step_gradient_now = grad, self.gradient_inside(var, grad)
        weights = [var] if self.hooks("new_weight") else []
        slots = self.inside_slots(var) if self.hooks("new_slot") else []
        before = [tf.identity(x.read_value()) for x in weights + slots]
        with tf.control_dependencies(before), assigning_by(plain_update):
            step = super()._resource_apply_dense(self.step_gradient_now, var)
        with tf.control_dependencies(done(step)):
            updates = [
                K.update(x, self.altered(old, x.read_value(), x if x is var else None))
                for x, old in zip(weights + slots, before)
            ]
        step = tf.group(*updates) if updates else step
        for hook in self.hooks("after_step"):
            with tf.control_dependencies(done(step)):
                step = hook(self, var, grad)
        return step

    def _resource_apply_sparse_duplicate_indices(self, grad, var, indices, apply_state=None):
        return self._resource_apply_dense(dense(grad, var, indices), var)

    def inside_slots(self, weight):
        """Slots that the optimizer which is extended has for a weight."""
        found = []
        for name in sorted(set(self.get_slot_names()) - set(self.all_slots())):
            try:
                found.append(self.get_slot(weight, name))
            except KeyError:  # a slot that this weight lacks
                continue
        return found

    def slot(self, weight, name):
        return self.get_slot(weight, name)

    def all_of(self, slot):
        return [self.get_slot(weight, slot) for weight in self.model_weights]

    def once(self, function):
        return function()

    def rate(self, weight):
        return self._decayed_lr(weight.dtype.base_dtype)

    def seen_gradient(self, weight, extension):
        """The gradient that an extension sees: that of the step inside of an accumulation, else that of the batch."""
        accumulates = GradientAccumulation in self.extensions()
        if accumulates and extension in self.extensions(outside=GradientAccumulation):
            return self.batch_gradient
        return self.step_gradient_now


def done(operation):
    """What to wait for after an operation, which may be None."""
    return [] if operation is None else [operation]


def dense(gradient, weight, indices):
    """Rows of a gradient at these indices of a weight as a tensor of its shape; rows of one index are added."""
    return tf.convert_to_tensor(tf.IndexedSlices(gradient, indices, tf.shape(weight)))


class Extension(SlotSteps if is_tf_keras else GraphSteps):  # type: ignore[misc]
    """Base of the extensions."""


class WeightDecay(Extension):
    """Weight decay beside the gradient, https://arxiv.org/abs/1711.05101 : w_new ← w_new − lr · weight_decay_rate · w

    exclude_from_weight_decay: regular expressions; a weight decays unless one is found in its name.
    """

    arguments: dict[str, Any] = {"weight_decay_rate": 0.01, "exclude_from_weight_decay": []}

    def new_weight(self, weight, old, new):
        if string_matching(weight.name, self.exclude_from_weight_decay):
            return new
        return new - self.rate(weight) * self.weight_decay_rate * old


class LayerAdaptation(Extension):
    """LAMB's rates, https://arxiv.org/abs/1904.00962 : w_new ← w + (w_new − w) · |w| / (|w_new − w| / lr)

    Only if both norms are above 0. exclude_from_layer_adaptation: regular expressions; a weight takes part unless one
    is found in its name.
    """

    arguments: dict[str, Any] = {"exclude_from_layer_adaptation": []}

    def new_weight(self, weight, old, new):
        if string_matching(weight.name, self.exclude_from_layer_adaptation):
            return new
        change = new - old
        norm = tf.norm(old)
        change_norm = tf.norm(change / K.maximum(self.rate(weight), K.epsilon()))
        both = tf.logical_and(norm > 0, change_norm > 0)
        return old + change * ops.where(both, norm / change_norm, tf.ones_like(norm))


class PiecewiseLinearRate(Extension):
    """Scales each change of a step on keras 2.3.1, the learning rate on tf.keras, by a multiplier.

    lr_schedule: {1000: 1, 2000: 0.1} is a line from 0 at step 0 to 1 at step 1000, on to 0.1 at step 2000, 0.1 from
    there on. On keras 2.3.1 what is inside is scaled as a whole, and what is outside does not see the schedule.
    """

    arguments: dict[str, Any] = {"lr_schedule": {0: 1}}
    lr_schedule: dict[int, float]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.lr_schedule = {int(step): rate for step, rate in self.lr_schedule.items()}

    def multiplier(self):
        return piecewise_linear(self.iterations, self.lr_schedule)

    if is_tf_keras:

        def _decayed_lr(self, var_dtype):
            return super()._decayed_lr(var_dtype) * tf.cast(self.multiplier(), var_dtype)

    else:

        def new_weight(self, weight, old, new):
            return old + (new - old) * self.once(self.multiplier)


class GradientAccumulation(Extension):
    """One step with the mean gradient of `grad_accum_steps` batches.

    At every k-th batch, from the first on: a step with the sum of gradients so far ÷ k, and the sum begins again;
    then the gradient of this batch goes into the sum. Each batch counts as a step. Only what is inside waits.
    """

    arguments: dict[str, Any] = {"grad_accum_steps": 2}
    slots = ("ag",)

    def is_due(self):
        return tf.equal(self.iterations % self.grad_accum_steps, 0)

    def step_gradient(self, weight, gradient):
        return self.slot(weight, "ag") / self.grad_accum_steps

    def new_weight(self, weight, old, new):
        return self.new_slot(old, new)

    def new_slot(self, old, new):
        return ops.where(self.once(self.is_due), new, old)

    def after_step(self, weight, gradient):
        total = self.slot(weight, "ag")
        kept = ops.where(self.once(self.is_due), tf.zeros_like(gradient), total)
        return K.update(total, kept + gradient)


class Lookahead(Extension):
    """Lookahead, https://arxiv.org/abs/1907.08610

    After every k-th step, from the first on: slow ← slow + α (w − slow);  w ← slow
    with k = steps_per_slow_update and α = slow_step_size. The slow weights begin as zeros.
    """

    arguments: dict[str, Any] = {"steps_per_slow_update": 5, "slow_step_size": 0.5}
    slots = ("slow_var",)

    def is_slow_step(self):
        return tf.equal(self.iterations % self.steps_per_slow_update, 0)

    def after_step(self, weight, gradient):
        slow, is_due = self.slot(weight, "slow_var"), self.once(self.is_slow_step)
        moved = slow + self.slow_step_size * (weight - slow)
        update = K.update(slow, self.altered(slow, ops.where(is_due, moved, slow), outside=Lookahead))
        with tf.control_dependencies([update]):
            new = ops.where(is_due, slow, weight)
            return K.update(weight, self.altered(weight, new, weight, outside=Lookahead))


class LazyOptimization(Extension):
    """Weights whose rows, along the last axis, change only if their gradient is not all zero.

    include_in_lazy_optimization: regular expressions; a weight is lazy if one is found in its name.
    """

    arguments: dict[str, Any] = {"include_in_lazy_optimization": []}

    def new_weight(self, weight, old, new):
        if not string_matching(weight.name, self.include_in_lazy_optimization):
            return new
        gradient = self.seen_gradient(weight, LazyOptimization)
        moves = tf.reduce_any(tf.not_equal(gradient, 0), axis=-1, keepdims=True)
        return old + (new - old) * tf.cast(moves, new.dtype)


class ExponentialMovingAverage(Extension):
    """A moving average of the weights: ema ← ema_momentum · ema + (1 − ema_momentum) · w after every step

    It begins as zeros; apply_ema_weights divides it by 1 − ema_momentum^steps.
    """

    arguments: dict[str, Any] = {"ema_momentum": 0.999}
    slots = ("ema",)

    def after_step(self, weight, gradient):
        average = self.slot(weight, "ema")
        new = self.ema_momentum * average + (1 - self.ema_momentum) * weight
        return K.update(average, self.altered(average, new, outside=ExponentialMovingAverage))

    @property
    def ema_weights(self):
        return self.all_of("ema")

    def apply_ema_weights(self, bias_correction: bool = True) -> None:
        """Keep the weights of the model and put their average in their place, for evaluation.

        Raises:
            ValueError: before the first step.
        """
        (iterations,) = get_values([self.iterations])
        if not iterations or not hasattr(self, "model_weights"):
            raise ValueError(f"{type(self).__name__}: no average yet: train for a step first")
        averages = get_values(self.ema_weights)
        if bias_correction:
            momentum = float(np.asarray(self.ema_momentum, K.floatx()))  # as in the average
            averages = [average / (1 - momentum ** int(iterations)) for average in averages]
        self.old_weights = get_values(self.model_weights)
        set_values(list(zip(self.model_weights, averages)))

    def reset_old_weights(self) -> None:
        """Put the weights back that apply_ema_weights has kept.

        Raises:
            ValueError: if apply_ema_weights has not been called.
        """
        if not hasattr(self, "old_weights"):
            raise ValueError(f"{type(self).__name__}: no old weights: call apply_ema_weights first")
        set_values(list(zip(self.model_weights, self.old_weights)))


class ParameterWiseRate(Extension):
    """Scales the changes of some weights: w_new ← w + (w_new − w) · factor

    paramwise_lr_schedule: {"Embedding": 0.1, "gamma": 2}; the factor of a weight is the product of those whose name
    is part of its name.
    """

    arguments: dict[str, Any] = {"paramwise_lr_schedule": {}}

    def new_weight(self, weight, old, new):
        factor = np.prod([rate for name, rate in self.paramwise_lr_schedule.items() if name in weight.name])
        return new if factor == 1 else old + (new - old) * float(factor)


def values_of(slots):
    """{name: tensor}, each variable read once: a graph may read it a second time after it is assigned."""
    return {name: tf.identity(slot) for name, slot in slots.items()}


class GraphOptimizer(Mixed):
    """Base of our own optimizers on keras 2.3.1.

    A subclass says `_slot_shapes(weight)`, {slot: shape}, and `_new_values(gradient, weight, slots, rate)`: {slot: new
    value}, and the new weight.
    """

    def __init__(self, hyper, **kwargs):
        super().__init__(**kwargs)
        with K.name_scope(type(self).__name__):
            self.iterations = K.variable(0, dtype="int64", name="iterations")
            rate = hyper.pop("learning_rate")
            self._learning_rate = rate if callable(rate) else K.variable(rate, name="learning_rate")
        for name, value in hyper.items():
            setattr(self, name, value)

    @property
    def learning_rate(self):
        rate = self._learning_rate
        return rate(K.cast(self.iterations, K.floatx())) if callable(rate) else rate

    def hyper(self, name, dtype):
        return getattr(self, name)

    def get_updates(self, loss, params):
        gradients, rate = self.get_gradients(loss, params), self.learning_rate
        self.updates, self.weights = [K.update_add(self.iterations, 1)], [self.iterations]
        for i, (weight, gradient) in enumerate(zip(params, map(tf.convert_to_tensor, gradients))):
            slots = {
                name: K.zeros(shape, K.dtype(weight), f"{name}_{i}")
                for name, shape in self._slot_shapes(weight).items()
            }
            self.weights.extend(slots.values())
            news, new = self._new_values(gradient, weight, values_of(slots), rate)
            if getattr(weight, "constraint", None) is not None:
                new = weight.constraint(new)
            self.updates.extend(K.update(slots[name], value) for name, value in news.items())
            self.updates.append(K.update(weight, new))
        return self.updates

    if symbolic:
        get_updates = symbolic(get_updates)

    def hyper_config(self, name):
        value = getattr(self, name)
        return value if isinstance(value, float) else float(K.get_value(value))


class SlotOptimizer(Mixed):
    """Base of our own optimizers on tf.keras; see GraphOptimizer."""

    def __init__(self, hyper, **kwargs):
        super().__init__(**dict(kwargs, name=kwargs.get("name") or type(self).__name__))
        for name, value in hyper.items():
            self._set_hyper(name, value)

    def hyper(self, name, dtype):
        return self._get_hyper(name, dtype)

    def _create_slots(self, var_list):
        for weight in var_list:
            for name, shape in self._slot_shapes(weight).items():
                self.add_slot(weight, name, np.zeros(shape))

    def _resource_apply_dense(self, grad, var):
        slots = {name: self.get_slot(var, name) for name in self._slot_shapes(var)}
        news, new = self._new_values(grad, var, values_of(slots), self._decayed_lr(var.dtype.base_dtype))
        return tf.group(K.update(var, new), *(K.update(slots[name], value) for name, value in news.items()))

    def _resource_apply_sparse(self, grad, var, indices):
        return self._resource_apply_dense(dense(grad, var, indices), var)

    def hyper_config(self, name):
        return self._serialize_hyperparameter(name)


class OwnOptimizer(SlotOptimizer if is_tf_keras else GraphOptimizer, Optimizer):  # type: ignore[misc]
    """Base of our own optimizers."""

    def step_count(self, dtype):
        """The step that is being made as a float, from 1 on; with accumulation each batch counts."""
        return K.cast(self.iterations + 1, dtype)


class CorrectedAdam(OwnOptimizer):
    """Adam, https://arxiv.org/abs/1412.6980 , Algorithm 1, with a switch for its bias correction.

    m ← β1 m + (1 − β1) g;  v ← β2 v + (1 − β2) g²
    with bias correction: w ← w − lr · m / (1 − β1^t) / (√(v / (1 − β2^t)) + ε), else w ← w − lr · m / (√v + ε)
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-6,
        bias_correction: bool = True,
        **kwargs: Any,
    ) -> None:
        learning_rate = kwargs.pop("lr", learning_rate)
        super().__init__({"learning_rate": learning_rate, "beta_1": beta_1, "beta_2": beta_2}, **kwargs)
        self.epsilon = epsilon or K.epsilon()
        self.bias_correction = bias_correction

    def _slot_shapes(self, weight):
        return dict.fromkeys(("m", "v"), K.int_shape(weight))

    def _new_values(self, gradient, weight, slots, rate):
        dtype = weight.dtype.base_dtype
        beta_1, beta_2 = self.hyper("beta_1", dtype), self.hyper("beta_2", dtype)
        news = {
            "m": beta_1 * slots["m"] + (1 - beta_1) * gradient,
            "v": beta_2 * slots["v"] + (1 - beta_2) * K.square(gradient),
        }
        m, v = news["m"], news["v"]
        if self.bias_correction:
            t = self.step_count(dtype)
            m, v = m / (1 - K.pow(beta_1, t)), v / (1 - K.pow(beta_2, t))
        return news, weight - rate * m / (K.sqrt(v) + self.epsilon)

    def get_config(self) -> dict[str, Any]:
        hyper = {name: self.hyper_config(name) for name in ("learning_rate", "beta_1", "beta_2")}
        return dict(super().get_config(), **hyper, epsilon=self.epsilon, bias_correction=self.bias_correction)


if is_tf_keras:
    CorrectedAdam.__name__ = CorrectedAdam.__qualname__ = "Adam"
    Adam = serializable(CorrectedAdam)
else:
    Adam = keras.optimizers.Adam


@serializable
class Lion(OwnOptimizer):
    """Lion, https://arxiv.org/abs/2302.06675

    w ← w − lr · sign(β1 m + (1 − β1) g);  m ← β2 m + (1 − β2) g
    """

    def __init__(
        self, learning_rate: Any = 3e-4, beta_1: float = 0.95, beta_2: float = 0.98, **kwargs: Any
    ) -> None:
        super().__init__({"learning_rate": learning_rate, "beta_1": beta_1, "beta_2": beta_2}, **kwargs)

    def _slot_shapes(self, weight):
        return {"m": K.int_shape(weight)}

    def _new_values(self, gradient, weight, slots, rate):
        dtype, m = weight.dtype.base_dtype, slots["m"]
        beta_1, beta_2 = self.hyper("beta_1", dtype), self.hyper("beta_2", dtype)
        new = weight - rate * K.sign(beta_1 * m + (1 - beta_1) * gradient)
        return {"m": beta_2 * m + (1 - beta_2) * gradient}, new

    def get_config(self) -> dict[str, Any]:
        hyper = {name: self.hyper_config(name) for name in ("learning_rate", "beta_1", "beta_2")}
        return dict(super().get_config(), **hyper)


class RelativeRate(Schedule):
    """min(1 / √t, 0.01) at step t, from 1 on, times `scale`: AdaFactor's rate if none is given."""

    def __init__(self, scale: float = 1.0) -> None:
        self.scale = scale

    def __call__(self, step: Any) -> Any:
        return self.scale * K.minimum(1 / K.sqrt(K.cast(step, K.floatx()) + 1), 0.01)

    def get_config(self) -> dict[str, Any]:
        return {"scale": self.scale}


@serializable
class AdaFactor(OwnOptimizer):
    """AdaFactor, https://arxiv.org/abs/1804.04235

    v ← β2 v + (1 − β2) (g² + ε1), of a large matrix as an outer product of its means over rows and over columns
    u = g / √(v + ε1);  u ← u / max(1, rms(u) / clipping_threshold);  u ← β1 u_before + (1 − β1) u
    w ← w − lr · u · max(rms(w), ε2)

    learning_rate None: min(1 / √t, 0.01), 0.05 of it without multiply_by_parameter_scale. beta2 None: 1 − t^−0.8.
    clipping_threshold None: no clipping. A tensor is factored over its two largest axes, if both have at least
    min_dim_size_to_factor. exclude_from_parameter_scale: regular expressions for the names of weights.
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta1: float = 0.0,
        beta2: Any = None,
        epsilon1: float = 1e-30,
        epsilon2: float = 1e-3,
        multiply_by_parameter_scale: bool = True,
        clipping_threshold: Any = 1.0,
        min_dim_size_to_factor: int = 128,
        exclude_from_parameter_scale: Any = None,
        **kwargs: Any,
    ) -> None:
        relative = RelativeRate(1.0 if multiply_by_parameter_scale else 0.05)
        super().__init__({"learning_rate": relative if learning_rate is None else learning_rate}, **kwargs)
        self.has_relative_rate = learning_rate is None
        self.beta1, self.beta2 = beta1, beta2
        self.epsilon1, self.epsilon2 = epsilon1, epsilon2
        self.multiply_by_parameter_scale = multiply_by_parameter_scale
        self.clipping_threshold = clipping_threshold
        self.min_dim_size_to_factor = min_dim_size_to_factor
        self.exclude_from_parameter_scale = list(exclude_from_parameter_scale or [])

    def _factored_axes(self, weight):
        """The largest axis and the second largest; None if v is kept whole."""
        shape = K.int_shape(weight)
        if len(shape) < 2:
            return None
        second, largest = np.argsort(shape, kind="stable")[-2:]
        return None if shape[second] < self.min_dim_size_to_factor else (int(largest), int(second))

    def _slot_shapes(self, weight):
        shape, axes = K.int_shape(weight), self._factored_axes(weight)
        shapes: dict[str, tuple[int, ...]] = {"v": shape}
        if axes is not None:
            shapes = {
                name: tuple(1 if i == axis else size for i, size in enumerate(shape))
                for name, axis in zip(("vr", "vc"), axes)
            }
        momentum = {"m": shape} if self.beta1 > 0 else {}
        # the order of bert4keras, in which a file has them
        return dict(momentum, **shapes) if is_tf_keras else dict(shapes, **momentum)

    def _new_values(self, gradient, weight, slots, rate):
        dtype = weight.dtype.base_dtype
        beta2 = 1 - K.pow(self.step_count(dtype), -0.8) if self.beta2 is None else self.beta2
        squares, axes = K.square(gradient) + self.epsilon1, self._factored_axes(weight)
        if axes is None:
            news = {"v": beta2 * slots["v"] + (1 - beta2) * squares}
            v = news["v"]
        else:
            news = {
                name: beta2 * slots[name] + (1 - beta2) * K.mean(squares, axis=axis, keepdims=True)
                for name, axis in zip(("vr", "vc"), axes)
            }
            v = news["vr"] * news["vc"] / K.mean(news["vr"], axis=axes[1], keepdims=True)
        update = gradient / K.sqrt(v + self.epsilon1)
        if self.clipping_threshold is not None:
            update = update / K.maximum(1.0, root_mean_square(update) / self.clipping_threshold)
        if self.beta1 > 0:
            update = news["m"] = self.beta1 * slots["m"] + (1 - self.beta1) * update
        if self.multiply_by_parameter_scale and not string_matching(
            weight.name, self.exclude_from_parameter_scale
        ):
            update = update * K.maximum(root_mean_square(weight), self.epsilon2)
        return news, weight - rate * update

    def get_config(self) -> dict[str, Any]:
        return dict(
            super().get_config(),
            learning_rate=None if self.has_relative_rate else self.hyper_config("learning_rate"),
            beta1=self.beta1,
            beta2=self.beta2,
            epsilon1=self.epsilon1,
            epsilon2=self.epsilon2,
            multiply_by_parameter_scale=self.multiply_by_parameter_scale,
            clipping_threshold=self.clipping_threshold,
            min_dim_size_to_factor=self.min_dim_size_to_factor,
            exclude_from_parameter_scale=list(self.exclude_from_parameter_scale),
        )


def export_to_custom_objects(base_extend_with: Callable[[type], type]) -> Callable[..., type]:
    """Decorator of an extension, a function from a class to a class: gives what it makes a name.

    The function gets a second argument, `name`, of the class. Under it the class is among Keras's custom objects.
    """
    extension = base_extend_with.__name__

    def new_extend_with(BaseOptimizer: type, name: str | None = None) -> type:
        if not (isinstance(BaseOptimizer, type) and issubclass(BaseOptimizer, Optimizer)):
            where = "keras.optimizers.legacy" if hasattr(keras.optimizers, "legacy") else "keras.optimizers"
            raise TypeError(
                f"{extension}: expected a class of optimizers, such as bert4keras3.optimizers.Adam or {where}.Adam, "
                f"got {BaseOptimizer!r}"
            )
        NewOptimizer = base_extend_with(BaseOptimizer)
        if name is None:
            name = BaseOptimizer.__name__ + extension.replace("extend_", "").title().replace("_", "")
        NewOptimizer.__name__ = NewOptimizer.__qualname__ = name
        get_custom_objects()[name] = NewOptimizer
        return NewOptimizer

    new_extend_with.__name__ = new_extend_with.__qualname__ = extension
    new_extend_with.__doc__ = base_extend_with.__doc__
    return new_extend_with


def extended(extension, BaseOptimizer):
    """A subclass of both. Raises TypeError if BaseOptimizer has the extension."""
    if issubclass(BaseOptimizer, extension):
        raise TypeError(f"{BaseOptimizer.__name__} has {extension.__name__} already")
    return type(extension.__name__, (extension, BaseOptimizer), {"__doc__": extension.__doc__})


@export_to_custom_objects
def extend_with_weight_decay(BaseOptimizer: type) -> type:
    """Class with weight decay: arguments weight_decay_rate=0.01, exclude_from_weight_decay=[]. See WeightDecay."""
    return extended(WeightDecay, BaseOptimizer)


@export_to_custom_objects
def extend_with_layer_adaptation(BaseOptimizer: type) -> type:
    """Class with LAMB's rates, argument exclude_from_layer_adaptation=[]. See LayerAdaptation."""
    return extended(LayerAdaptation, BaseOptimizer)


@export_to_custom_objects
def extend_with_piecewise_linear_lr(BaseOptimizer: type) -> type:
    """Class with a schedule, argument lr_schedule={0: 1}. See PiecewiseLinearRate."""
    return extended(PiecewiseLinearRate, BaseOptimizer)


@export_to_custom_objects
def extend_with_gradient_accumulation(BaseOptimizer: type) -> type:
    """Class that accumulates gradients, argument grad_accum_steps=2. See GradientAccumulation."""
    return extended(GradientAccumulation, BaseOptimizer)


@export_to_custom_objects
def extend_with_lookahead(BaseOptimizer: type) -> type:
    """Class with slow weights, arguments steps_per_slow_update=5, slow_step_size=0.5. See Lookahead."""
    return extended(Lookahead, BaseOptimizer)


@export_to_custom_objects
def extend_with_lazy_optimization(BaseOptimizer: type) -> type:
    """Class for lazy embeddings, argument include_in_lazy_optimization=[]. See LazyOptimization."""
    return extended(LazyOptimization, BaseOptimizer)


@export_to_custom_objects
def extend_with_exponential_moving_average(BaseOptimizer: type) -> type:
    """Class with averaged weights, argument ema_momentum=0.999. See ExponentialMovingAverage."""
    return extended(ExponentialMovingAverage, BaseOptimizer)


@export_to_custom_objects
def extend_with_parameter_wise_lr(BaseOptimizer: type) -> type:
    """Class with rates for each weight, argument paramwise_lr_schedule={}. See ParameterWiseRate."""
    return extended(ParameterWiseRate, BaseOptimizer)


def only_on_tf_keras(base_extend_with):
    """The extension that computes what bert4keras computes on tf.keras; on keras 2.3.1 an error."""
    if is_tf_keras:
        return base_extend_with

    def extend_with(BaseOptimizer: type, name: str | None = None) -> type:
        """On tf.keras alone; on keras 2.3.1 an error."""
        extension = base_extend_with.__name__
        raise TypeError(
            f"{extension}_v2 is for tf.keras, and this is keras 2.3.1. Write {extension}, or set TF_KERAS=1"
        )

    extend_with.__name__ = extend_with.__qualname__ = base_extend_with.__name__ + "_v2"
    return extend_with


extend_with_weight_decay_v2 = extend_with_weight_decay
extend_with_layer_adaptation_v2 = extend_with_layer_adaptation
extend_with_piecewise_linear_lr_v2 = only_on_tf_keras(extend_with_piecewise_linear_lr)
extend_with_gradient_accumulation_v2 = extend_with_gradient_accumulation
extend_with_lookahead_v2 = extend_with_lookahead
extend_with_lazy_optimization_v2 = only_on_tf_keras(extend_with_lazy_optimization)
extend_with_exponential_moving_average_v2 = extend_with_exponential_moving_average
extend_with_parameter_wise_lr_v2 = extend_with_parameter_wise_lr
AdaFactorV1 = AdaFactorV2 = AdaFactor
LionV2 = Lion
