"""bert4keras's optimizers on Keras 2, and extensions that turn a class of optimizers into another class.

On keras 2.3.1 an optimizer assigns by `K.update` inside `get_updates`, and an extension changes the assigned value.
On tf.keras an optimizer updates one weight in `_resource_apply_dense`, often by one fused operation. There an extension
compares the weight before and after. `Extension` runs the hooks of both, each for one weight:

    step_gradient(weight, gradient) → the gradient for the step
    new_weight(weight, old, new)    → the value to assign to the weight instead of `new`
    new_slot(old, new)              → the value to assign to a slot of the inner optimizer instead of `new`
    after_step(weight, gradient)    → an operation after the step, with the gradient of the batch

Hooks run from the innermost extension outward; `step_gradient` runs from the outermost extension inward.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any, Callable, Sequence

import numpy as np
import tensorflow as tf

from bert4keras3.backend.contract import K, get_custom_objects, is_tf_keras, keras, ops, serializable
from bert4keras3.backend.functions import piecewise_linear, root_mean_square
from bert4keras3.backend.optimizer_extensions import (
    AdaFactorBase,
    AveragedWeights,
    Mixed,
    WithArguments,
    derived_name,
    make_extend_with,
)
from bert4keras3.snippets import string_matching

# Since TensorFlow 2.11 keras.optimizers.Optimizer is another class; the class with slots is legacy.Optimizer.
Optimizer: Any = getattr(getattr(keras.optimizers, "legacy", None), "Optimizer", keras.optimizers.Optimizer)
symbolic = getattr(K, "symbolic", None)  # with it, keras 2.3.1 builds its graph on TensorFlow 2
plain_update = K.update


@contextmanager
def assigning_by(update):
    """Context that replaces `K.update`."""
    before, K.update = K.update, update
    try:
        yield
    finally:
        K.update = before


class Hooks(WithArguments):
    """Finds the extensions of a class and their slots.

    Attributes:
        slots: names of the variables that an extension keeps for each weight.
    """

    slots: Sequence[str] = ()

    @classmethod
    def extensions(cls, outside=None):
        """The extensions of a class, the innermost first; with `outside`, the extensions outside of this one."""
        found = [one for one in cls.__mro__ if Extension in one.__bases__]
        return found[: None if outside is None else found.index(outside)][::-1]

    def hooks(self, name, outside=None):
        return [vars(one)[name] for one in self.extensions(outside) if name in vars(one)]

    def all_slots(self):
        return [name for one in self.extensions() for name in one.slots]

    def gradient_inside(self, weight, gradient):
        """The gradient for the step, after the hooks."""
        for hook in reversed(self.hooks("step_gradient")):
            gradient = hook(self, weight, gradient)
        return gradient

    def altered(self, old, new, weight=None, outside=None):
        """The value that the extensions assign instead of `new`: to a slot without `weight`, else to the weight."""
        for hook in self.hooks("new_slot" if weight is None else "new_weight", outside):
            new = hook(self, old, new) if weight is None else hook(self, weight, old, new)
        return new


class GraphSteps(Hooks):
    """Steps of keras 2.3.1, a graph of the assignments to all weights."""

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
        """function() of the step counter, computed once a step, so that all weights see the same value."""
        if function.__name__ not in self.known:
            with tf.control_dependencies(None):
                self.known[function.__name__] = function()
        return self.known[function.__name__]

    def rate(self, weight):
        return self.learning_rate if hasattr(self, "learning_rate") else self.lr

    def seen_gradient(self, weight, extension):
        """The gradient that an extension sees, which is the gradient of the step."""
        return self.step_gradients[self.place(weight)]


class SlotSteps(Hooks):
    """Steps of tf.keras, one weight at a time. Sparse gradients become dense, so that each hook runs once."""

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
        """Slots of the inner optimizer for a weight."""
        found = []
        for name in sorted(set(self.get_slot_names()) - set(self.all_slots())):
            try:
                found.append(self.get_slot(weight, name))
            except KeyError:  # this weight lacks the slot
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
        """The gradient that an extension sees: outside of an accumulation the batch's gradient, else the step's."""
        accumulates = GradientAccumulation in self.extensions()
        if accumulates and extension in self.extensions(outside=GradientAccumulation):
            return self.batch_gradient
        return self.step_gradient_now


def done(operation):
    """The control dependencies on an operation, which may be None."""
    return [] if operation is None else [operation]


def dense(gradient, weight, indices):
    """A sparse gradient as a tensor in the shape of its weight; rows with the same index are added."""
    return tf.convert_to_tensor(tf.IndexedSlices(gradient, indices, tf.shape(weight)))


class Extension(SlotSteps if is_tf_keras else GraphSteps):  # type: ignore[misc]
    """Base class of the extensions."""


class WeightDecay(Extension):
    """Decoupled weight decay, https://arxiv.org/abs/1711.05101 : w_new ← w_new − lr · weight_decay_rate · w

    A weight decays unless its name matches a regular expression of exclude_from_weight_decay.
    """

    arguments: dict[str, Any] = {"weight_decay_rate": 0.01, "exclude_from_weight_decay": []}

    def new_weight(self, weight, old, new):
        if string_matching(weight.name, self.exclude_from_weight_decay):
            return new
        return new - self.rate(weight) * self.weight_decay_rate * old


class LayerAdaptation(Extension):
    """LAMB's rates, https://arxiv.org/abs/1904.00962 : w_new ← w + (w_new − w) · |w| / (|w_new − w| / lr)

    A weight is adapted if both norms are above 0, unless its name matches a regular expression of
    exclude_from_layer_adaptation.
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
    """Multiplies the learning rate on tf.keras, or each change of a weight on keras 2.3.1, by a schedule.

    The lr_schedule {1000: 1, 2000: 0.1} rises linearly from 0 at step 0 to 1 at step 1000, falls to 0.1 at step 2000,
    and stays at 0.1. On keras 2.3.1 the schedule scales the whole change of inner extensions, and outer extensions do
    not see it.
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
    """Makes one step with the mean gradient of k = `grad_accum_steps` batches.

    At every k-th batch, beginning with the first, it makes a step with the sum of gradients ÷ k, and resets the sum.
    Then it adds the gradient of this batch. Each batch counts as a step. Outer extensions act at each batch.
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

    slow ← slow + α (w − slow);  w ← slow after every k-th step, beginning with the first

    k is steps_per_slow_update, and α is slow_step_size. The slow weights begin as zeros.
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
    """Changes rows of a weight, along the last axis, only if their gradient is not all zero.

    It applies to weights whose names match a regular expression of include_in_lazy_optimization.
    """

    arguments: dict[str, Any] = {"include_in_lazy_optimization": []}

    def new_weight(self, weight, old, new):
        if not string_matching(weight.name, self.include_in_lazy_optimization):
            return new
        gradient = self.seen_gradient(weight, LazyOptimization)
        moves = tf.reduce_any(tf.not_equal(gradient, 0), axis=-1, keepdims=True)
        return old + (new - old) * tf.cast(moves, new.dtype)


