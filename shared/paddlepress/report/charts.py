"""Charts as SVG, built on the server so that they show without scripts, and coloured by the page's style.

The markup is built as a tree of elements: names from the data are text or attribute values in it and
get escaped when it is written.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from xml.etree import ElementTree

from paddlepress.report.pareto import pareto_front
from paddlepress.report.placement import Anchor, Box, Placed, place, text_width
from paddlepress.report.scales import Scale, padded

_LONGEST_LABEL = 26
_LABEL_SIZE = 12.0
_CROWD = 10
"""With more marks than this the intervals of beaten variants fade, or they would hide the points."""


@dataclass(frozen=True)
class Mark:
    """A variant in a chart.

    Attributes:
        key: what its table row carries as well, so that the page can link the two.
        label: its name.
        x: what it costs (bytes, milliseconds); less is better.
        y: how good it is, percent.
        low: lower end of the confidence interval; None draws no bar.
        high: its upper end.
        details: lines for the tooltip.
        base: drawn as a square.
        champion: drawn larger, with a halo.
        passed: whether it passed its gates; drawn hollow otherwise.
    """

    key: int
    label: str
    x: float
    y: float
    low: float | None = None
    high: float | None = None
    details: tuple[str, ...] = ()
    base: bool = False
    champion: bool = False
    passed: bool = True


@dataclass(frozen=True)
class Frame:
    """What surrounds a chart's points.

    Attributes:
        ident: a prefix for element ids, unique on the page.
        title: names the chart.
        x_title: what the cost is, with its unit.
        y_title: what says how good a variant is.
        x_text: writes a cost at a tick.
        width: in CSS pixels.
        height: in CSS pixels.
        logarithmic: the cost axis; None decides by the data (a factor of 6 and more).
    """

    ident: str
    title: str
    x_title: str
    y_title: str
    x_text: Callable[[float], str]
    width: int = 520
    height: int = 380
    logarithmic: bool | None = None


def floor_of(values: Sequence[float]) -> float:
    """The lowest score that the axis must show for the good variants to be told apart.

    A variant that broke (20 points below all others) would press the rest into one line, so what is
    further below the best than four times the median distance, and than two points, is drawn at the edge.
    """
    best = max(values)
    gaps = sorted(best - value for value in values)
    reach = max(2.0, 4.0 * gaps[len(gaps) // 2])
    return min(value for value in values if best - value <= reach)


def front_of(marks: Sequence[Mark]) -> list[int]:
    """The indices of the marks that none beats in both score and cost."""
    return pareto_front([(mark.x, mark.y) for mark in marks], (False, True))


def trade_off(marks: Sequence[Mark], frame: Frame) -> str:
    """How good variants are against a cost, with the Pareto front as a stepped line.

    Args:
        marks: at least one; costs above zero.
        frame: size and words.

    Returns:
        An `<svg>` element for an HTML page. Colours come from the page's classes (`c-axis`, `c-front`,
        ...); each point carries `data-v`, is focusable, and has its details as its title.
    """
    left, right, top, bottom = 52.0, frame.width - 22.0, 16.0, frame.height - 46.0
    floor = floor_of([mark.y for mark in marks])
    xs = [mark.x for mark in marks]
    logarithmic = max(xs) / min(xs) >= 6 if frame.logarithmic is None else frame.logarithmic
    heights = [edge for mark in marks if mark.y >= floor for edge in (mark.low, mark.y, mark.high) if edge is not None]
    x_scale = padded(xs, left, right, logarithmic, margin=0.1)
    y_scale = padded(heights, bottom, top)
    front = front_of(marks)

    svg = _svg(marks, frame, front)
    _axes(svg, frame, x_scale, y_scale)
    steps = _front(svg, [marks[index] for index in front], x_scale, y_scale)
    lines = list(steps)
    anchors = []
    for mark in marks:
        x, y = x_scale(mark.x), y_scale(mark.y)
        lines.append(_bar_box(mark, x, y_scale))
        size = _LABEL_SIZE * (1.08 if mark.champion else 1.0)  # its label is bold
        anchors.append(Anchor(x, y, _reach(mark), text_width(_label(mark, floor), size), 14.0))
    priority = [0 if mark.champion or mark.base else 1 if index in front else 2 for index, mark in enumerate(marks)]
    places = place(anchors, Box(left + 3, top - 12, right + 20, bottom - 3), lines, priority)
    for index in sorted(range(len(marks)), key=lambda index: (marks[index].champion, index in front)):
        _point(svg, marks[index], anchors[index], y_scale, places[index], index in front, floor)
    return ElementTree.tostring(svg, encoding="unicode")


def _svg(marks: Sequence[Mark], frame: Frame, front: Sequence[int]) -> ElementTree.Element:
    svg = ElementTree.Element(
        "svg",
        {
            "viewBox": f"0 0 {frame.width} {frame.height}",
            "class": "chart crowded" if len(marks) > _CROWD else "chart",
            "role": "group",
            "aria-labelledby": f"{frame.ident}-title {frame.ident}-desc",
        },
    )
    _add(svg, "title", frame.title, id=f"{frame.ident}-title")
    names = ", ".join(marks[index].label for index in front)
    _add(
        svg,
        "desc",
        f"{len(marks)} variants: {frame.y_title} upwards, {frame.x_title} to the right, so up and left is better. "
        f"On the Pareto front: {names}.",
        id=f"{frame.ident}-desc",
    )
    return svg


def _axes(svg: ElementTree.Element, frame: Frame, x_scale: Scale, y_scale: Scale) -> None:
    group = _add(svg, "g", **{"class": "c-axis", "aria-hidden": "true"})
    left, right, bottom = x_scale.start, x_scale.end, y_scale.start
    ticks = y_scale.ticks(7)
    digits = max(0, -math.floor(math.log10(ticks[1] - ticks[0]) + 1e-9)) if len(ticks) > 1 else 2
    for value in ticks:
        y = y_scale(value)
        _add(group, "line", x1=left, x2=right, y1=y, y2=y, **{"class": "c-grid"})
        _add(group, "text", f"{value:.{digits}f}", x=left - 8, y=y + 4, **{"text-anchor": "end"})
    for value in x_scale.ticks(max(3, round((right - left) / 76))):
        x = x_scale(value)
        _add(group, "line", x1=x, x2=x, y1=bottom, y2=bottom + 4, **{"class": "c-rule"})
        _add(group, "text", frame.x_text(value), x=x, y=bottom + 18, **{"text-anchor": "middle"})
    _add(group, "line", x1=left, x2=right, y1=bottom, y2=bottom, **{"class": "c-rule"})
    note = f"{frame.x_title}, log scale" if x_scale.logarithmic else frame.x_title
    _add(group, "text", note, x=right, y=bottom + 38, **{"text-anchor": "end", "class": "c-title"})
    _add(group, "text", "better ↖", x=left, y=bottom + 38, **{"class": "c-title"})


def _front(svg: ElementTree.Element, marks: Sequence[Mark], x_scale: Scale, y_scale: Scale) -> list[Box]:
    """Draw the front from cheap to good; returns the boxes its lines cover."""
    ordered = sorted(marks, key=lambda mark: (mark.x, mark.y))
    corners = [(x_scale(ordered[0].x), y_scale(ordered[0].y))]
    for mark in ordered[1:]:
        x = x_scale(mark.x)
        corners += [(x, corners[-1][1]), (x, y_scale(mark.y))]
    corners.append((x_scale.end, corners[-1][1]))
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
    floor = y_scale.start
    group = _add(svg, "g", **{"aria-hidden": "true"})
    _add(group, "path", d=f"{line}V{floor:.1f}H{corners[0][0]:.1f}Z", **{"class": "c-area"})
    _add(group, "path", d=line, **{"class": "c-front"})
    return [
        Box(min(a[0], b[0]) - 1, min(a[1], b[1]) - 1, max(a[0], b[0]) + 1, max(a[1], b[1]) + 1)
        for a, b in pairwise(corners)
    ]


def _point(
    svg: ElementTree.Element,
    mark: Mark,
    anchor: Anchor,
    y_scale: Scale,
    placed: Placed | None,
    on_front: bool,
    floor: float,
) -> None:
    kinds = [
        "c-point",
        "on-front" if on_front else "off-front",
        *(["is-base"] if mark.base else []),
        *(["is-champion"] if mark.champion else []),
        *([] if mark.passed else ["is-failed"]),
    ]
    details = "\n".join((mark.label, *mark.details))
    group = _add(svg, "g", **{"class": " ".join(kinds), "data-v": str(mark.key), "tabindex": "0", "role": "img"})
    _add(group, "title", details)
    x, y, radius = anchor.x, anchor.y, _radius(mark)
    _add(group, "circle", cx=x, cy=y, r=radius + 10, **{"class": "c-hit"})
    if mark.low is not None and mark.high is not None and mark.y >= floor:
        low, high = y_scale(mark.low), y_scale(mark.high)
        _add(group, "path", d=f"M{x:.1f} {low:.1f}V{high:.1f}", **{"class": "c-interval"})
    if mark.champion:
        _add(group, "circle", cx=x, cy=y, r=_reach(mark), **{"class": "c-halo"})
    if mark.y < floor:
        shape = f"M{x - radius:.1f} {y - radius:.1f}h{2 * radius:.1f}L{x:.1f} {y + radius:.1f}Z"
        _add(group, "path", d=shape, **{"class": "c-mark"})
    elif mark.base:
        side = 2 * radius
        _add(group, "rect", x=x - radius, y=y - radius, width=side, height=side, rx=1.5, **{"class": "c-mark"})
    else:
        _add(group, "circle", cx=x, cy=y, r=radius, **{"class": "c-mark"})
    if placed is None:
        return
    box = placed.box
    if placed.leader:
        near_x, near_y = min(max(x, box.left), box.right), min(max(y, box.top), box.bottom)
        length = math.hypot(near_x - x, near_y - y) or 1.0
        from_x, from_y = (
            x + (near_x - x) * (anchor.radius + 1) / length,
            y + (near_y - y) * (anchor.radius + 1) / length,
        )
        _add(group, "line", x1=from_x, y1=from_y, x2=near_x, y2=near_y, **{"class": "c-leader"})
    if box.left >= x:
        side_x, side_anchor = box.left, "start"
    elif box.right <= x:
        side_x, side_anchor = box.right, "end"
    else:
        side_x, side_anchor = (box.left + box.right) / 2, "middle"
    _add(
        group, "text", _label(mark, floor), x=side_x, y=box.top + 11, **{"text-anchor": side_anchor, "class": "c-label"}
    )


def _label(mark: Mark, floor: float) -> str:
    name = mark.label if len(mark.label) <= _LONGEST_LABEL else mark.label[: _LONGEST_LABEL - 1] + "…"
    return f"{name} {mark.y:.1f}%" if mark.y < floor else name


def _radius(mark: Mark) -> float:
    return 6.0 if mark.champion else 4.5 if mark.base else 5.0


def _reach(mark: Mark) -> float:
    """How far a mark reaches, halo included."""
    return _radius(mark) + (4.5 if mark.champion else 0.0)


def _bar_box(mark: Mark, x: float, y_scale: Scale) -> Box:
    low = mark.y if mark.low is None else mark.low
    high = mark.y if mark.high is None else mark.high
    return Box(x - 1.5, y_scale(high), x + 1.5, y_scale(low))


def _add(parent: ElementTree.Element, tag: str, text: str = "", **attributes: str | float) -> ElementTree.Element:
    """Append an element; numbers are written with one decimal, enough for a screen."""
    written = {
        name: f"{value:.1f}".removesuffix(".0") if isinstance(value, (int, float)) else value
        for name, value in attributes.items()
    }
    element = ElementTree.SubElement(parent, tag, written)
    element.text = text or None
    return element
