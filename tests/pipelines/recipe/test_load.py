"""Reading recipes: what they mean, and what is said of a mistake."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from subprocess import run
from typing import Annotated, Any

import pytest

from paddlepress.core.errors import RecipeError
from paddlepress.network.architectures import ArchitectureName
from paddlepress.network.model import Model
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.techniques import Context, Technique
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


class Imitate(Technique):
    """A technique of nobody's, with an architecture among its fields."""

    network: Annotated[str, ArchitectureName(arguments="options")] = ""
    options: dict[str, Any] = {}

    def apply(self, model: Model, context: Context) -> Model:
        return model


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


def test_a_pattern_with_a_colon_is_text_without_quotes(tmp_path: Path) -> None:
    """`2:4` means 124 in YAML 1.1, which nobody means who writes it in a recipe; nor is `yes` a number of epochs."""
    recipe = load(write(tmp_path, GOOD.replace("{sparsity: 0.8}", "{pattern: 2:4}")))
    settings = recipe.variants["sparse"][0].settings()
    assert settings["pattern"] == "2:4"
    assert load(write(tmp_path, GOOD + "title: 2026-01-31")).title == "2026-01-31"
    learning = load(write(tmp_path, GOOD.replace("{sparsity: 0.8}", "{recovery_learning_rate: 1e-3}")))
    assert learning.variants["sparse"][0].parameters == {"recovery_learning_rate": 0.001}
    with pytest.raises(RecipeError, match=r"recipe\.yaml:8: 'yes' is text: write true or false, or quote it"):
        load(write(tmp_path, GOOD.replace("{sparsity: 0.8}", "{recovery_epochs: yes}")))


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


def preprocessing(fields: str) -> tuple[str, str]:
    """A change that has the recipe import a model with this preprocessing."""
    return "architecture: lenet\n  training: {epochs: 2}", f"artifact: m\n  preprocessing: {{{fields}}}"