class ExponentialMovingAverage(AveragedWeights, Extension):
    """Averages the weights: ema ← ema_momentum · ema + (1 − ema_momentum) · w after every step

    The average begins as zeros, and apply_ema_weights divides it by 1 − ema_momentum^steps.
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

    def averages_and_weights(self):
        return list(zip(self.ema_weights, self.model_weights)) if hasattr(self, "model_weights") else []


class ParameterWiseRate(Extension):
    """Scales the changes of some weights: w_new ← w + (w_new − w) · factor

    In paramwise_lr_schedule, {"Embedding": 0.1, "gamma": 2}, a factor applies to all weights whose names contain its
    key. Several factors of a weight are multiplied.
    """

    arguments: dict[str, Any] = {"paramwise_lr_schedule": {}}

    def new_weight(self, weight, old, new):
        factor = np.prod([rate for name, rate in self.paramwise_lr_schedule.items() if name in weight.name])
        return new if factor == 1 else old + (new - old) * float(factor)


BETAS = ("beta_1", "beta_2")


def values_of(slots):
    """{name: tensor}, each variable read once: a second read in the graph could follow the assignment."""
    return {name: tf.identity(slot) for name, slot in slots.items()}


class GraphOptimizer(Mixed):
    """Base class of our optimizers on keras 2.3.1.

    A subclass defines `_slot_shapes(weight)`, which returns {slot: shape}, and
    `_new_values(gradient, weight, slots, rate)`, which returns {slot: new value} and the new weight.
    """

    def __init__(self, learning_rate, *betas, **kwargs):
        super().__init__(**kwargs)
        with K.name_scope(type(self).__name__):
            self.iterations = K.variable(0, dtype="int64", name="iterations")
            rate = (
                learning_rate if callable(learning_rate) else K.variable(learning_rate, name="learning_rate")
            )
            self._learning_rate = rate
        for name, value in zip(BETAS, betas):
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
    """Base class of our optimizers on tf.keras, with the methods of GraphOptimizer."""

    def __init__(self, *hyper, **kwargs):
        super().__init__(**dict(kwargs, name=kwargs.get("name") or type(self).__name__))
        for name, value in zip(("learning_rate", *BETAS), hyper):
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
    """Base class of our optimizers."""

    def step_count(self, dtype):
        """Number of the running step as a float, from 1 on; with accumulation each batch counts."""
        return K.cast(self.iterations + 1, dtype)

    def get_config(self) -> dict[str, Any]:
        names = [name for name in ("learning_rate", *BETAS) if hasattr(self, name)]
        return dict(super().get_config(), **{name: self.hyper_config(name) for name in names})


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
        super().__init__(kwargs.pop("lr", learning_rate), beta_1, beta_2, **kwargs)
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
        return dict(super().get_config(), epsilon=self.epsilon, bias_correction=self.bias_correction)


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
        super().__init__(learning_rate, beta_1, beta_2, **kwargs)

    def _slot_shapes(self, weight):
        return {"m": K.int_shape(weight)}

    def _new_values(self, gradient, weight, slots, rate):
        dtype, m = weight.dtype.base_dtype, slots["m"]
        beta_1, beta_2 = self.hyper("beta_1", dtype), self.hyper("beta_2", dtype)
        new = weight - rate * K.sign(beta_1 * m + (1 - beta_1) * gradient)
        return {"m": beta_2 * m + (1 - beta_2) * gradient}, new


@serializable
class AdaFactor(AdaFactorBase, OwnOptimizer):
    __doc__ = AdaFactorBase.__doc__

    def _slot_shapes(self, weight):
        shape = K.int_shape(weight)
        axes = self.factored_axes(shape)
        shapes: dict[str, tuple[int, ...]] = {"v": shape}
        if axes is not None:
            shapes = {
                name: tuple(1 if i == axis else size for i, size in enumerate(shape))
                for name, axis in zip(("vr", "vc"), axes)
            }
        momentum = {"m": shape} if self.beta1 > 0 else {}
        # the order of bert4keras's saved files
        return dict(momentum, **shapes) if is_tf_keras else dict(shapes, **momentum)

    def _new_values(self, gradient, weight, slots, rate):
        dtype = weight.dtype.base_dtype
        beta2 = 1 - K.pow(self.step_count(dtype), -0.8) if self.beta2 is None else self.beta2
        squares, axes = K.square(gradient) + self.epsilon1, self.factored_axes(K.int_shape(weight))
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
        if self.is_scaled(weight.name):
            update = update * K.maximum(root_mean_square(weight), self.epsilon2)
        return news, weight - rate * update


def export_to_custom_objects(base_extend_with: Callable[[type], type]) -> Callable[..., type]:
    """Decorator of an extension, a function from a class to a class, which registers the new class.

    The function gets a second argument, `name`: the class has this name, and Keras's custom objects contain it.
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
            name = derived_name(BaseOptimizer, extension)
        NewOptimizer.__name__ = NewOptimizer.__qualname__ = name
        get_custom_objects()[name] = NewOptimizer
        return NewOptimizer

    new_extend_with.__name__ = new_extend_with.__qualname__ = extension
    new_extend_with.__doc__ = base_extend_with.__doc__
    return new_extend_with


