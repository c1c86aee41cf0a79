"""Collectives are read from each form of XLA's text, and a gathered weight is told from gathered activations."""

import pytest

from parity.collectives import Collective, bytes_sent, collectives, gathered_whole

GROUPS = {
    "replica_groups={{0,1,2,3},{4,5,6,7}}": 4,
    "replica_groups=[4,2]<=[8]": 2,
    "replica_groups=mesh['axis_0'=2,'axis_1'=4] {'axis_1'}": 4,
    "replica_groups=mesh['axis_0'=2,'axis_1'=4], device_ids=([4,2]T(1,0)) {'axis_0','axis_1'}": 8,
}
SUM = "  %all-reduce = f32[4,12,64]{2,1,0} all-reduce(%fusion), channel_id=2, %s, to_apply=%add"


@pytest.mark.parametrize("groups, devices", GROUPS.items())
def test_every_form_of_groups_is_read(groups, devices):
    expected = Collective("all-reduce", ((4, 12, 64),), devices, 4 * 12 * 64 * 4)
    assert collectives(SUM.replace("%s", groups)) == [expected]


def test_a_sum_of_several_arrays_has_all_their_bytes():
    arrays = "(f32[], bf16[8,2]{1,0}, f32[3]{0}, f32[3]{0}, f32[3]{0}, /*index=5*/pred[16]{0})"
    line = f"  %all-reduce.1 = {arrays} all-reduce(%a, %b), replica_groups=[1,8]<=[8], to_apply=%add"
    (found,) = collectives(line)
    assert found.size == 4 + 2 * 16 + 3 * 12 + 16 and found.shapes[1] == (8, 2)


def test_other_lines_are_no_collectives():
    text = """HloModule jit_step, num_partitions=8
  %get-tuple-element.1 = f32[3]{0} get-tuple-element(%all-reduce.1), index=1
  %fusion.1 = f32[64,64]{1,0} fusion(%all-gather.3), kind=kLoop, calls=%all-gather-like
"""
    assert collectives(text) == []


def test_unknown_groups_are_an_error():
    with pytest.raises(ValueError, match="expected replica_groups"):
        collectives(SUM.replace("%s", "replica_groups=everyone"))


@pytest.mark.parametrize(
    "kind, expected",
    [("all-reduce", 150), ("all-gather", 75), ("reduce-scatter", 300), ("collective-permute", 100)],
)
def test_bytes_on_a_ring(kind, expected):
    assert bytes_sent(Collective(kind, ((25,),), 4, 100)) == expected


@pytest.mark.parametrize(
    "shape, is_whole", [("64,128", True), ("128,64", True), ("4,12,64", False), ("8,128", False)]
)
def test_a_gathered_weight_is_seen_transposed_too(shape, is_whole):
    line = f"  %all-gather = f32[{shape}]{{1,0}} all-gather(%x), replica_groups=[1,8]<=[8], dimensions={{1}}"
    assert bool(gathered_whole(line, {(64, 128), (16,)})) == is_whole