@pytest.mark.parametrize(
    ("change", "line", "words"),
    [
        (("prune-weights:", "prune-wieghts:"), 8, ["prune-wieghts", "prune-weights", "quantize-post-training"]),
        (("sparsity: 0.8", "sparsty: 0.8"), 8, ["sparsty", "sparsity", "scope"]),
        (("sparsity: 0.8", "sparsity: 1.8"), 8, ["sparsity", "1.8", "> 0 and < 1"]),
        (("sparsity: 0.8", "sparsity: high"), 8, ["sparsity", "'high'", "number"]),
        (("sparsity: 0.8", "threshold: .inf"), 8, ["threshold", "inf", "finite"]),
        (("sparsity: 0.8", "recovery_epochs: true"), 8, ["recovery_epochs", "True", "neither true nor false"]),
        (("sparsity: 0.8", "exclude: fc*"), 8, ["exclude", "'fc*'", "[fc*]"]),
        (("sparsity: 0.8", "threshold: 0.1, sparsity: 0.8"), 8, ["'sparsity'", "0.8", "threshold 0.1"]),
        (("    - prune-weights: {sparsity: 0.8}", "    prune-weights: {sparsity: 0.8}"), 7, ["must be a list"]),
        (
            (
                "    - quantize-post-training",
                "    - distill-offline: {student: lenet, student_arguments: {width: .inf}}",
            ),
            10,
            ["student_arguments", "not a finite number"],
        ),
        (
            ("- quantize-post-training", "- distill-offline: {student: lenet, student_arguments: {width: !!set {1}}}"),
            10,
            ["student_arguments", "set"],
        ),
        (("architecture: lenet", "architecture: lenat"), 4, ["lenat", "lenet-300-100", "vision/resnet18"]),
        (("epochs: 2", "epochs: 0"), 5, ["epochs", "0", ">= 1 and <= 10000"]),
        (("source: digits", "source: mnits"), 2, ["source", "mnits", "digits"]),
        (("metric: drop", "metric: dorp"), 12, ["dorp", "accuracy", "ratio"]),
        (("at_most: 0.3", "at_most: 0.3, at_least: 1"), 12, ["exactly one"]),
        (("at_most: 0.3", "at_most: true"), 12, ["at_most", "True", "neither true nor false"]),
        (("maximize: ratio", "maximize: speed"), 13, ["speed", "speedup_b1"]),
        (("  int8:", "  sparse:"), 9, ["two variants", "sparse", "line 7"]),
        (("  int8:", "  Int 8:"), 9, ["Int 8", "small letters, digits and hyphens"]),
        (("objective:", "device: tpu\nobjective:"), 13, ["'tpu'", "auto, cpu, gpu, or one such as gpu:1"]),
        (
            ("objective:", "cluster: {gpus: 1e21}\nobjective:"),
            13,
            ["gpus", "1e+21", "must be a whole number >= 0 and <= 1024"],
        ),
        (("objective:", "cluster: {cpus: many}\nobjective:"), 13, ["'many'", "such as 4, 0.5 or 500m"]),
        (("objective:", "cluster: {memory: 8 Gi}\nobjective:"), 13, ["'8 Gi'", "a number of bytes, with a unit"]),
        (("objective:", "cluster: {environment: {A: 1}}\nobjective:"), 13, ["environment.A is 1", "must be text"]),
        (("objective:", "cluster: {environment: {1A: x}}\nobjective:"), 13, ["1A", "no digit first"]),
        (("{source: digits}", "{source: digits, seed: 9007199254740993}"), 2, ["9007199254740993", "too large"]),
        (
            ("architecture: lenet", "architecture: lenet\n  arguments: {width: 9007199254740993}"),
            5,
            ["9007199254740993", "numbers up to"],
        ),
        (("architecture: lenet", "architecture: lenet\n  arguments: {width: {1: 2}}"), 5, ["a key that is no text"]),
        (("  int8:", "  base:"), 9, ["base"]),
        (("name: small", "nome: small"), 1, ["nome", "name"]),
        (("name: small\n", ""), 1, ["name", "missing"]),
        (("{source: digits}", "{source: digits"), 3, ["YAML"]),
        (("    - quantize-post-training", "    - [1, 2]"), 10, ["[1, 2]", "technique"]),
        (("    - quantize-post-training", "    - distill-offline: {student: lenit}"), 10, ["lenit", "lenet-half"]),
        (
            ("    - quantize-post-training", "    - distill-offline: {student: lenet, student_arguments: {w: 1}}"),
            10,
            ["'w'", "width"],
        ),
        (("  training: {epochs: 2}", "  artifact: model"), 4, ["architecture", "artifact", "not both"]),
        (("architecture: lenet", "artifact: model"), 5, ["'training'", "'artifact'"]),
        (("architecture: lenet\n  training: {epochs: 2}", "artifact: m\n  arguments: {width: 1}"), 5, ["'arguments'"]),
        (("training: {epochs: 2}", "preprocessing: {scale: 255}"), 5, ["'preprocessing' goes with 'artifact'"]),
        (preprocessing("std: [0.0]"), 5, ["base.preprocessing.std", "numbers above 0"]),
        (preprocessing("mean: 0.5"), 5, ["base.preprocessing.mean", "[0.5]"]),
        (preprocessing("mean: [.nan]"), 5, ["base.preprocessing.mean", "finite number"]),
        (preprocessing("scale: 0"), 5, ["base.preprocessing.scale", ">= 1e-30"]),
        (preprocessing("scales: 255"), 5, ["unknown key 'scales'", "scale"]),
        (preprocessing("mean: [0, 0], std: [1, 1, 1]"), 5, ["'mean' has 2 numbers and 'std' has 3"]),
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


@pytest.mark.parametrize(
    ("addition", "line", "words"),
    [
        ("title: !foo bar", 14, ["!foo"]),
        ("title: !!python/object/apply:os.system [id]", 14, ["os.system"]),
        ("title: !!timestamp 2024-13-45", 14, ["2024-13-45", "!!timestamp", "null, bool, int, float, str, seq, map"]),
        ("title: !!bool x", 14, ["'x'", "bool"]),
        ("title: !!int ''", 14, ["int"]),
        ("title: !!binary aGk=", 14, ["'aGk='", "!!binary"]),
        ("title: " + "9" * 5000, 14, ["999"]),
        ("title: &loop {again: *loop}", 14, ["title", "itself"]),
        ("title: &loop [[*loop]]", 14, ["title", "itself"]),
        ("title: *nothing", 14, ["nothing"]),
        ("title: \0", 14, ["#x0000"]),
        ('title: "a\\0b"', 14, ["'a\\x00b'", "U+0000"]),
        ('title: "\\uD800x"', 14, ["U+D800"]),
        ('title: "\\e[31m"', 14, ["U+001B"]),
        ('"\\uD800": x', 14, ["U+D800"]),
        ("title: 0x" + "f" * 5000, 14, ["digits"]),
        ("k" * 1000 + ": 1", 14, ["unknown key"]),
        ("seed: [" + "1, " * 5000 + "]", 14, ["seed", "must be a whole number >= 0 and < 2147483648"]),
        ("[title]: x", 14, ["a key that is no text"]),
        ("deep: {[title]: x}", 14, ["deep has a key that is no text"]),
        ("3: x", 14, ["3"]),
        ("<<: 3", 14, ["merging"]),
        ("x: {<<: {}, <<: {}}", 14, ["two keys are called '<<'", "line 14"]),
        ("---\ntitle: x", 14, ["single document"]),
        ("title: " + "[" * 5000 + "]" * 5000, 14, ["nested"]),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100)), 14, ["nested"]),
    ],
    ids=lambda value: value[:25] if isinstance(value, str) else "",
)
def test_odd_yaml_is_told_in_one_line(tmp_path: Path, addition: str, line: int | None, words: list[str]) -> None:
    """Whatever YAML can say that a recipe can't mean is one line with the file and, where known, the line."""
    path = write(tmp_path, f"{GOOD}{addition}\n")
    with pytest.raises(RecipeError) as caught:
        load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:{line}: " if line else f"{path}: "), message
    assert "\n" not in message
    assert len(message) < 400
    for word in words:
        assert word in message, message