def extend_with(name, extension):
    return make_extend_with(export_to_custom_objects, name, extension)


extend_with_weight_decay = extend_with_weight_decay_v2 = extend_with("weight_decay", WeightDecay)
extend_with_layer_adaptation = extend_with("layer_adaptation", LayerAdaptation)
extend_with_piecewise_linear_lr = extend_with("piecewise_linear_lr", PiecewiseLinearRate)
extend_with_gradient_accumulation = extend_with("gradient_accumulation", GradientAccumulation)
extend_with_lookahead = extend_with_lookahead_v2 = extend_with("lookahead", Lookahead)
extend_with_lazy_optimization = extend_with("lazy_optimization", LazyOptimization)
extend_with_exponential_moving_average = extend_with("exponential_moving_average", ExponentialMovingAverage)
extend_with_parameter_wise_lr = extend_with("parameter_wise_lr", ParameterWiseRate)


def only_on_tf_keras(base_extend_with):
    """The extension on tf.keras, with the results of bert4keras there; on keras 2.3.1 a function that raises."""
    if is_tf_keras:
        return base_extend_with

    def extend_with(BaseOptimizer: type, name: str | None = None) -> type:
        """Raise TypeError: this extension exists on tf.keras alone."""
        extension = base_extend_with.__name__
        raise TypeError(
            f"{extension}_v2 needs tf.keras, and this is keras 2.3.1. Write {extension}, or set TF_KERAS=1"
        )

    extend_with.__name__ = extend_with.__qualname__ = base_extend_with.__name__ + "_v2"
    return extend_with


extend_with_layer_adaptation_v2 = extend_with_layer_adaptation
extend_with_gradient_accumulation_v2 = extend_with_gradient_accumulation
extend_with_exponential_moving_average_v2 = extend_with_exponential_moving_average
extend_with_parameter_wise_lr_v2 = extend_with_parameter_wise_lr
extend_with_piecewise_linear_lr_v2 = only_on_tf_keras(extend_with_piecewise_linear_lr)
extend_with_lazy_optimization_v2 = only_on_tf_keras(extend_with_lazy_optimization)
AdaFactorV1 = AdaFactorV2 = AdaFactor
LionV2 = Lion
