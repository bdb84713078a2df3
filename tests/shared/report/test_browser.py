"""The page in a real browser. Skipped where there is no chromium with its driver, or no selenium.

A picture of a report, for instance for a README (`--blink-settings=preferredColorScheme=0` for the dark one):

    chromium --headless --no-sandbox --disable-gpu --hide-scrollbars --window-size=1280,1240 \
        --screenshot=report.png file:///path/to/report.html
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from paddlepress.report import ReportData, render

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

BROWSER = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
DRIVER = shutil.which("chromedriver")

pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="no browser: chromium and chromedriver are not on the PATH"
)

ARGUMENTS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)

# Every drawn text of the charts that can be seen, with its chart, and the boxes it is drawn in.
LABELS = """
const boxes = [];
for (const [chart, svg] of [...document.querySelectorAll("svg.chart")].entries())
  for (const text of svg.querySelectorAll(".c-label")) {
    const box = text.getBoundingClientRect();
    if (box.width) boxes.push({chart, text: text.textContent, left: box.left, top: box.top,
                               right: box.right, bottom: box.bottom});
  }
return boxes;
"""

CHARTS = """
return [...document.querySelectorAll("svg.chart")].map((svg) => svg.getBoundingClientRect())
  .filter((box) => box.width > 0).map((box) => [box.width, box.height]);
"""

ORDER = (
    "return [...document.querySelectorAll('#comparison-table tbody th .name')].map((one) => one.textContent.trim());"
)


def assert_apart(labels: list[dict[str, Any]]) -> None:
    """No two labels of one chart overlap."""
    for a, b in combinations(labels, 2):
        beside = a["right"] <= b["left"] or b["right"] <= a["left"]
        above = a["bottom"] <= b["top"] or b["bottom"] <= a["top"]
        assert a["chart"] != b["chart"] or beside or above, (a, b)


class Page:
    """A report opened in the browser."""

    def __init__(self, driver: Any, path: Path) -> None:
        self.driver = driver
        self.path = path

    def open(self, report: ReportData, width: int, dark: bool = False) -> None:
        self.path.write_text(render(report), encoding="utf-8")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(self.path.as_uri())

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def requests(self) -> list[str]:
        events = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def assert_legible(self) -> None:
        """Charts are there, labels don't overlap, and nothing makes the page scroll sideways."""
        charts = self.run(CHARTS)
        assert len(charts) == 2
        assert all(width > 250 and height > 250 for width, height in charts)
        labels = self.run(LABELS)
        assert {label["text"] for label in labels} >= {"base", "sparse90", "filters50", "student", "filters50-int8"}
        assert_apart(labels)
        width = self.run("return innerWidth")
        assert self.run("return document.documentElement.scrollWidth") <= width
        assert all(label["left"] >= 0 and label["right"] <= width for label in labels)


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in (*ARGUMENTS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def page(driver: Any, tmp_path: Path) -> Page:
    return Page(driver, tmp_path / "report.html")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (800, False), (390, False)])
def test_page_is_quiet_and_legible(page: Page, report: ReportData, width: int, dark: bool) -> None:
    """At every width the page asks for nothing but itself, logs nothing, and its charts can be read."""
    page.open(report, width, dark)
    page.assert_legible()
    page.run("document.querySelector('label[for=batch-32]').click()")
    page.assert_legible()
    assert page.driver.get_log("browser") == []
    outside = [url for url in page.requests() if url != page.path.as_uri() and not url.startswith("data:")]
    assert outside == []


