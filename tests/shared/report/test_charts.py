from __future__ import annotations

from itertools import pairwise
from xml.etree import ElementTree

from paddlepress.report.charts import Frame, Mark, floor_of, trade_off
from paddlepress.report.figures import human_bytes


def draw(marks: list[Mark]) -> ElementTree.Element:
    return ElementTree.fromstring(trade_off(marks, Frame("t", "Accuracy and size", "size", "accuracy", human_bytes)))


def classes(svg: ElementTree.Element) -> list[str]:
    return [group.get("class", "") for group in svg.iter("g") if "c-point" in group.get("class", "")]


def test_chart_says_what_it_shows() -> None:
    """A chart has a title, and a description that lists the variants on the Pareto front."""
    svg = draw([Mark(0, "base", 1700, 99.1, base=True), Mark(1, "tiny", 70, 98), Mark(2, "bad", 1800, 97)])
    assert svg.findtext("title") == "Accuracy and size"
    assert (svg.findtext("desc") or "").endswith("On the Pareto front: base, tiny.")
    assert {svg.find("title").get("id"), svg.find("desc").get("id")} == set((svg.get("aria-labelledby") or "").split())  # type: ignore[union-attr]


def test_marks_tell_variants_apart() -> None:
    """Base, champion, front and a missed gate each show in a point's classes."""
    svg = draw(
        [
            Mark(0, "base", 1700, 99.1, base=True),
            Mark(1, "won", 200, 99.0, champion=True),
            Mark(2, "missed", 400, 98.5, passed=False),
        ]
    )
    found = sorted(classes(svg))
    assert found == sorted(["c-point on-front is-base", "c-point on-front is-champion", "c-point off-front is-failed"])


def test_front_steps_through_its_points() -> None:
    """The front's line goes from the cheapest to the most accurate point in horizontal and vertical steps."""
    svg = draw([Mark(0, "a", 100, 98), Mark(1, "b", 1000, 99), Mark(2, "c", 900, 97)])
    path = next(path.get("d", "") for path in svg.iter("path") if path.get("class") == "c-front")
    corners = [tuple(map(float, corner.split())) for corner in path.removeprefix("M").split("L")]
    assert len(corners) == 4
    for (x0, y0), (x1, y1) in pairwise(corners):
        assert (x0 == x1) != (y0 == y1)
        assert x1 >= x0 and y1 <= y0


def test_names_are_escaped() -> None:
    """A variant named like a tag stays text."""
    written = trade_off([Mark(0, "<script>x</script>&", 1, 1)], Frame("t", "t", "x", "accuracy", human_bytes))
    assert "<script" not in written
    assert "&lt;script&gt;x&lt;/script&gt;&amp;" in written


def test_broken_variant_does_not_squeeze_the_rest() -> None:
    """A variant that lost half its accuracy is drawn at the edge with its figure, the others keep their scale."""
    marks = [Mark(0, "base", 1700, 99.1), Mark(1, "good", 400, 98.9), Mark(2, "broken", 100, 43.2)]
    assert floor_of([mark.y for mark in marks]) == 98.9
    texts = [text.text for text in draw(marks).iter("text")]
    assert "broken 43.2%" in texts
    assert "99.00" in texts


def test_one_point_is_enough() -> None:
    """A chart of a single variant can be drawn."""
    assert len(classes(draw([Mark(0, "base", 1700, 99.1, 98.9, 99.2, base=True)]))) == 1
