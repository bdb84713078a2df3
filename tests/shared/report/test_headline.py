from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from paddlepress.report.data import ReportData
from paddlepress.report.headline import headline

BASE = {"variant": "base", "version": "1", "metrics": {"accuracy": 99.1, "bytes": 1700, "latency_b1_ms": 0.2}}


def champion(make_report: Callable[..., ReportData], **metrics: float) -> ReportData:
    won = {"variant": "won", "version": "2", "chain": [{"technique": "prune-filters"}], "metrics": metrics}
    return make_report(champion={"variant": "won", "version": "2", "reason": "it is"}, variants=[BASE, won])


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (
            {"ratio": 7.9, "speedup_b1": 1.5, "drop": 0.12},
            "7.90× smaller and 1.50× faster, 0.12 points less accurate than the base model.",
        ),
        (
            {"ratio": 2, "speedup_b1": 0.5, "drop": -0.3},
            "2.00× smaller and 2.00× slower, 0.30 points more accurate than the base model.",
        ),
        (
            {"ratio": 2, "speedup_b1": 1.01, "speedup_b1_low": 0.98, "speedup_b1_high": 1.03, "drop": 0.001},
            "2.00× smaller and as fast, as accurate as the base model.",
        ),
        ({"ratio": 2, "speedup_b1": 1.003, "drop": 0}, "2.00× smaller and as fast, as accurate as the base model."),
        ({"ratio": 2}, "2.00× smaller."),
    ],
)
def test_sentence_says_what_is_gained_and_what_it_costs(
    make_report: Callable[..., ReportData], metrics: dict[str, float], sentence: str
) -> None:
    """The headline names size, speed and drop in the direction they went, and calls a tie a tie."""
    said = headline(champion(make_report, **metrics))
    assert said is not None
    assert said.sentence == sentence


def test_tiles_compare_with_the_base(report: ReportData) -> None:
    """The tiles give the champion's figures beside the base model's, and why one is missing."""
    said = headline(report)
    assert said is not None
    assert [(tile.label, tile.value) for tile in said.tiles[:2]] == [("Smaller", "7.81×"), ("Speed", "0.78×")]
    assert said.tiles[0].note == "216 kB, was 1.69 MB"


def test_missing_figure_shows_its_reason(make_report: Callable[..., ReportData]) -> None:
    """A champion without a measured latency gets a dash with the reason, not a number."""
    data = champion(make_report, ratio=2, bytes=850)
    won = data.variants[1].model_copy(update={"missing": {"speedup_b1": "no runtime here"}})
    said = headline(data.model_copy(update={"variants": (data.variants[0], won)}))
    assert said is not None
    assert (said.tiles[1].value, said.tiles[1].note) == ("—", "no runtime here")


def test_champion_of_an_earlier_run_has_no_figures_here(make_report: Callable[..., ReportData]) -> None:
    """A champion whose version is not in the report is named without another version's figures."""
    kept: dict[str, Any] = {"variant": "int8", "version": "1", "reason": "nothing beat it"}
    said = headline(make_report(champion=kept))
    assert said is not None
    assert (said.variant, said.version, said.tiles) == ("int8", "1", ())
    assert "earlier run" in said.sentence


def test_a_tie_is_not_called_faster(make_report: Callable[..., ReportData]) -> None:
    """A speed-up that is written as 1.00x stands under "Speed", not under "Faster"."""
    said = headline(champion(make_report, ratio=2, bytes=850, speedup_b1=1.003, latency_b1_ms=0.1994))
    assert said is not None
    assert (said.tiles[1].label, said.tiles[1].value) == ("Speed", "1.00×")
