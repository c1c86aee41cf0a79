"""Dependencies run one way, read from the imports with `ast`."""

import ast
import subprocess
import sys
from collections import Counter

import pytest

from parity.store import ROOT

PACKAGE = ROOT / "bert4keras3"
FRAMEWORKS = {"keras", "tensorflow", "jax", "torch"}

# Each part may import itself and the parts before it; a folder counts as one part.
LIBRARY_ORDER = [
    "migrate",
    "snippets",
    "checkpoints",
    "tokenizer_files",
    "tokenizers",
    "backend",
    "ops",
    "layers",
    "gradients",
    "optimizers",
    "advice",
    "vocabulary",
    "weights",
    "layouts",
    "blocks",
    "huggingface",
    "generation",
    "transformers",
    "lora",
    "parallel",
    "packing",
    "models",
    "convert",
    "text_encoder",
    "embed",
    "processes",
    "launch",
]
# The same inside backend/. The longest name counts, so that keras3/private.py stands before accelerate/.
BACKEND_ORDER = [
    "flavour",
    "absent",
    "package",
    "extensions",
    "object_weights",
    "legacy_models",
    "one_process",
    "keras2.ops",
    "keras3.private",
    "accelerate",
    "keras2",
    "keras3",
    "contract",
    "dataset",
    "script_names",
    "functions",
    "sequences",
    "losses",
    "search",
    "recompute",
    "optimizer_extensions",
    "keras2.optimizers",
    "__init__",
]
WITHOUT_KERAS = {"migrate", "snippets", "checkpoints", "tokenizer_files", "tokenizers"}
# What functions of a part may import when they run: who calls them has loaded it already.
LATE = {"snippets": {"backend", "models"}, "parallel": {"models"}}
HARNESS_ORDER = ["pairings", "parity", "bench", "reports"]
MAY_IMPORT_THE_LIBRARY = {
    "collectives.py",
    "accelerate.py",
    "identify.py",
    "minilm.py",
    "prove.py",
    "call_overhead.py",
    "recompute.py",
    "lora.py",
    "corpus.py",
    "formats.py",
    "reviews.py",
    "serving.py",
    "sharded_loading.py",
    "checkpoint_loading.py",
    "tokenize_texts.py",
    "weights.py",
    "profile_forward.py",
    "replay.py",
    "quantization.py",
    "optimizer_step.py",
}


def imports(path):
    """Full names of the modules that a file imports, each as often as it does."""
    return imported(ast.parse(path.read_text(encoding="utf-8")))


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def late_imports(path):
    """Those of `imports` that stand in a function."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from imported(node)


def part_of(path):
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


LIBRARY_FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]
HARNESS_FILES = [path for folder in HARNESS_ORDER for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_library_imports_only_what_comes_before(path):
    part = part_of(path)
    allowed = set(LIBRARY_ORDER[: LIBRARY_ORDER.index(part) + 1])
    if part in WITHOUT_KERAS:
        allowed &= WITHOUT_KERAS
    found = Counter(name.split(".")[1] for name in imports(path) if name.startswith("bert4keras3."))
    late = Counter(name.split(".")[1] for name in late_imports(path) if name.startswith("bert4keras3."))
    found -= Counter({one: late[one] for one in LATE.get(part, ())})
    found = set(found)
    assert found <= allowed, f"{path} imports {found - allowed}"


BACKEND_FILES = [path for path in LIBRARY_FILES if part_of(path) == "backend"]


def room_of(module):
    """Where a module of backend/ stands in BACKEND_ORDER; module: its name below backend, or that of an item in it."""
    names = [name for name in BACKEND_ORDER if f"{module}.".startswith(f"{name}.")]
    return BACKEND_ORDER.index(max(names, key=len))


def name_in_backend(path):
    parts = path.relative_to(PACKAGE / "backend").with_suffix("").parts
    return ".".join(parts if parts == ("__init__",) or parts[-1] != "__init__" else parts[:-1])


@pytest.mark.parametrize("path", BACKEND_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_backend_imports_only_what_comes_before(path):
    prefix = "bert4keras3.backend."
    found = [name[len(prefix) :] for name in imports(path) if name.startswith(prefix)]
    above = [name for name in found if room_of(name) > room_of(name_in_backend(path))]
    assert not above, f"{path} imports {above}"


def test_backend_has_no_circle():
    import graphlib

    names = {name_in_backend(path): path for path in BACKEND_FILES}
    graph = {
        name: {
            max(
                (one for one in names if f"{full}.".startswith(f"bert4keras3.backend.{one}.")),
                key=len,
                default=None,
            )
            for full in imports(path)
        }
        - {None, name}
        for name, path in names.items()
    }
    assert len(list(graphlib.TopologicalSorter(graph).static_order())) == len(names)


@pytest.mark.parametrize("path", LIBRARY_FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_backend_knows_the_framework(path):
    if part_of(path) == "backend":
        return
    text = path.read_text(encoding="utf-8")
    assert not {name.split(".")[0] for name in imports(path)} & FRAMEWORKS
    for word in ("FLAVOUR", "KERAS_BACKEND", "TF_KERAS", "is_tf_keras", "framework =="):
        assert word not in text, f"{path} asks for {word}"


@pytest.mark.parametrize("path", HARNESS_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_harness_imports_only_what_comes_before(path):
    folder = path.relative_to(ROOT).parts[0]
    allowed = set(HARNESS_ORDER[: HARNESS_ORDER.index(folder) + 1])
    found = {name.split(".")[0] for name in imports(path)}
    assert found & set(HARNESS_ORDER) <= allowed
    if path.name not in MAY_IMPORT_THE_LIBRARY and path.parent != ROOT / "bench" / "implementations":
        assert "bert4keras3" not in found


def test_pairings_needs_the_standard_library_alone():
    """nox, in environments.py, is imported for its types alone: its sessions are handed over."""
    known = {"__init__.py": set(), "environments.py": {"pairings", "nox"}, "shards.py": set()}
    for path in (ROOT / "pairings").rglob("*.py"):
        found = {name.split(".")[0] for name in imports(path)} - set(sys.stdlib_module_names)
        assert found == known[path.name], path
    run = "import sys; from pairings import environments; sys.exit('nox' in sys.modules)"
    subprocess.run([sys.executable, "-c", run], cwd=ROOT, check=True)


def test_floor_of_keras_3_is_that_of_the_extras():
    import re
    import tomllib

    flavour = (PACKAGE / "backend" / "flavour.py").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for constant, names in (("KERAS_3_FLOOR", ("jax", "torch")), ("OPENVINO_FLOOR", ("openvino",))):
        numbers = re.search(constant + r" = \((\d+), (\d+)\)", flavour).groups()
        assert all("keras>=" + ".".join(numbers) in extras[name] for name in names), constant
