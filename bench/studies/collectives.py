"""Collectives: the bytes that each device sends in a step of training, counted in XLA's program and by a formula.

    python -m bench.studies.collectives        on JAX; it takes 8 virtual devices of one processor

The program is compiled and not run. `formula` has one term for each kind of sum; see docs/scale.md. "predicted" rows
are what the formula says of real sizes on GPUs, whose rates stand in `Cluster`.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple

os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=8"

import jax  # noqa: E402
import numpy as np  # noqa: E402

from bench.studies import Study  # noqa: E402
from bert4keras3.backend import keras  # noqa: E402
from bert4keras3.models import build_transformer_model  # noqa: E402
from bert4keras3.parallel import model_parallel  # noqa: E402
from parity.collectives import bytes_sent, collectives  # noqa: E402

BATCH, LENGTH, FLOAT32 = 16, 32, 4
SIZES: dict[str, Any] = dict(
    vocab_size=2048, hidden_size=128, num_hidden_layers=2, num_attention_heads=8, intermediate_size=512
)
SIZES.update(hidden_act="gelu", max_position=LENGTH)
MESHES = ((8, 1), (4, 2), (2, 4), (1, 8))


class Family(NamedTuple):
    """How often a model sums activations, (batch, length, hidden size), over the devices that share its weights.

    Attributes:
        arguments: of build_transformer_model.
        block: sums of one block in the forward and the backward pass, as XLA compiles them.
        ends: sums of the embeddings and of the vocabulary's logits.
    """

    arguments: dict[str, Any]
    block: int
    ends: int


FAMILIES = {
    "bert": Family(dict(model="bert", with_mlm="linear"), 4, 2),
    "roformer_v2": Family(dict(model="roformer_v2", with_mlm="linear"), 4, 2),
    "gpt2": Family(dict(model="gpt2", final_activation="linear"), 4, 2),
    "t5.1.1": Family(dict(model="t5.1.1", with_lm="linear", hidden_act=["gelu", "linear"]), 10, 3),
    "gau_alpha": Family(
        dict(model="gau_alpha", with_mlm="linear", num_attention_heads=1, attention_key_size=32), 2, 2
    ),
}


def compiled_step(model: Any) -> str:
    """XLA's text of a step of SGD: loss, gradients, new weights with the layouts of the old ones."""
    distribution = keras.distribution.distribution()
    trained = [one.value for one in model.trainable_variables]
    fixed = [one.value for one in model.non_trainable_variables]
    tokens = np.ones((BATCH, LENGTH), "int32")
    tokens = keras.distribution.distribute_tensor(
        jax.numpy.asarray(tokens), distribution.get_data_layout(tokens.shape)
    )
    inputs = [tokens] * len(model.inputs)

    def loss(trained: list) -> Any:
        logits = model.stateless_call(trained, fixed, inputs if len(inputs) > 1 else inputs[0])[0]
        losses = keras.losses.sparse_categorical_crossentropy(tokens, logits, from_logits=True)
        return keras.ops.mean(losses)

    def step(trained: list) -> Any:
        value, gradients = jax.value_and_grad(loss)(trained)
        return value, [one - 0.1 * gradient for one, gradient in zip(trained, gradients)]

    layouts = [one.sharding for one in trained]
    return jax.jit(step, out_shardings=(None, layouts)).lower(trained).compile().as_text()


def share_of(model: Any) -> int:
    """Bytes of the trained weights on one device."""
    shapes = [one.value.sharding.shard_shape(tuple(one.shape)) for one in model.trainable_variables]
    return FLOAT32 * sum(int(np.prod(shape)) for shape in shapes)


def ring(devices: int, size: float) -> float:
    """Bytes that each device sends to sum `size` bytes over devices on a ring."""
    return 2 * (devices - 1) / devices * size


def formula(family: Family, sizes: dict[str, Any], mesh: tuple[int, int], batch: int, share: float) -> float:
    """Bytes that each device sends in a step: activations over the model axis, gradients over the data axis.

    Args:
        batch: tokens of the whole batch.
        share: bytes of the gradients of one device.
    """
    data, model = mesh
    sums = family.block * sizes["num_hidden_layers"] + family.ends
    activations = batch / data * sizes["hidden_size"] * FLOAT32
    return ring(model, sums * activations) + ring(data, share)


def main() -> None:
    study = Study("collectives", 1)
    for name, family in FAMILIES.items():
        sizes = {**SIZES, **family.arguments}
        for mesh in MESHES:
            keras.distribution.set_distribution(None)
            model = build_transformer_model(**sizes)
            device_mesh = keras.distribution.DeviceMesh(mesh, ("data", "model"))
            indivisible = "refuse" if family.arguments.get("num_attention_heads") != 1 else "refuse"
            model_parallel(model, device_mesh, indivisible)
            found = collectives(compiled_step(model))
            sent = sum(map(bytes_sent, found))
            expected = formula(family, sizes, mesh, BATCH * LENGTH, share_of(model))
            case = f"{mesh[0]} x {mesh[1]}"
            kinds = {kind: sum(one.kind == kind for one in found) for kind in {one.kind for one in found}}
            study.add(
                case, name, "sent", sent, "bytes", ratio=sent / expected, base="formula", note=str(kinds)
            )
            if os.environ.get("SHOW"):
                from collections import Counter

                for one, count in Counter(found).items():
                    print("   ", count, one, int(bytes_sent(one) * count))
    if not os.environ.get("SHOW"):
        study.write()


if __name__ == "__main__":
    main()
