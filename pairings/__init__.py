"""The registry of pairings: one Keras with one framework, at pinned versions, in an environment of its own.

Standard library only: noxfile, tests, CI and reports all read it. A new pairing is one row here and, unless it
shares an environment or is a variant, one file in `pins/`. A variant is another pairing with other versions, and needs
no row: `find("jax+keras==3.12.0")`.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Iterable, NamedTuple

PINS = Path(__file__).parent / "pins"


class Pairing(NamedTuple):
    """One row of the registry.

    environment: name of its virtual environment, which pairings may share: the name of a file in `pins/`, and the pins
        that take the place of pins in that file, as in "jax+keras==3.12.0".
    variables: environment variables that choose the Keras in it.
    library: what runs there: ours, one that makes goldens, or a peer.
    unpinned: it takes the newest release of everything; its red cells are shown, and make no session fail.
    limitations: {what its Keras cannot do: the reason}; strict, so that one that has disappeared is an error.
    mesh: (data, model), the sizes of the mesh of devices over which its batches and weights are split.
    processes: among which each batch is split, by the engine of the framework: see parity/processes.py.
    """

    name: str
    python: str
    environment: str
    variables: dict[str, str]
    summary: str
    library: str = "bert4keras3"
    limitations: dict[str, str] = {}
    unpinned: bool = False
    mesh: tuple[int, int] | None = None
    processes: int = 1

    @property
    def pins(self) -> Path:
        return PINS / (split_pins(self.environment)[0] + ".txt")

    @property
    def flavour(self) -> str:
        """As in bert4keras3.backend: "keras2", "tf_keras" or "keras3"."""
        return {"0": "keras2", "1": "tf_keras"}.get(self.variables.get("TF_KERAS", ""), "keras3")


KERAS2 = {"TF_KERAS": "0"}
TF_KERAS = {"TF_KERAS": "1"}
NO_LORA = {"LoRA": "layers of Keras 2 have no enable_lora"}

# Keras 3 on its frameworks, and the pins of the floor: the oldest frameworks that Keras 3.10 runs on. TensorFlow 2.15
# has no Keras 3, and JAX 0.4.23 lacks splash_attention. PyTorch stays: any other version brings CUDA.
FRAMEWORKS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
FLOOR = {
    "tensorflow": "keras==3.10.0+tensorflow==2.16.1",
    "jax": "jax==0.4.24+jaxlib==0.4.24+keras==3.10.0+numpy==1.26.4",
    "torch": "keras==3.10.0",
}
# The newest patch of each Keras between the floor and the newest. TensorFlow 2.21 needs Keras 3.12.
BETWEEN = {
    "3.11": {
        "tensorflow": "keras==3.11.3+tensorflow==2.20.0",
        "jax": "keras==3.11.3",
        "torch": "keras==3.11.3",
    },
    "3.12": dict.fromkeys(FRAMEWORKS, "keras==3.12.4"),
    "3.13": dict.fromkeys(FRAMEWORKS, "keras==3.13.2"),
    "3.14": dict.fromkeys(FRAMEWORKS, "keras==3.14.1"),
}


def on_keras(version: str, pins: dict[str, str]) -> list[Pairing]:
    """The pairings of a minor version of Keras 3, which are variants of those of the newest."""
    return [
        Pairing(
            f"{name}-keras{version}",
            "3.11",
            f"{name}+{pins[name]}",
            {"KERAS_BACKEND": name},
            f"Keras {version} on {title}",
        )
        for name, title in FRAMEWORKS.items()
    ]


PAIRINGS = (
    Pairing(
        "keras2.3.1-tf1.15", "3.7", "tf1.15", KERAS2, "keras 2.3.1 on TensorFlow 1.15", limitations=NO_LORA
    ),
    Pairing("keras2.3.1-tf2.2", "3.8", "tf2.2", KERAS2, "keras 2.3.1 on TensorFlow 2.2", limitations=NO_LORA),
    Pairing("tfkeras-tf1.15", "3.7", "tf1.15", TF_KERAS, "tf.keras of TensorFlow 1.15", limitations=NO_LORA),
    Pairing("tfkeras-tf2.2", "3.8", "tf2.2", TF_KERAS, "tf.keras of TensorFlow 2.2", limitations=NO_LORA),
    Pairing("tfkeras-tf2.10", "3.10", "tf2.10", TF_KERAS, "tf.keras of TensorFlow 2.10", limitations=NO_LORA),
    Pairing("tfkeras-tf2.12", "3.11", "tf2.12", TF_KERAS, "tf.keras of TensorFlow 2.12", limitations=NO_LORA),
    Pairing("tfkeras-tf2.15", "3.11", "tf2.15", TF_KERAS, "tf.keras of TensorFlow 2.15", limitations=NO_LORA),
    *(
        Pairing(name, "3.11", name, {"KERAS_BACKEND": name}, f"Keras 3 on {title}")
        for name, title in FRAMEWORKS.items()
    ),
    *on_keras("3.10", FLOOR),
    Pairing(
        "jax-python3.13", "3.13", "jax-python3.13", {"KERAS_BACKEND": "jax"}, "Keras 3 on JAX, newest Python"
    ),
    *(
        Pairing(
            name,
            "3.11",
            environment,
            {"KERAS_BACKEND": name},
            f"Keras 3 on {title}, inference alone",
            limitations={
                "training": f"Keras has neither gradients nor fit on {title}",
                "LoRA": f"an adapter is trained, and Keras has no fit on {title}",
            },
        )
        for name, environment, title in (("openvino", "openvino", "OpenVINO"), ("numpy", "jax", "NumPy"))
    ),
)


def on_mesh(name: str, data: int, model: int) -> Pairing:
    """JAX with batches split over `data` and weights over `model` devices, which are parts of one processor."""
    flags = f"--xla_force_host_platform_device_count={data * model}"
    summary = f"Keras 3 on JAX, on a mesh of {data} x {model} devices"
    return Pairing(
        name, "3.11", "jax", {"KERAS_BACKEND": "jax", "XLA_FLAGS": flags}, summary, mesh=(data, model)
    )


# The nightly run judges these too.
NIGHTLY = (
    on_mesh("jax-mesh8", 2, 4),
    *(on_mesh(f"jax-mesh8-{data}x{model}", data, model) for data, model in ((8, 1), (4, 2), (1, 8))),
    *(pairing for version, pins in BETWEEN.items() for pairing in on_keras(version, pins)),
    Pairing(
        "jax-newest",
        "3.13",
        "jax-newest",
        {"KERAS_BACKEND": "jax"},
        "Newest Keras on newest JAX",
        unpinned=True,
    ),
    *(
        Pairing(name, "3.11", framework, {"KERAS_BACKEND": framework}, summary, processes=2)
        for name, framework, summary in (
            ("torch-ddp2", "torch", "Keras 3 on PyTorch, 2 processes with DistributedDataParallel"),
            (
                "tensorflow-workers2",
                "tensorflow",
                "Keras 3 on TensorFlow, 2 workers of MultiWorkerMirroredStrategy",
            ),
        )
    ),
)

# The pairings in which the published scripts of bert4keras are run: tests/published_scripts
PUBLISHED = ("keras2.3.1-tf1.15", "tensorflow", "jax", "torch")

# They make goldens: the original library, and one from outside the family.
REFERENCE = "bert4keras 0.11.5 on keras 2.3.1 and TensorFlow "
OUTSIDE = "transformers on PyTorch, from outside the family"
ORACLES = (
    Pairing("reference", "3.7", "tf1.15", KERAS2, REFERENCE + "1.15", "bert4keras"),
    Pairing("transformers", "3.11", "transformers", {}, OUTSIDE, "transformers"),
)

# The bench measures these beside ours and the two oracles.
JAX, TORCH = {"KERAS_BACKEND": "jax"}, {"KERAS_BACKEND": "torch"}
EXPORTED = ", on what bert4keras3 exports from Keras 3 on PyTorch"
ABANDONED_PORT = Pairing(
    "abandoned-port",
    "3.11",
    "abandoned-port",
    {"PYTHONPATH": "", **JAX},  # it has our name, so nothing of this checkout may come before it on the path
    "bert4keras3 1.6.6 of PyPI, no longer maintained and not ours, on Keras 3 with JAX",
    "abandoned-port",
)
PEERS = (
    Pairing("reference-tf2.2", "3.8", "tf2.2", KERAS2, REFERENCE + "2.2", "bert4keras"),
    *(
        Pairing(
            f"keras-hub-{name}",
            "3.11",
            "keras-hub",
            {"KERAS_BACKEND": name},
            f"keras-hub on {title}",
            "keras-hub",
        )
        for name, title in (("tensorflow", "TensorFlow"), ("jax", "JAX"), ("torch", "PyTorch"))
    ),
    ABANDONED_PORT,
    Pairing("onnxruntime", "3.11", "torch", TORCH, "ONNX Runtime" + EXPORTED, "onnxruntime"),
    Pairing(
        "openvino-export", "3.11", "openvino-export", TORCH, "OpenVINO in float32" + EXPORTED, "openvino"
    ),
)

# The same libraries built for an NVIDIA GPU; they take gigabytes.
GPU = (
    Pairing("jax-cuda", "3.11", "jax-cuda", JAX, "Keras 3 on JAX with CUDA"),
    Pairing("torch-cuda", "3.11", "torch-cuda", TORCH, "Keras 3 on PyTorch with CUDA"),
    Pairing(
        "transformers-cuda", "3.11", "torch-cuda", {}, "transformers on PyTorch with CUDA", "transformers"
    ),
)

# Engines of clusters, on which the command `bert4keras3.embed` is tested.
ENGINES = (Pairing("engines", "3.11", "engines", JAX, "Ray and Spark with Keras 3 on JAX"),)

BY_NAME = {pairing.name: pairing for pairing in PAIRINGS + NIGHTLY + ORACLES + PEERS + GPU + ENGINES}


def find(name: str) -> Pairing:
    """A row of the registry, or a variant of one: "jax", "jax+keras==3.12.0". Raises ValueError."""
    if name in BY_NAME:
        return BY_NAME[name]
    base, pins = split_pins(name)
    if not pins or base not in BY_NAME:
        raise ValueError(f"no pairing is named {name}; there are {', '.join(BY_NAME)}")
    return variant(BY_NAME[base], pins)


def known(names: Iterable[str]) -> list[Pairing]:
    """The pairings of these names, in the order of tables; others are passed over, as a pairing that was removed."""
    found = []
    for name in names:
        with contextlib.suppress(ValueError):
            found.append(find(name))
    return in_order(found)


def in_order(pairings: Iterable[Pairing]) -> list[Pairing]:
    """As they stand in tables: each Keras and framework together, by name, and numbers in names by size."""
    groups = [one.variables for one in PAIRINGS]

    def place(pairing: Pairing) -> tuple[int, list[int | str]]:
        group = groups.index(pairing.variables) if pairing.variables in groups else len(groups)
        words = re.split(r"(\d+)", pairing.name)
        return group, [int(word) if word.isdigit() else word for word in words]

    return sorted(pairings, key=place)


def variant(base: Pairing, pins: Iterable[str]) -> Pairing:
    """A pairing with other versions, in an environment of its own; its name shows the pins, and `find` reads it.

    Args:
        pins: each as "keras==3.12.0"; without any, the pairing itself.

    Raises:
        ValueError: a pin is no name and version, or pins the library that is judged.
    """
    chosen = dict(map(parse_pin, pins))
    if not chosen:
        return base
    if "bert4keras3" in chosen:
        raise ValueError("bert4keras3 cannot be pinned: each environment has the wheel of this checkout")
    file, before = split_pins(base.environment)
    name, versions = joined(base.name, chosen), joined("", chosen)[1:].replace("==", " ").replace("+", ", ")
    environment = joined(file, {**dict(map(parse_pin, before)), **chosen})
    return base._replace(name=name, environment=environment, summary=f"{base.summary}, with {versions}")


# A pin, and the + before one: the + of a local version, as in torch==2.13.0+cpu, has no pin after it.
PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==(\w[\w.!+-]*)")
BEFORE_PIN = re.compile(r"\+(?=[A-Za-z0-9][\w.-]*==)")


def split_pins(name: str) -> tuple[str, list[str]]:
    """ "jax+keras==3.12.0" → ("jax", ["keras==3.12.0"])."""
    base, *pins = BEFORE_PIN.split(name)
    return base, pins


def session_command(kind: str, name: str, *words: str) -> str:
    """The command of a session of a pairing: "nox -s parity-jax -- --with keras==3.12.0"."""
    base, pins = split_pins(name)
    options = [*(f"--with {pin}" for pin in pins), *words]
    return " ".join([f"nox -s {kind}-{base}", *(["--", *options] if options else [])])


def joined(base: str, pins: dict[str, str]) -> str:
    return "+".join([base, *(f"{name}=={version}" for name, version in sorted(pins.items()))])


def parse_pin(pin: str) -> tuple[str, str]:
    """(normalized name of the distribution, version). Raises ValueError."""
    match = PIN.fullmatch(pin)
    if not match:
        raise ValueError(f"{pin} is no pin: expected a name and a version, as in keras==3.12.0")
    return normalized(match[1]), match[2]


def normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


# Distributions of one package, of which an environment holds one: a pin of the first replaces a pin of the others.
SAME_PACKAGE = {"tensorflow": ("tensorflow-cpu",)}


def requirements(environment: str) -> list[str]:
    """What pip installs into an environment: the lines of its file in `pins/`, with the versions that its name pins."""
    file, pins = split_pins(environment)
    lines = read_pins(PINS / f"{file}.txt")
    for name, version in map(parse_pin, pins):
        names = (name, *SAME_PACKAGE.get(name, ()))
        found = [line for line in lines if normalized(re.split(r"[^\w.-]", line)[0]) in names]
        for line in found:
            extras = re.match(r"[\w.-]+(?:\[[^]]*\])?", line)
            lines[lines.index(line)] = f"{extras[0] if extras else name}=={version}"
        if not found:
            lines.append(f"{name}=={version}")
    return lines


def read_pins(path: Path) -> list[str]:
    """The requirements of a file of pins and of the files that it includes."""
    lines: list[str] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("-r "):
            lines += read_pins(path.with_name(line[3:].strip()))
        elif line:
            lines.append(line)
    return lines


def find_interpreter(python: str) -> str | None:
    """Path of a Python of this version, from PATH, pyenv or uv; None if the machine has none."""
    candidates = [shutil.which("python" + python)]
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates += [str(path / "bin" / "python") for path in sorted(pyenv.glob(python + ".*"), reverse=True)]
    uv = shutil.which("uv")
    if uv:
        command = [uv, "python", "find", python]
        found = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        candidates.append(found.stdout.decode().strip() or None)
    return next((one for one in candidates if one and answers(one, python)), None)


def answers(executable: str, python: str) -> bool:
    """Whether an executable is that Python. A shim of pyenv on PATH may have no Python behind it."""
    command = [executable, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return result.stdout.decode().strip() == python
