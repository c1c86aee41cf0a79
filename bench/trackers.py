"""What is measured beside time: memory, compilations, counts, and the settings that decide speed.

It runs inside a pairing.

A framework is asked only if the implementation has imported it.
"""

from __future__ import annotations

import gc
import os
import platform
import re
import sys
from collections import Counter
from typing import Any, Callable

from parity.machine import cpuinfo, module_versions, processor_name

TRACED: list[Any] = []  # functions of TensorFlow that count how often they were traced
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile", "asimd", "sve", "bf16")
VARIABLES = (
    "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_CORETYPE TF_ENABLE_ONEDNN_OPTS XLA_FLAGS KEEP_MEMORY".split()
)


def watch_traces(function):
    """Count the traces of a `tf.function`; returns it."""
    TRACED.append(function)
    return function


class CompilationCounter:
    """Counts the programs of XLA, traces of TensorFlow or graphs of PyTorch that are compiled from now on."""

    def __init__(self):
        self.compiled = 0
        if "jax" in sys.modules:
            import jax

            jax.monitoring.register_event_duration_secs_listener(self.listen)
        self.before = self.total()

    def listen(self, event, duration, **kwargs):
        if event.endswith("backend_compile_duration"):
            self.compiled += 1

    def total(self):
        if "torch" in sys.modules and "jax" not in sys.modules and not TRACED:
            dynamo = sys.modules.get("torch._dynamo.utils")
            return dynamo.counters["stats"]["unique_graphs"] if dynamo else 0
        traces = [one.experimental_get_tracing_count() for one in TRACED]
        return self.compiled + sum(traces) if traces or "jax" in sys.modules else None

    def count(self):
        """How many compilations there were; None without a framework that compiles."""
        total = self.total()
        return None if total is None else total - (self.before or 0)


class CallCounter:
    """Counts what a call does, in numbers without noise: two calls, and two processes, have the same.

    `{"Python calls": n}` on every framework. On PyTorch `op NAME` and `bytes allocated` of a call, as its profiler
    sees them. On JAX `op NAME` in the programs that XLA compiled since this object was made, and `bytes of buffers`.
    """

    def __init__(self) -> None:
        self.before = set(map(id, xla_programs()))
        self.kept = xla_programs()  # an object that is gone would leave its id to another

    def count(self, call: Callable[[], Any], calls: int = 3) -> dict[str, int | None]:
        """The counts of a call; None for a count in which some calls differ."""
        counters = (python_calls, torch_operations, self.xla_operations)
        found = [dict(pair for count in counters for pair in count(call).items()) for _ in range(calls)]
        names = {name: None for one in found for name in one}
        return {name: one_value([counts.get(name, 0) for counts in found]) for name in names}

    def xla_operations(self, call: Callable[[], Any]) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for program in xla_programs():
            if id(program) in self.before:
                continue
            for module in program.hlo_modules():
                counts.update(f"op {name}" for name in hlo_operations(module.to_string()))
            memory = program.get_compiled_memory_stats()
            counts["bytes of buffers"] += memory.temp_size_in_bytes + memory.output_size_in_bytes
        return dict(counts)


def one_value(values: list[int]) -> int | None:
    """The value, if all are equal."""
    return values[0] if len(set(values)) == 1 else None


def python_calls(call: Callable[[], Any]) -> dict[str, int]:
    """Functions that the thread of the caller calls, of Python and of C."""
    counts = Counter()  # type: Counter[str]
    gc.collect()
    gc.disable()  # its callbacks and finalizers would run now or later
    sys.setprofile(lambda frame, event, argument: counts.update((event,)))
    try:
        call()
    finally:
        sys.setprofile(None)
        gc.enable()
    return {"Python calls": counts["call"] + counts["c_call"]}


def torch_operations(call: Callable[[], Any]) -> dict[str, int]:
    """Operations that PyTorch dispatches, and the bytes that they leave allocated; nothing without PyTorch."""
    if "torch" not in sys.modules or "jax" in sys.modules:
        return {}
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        call()
    averages = [one for one in profiler.key_averages() if one.key.startswith("aten::")]
    counts = {f"op {one.key[6:]}": one.count for one in averages}
    return dict(counts, **{"bytes allocated": sum(max(one.self_cpu_memory_usage, 0) for one in averages)})


def xla_programs() -> list:
    """The programs that JAX has compiled and holds; none without JAX, or with one that does not tell."""
    if "jax" not in sys.modules:
        return []
    import jax

    return list(getattr(jax.devices()[0].client, "live_executables", list)())


def hlo_operations(text: str) -> list:
    """The names of the operations in the text of a program of XLA: `%a.1 = f32[2]{0} add(…)` is an add."""
    return re.findall(r"^ +(?:ROOT )?%\S+ = (?:\(.*?\) |\S+ )([a-z][\w-]*)\(", text, re.MULTILINE)


def resident_memory():
    """Bytes of memory that this process holds now."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def peak_device_memory(device):
    """Peak bytes on the GPU as the framework counts them; None on a CPU."""
    if device == "cpu":
        return None
    if "jax" in sys.modules:
        import jax

        return (jax.local_devices()[0].memory_stats() or {}).get("peak_bytes_in_use")
    if "torch" in sys.modules:
        import torch

        return torch.cuda.max_memory_allocated()
    import tensorflow as tf

    return tf.config.experimental.get_memory_info("GPU:0")["peak"]


def settings():
    """What decides the speed of this process."""
    found = {
        "processor": processor_name(),
        "processor_flags": [flag for flag in FLAGS if flag in next(cpuinfo("flags", "Features"), "").split()],
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": versions(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }
    for name, function in FRAMEWORKS:
        if name in sys.modules:
            found[name] = function()
    return found


def versions():
    names = "bert4keras3 bert4keras keras tensorflow jax jaxlib torch transformers keras_hub onnxruntime openvino numpy"
    return module_versions(*names.split())


def jax_settings():
    import jax

    return {
        "platform": jax.default_backend(),
        "device": jax.devices()[0].device_kind,
        "matmul_precision": jax.config.jax_default_matmul_precision or "default",
    }


def torch_settings():
    import torch

    return {
        "threads": torch.get_num_threads(),
        "matmul_precision": torch.get_float32_matmul_precision(),
        "tf32": torch.backends.cuda.matmul.allow_tf32,
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
    }


def tensorflow_settings():
    import tensorflow as tf

    config = getattr(tf, "config", None)
    if not hasattr(config, "threading"):
        return {}
    found = {
        # 0: as many as there are cores
        "intra_op_threads": config.threading.get_intra_op_parallelism_threads(),
        "inter_op_threads": config.threading.get_inter_op_parallelism_threads(),
        "xla": bool(config.optimizer.get_jit()),
    }
    if hasattr(config.experimental, "tensor_float_32_execution_enabled"):
        found["tf32"] = config.experimental.tensor_float_32_execution_enabled()
    return found


FRAMEWORKS = (("jax", jax_settings), ("torch", torch_settings), ("tensorflow", tensorflow_settings))
