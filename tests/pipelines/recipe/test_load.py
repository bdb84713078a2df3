"""Reading recipes: what they mean, and what is said of a mistake."""

from __future__ import annotations

import sys
from pathlib import Path
from subprocess import run

import pytest

from paddlepress.errors import RecipeError
from paddlepress_pipelines.recipe import load
from paddlepress_pipelines.recipe.schema import shipped

GOOD = """\
name: small
data: {source: digits}
base:
  architecture: lenet
  training: {epochs: 2}
variants:
  sparse:
    - prune-weights: {sparsity: 0.8}
  int8:
    - quantize-post-training
gates:
  - {metric: drop, at_most: 0.3}
objective: {maximize: ratio}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_recipe_gives_its_chains_with_their_fields(tmp_path: Path) -> None:
    """A step is a name, or a name with fields; what is not said is the technique's default."""
    recipe = load(write(tmp_path, GOOD))
    assert list(recipe.variants) == ["sparse", "int8"]
    assert recipe.variants["sparse"][0].settings()["sparsity"] == 0.8
    assert recipe.variants["int8"][0].settings()["bits"] == 8
    assert recipe.base.training.epochs == 2


@pytest.mark.parametrize("path", sorted(shipped().glob("*.yaml")), ids=lambda path: path.stem)  # type: ignore[union-attr]
def test_every_recipe_that_ships_can_be_read(path: Path) -> None:
    """A shipped recipe is valid, and is named like its file."""
    assert load(path).name == path.stem
    assert load(path.stem) == load(path)


def test_the_digest_of_a_variant_follows_what_makes_it(tmp_path: Path) -> None:
    """Its own sparsity and the base's training change it; other variants, gates and titles do not."""
    digest = load(write(tmp_path, GOOD)).digest("sparse")
    for same in (
        GOOD + "title: Other words\n",
        GOOD.replace("at_most: 0.3", "at_most: 1"),
        GOOD.replace("int8:", "other:"),
    ):
        assert load(write(tmp_path, same)).digest("sparse") == digest
    assert load(write(tmp_path, GOOD)).only(["sparse"]).digest("sparse") == digest
    for other in (GOOD.replace("0.8", "0.7"), GOOD.replace("epochs: 2", "epochs: 3"), GOOD + "seed: 1\n"):
        assert load(write(tmp_path, other)).digest("sparse") != digest


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("prune-weights:", "prune-wieghts:"), 8, ["prune-wieghts", "prune-weights", "quantize-post-training"]),
        (("sparsity: 0.8", "sparsty: 0.8"), 8, ["sparsty", "sparsity", "scope"]),
        (("sparsity: 0.8", "sparsity: 1.8"), 8, ["sparsity", "1.8", "less than 1"]),
        (("sparsity: 0.8", "sparsity: high"), 8, ["sparsity", "'high'", "number"]),
        (("architecture: lenet", "architecture: lenat"), 4, ["lenat", "lenet-300-100", "vision/resnet18"]),
        (("epochs: 2", "epochs: 0"), 5, ["epochs", "0", "greater than or equal to 1"]),
        (("source: digits", "source: mnits"), 2, ["source", "mnits", "digits"]),
        (("metric: drop", "metric: dorp"), 12, ["dorp", "accuracy", "ratio"]),
        (("at_most: 0.3", "at_most: 0.3, at_least: 1"), 12, ["exactly one"]),
        (("maximize: ratio", "maximize: speed"), 13, ["speed", "speedup_b1"]),
        (("  int8:", "  sparse:"), 9, ["two variants", "sparse", "line 7"]),
        (("  int8:", "  Int 8:"), 9, ["Int 8"]),
        (("  int8:", "  base:"), 9, ["base"]),
        (("name: small", "nome: small"), 1, ["nome", "name"]),
        (("name: small\n", ""), 1, ["name", "missing"]),
        (("{source: digits}", "{source: digits"), 3, ["YAML"]),
        (("    - quantize-post-training", "    - [1, 2]"), 10, ["[1, 2]", "technique"]),
    ],
    ids=lambda value: value[1].strip()[:30] if isinstance(value, tuple) else "",
)
def test_a_mistake_names_file_line_value_and_what_is_valid(
    tmp_path: Path, change: tuple[str, str], line: int, words: list[str]
) -> None:
    """Each mistake is one line with the file, the line, the bad value and the valid ones."""
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(RecipeError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: "), message
    assert "\n" not in message
    for word in words:
        assert word in message, message


def test_a_missing_recipe_lists_those_that_ship(tmp_path: Path) -> None:
    """A path where there is nothing is told, with the recipes that could be meant."""
    with pytest.raises(RecipeError, match=r"no recipe at .*nothing\.yaml.*mnist"):
        load(tmp_path / "nothing.yaml")


def test_only_keeps_the_named_variants(tmp_path: Path) -> None:
    """`--only` with a variant the recipe lacks names those it has."""
    recipe = load(write(tmp_path, GOOD))
    assert list(recipe.only(["int8"]).variants) == ["int8"]
    with pytest.raises(RecipeError, match=r"no variant 'int4'\. Valid: int8, sparse"):
        recipe.only(["int4"])


def test_reading_a_recipe_imports_nothing_heavy(tmp_path: Path) -> None:
    """A recipe can be checked without Paddle, MLflow, ONNX Runtime or boto3."""
    code = (
        "import sys; from paddlepress_pipelines.recipe import load; load(sys.argv[1]);"
        "heavy = {'paddle', 'mlflow', 'onnxruntime', 'boto3', 'kfp', 'pandas', 'sklearn'} & set(sys.modules);"
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = run([sys.executable, "-c", code, str(write(tmp_path, GOOD))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
