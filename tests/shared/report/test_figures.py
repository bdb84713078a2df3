from __future__ import annotations

import pytest

from paddlepress.report.figures import human_bytes, milliseconds, percent, points, signed_points, times, written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (human_bytes(980), "980 B"),
        (human_bytes(1000), "1.00 kB"),
        (human_bytes(216_330), "216 kB"),
        (human_bytes(999_600), "1.00 MB"),
        (human_bytes(1_688_504), "1.69 MB"),
        (times(7.806), "7.81×"),
        (times(23.47), "23.5×"),
        (times(9.996), "10.0×"),
        (milliseconds(0.1524), "0.152 ms"),
        (milliseconds(3.42), "3.42 ms"),
        (percent(99.9999), "100.00%"),
        (points(-0.001), "0.00"),
        (points(-0.12), "−0.12"),
        (signed_points(0.24), "+0.2"),
        (signed_points(-0.04), "0.0"),
        (written("sparsity", 0.9), "90.00%"),
        (written("macs", 4_241_152), "4.24 M"),
        (written("macs", 4_241_152, exact=True), "4,241,152"),
        (written("bytes", 216_330, exact=True), "216,330 bytes"),
        (written("peak_memory_mib", 12.34), "12.3 MiB"),
        (written("drop", -0.001, exact=True), "0.00 points"),
        (written("drop", None), "—"),
        (written("accuracy", float("nan")), "—"),
        (written("of_a_plugin", 0.123456789), "0.123457"),
    ],
)
def test_figures_are_written_for_people(text: str, expected: str) -> None:
    """Figures carry their unit, three digits, a true minus sign, and a dash where there is none."""
    assert text == expected