def bomb(first: str, again: str) -> str:
    """A recipe of some hundred bytes whose aliases unfold to millions of values."""
    return f"a0: &a0 {first}\n" + "".join(
        f"a{n}: &a{n} {again.replace('*', f'*a{n - 1}').replace('N', str(n))}\n" for n in range(1, 20)
    )


@pytest.mark.parametrize(
    "text",
    [bomb("[x]", "[*, *, *]"), bomb("{x: 1}", "{p: *, q: *, r: *}"), bomb("{x: 1}", "{<<: [*, *, *], yN: 1}")],
    ids=["lists", "mappings", "merges"],
)
def test_aliases_of_aliases_are_not_unfolded(tmp_path: Path, text: str) -> None:
    """What would take hours and all memory is refused at once, with the line."""
    path = write(tmp_path, GOOD + text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml:\d+: its aliases unfold to more than 20,000 values"):
        load(path)


@pytest.mark.parametrize("text", ["odd:\n" + "- a\n" * 60_000, f"odd: [{'a,' * 60_000}]\n"], ids=["block", "flow"])
def test_a_recipe_of_endless_values_is_refused(tmp_path: Path, text: str) -> None:
    """Megabytes of list entries would take minutes and gigabytes to read."""
    path = write(tmp_path, GOOD + text)
    with pytest.raises(RecipeError, match=r"recipe\.yaml:\d+: the recipe is too long: it has more than 50,000 keys"):
        load(path)


def test_several_mistakes_are_told_together(tmp_path: Path) -> None:
    """In the order of their lines, each with its line, value and the valid ones; a follow-up of another is not told."""
    text = (
        GOOD.replace("name:", "nome:")
        .replace("source: digits", "source: mnits")
        .replace("architecture: lenet", "architecture: lenat")
        .replace("epochs: 2", "epochs: yes")
        .replace("sparsity: 0.8", "sparsity: 1.8, scop: layer")
        .replace("- quantize-post-training", "- quantise\n    - prune-weights: {recovery_epochs: -1}")
        .replace("metric: drop", "metric: dorp")
    )
    path = write(tmp_path, text)
    with pytest.raises(RecipeError) as caught:
        load(path)
    expected = [
        (1, "unknown key 'nome'. Did you mean 'name'?"),
        (2, "data: unknown source 'mnits'"),
        (4, "unknown architecture 'lenat'. Did you mean 'lenet'?"),
        (5, "'yes' is text"),
        (8, "variants.sparse.0: prune-weights: 'sparsity' is 1.8: must be > 0 and < 1"),
        (8, "variants.sparse.0: prune-weights: unknown field 'scop'. Did you mean 'scope'?"),
        (10, "variants.int8.0: unknown technique 'quantise'. Did you mean"),
        (11, "variants.int8.1: prune-weights: 'recovery_epochs' is -1: must be >= 0"),
        (13, "gates.0.metric is 'dorp'"),
    ]
    mistakes = caught.value.mistakes
    assert len(mistakes) == len(expected), "\n".join(mistakes)
    for mistake, (line, words) in zip(mistakes, expected, strict=True):
        assert mistake.startswith(f"{path}:{line}: "), mistake
        assert words in mistake
    assert str(caught.value) == f"{mistakes[0]} (and 8 more)"


def test_of_very_many_mistakes_some_are_told(tmp_path: Path) -> None:
    """The first twenty, and how many more there are."""
    keys = "".join(f"key{number}: 1\n" for number in range(300))
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, GOOD + keys))
    assert len(caught.value.mistakes) == 21
    assert caught.value.mistakes[-1].endswith("and 280 more")


