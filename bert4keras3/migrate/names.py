"""Resolves the names of a script to what they import, from imports and assignments and the scopes of libcst."""

from __future__ import annotations

import re
from typing import Any

import libcst as cst
import libcst.matchers as m
from libcst.metadata import (
    Assignment,
    BuiltinAssignment,
    ImportAssignment,
    MetadataWrapper,
    ParentNodeProvider,
    PositionProvider,
    ScopeProvider,
)

from bert4keras3.migrate.tables import ENGINE, MODULES, NAMES

# Scripts import the same object under different names.
CANONICAL = [
    (re.compile(pattern + r"(?=\.|$)"), name)
    for pattern, name in (
        (r"^bert4keras3?\.backend\.keras", "keras"),
        (r"^bert4keras3?\.backend\.K", "keras.backend"),
        (r"^bert4keras", "bert4keras3"),
        (r"^tensorflow\.compat\.v[12]", "tensorflow"),
        (r"^tensorflow\.python\.keras", "keras"),
        (r"^tensorflow\.keras", "keras"),
    )
]
LITERALS = (
    cst.BaseNumber,
    cst.BaseString,
    cst.Dict,
    cst.List,
    cst.Set,
    cst.Tuple,
    cst.BaseComp,
    cst.Comparison,
)


def canonical(name: str) -> str:
    """`keras` for keras, tf.keras and bert4keras.backend.keras; `keras.backend` for K; bert4keras3 for bert4keras."""
    for pattern, replacement in CANONICAL:
        name = pattern.sub(replacement, name)
    return name


def moved(name: str) -> str:
    """The canonical name in a public module that Keras 3 has too; the same name if nothing changes."""
    parts = name.split(".")
    if parts[:2] == ["keras", "engine"]:
        for place, part in enumerate(parts):
            if part in ENGINE:
                return ".".join([ENGINE[part]] + parts[place:])
    for end in range(len(parts), 1, -1):
        module = ".".join(parts[:end])
        if module in MODULES:
            name = ".".join([MODULES[module]] + parts[end:])
            break
    for old, new in NAMES.items():
        if name == old or name.startswith(old + "."):
            return new + name[len(old) :]
    return name


def dotted(node: cst.CSTNode | None) -> str:
    """Text of a dotted name, such as "keras.layers"."""
    if isinstance(node, cst.Attribute):
        return dotted(node.value) + "." + node.attr.value
    return node.value if isinstance(node, cst.Name) else ""


def root_of(node):
    while isinstance(node, cst.Attribute):
        node = node.value
    return node


