"""Selection of PyTorch's matmul kernel by a fixed table of processor, dtype and rows.

With `BERT4KERAS3_AUTOTUNE=1` the first matmul of each size measures the candidates and logs its choice. A file keeps
the choice for later processes: kernels.json in BERT4KERAS3_CACHE, else in ~/.cache/bert4keras3.
"""

import functools
import json
import logging
import os
import time
from pathlib import Path

import torch

from bert4keras3.backend.flavour import is_on
from bert4keras3.backend.keras3 import private

autotunes = is_on("BERT4KERAS3_AUTOTUNE")
logger = logging.getLogger(__name__)

# {(kind of processor, dtype, "row" or "rows"): names of kernels}. The first name that is a candidate is selected.
# Without an entry the first candidate is selected, PyTorch's own choice. bench/studies/accelerate.py measures each.
TABLE = {
    ("AuthenticAMD", "float32", "row"): ["split_k"],
    ("AuthenticAMD", "float32", "rows"): ["onednn_packed", "onednn"],
    ("AuthenticAMD", "bfloat16", "row"): ["onednn_packed"],
    ("GenuineIntel", "bfloat16", "row"): ["onednn_packed"],
    ("GenuineIntel", "bfloat16", "rows"): ["in_float32"],
    ("GenuineIntel", "float16", "rows"): ["in_float32"],
}
MOST_ROWS = 512  # rows of a measured matmul
CORE_CACHE = 2**25  # bytes, more than the caches of a core
MOST_COPIES = 64  # of a small weight, which stays in the caches in a model too


def select_kernel(kernels, inputs, weight, bias):
    """Select one of the candidates for inputs (…, size) and a weight (units, size)."""
    rows = inputs.numel() // inputs.shape[-1]
    if autotunes:
        return tuned_kernel(kernels, inputs, weight, bias, rows)
    names = TABLE.get((processor_kind(), str(inputs.dtype)[6:], "row" if rows == 1 else "rows"), ())
    found = {kernel.__name__: kernel for kernel in kernels}
    return next((found[name] for name in names if name in found), kernels[0])


@functools.lru_cache(maxsize=None)
def processor_kind():
    """Vendor of the processor, with " AMX" if it multiplies tiles of bfloat16; "" on other systems than Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    amx = " AMX" if "amx_bf16" in facts.get("flags", "").split() else ""
    return facts.get("vendor_id", "") + amx


def tuned_kernel(kernels, inputs, weight, bias, rows):
    """The fastest candidate for this weight and about so many rows, from the file or by a measurement."""
    rows = min(rows, MOST_ROWS)
    size = f"{(rows - 1).bit_length()}:{str(inputs.dtype)[6:]}:{tuple(weight.shape)}:{weight.stride()}"
    key = f"{processor()}:{torch.__version__}:{torch.get_num_threads()}:{size}:{len(kernels)}"
    found = {kernel.__name__: kernel for kernel in kernels}
    choices = tuned()
    if choices.get(key) not in found:
        with private.no_dispatch_modes():  # a tracer would slow each candidate
            inputs = inputs.reshape(-1, inputs.shape[-1])[:rows]
            taken = {kernel.__name__: seconds(kernel, inputs, weight, bias) for kernel in kernels}
        choices[key] = min(taken, key=taken.get)
        logger.info(
            "%s: %s of %s", key, choices[key], {name: f"{1e6 * one:.0f} µs" for name, one in taken.items()}
        )
        save_tuned(choices)
    return found[choices[key]]


def processor():
    """Kind and instructions of the processor: several machines may share a home folder."""
    return f"{processor_kind()}:{torch.backends.cpu.get_cpu_capability()}"


def tuned_path():
    folder = os.environ.get("BERT4KERAS3_CACHE") or Path.home() / ".cache" / "bert4keras3"
    return Path(folder) / "kernels.json"


@functools.lru_cache(maxsize=None)
def tuned():
    """{key of a size: name of a kernel} from the file; empty without a readable file."""
    try:
        return dict(json.loads(tuned_path().read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def save_tuned(choices):
    """Replace the file in one step, so that a reader finds the old or the new content."""
    path = tuned_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f"{path.name}.{os.getpid()}")
        partial.write_text(json.dumps(choices, indent=1, sort_keys=True), encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        logger.warning("%s: the chosen kernels cannot be kept: %s", path, error)


def seconds(kernel, inputs, weight, bias, times=3):
    """Least seconds of a matmul. The weights of one row together exceed a core's caches, as in a model."""
    rows = inputs.shape[0]
    copies = [
        weight.clone() for _ in range(min(-(-CORE_CACHE // (weight.nbytes * max(rows, 1))), MOST_COPIES))
    ]
    if kernel.__name__ == "onednn_packed":
        copies = [private.pack_for_onednn(copy.contiguous()) for copy in copies]
    found = []
    for _ in range(1 + times):
        start = time.perf_counter()
        for copy in copies:
            kernel(inputs, copy, bias)
        found.append((time.perf_counter() - start) / len(copies))
    return min(found[1:])
