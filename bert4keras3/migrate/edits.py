"""Edits of a script: they are collected while the script is read, then applied together; comments and layout stay."""

from __future__ import annotations

from typing import Any, Callable, Sequence

import libcst as cst


class Edits(cst.CSTTransformer):
    """Functions that change nodes, and statements that replace statements."""

    def __init__(self):
        self.changes: dict[cst.CSTNode, list[Callable]] = {}
        self.statements: dict[cst.CSTNode, list[Any]] = {}

    def change(self, node: cst.CSTNode, function: Callable) -> None:
        """Replace the node by `function(node)`, after earlier changes of the node and of its children."""
        self.changes.setdefault(node, []).append(function)

    def set(self, node: cst.CSTNode, **values: Any) -> None:
        """Change attributes of a node."""
        self.change(node, lambda updated: updated.with_changes(**values))

    def replace_statement(self, node: cst.CSTNode, statements: Sequence[Any]) -> None:
        """Replace one small statement by several."""
        self.statements[node] = list(statements)

    def append_statement(self, node: cst.CSTNode, statement: Any) -> None:
        """Add a small statement after another."""
        self.statements.setdefault(node, [node]).append(statement)

    def on_leave(self, original_node, updated_node):
        updated = super().on_leave(original_node, updated_node)
        for function in self.changes.get(original_node, ()):
            updated = function(updated)
        return updated

    def leave_SimpleStatementLine(self, original_node, updated_node):
        if not any(node in self.statements for node in original_node.body):
            return updated_node
        if len(original_node.body) > 1:
            return updated_node.with_changes(body=self.small_statements(original_node, updated_node))
        first, *others = self.small_statements(original_node, updated_node)
        lines = [updated_node.with_changes(body=[first.with_changes(semicolon=cst.MaybeSentinel.DEFAULT)])]
        return cst.FlattenSentinel(lines + [cst.SimpleStatementLine([one]) for one in others])

    def leave_SimpleStatementSuite(self, original_node, updated_node):
        return updated_node.with_changes(body=self.small_statements(original_node, updated_node))

    def small_statements(self, original, updated):
        statements: list[Any] = []
        for node, changed in zip(original.body, updated.body):
            new = [changed if one is node else one for one in self.statements.get(node, [node])]
            new[-1] = new[-1].with_changes(semicolon=changed.semicolon)
            statements += [one.with_changes(semicolon=cst.MaybeSentinel.DEFAULT) for one in new[:-1]]
            statements.append(new[-1])
        return statements


def name_node(name: str) -> Any:
    """Node of a dotted name, such as "keras.layers"."""
    parts = name.split(".")
    node: Any = cst.Name(parts[0])
    for part in parts[1:]:
        node = cst.Attribute(node, cst.Name(part))
    return node


def with_name(node: Any, name: str) -> Any:
    """Node of another dotted name with the parentheses of `node`."""
    return name_node(name).with_changes(lpar=node.lpar, rpar=node.rpar)


def import_from(module: str, names: Sequence[tuple[str, str]]) -> cst.ImportFrom:
    """`from module import name as bound, …`"""
    aliases = [
        cst.ImportAlias(cst.Name(name), cst.AsName(cst.Name(bound)) if bound != name else None)
        for name, bound in names
    ]
    return cst.ImportFrom(name_node(module), aliases)


def without_arguments(call: Any, places: Sequence[int]) -> Any:
    """The call without the arguments at these positions; the layout of the others stays."""
    left = [argument for place, argument in enumerate(call.args) if place not in places]
    if left and left[-1] is not call.args[-1]:
        last = call.args[-1]
        left[-1] = left[-1].with_changes(comma=last.comma, whitespace_after_arg=last.whitespace_after_arg)
    if not left:
        return call.with_changes(args=[], whitespace_before_args=cst.SimpleWhitespace(""))
    return call.with_changes(args=left)


def with_literal(node: Any, old_ending: str, new_ending: str) -> Any:
    """A string literal, or the last text of an f-string, with another ending."""
    if isinstance(node, cst.FormattedStringText):
        return node.with_changes(value=node.value[: len(node.value) - len(old_ending)] + new_ending)
    quote = len(node.quote)
    inside = node.value[:-quote]
    if not inside.endswith(old_ending):  # the ending contains escapes
        return node
    return node.with_changes(value=inside[: len(inside) - len(old_ending)] + new_ending + node.value[-quote:])
