"""The page of recipes says what recipes may say."""

from __future__ import annotations

from paddlepress_pipelines.recipe import documentation
from paddlepress_pipelines.recipe.schema import shipped


def test_the_page_is_not_out_of_date() -> None:
    """What is in the repository is what `make docs` would write."""
    folder = shipped()
    assert folder is not None
    assert (folder / documentation.PAGE).read_text(encoding="utf-8") == documentation.page()


def test_every_key_is_described() -> None:
    """Each row of the page has a description."""
    rows = [line.split(" | ") for line in documentation.page().splitlines() if line.startswith("| `")]
    assert len(rows) > 60
    assert not [row[0] for row in rows if not row[-1].strip(" |")]
