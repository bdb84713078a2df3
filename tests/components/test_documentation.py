"""The techniques' pages and the README's catalogue say what the techniques say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from paddlepress.core.errors import UsageError
from paddlepress.techniques import technique_class
from paddlepress_components import documentation
from paddlepress_pipelines.recipe import load

ROOT = Path(__file__).resolve().parents[2]


def test_nothing_is_out_of_date() -> None:
    """What is in the repository is what `make docs` would write."""
    assert documentation.stale(ROOT) == []


def test_the_recipe_of_all_techniques_has_them_all() -> None:
    """Each technique that ships ends a variant of `mnist-all.yaml`, from which its page takes the example."""
    chains = documentation.read_sources(ROOT).variants.values()
    assert {next(iter(chain[-1])) for chain in chains} == set(documentation.shipped())


@pytest.mark.parametrize("name", documentation.shipped())
def test_a_page_tells_every_field_and_the_paper(name: str) -> None:
    """Fields with their descriptions, the source, an example that names the technique."""
    text = documentation.page(name, documentation.read_sources(ROOT))
    chosen = technique_class(name)
    assert chosen.paper
    assert chosen.paper in text
    assert f"{name}:" in text or f"- {name}" in text
    for field, info in chosen.model_fields.items():
        assert f"`{field}`" in text
        assert (info.description or "").split("|")[0] in text


def test_what_was_measured_is_shown(tmp_path: Path) -> None:
    """A variant's figures stand on the page of its last technique, with its settings, and only with these."""
    chains: dict[str, documentation.Chain] = {"sparse": [{"prune-weights": {"sparsity": 0.5}}]}
    figures = {"accuracy": 98.765, "settings": documentation.Sources(chains).settings("sparse")}
    measured = {"about": "Somewhere.", "base": {"accuracy": 99.0}, "variants": {"sparse": figures}}
    text = documentation.page("prune-weights", documentation.Sources(chains, measured))
    assert "98.77" in text
    assert "prune-weights {sparsity: 0.5}" in text
    other: dict[str, documentation.Chain] = {"sparse": [{"prune-weights": {"sparsity": 0.6}}]}
    assert "98.77" not in documentation.page("prune-weights", documentation.Sources(other, measured))


def test_the_study_of_distillation_is_ranked_on_its_pages() -> None:
    """Rows in the order of the study, but for one that had other settings; other families' pages have none."""

    def row(variant: str, fields: dict[str, object] | None, settings: str = "") -> dict[str, object]:
        chain: documentation.Chain = [] if fields is None else [{"distill-offline": fields}]
        own = documentation.settings_of(chain, {}) if chain else ""
        figures = {"mean": 97.0, "error": 0.1, "difference": 0.5, "difference_error": 0.2}
        return {"variant": variant, "chain": chain, "settings": settings or own, **figures}

    rows = [row("kd", {}), row("hot", {"temperature": 9.0}, "other"), row("alone", None)]
    sources = documentation.Sources({}, study={"about": "A small student.", "rows": rows})
    text = documentation.page("distill-self", sources)
    assert text.index("| kd |") < text.index("| alone |")
    assert "| hot |" not in text
    assert "A small student." not in documentation.page("prune-weights", sources)


@pytest.mark.parametrize("name", documentation.shipped())
def test_the_example_of_a_page_is_a_recipe_that_can_be_read(name: str, tmp_path: Path) -> None:
    """Pasted into a recipe, the example is what the technique's variant in `mnist-all.yaml` is."""
    text = documentation.page(name, documentation.read_sources(ROOT))
    example = text.split("```yaml\n")[1].split("```")[0]
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"name: example\ndata: {{source: digits}}\nbase: {{architecture: lenet}}\n{example}")
    ((variant, chain),) = load(recipe).variants.items()
    assert chain == load("mnist-all").variants[variant]


def test_a_change_and_a_leftover_are_noticed(tmp_path: Path) -> None:
    """A page that was edited and one of a technique that is gone are out of date; elsewhere is an error."""
    for part in (documentation.RECIPE, documentation.README, documentation.PAGES):
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if (ROOT / part).is_dir() else shutil.copyfile)(ROOT / part, tmp_path / part)
    page, leftover = (tmp_path / documentation.PAGES / f"{name}.md" for name in ("prune-weights", "prune-nothing"))
    page.write_text(page.read_text().replace("sparsity", "density"))
    leftover.write_text("# prune-nothing\n")
    assert documentation.stale(tmp_path) == [page, leftover]
    with pytest.raises(UsageError, match="no checkout"):
        documentation.read_sources(tmp_path / "elsewhere")