class Names:
    """Resolves expressions of one script."""

    def __init__(self, module: cst.Module):
        wrapper = MetadataWrapper(module)
        self.module = wrapper.module
        metadata: Any = wrapper.resolve_many([ParentNodeProvider, PositionProvider, ScopeProvider])
        self.parents = metadata[ParentNodeProvider]
        self.positions = metadata[PositionProvider]
        self.scopes = metadata[ScopeProvider]
        self.resolving: list[Any] = []  # assignments that are being resolved, to stop at cycles
        stars: Any = m.findall(self.module, m.ImportFrom(names=m.ImportStar()))
        self.stars = ["." if node.relative else dotted(node.module) for node in stars]

    def line(self, node: cst.CSTNode) -> int:
        return self.positions[node].start.line

    def assignments(self, node: cst.Name) -> set[Any]:
        """Assignments that may define this name, from its scope outwards."""
        scope = self.scopes.get(node)
        return set(scope[node.value]) if scope is not None else set()

    def raw(self, node: Any) -> str | None:
        """Full name by the script's imports, such as "tensorflow.keras.layers.Dense"; None for other values."""
        if isinstance(node, cst.Attribute):
            base = self.raw(node.value)
            return None if base is None else base + "." + node.attr.value
        if not isinstance(node, cst.Name):
            return None
        assignments = self.assignments(node)
        if not assignments:
            # only a star import can define this name
            return self.stars[0] + "." + node.value if len(self.stars) == 1 else None
        found = {self.raw_of(assignment, node.value) for assignment in assignments}
        if len({canonical(name or "") for name in found}) == 1:
            return min(found, key=str)
        return None

    def raw_of(self, assignment, name):
        if isinstance(assignment, BuiltinAssignment):
            return "builtins." + name
        if isinstance(assignment, ImportAssignment):
            names = {one.name for one in assignment.get_qualified_names_for(name)}
            # a relative import is a module of the user
            return min(names) if names and not min(names).startswith(".") else "a module." + name
        value = self.assigned_value(assignment)
        if not isinstance(value, (cst.Name, cst.Attribute)) or assignment in self.resolving:
            return None
        self.resolving.append(assignment)
        try:
            return self.raw(value)
        finally:
            self.resolving.pop()

    def assigned_value(self, assignment):
        """The expression of `name = expression`; None for any other kind of assignment."""
        if not isinstance(assignment, Assignment):
            return None
        node = assignment.node
        target = self.parents.get(node)
        if isinstance(target, cst.AssignTarget):
            return self.parents[target].value
        if isinstance(target, cst.AnnAssign) and target.target is node:
            return target.value
        return None

    def values(self, node: Any) -> list[Any]:
        """Expressions that are assigned to a name; None for an assignment of any other kind."""
        assignments = self.assignments(node) if isinstance(node, cst.Name) else ()
        return [self.assigned_value(one) for one in assignments]

    def canonical(self, node: Any) -> str | None:
        """The canonical name after `moved`; None if the name is not imported."""
        raw = self.raw(node)
        return None if raw is None else moved(canonical(raw))

    def origin(self, node: Any, depth: int = 0) -> str:
        """Origin of a value: "keras", "own" (a class of the script), the name of another library, or "unknown"."""
        name = self.canonical(node)
        if name is not None:
            root = name.split(".")[0]
            return "keras" if root in ("keras", "bert4keras3") else root
        if depth > 20:
            return "unknown"
        if isinstance(node, LITERALS):
            return "builtins"
        if isinstance(node, cst.Call):
            called = self.origin(node.func, depth + 1)
            # a method of the script's own class may return anything
            return "unknown" if called == "own" and isinstance(node.func, cst.Attribute) else called
        if isinstance(node, (cst.Attribute, cst.Subscript)):
            value = self.origin(node.value, depth + 1)
            return "unknown" if value == "own" or self.is_self(node.value) else value
        if isinstance(node, cst.Name):
            found = {self.origin_of(one, depth + 1) for one in self.assignments(node)} - {"none"}
            if "keras" in found:
                return "keras"
            if len(found) == 1 or found and "unknown" not in found:
                return min(found)
        return "unknown"

    def origin_of(self, assignment, depth):
        node = getattr(assignment, "node", None)
        if isinstance(node, cst.ClassDef):
            return self.origin_of_class(node, depth)
        if isinstance(node, cst.Param):
            owner = self.class_of_self(node)
            return self.origin_of_class(owner, depth) if owner is not None else "unknown"
        value = self.assigned_value(assignment)
        if isinstance(value, cst.Name) and value.value == "None":
            return "none"
        return "unknown" if value is None or value is node else self.origin(value, depth)

    def origin_of_class(self, node, depth=0):
        origins = {self.origin(base.value, depth + 1) for base in node.bases}
        for name in ("keras", "unknown"):
            if name in origins:
                return name
        return "own"

    def class_of_self(self, param):
        """The class whose method has this node as its first parameter; None for other parameters."""
        parameters = self.parents[param]
        function = self.parents[parameters]
        if not isinstance(function, cst.FunctionDef) or [*parameters.params[:1]] != [param]:
            return None
        owner = self.parents.get(self.parents[function])  # its block, then the class
        return owner if isinstance(owner, cst.ClassDef) else None

    def is_self(self, node):
        return isinstance(node, cst.Name) and any(
            isinstance(getattr(one, "node", None), cst.Param) and self.class_of_self(one.node) is not None
            for one in self.assignments(node)
        )

    def may_be_keras(self, node: Any) -> bool:
        """False for objects of other libraries, and of classes unrelated to Keras."""
        return self.origin(node) in ("keras", "unknown")

    def class_around(self, node):
        while node is not None and not isinstance(node, cst.ClassDef):
            node = self.parents.get(node)
        return node
