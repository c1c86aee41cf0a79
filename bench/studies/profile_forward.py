"""Profile of the forward pass of BERT-base: time of the operators by class, and what a call costs around them.

    python -m bench.studies.profile_forward [--layers 12] [--rounds 5]      in an environment with Keras 3

Times are processor time, which other programs on the machine change little, divided by the cores. "roofline": the
matmuls of the model alone, at the rate of the framework's own matmul of (tokens, 768) and (768, 3072) in the same run.
A class has a percentage of the time that the framework's profiler saw.
"""

import argparse
import glob
import gzip
import json
import os
import re
import tempfile
import time
from collections import Counter

import numpy as np

from bench.studies import Study, interleave, timed
from bert4keras3.backend import framework, ops
from bert4keras3.models import build_transformer_model
from parity.models.releases import BY_NAME

SHAPES = ((1, 128), (8, 128), (1, 512))
CALLS = 5  # that the profiler sees
# The first that is found in an operator's name or body names its class.
CLASSES = (
    ("matmul", r"\bdot\(|mm$|matmul|linear|MatMul|Einsum|FullyConnected"),
    ("attention", r"scaled_dot_product|flash|ScaledDotProduct"),
    ("GELU", r"\berf\(|gelu|Erf|tanh\("),
    ("softmax", r"exponential|softmax|Softmax"),
    ("embedding", r"gather|embedding|index_select|Gather"),
    ("layout", r"transpose|copy|clone|contiguous|Transpose|cat\b|ConcatV2|Reorder|Reshape"),
)


def make_matmul(rows):
    """The framework's own matmul of (rows, 768) and (768, 3072) as a function."""
    random = np.random.RandomState(0)
    a, b = [random.normal(size=shape).astype("float32") for shape in ((rows, 768), (768, 3072))]
    if framework == "openvino":  # Keras's operators compile at each call
        from openvino import Model, compile_model, opset13

        from bert4keras3.backend.keras3.openvino import CONFIG

        left = opset13.parameter(a.shape)
        matmul = opset13.matmul(left, opset13.constant(b), False, False)
        compiled = compile_model(Model([matmul], [left]), "CPU", CONFIG)
        return lambda: compiled([a])
    a, b = map(ops.convert_to_tensor, (a, b))
    return lambda: finished(ops.matmul(a, b))


def finished(outputs):
    """Wait for the outputs: JAX returns before they are computed."""
    return outputs.block_until_ready() if framework == "jax" else outputs


def class_of(text):
    return next((name for name, pattern in CLASSES if re.search(pattern, text)), "other elementwise")


def profile_jax(model, values):
    """Counter of microseconds by class, from XLA's trace and the bodies of its fusions."""
    import jax

    weights = [v.value for v in model.trainable_variables], [v.value for v in model.non_trainable_variables]
    forward = jax.jit(lambda a, b, x: model.stateless_call(a, b, x, training=False)[0])
    forward = forward.lower(*weights, values).compile()
    text = forward.as_text()
    bodies = {name: body for name, body in re.findall(r"^%(\S+) \(.*?\{\n(.*?)^\}", text, re.M | re.S)}
    operations = dict(re.findall(r"^\s+(?:ROOT )?%(\S+) = (.*)$", text, re.M))
    forward(*weights, values).block_until_ready()
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            for _ in range(CALLS):
                forward(*weights, values).block_until_ready()
        name = glob.glob(os.path.join(folder, "**", "*.trace.json.gz"), recursive=True)[0]
        with gzip.open(name) as file:
            events = json.load(file)["traceEvents"]
    found = Counter()
    for event in events:
        operation = operations.get(event.get("name"))
        if event.get("ph") == "X" and operation:
            called = re.search(r"calls=%(\S+?)(,|$)", operation)
            found[class_of(bodies.get(called.group(1), "") if called else operation)] += event["dur"]
    return found


def profile_torch(model, values):
    """Counter of microseconds by class, from the time that each operator spends in itself."""
    import torch

    model.predict_on_batch(values)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        for _ in range(CALLS):
            model.predict_on_batch(values)
    found = Counter()
    for one in profiler.key_averages():
        found[class_of(one.key)] += one.self_cpu_time_total
    return found


def profile_tensorflow(model, values):
    """Counter of microseconds by class, from the kernels that TensorFlow ran, operator by operator."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    tensors = [tf.convert_to_tensor(value) for value in values]
    forward = tf.function(lambda x: model(x, training=False))
    forward(tensors)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(CALLS):
                forward(tensors)
        name = glob.glob(os.path.join(folder, "**", "*.xplane.pb"), recursive=True)[0]
        with open(name, "rb") as file:
            space = xplane_pb2.XSpace.FromString(file.read())
    found = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                if re.search(r"[^:]:_?[A-Z]\w+$", name) and not name.endswith("Call"):  # node:Operator
                    found[class_of(name.rsplit(":", 1)[1])] += event.duration_ps / 1e6
    return found


def profile_openvino(model, values):
    """Counter of microseconds by class, from what OpenVINO notes of each node."""
    import openvino

    from bert4keras3.backend.keras3.openvino import CONFIG

    graph = model.openvino_graph(values, [(str(value.dtype), value.ndim) for value in values])
    request = openvino.compile_model(graph, "CPU", dict(CONFIG, PERF_COUNT=True)).create_infer_request()
    found = Counter()
    for _ in range(CALLS):
        request.infer(values)
        for node in request.profiling_info:
            found[class_of(node.node_type)] += node.real_time.total_seconds() * 1e6
    return found


PROFILERS = {
    "jax": profile_jax,
    "torch": profile_torch,
    "tensorflow": profile_tensorflow,
    "openvino": profile_openvino,
}


def measure(study, model, shape, layers, rounds):
    batch, length = shape
    random = np.random.RandomState(0)
    values = [random.randint(1, 20000, (batch, length)), np.zeros((batch, length))]
    values = [value.astype("float32") for value in values]
    values[0][:, -3:] = 0  # padding
    candidates = {
        "roofline": make_matmul(batch * length),
        "predict_on_batch": lambda: model.predict_on_batch(values),
        "predict": lambda: model.predict(values, verbose=0),
        "call": lambda: finished(model(values, training=False)),
    }
    found = interleave({name: timed(one, time.process_time) for name, one in candidates.items()}, rounds)
    flops = batch * layers * length * (2 * (4 * 768 * 768 + 2 * 768 * 3072) + 4 * length * 768)
    scale = flops / (2 * batch * length * 768 * 3072)
    found["roofline"] = [scale * one for one in found["roofline"]]
    case, cores = f"{batch} x {length}", len(os.sched_getaffinity(0))
    study.add_times(case, found, dict.fromkeys(found, "roofline"), unit="ms", scale=1e3 / cores)
    classes = PROFILERS[framework](model, values)
    for name, microseconds in classes.most_common():
        study.add(case, name, "share", 100 * microseconds / sum(classes.values()), "%")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if framework == "torch":
        import torch

        torch.set_grad_enabled(False)
    model = build_transformer_model(**dict(BY_NAME["bert_base"].config, num_hidden_layers=options.layers))
    study = Study("profile_forward", options.rounds, layers=str(options.layers))
    for shape in SHAPES:
        measure(study, model, shape, options.layers, options.rounds)
    study.write()


if __name__ == "__main__":
    main()
