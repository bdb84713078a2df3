from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from paddlepress.report import ReportData, VariantReport, render

NASTY = "<script>alert('x')</script>\"><img src=x onerror=alert(1)>"


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.found)


def test_page_refers_to_nothing_outside(report: ReportData) -> None:
    """The page has no address of anything to load: no source, no link but an empty icon, no import, no url()."""
    page = render(report)
    for tag, attributes in Tags(page).found:
        assert "src" not in attributes
        if "href" in attributes:
            assert (attributes["href"] or "").startswith(("#", "data:,")), tag
    assert not re.search(r"url\(|@import|https?://", page)


def test_page_shows_every_part(report: ReportData) -> None:
    """Headline, charts in both sizes, all variants, classes, chains, method and environment are there."""
    page = render(report)
    assert "7.81× smaller and 1.29× slower, 0.12 points less accurate than the base model." in page
    tags = Tags(page)
    charts = [attributes for tag, attributes in tags.found if tag == "svg" and attributes.get("class") == "chart"]
    assert len(charts) == 6
    for variant in report.variants:
        assert page.count(variant.variant) >= 4
    for heading in ("All variants", "What each variant forgot", "How each variant was made", "How it was measured"):
        assert heading in page
    for value in report.environment.values():
        assert value in page


def test_everything_from_the_data_is_escaped(make_report: Callable[..., ReportData]) -> None:
    """Names, reasons, parameters and environment with markup in them add no element to the page."""
    clean = make_report()
    variants = [
        variant.model_dump()
        | {
            "variant": f"{NASTY}{index}",
            "aliases": (NASTY,),
            "missing": {NASTY: NASTY},
            "chain": [{"technique": NASTY, "parameters": {NASTY: NASTY}}] if variant.chain else [],
            "gates": [{"text": NASTY, "passed": False, "metric": NASTY}],
            "per_class": [one.model_dump() | {"name": f"{NASTY}{one.name}"} for one in variant.per_class],
        }
        for index, variant in enumerate(clean.variants)
    ]
    texts = dict.fromkeys(("title", "recipe", "objective"), NASTY)
    page = render(
        make_report(
            variants=variants,
            champion={"variant": f"{NASTY}6", "version": 7, "reason": NASTY},
            environment={NASTY: NASTY},
            **texts,
        )
    )
    tags = Tags(page)
    assert tags.count("img") == 0
    assert tags.count("script") == 1
    assert not any(name.startswith("on") for _, attributes in tags.found for name in attributes)


def test_missing_figure_is_a_dash_with_its_reason(report: ReportData) -> None:
    """What was not measured shows as a dash that says why, and the reason stands under the table once."""
    page = render(report)
    assert 'title="Paddle Inference has no int8 kernels on CPU"' in page
    assert page.count("int8, filters50-int8, sparse90-int8: Paddle Inference has no int8 kernels on CPU.") == 1


def test_figure_that_is_not_a_number_counts_as_missing(make_report: Callable[..., ReportData]) -> None:
    """NaN or infinity from an evaluation shows as a dash, in the charts not at all."""
    broken = {"variant": "odd", "metrics": {"accuracy": float("nan"), "bytes": float("inf")}}
    page = render(make_report(variants=[broken], champion=None))
    assert "not a finite number" in page
    assert "No variant has both figures." in page
    assert 'class="chart"' not in page


def test_no_champion_says_why(make_report: Callable[..., ReportData]) -> None:
    """Where nothing was promoted the page says so with the reason."""
    page = render(make_report(champion=None, no_champion_reason="int8 dropped 0.4 points, at most 0.3"))
    assert "Nothing was promoted" in page
    assert "int8 dropped 0.4 points, at most 0.3" in page


def test_many_classes_show_those_that_changed_most(make_report: Callable[..., ReportData]) -> None:
    """Of a thousand classes the heat map shows the twenty that changed most and counts the rest."""
    one = {"count": 10, "accuracy": 90.0, "base_accuracy": 90.0}
    classes = [one | {"name": f"class-{index}", "change": -0.01 * index} for index in range(1000)]
    variant = {"variant": "v", "chain": [{"technique": "t"}], "per_class": classes}
    page = render(make_report(variants=[variant], champion=None))
    assert "980 others changed less" in page
    assert "class-999" in page and "class-980" in page and "class-979" not in page


def test_report_survives_json(report: ReportData) -> None:
    """A report stored as JSON and read again draws the same page."""
    assert render(ReportData.model_validate_json(report.model_dump_json())) == render(report)


def test_unknown_field_is_refused() -> None:
    """A misspelt field is an error, not a hole in the page."""
    with pytest.raises(ValueError, match="metric"):
        VariantReport.model_validate({"variant": "x", "metric": {}})


def test_importing_the_report_loads_nothing_heavy() -> None:
    """The report's modules import without Jinja, rich, Paddle or MLflow."""
    code = (
        "import sys, paddlepress.report, paddlepress.report.terminal; "
        "print([name for name in ('jinja2', 'rich', 'paddle', 'mlflow', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
