from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.report.placement import Anchor, Box, place, text_width

BOUNDS = Box(0, 0, 500, 360)
ANCHORS = st.lists(
    st.builds(
        Anchor,
        x=st.floats(10, 490),
        y=st.floats(10, 350),
        radius=st.just(5.0),
        width=st.floats(20, 120),
        height=st.just(14.0),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(ANCHORS)
def test_labels_cover_neither_one_another_nor_points(anchors: list[Anchor]) -> None:
    """Whatever the points, written labels lie inside the chart, apart from one another and from every point."""
    labels = place(anchors, BOUNDS)
    boxes = [placed.box for placed in labels if placed is not None]
    for box in boxes:
        assert box.inside(BOUNDS)
    for first, second in combinations(boxes, 2):
        assert first.overlap(second) == 0
    for position, placed in enumerate(labels):
        for index, anchor in enumerate(anchors):
            if placed is not None and index != position:
                assert placed.box.overlap(anchor.box) == 0


def test_labels_of_close_points_are_all_written() -> None:
    """Eight points within a few pixels still get a label each, the farther ones with a line to their point."""
    anchors = [Anchor(200 + 7 * index, 150 + 3 * (index % 3), 5, 70, 14) for index in range(8)]
    placed = place(anchors, BOUNDS)
    assert all(one is not None for one in placed)
    assert any(one is not None and one.leader for one in placed)


def test_lines_are_avoided() -> None:
    """A label that could go right goes elsewhere when a line runs there."""
    anchor = Anchor(200, 150, 5, 60, 14)
    free = place([anchor], BOUNDS)[0]
    moved = place([anchor], BOUNDS, [Box(205, 149, 500, 151)])[0]
    assert free is not None and free.box.left > anchor.x
    assert moved is not None and moved.box.overlap(Box(205, 149, 500, 151)) == 0


def test_important_labels_come_first() -> None:
    """Where only one label fits, the one with the lower priority number is written."""
    room = Box(0, 0, 100, 30)
    anchors = [Anchor(10, 15, 5, 70, 24), Anchor(10, 15.5, 5, 70, 24)]
    assert [one is not None for one in place(anchors, room, priority=[1, 0])] == [False, True]


def test_wide_characters_count_for_more() -> None:
    """Chinese characters are taken to be wider than Latin letters."""
    assert text_width("模型压缩", 12) > text_width("abcd", 12) > text_width("ilil", 12)