def test_dark_and_light_differ(page: Page, report: ReportData) -> None:
    """The page follows the reader's colour scheme."""
    grounds = []
    for dark in (False, True):
        page.open(report, 1280, dark)
        grounds.append(page.run("return getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 246, 243)", "rgb(14, 16, 20)"]


def test_clicking_a_heading_sorts(page: Page, report: ReportData) -> None:
    """A click sorts by that column, the better first; a second click turns it round; the heading says so."""
    page.open(report, 1280)
    heading = next(
        index
        for index, one in enumerate(page.driver.find_elements("css selector", "#comparison-table thead th"))
        if one.text.startswith("Smaller")
    )
    button = page.driver.find_elements("css selector", "#comparison-table thead button")[heading]
    button.click()
    assert page.run(ORDER)[:2] == ["sparse90-int8", "sparse90"]
    assert page.run("return arguments[0].parentElement.getAttribute('aria-sort')", button) == "descending"
    button.click()
    assert page.run(ORDER)[:2] == ["base", "filters50"]
    page.find("#comparison-table thead button").click()
    assert page.run(ORDER) == sorted(page.run(ORDER))


def test_missing_figures_sort_last(page: Page, report: ReportData) -> None:
    """A variant without the figure stands at the end in both directions."""
    without = report.variants[4].model_copy(update={"metrics": {"accuracy": 99.0}})
    page.open(report.model_copy(update={"variants": (without, *report.variants[:4])}), 1280)
    button = page.driver.find_elements("css selector", "#comparison-table thead button")[3]
    for _ in range(2):
        button.click()
        assert page.run(ORDER)[-1] == "student"


def test_pointing_at_a_variant_tells_about_it(page: Page, report: ReportData) -> None:
    """Hovering or focusing a point shows its figures and marks its row; Escape hides them."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    page.open(report, 1280)
    tip = page.find("#tip")
    assert not tip.is_displayed()
    point = page.find(".plot-size .wide [data-v='6'] .c-mark")
    page.run("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(page.driver).move_to_element(point).perform()
    assert tip.is_displayed()
    lines = tip.text.splitlines()
    assert lines[0] == "filters50-int8"
    assert "99.05% (98.84–99.22)" in tip.text and "216 kB" in tip.text
    assert "linked" in page.find("#comparison-table tr[data-v='6']").get_attribute("class").split()
    ActionChains(page.driver).send_keys(Keys.ESCAPE).perform()
    assert not tip.is_displayed()
    page.run("document.querySelector('.plot-b1 .wide [data-v=\"1\"]').focus()")
    assert tip.text.startswith("sparse90\n")


def test_batch_is_switched_from_the_keyboard(page: Page, report: ReportData) -> None:
    """The latency chart's batch size changes with the arrow keys, without a pointer."""
    from selenium.webdriver.common.keys import Keys

    page.open(report, 1280)
    page.find("#batch-1").send_keys(Keys.ARROW_RIGHT)
    assert page.find(".plot-b32").is_displayed()
    assert not page.find(".plot-b1").is_displayed()


def test_page_is_whole_without_scripts(page: Page, report: ReportData) -> None:
    """With scripts off the charts, the table and the switch still work."""
    page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        page.open(report, 1280)
        assert page.find(".plot-size .wide svg").size["height"] > 250
        page.find("label[for=batch-32]").click()
        assert page.find(".plot-b32 .wide svg").is_displayed()
    finally:
        page.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_print_shows_all_three_charts_on_the_sheet(page: Page, report: ReportData) -> None:
    """On paper (A4, landscape) both batch sizes are shown and nothing runs off the sheet."""
    page.open(report, 1032)
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert len(page.run(CHARTS)) == 3
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        right = page.run("return document.getElementById('comparison-table').getBoundingClientRect().right")
        assert right <= 1032
    finally:
        page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_hostile_names_stay_text(page: Page, report: ReportData) -> None:
    """A variant named like a script runs nothing and reads as it was written, in the tooltip as well."""
    name = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    hostile = report.variants[1].model_copy(update={"variant": name})
    page.open(report.model_copy(update={"variants": (report.variants[0], hostile)}), 1280)
    page.run("document.querySelector('.plot-size .wide [data-v=\"1\"]').focus()")
    assert name in page.find("#tip").text
    assert "owned" not in page.driver.title
    assert page.run(ORDER)[1] == name
    assert page.driver.get_log("browser") == []


def test_long_names_and_many_variants_fit(page: Page, report: ReportData) -> None:
    """Twenty variants with long names neither widen the page nor write their labels over one another."""
    many = [
        variant.model_copy(update={"variant": f"{variant.variant}-with-a-rather-long-name-{turn}"})
        for turn in range(3)
        for variant in report.variants[:7]
    ]
    for width in (1280, 390):
        page.open(report.model_copy(update={"variants": tuple(many)}), width)
        assert page.run("return document.documentElement.scrollWidth <= innerWidth")
        assert_apart(page.run(LABELS))
