"""Collectives: the bytes that each device sends in a step of training, counted in XLA's program and by a formula.

    python -m bench.studies.collectives        on JAX; it makes 8 virtual devices of one processor

The program is compiled and not run. `formula` has a term for each kind of sum. Rows of the metric "predicted" are
what it says of models and clusters of real size: see `predict`.
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
    """How often a model sums activations over the devices that share its weights, in a step of training.

    An activation is (batch, length, hidden size) on the devices of one part of the batch.

    Attributes:
        arguments: of build_transformer_model.
        block: sums of one block: after each row-split kernel forward, and of the gradient of each column-split
            kernel's input backward. T5's number is of a block of the encoder and one of the decoder.
        ends: sums of the looked-up embeddings, and of the gradient of the vocabulary's input.
        tables: gradients of the tokens' table beside the first, because each use of the table has a gradient to sum.
        biases: gradients of T5's position bias in a block, (heads, query, key), which XLA sums before the lookup's.
    """

    arguments: dict[str, Any]
    block: int
    ends: int = 2
    tables: int = 1
    biases: int = 0


FAMILIES = {
    "BERT": Family(dict(model="bert", with_mlm="linear"), 6),
    "RoFormerV2": Family(dict(model="roformer_v2", with_mlm="linear"), 6),
    "GPT2": Family(dict(model="gpt2", final_activation="linear"), 6),
    "T5.1.1": Family(
        dict(model="t5.1.1", with_lm="linear", hidden_act=["gelu", "linear"]), 18, ends=3, biases=3
    ),
    "GAU-α": Family(
        dict(model="gau_alpha", with_mlm="linear", num_attention_heads=1, attention_key_size=32), 2
    ),
}


def ring(devices: int, size: float) -> float:
    """Bytes that each device sends, so that all have the sum of `size` bytes of each."""
    return 2 * (devices - 1) / devices * size


def formula(
    family: Family, sizes: dict[str, Any], mesh: tuple[int, int], tokens: int, length: int, share: float
) -> tuple[float, float]:
    """Bytes that each device sends in a step.

    Args:
        mesh: (data, model), numbers of devices.
        tokens: of the whole batch.
        length: of a text in tokens.
        share: bytes of the weights on one device.

    Returns:
        Of activations over the model axis, and of gradients over the data axis.
    """
    data, model = mesh
    sums = family.block * sizes["num_hidden_layers"] + family.ends
    softmax = 4  # numbers for each token: maximum, sum, the true token's score, and its gradient
    activations = tokens / data * (sums * sizes["hidden_size"] + softmax) * FLOAT32
    table = family.tables * sizes["vocab_size"] * sizes["hidden_size"] / model * FLOAT32
    bias = family.biases * sizes["num_hidden_layers"] * sizes["num_attention_heads"] * length**2 / model
    return ring(model, activations), ring(data, share + table + bias * FLOAT32)


def compiled_step(model: Any) -> str:
    """XLA's text of a step of SGD: loss, gradients, new weights with the layouts of the old ones."""
    layout = keras.distribution.distribution().get_data_layout((BATCH, LENGTH))
    tokens = keras.distribution.distribute_tensor(jax.numpy.ones((BATCH, LENGTH), "int32"), layout)
    trained = [one.value for one in model.trainable_variables]
    fixed = [one.value for one in model.non_trainable_variables]

    def loss(trained: list, tokens: Any) -> Any:
        inputs = [tokens] * len(model.inputs)
        logits = model.stateless_call(trained, fixed, inputs if len(inputs) > 1 else tokens)[0]
        losses = keras.losses.sparse_categorical_crossentropy(tokens, logits, from_logits=True)
        return keras.ops.mean(losses)

    def step(trained: list, tokens: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(trained, tokens)
        return value, [one - 0.1 * gradient for one, gradient in zip(trained, gradients)]

    layouts = [one.sharding for one in trained]
    return jax.jit(step, out_shardings=(None, layouts)).lower(trained, tokens).compile().as_text()


def share_of(model: Any) -> int:
    """Bytes of the trained weights on one device."""
    shapes = [one.value.sharding.shard_shape(tuple(one.shape)) for one in model.trainable_variables]
    return FLOAT32 * sum(int(np.prod(shape)) for shape in shapes)


def count(study: Study) -> None:
    """Add what the compiled programs send, beside the formula."""
    for name, family in FAMILIES.items():
        sizes = {**SIZES, **family.arguments}
        for mesh in MESHES:
            keras.distribution.set_distribution(None)
            devices = keras.distribution.DeviceMesh(mesh, ("data", "model"))
            model = model_parallel(build_transformer_model(**sizes), devices)
            found = collectives(compiled_step(model))
            sent = sum(map(bytes_sent, found))
            expected = sum(formula(family, sizes, mesh, BATCH * LENGTH, LENGTH, share_of(model)))
            kinds = {kind: sum(one.kind == kind for one in found) for kind in {one.kind for one in found}}
            note = ", ".join(f"{kinds[kind]} {kind}" for kind in sorted(kinds))
            case = "{} x {}".format(*mesh)
            study.add(case, name, "sent", sent / 1e6, "MB", ratio=sent / expected, base="formula", note=note)


class Cluster(NamedTuple):
    """GPUs in nodes of eight, with NVIDIA's numbers for the DGX H200.

    Attributes:
        nvlink: bytes/s that a GPU sends to others of its node: 900 GB/s both ways together.
        network: bytes/s that a GPU sends to other nodes: one port of 400 Gb/s for each GPU.
        flops: of a GPU in training: 40 % of 989 TFLOPS, bfloat16 without sparsity.
    """

    nvlink: float = 450e9
    network: float = 50e9
    flops: float = 0.4 * 989e12


class Model(NamedTuple):
    """A model of real size. `split`: number of its weights that are split, `whole`: of the others."""

    family: str
    sizes: dict[str, int]
    split: float
    whole: float


def block_weights(hidden: int, inner: int, attentions: int, kernels: int) -> int:
    """Weights of the kernels of a block."""
    return 4 * attentions * hidden * hidden + kernels * hidden * inner


MODELS = {
    "BERT-large": Model(
        "BERT",
        dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, vocab_size=30528),
        24 * block_weights(1024, 4096, 1, 2) + 30528 * 1024,
        512 * 1024 + 1024 * 1024,
    ),
    "T5.1.1-XL": Model(
        "T5.1.1",
        dict(hidden_size=2048, num_hidden_layers=24, num_attention_heads=32, vocab_size=32128),
        24 * block_weights(2048, 5120, 3, 6) + 2 * 32128 * 2048,
        0,
    ),
}
TOKENS = 8 * 512  # of a GPU, in a step
CLUSTERS = ((8, 1), (4, 2), (2, 4), (1, 8), (64, 1), (32, 2), (16, 4), (8, 8))


def predict(study: Study, cluster: Cluster) -> None:
    """Add seconds of sending in a step ÷ seconds of computing, if nothing overlaps, and weights of a GPU.

    Devices that share weights are in one node. The devices that sum a gradient use all their ports to other nodes.
    """
    for name, one in MODELS.items():
        for data, model in CLUSTERS:
            family, gpus = FAMILIES[one.family], data * model
            share = (one.split / model + one.whole) * FLOAT32
            activations, gradients = formula(family, one.sizes, (data, model), TOKENS * gpus, 512, share)
            in_node = 8 // model
            rate = cluster.nvlink if gpus <= 8 else min(cluster.nvlink, cluster.network * in_node)
            seconds = activations / cluster.nvlink + gradients / rate
            computing = 6 * (one.split + one.whole) * TOKENS / cluster.flops
            case = f"{data} x {model}"
            study.add(
                case, name, "predicted", seconds * 1e3, "ms", ratio=seconds / computing, base="computing"
            )
            study.add(case, name, "weights", share / 1e9, "GB")


def main() -> None:
    study = Study("collectives", 1)
    count(study)
    predict(study, Cluster())
    study.write()


if __name__ == "__main__":
    main()