def test_a_file_too_large_for_a_recipe(tmp_path: Path) -> None:
    """It is not read to its end; `/dev/zero` has none."""
    for path in (write(tmp_path, "#" * (4 * 2**20 + 1)), Path("/dev/zero")):
        with pytest.raises(RecipeError, match="more than 4,194,304 bytes"):
            load(path)


def test_preprocessing_decides_what_a_variant_is(tmp_path: Path) -> None:
    """An imported model with other preprocessing makes other variants."""
    texts = [GOOD.replace(*preprocessing(fields)) for fields in ("scale: 255", "scale: 255, mean: [0.5]")]
    recipes = [load(write(tmp_path, text)) for text in texts]
    assert recipes[0].base.preprocessing == Preprocessing(scale=255)
    assert recipes[0].digest("sparse") != recipes[1].digest("sparse")


def test_an_alias_outside_itself_is_fine(tmp_path: Path) -> None:
    """Recipes may say a thing once and use it twice."""
    text = GOOD.replace("{sparsity: 0.8}", "&it {sparsity: 0.8}").replace(
        "quantize-post-training", "prune-weights: *it"
    )
    recipe = load(write(tmp_path, text))
    assert recipe.variants["sparse"] == recipe.variants["int8"]


@pytest.mark.parametrize("name", ["x" * 300, "a.yaml/b.yaml"])
def test_a_path_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    """A name that is too long, or goes through a file, is told like a missing file."""
    (tmp_path / "a.yaml").touch()
    with pytest.raises(RecipeError, match="recipe"):
        load(tmp_path / name)


def test_architectures_are_checked_in_any_techniques_field(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field that is marked as an architecture's name is checked when the recipe is read, whatever it is called."""
    monkeypatch.setattr(
        "paddlepress_pipelines.recipe.schema.technique", lambda name, parameters: Imitate.model_validate(parameters)
    )
    text = GOOD.replace("quantize-post-training", "imitate: {network: NAME, options: {width: 0.5}}")
    text = text.replace("prune-weights: {sparsity: 0.8}", "imitate")
    assert load(write(tmp_path, text.replace("NAME", "lenet")))
    with pytest.raises(RecipeError, match=r"recipe\.yaml:10: unknown architecture 'lenot'"):
        load(write(tmp_path, text.replace("NAME", "lenot")))
    with pytest.raises(RecipeError, match=r"recipe\.yaml:10: architecture 'lenet-half': unknown argument 'width'"):
        load(write(tmp_path, text.replace("NAME", "lenet-half")))


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


def test_the_readmes_sources_are_right(tmp_path: Path) -> None:
    """Every source that the README shows is one, with fields that it has."""
    text = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"^data: \{.*?\}", text.partition("## Your own data")[2], re.MULTILINE)
    assert len(shown) == 9
    for line in shown:
        load(write(tmp_path, f"name: r\n{line}\nbase: {{architecture: mlp}}\nvariants: {{v: [prune-weights]}}\n"))


def test_all_that_is_wrong_with_a_data_section_is_told(tmp_path: Path) -> None:
    """Each mistake of a source's fields, and of its task's, has a line of its own, with that of its key."""
    text = (
        "name: r\ndata:\n  source: table\n  path: x.csv\n  target: []\n  shuffle: 1\n  validation: 2\n"
        "  task:\n    kind: regression\n    size: 2\n    mean: abc\n"
        "base: {architecture: mlp}\nvariants: {v: [prune-weights]}\n"
    )
    with pytest.raises(RecipeError) as caught:
        load(write(tmp_path, text))
    told = [line.partition("recipe.yaml:")[2] for line in caught.value.mistakes]
    assert told[0] == "5: data.target is []: must hold at least 1"
    assert told[1].startswith("6: data: unknown key 'shuffle'. Valid: calibration, ")
    assert told[2:] == [
        "7: data.validation is 2: must be > 0 and < 1",
        "10: data.task: unknown field 'size'. Valid: kind, mean, std, targets",
        "11: data.task: 'mean' is 'abc': must be a list, such as [abc]",
    ]
    with pytest.raises(RecipeError, match=r"recipe\.yaml:2: data is 'table': must be a mapping"):
        load(write(tmp_path, "name: r\ndata: table\nbase: {architecture: mlp}\nvariants: {v: [prune-weights]}\n"))
