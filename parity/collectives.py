"""The collectives of a compiled program, read from XLA's text."""

from __future__ import annotations

import re
from typing import NamedTuple

COLLECTIVE = re.compile(
    r" = (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\("
)
ARRAY = re.compile(r"(pred|[a-z]+(\d+))\[([\d,]*)\]")


class Collective(NamedTuple):
    """One collective.

    Attributes:
        kind: as XLA names it, "all-reduce".
        shapes: of its results on one device.
        devices: number of devices in one group.
        size: bytes of its results on one device.
    """

    kind: str
    shapes: tuple[tuple[int, ...], ...]
    devices: int
    size: int


def collectives(text: str) -> list[Collective]:
    """All collectives of a compiled program, whose text is `jax.jit(…).lower(…).compile().as_text()`."""
    found = []
    for line in text.splitlines():
        match = COLLECTIVE.search(line)
        if match:
            arrays = ARRAY.findall(match[1])
            shapes = tuple(tuple(int(one) for one in sizes.split(",") if one) for _, _, sizes in arrays)
            size = sum(product(shape) * int(bits or 8) // 8 for shape, (_, bits, _) in zip(shapes, arrays))
            found.append(Collective(match[2], shapes, group_size(line), size))
    return found


def group_size(line: str) -> int:
    """Number of devices in one group, as XLA writes groups.

    `replica_groups={{0,1},{2,3}}`, `replica_groups=[4,2]<=[8]` or `replica_groups=mesh['a'=2,'b'=4] {'b'}`.
    """
    listed = re.search(r"(?:replica_groups|source_target_pairs)=\{\{([\d,]+)\}", line)
    if listed:
        return len(listed[1].split(","))
    counted = re.search(r"replica_groups=\[\d+,(\d+)\]", line)
    if counted:
        return int(counted[1])
    mesh = re.search(r"replica_groups=mesh\[([^]]*)\][^{]*\{([^}]*)\}", line)
    if mesh is None:
        raise ValueError(f"expected replica_groups in {line.strip()!r}")
    sizes = dict(re.findall(r"('\w+')=(\d+)", mesh[1]))
    return product(tuple(int(sizes[axis]) for axis in re.findall(r"'\w+'", mesh[2])))


def product(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total


def gathered_whole(text: str, shapes: set[tuple[int, ...]]) -> list[Collective]:
    """The collectives of a program that put together a whole weight: shapes are those of the weights that are split."""
    sizes = {tuple(sorted(shape)) for shape in shapes}
    return [
        one
        for one in collectives(text)
        if one.kind in ("all-gather", "all-to-all")
        and any(tuple(sorted(shape)) in sizes for shape in one.shapes)
    ]


def bytes_sent(one: Collective) -> float:
    """Bytes that each device sends in a collective on a ring."""
    factor = {"all-reduce": 2 * (one.devices - 1) / one.devices, "collective-permute": 1}
    if one.kind == "reduce-scatter":
        return one.size * (one.devices - 1)
    return one.size * factor.get(one.kind, (one.devices - 1) / one.devices)
