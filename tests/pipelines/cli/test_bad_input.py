"""A user's mistake gets one clear line on standard error, exit code 2, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from filelock import FileLock

from paddlepress.artifact.store import save
from paddlepress.core import compute
from paddlepress.testing import trained
from tests.cli import paddlepress

RECIPE = """\
name: small
data: {source: digits, limit: 200, test_limit: 100, calibration: 50}
base:
  architecture: lenet
  training: {epochs: 1}
variants:
  sparse:
    - prune-weights: {sparsity: 0.8, recovery_epochs: 0}
gates:
  - {metric: drop, at_most: 0.3}
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def change(recipe: Path, before: str, after: str) -> None:
    text = recipe.read_text()
    assert before in text
    recipe.write_text(text.replace(before, after))


def refused(done: CompletedProcess[str], *words: str) -> None:
    """Assert one line that says all of the words, and exit code 2."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2, done.stdout + done.stderr
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("paddlepress: error: ")
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (
            "prune-weights",
            "prune-wights",
            ["small.yaml:8", "prune-wights", "Did you mean 'prune-weights'", "factorize-dense"],
        ),
        ("sparsity", "sparsety", ["small.yaml:8", "sparsety", "Valid:", "threshold"]),
        ("0.8", "1.8", ["small.yaml:8", "sparsity", "1.8"]),
        ("lenet", "lenet\n  arguments: {width: 1.0e+300}", ["small.yaml:5", "width is 1e+300", "at most 16"]),
        ("lenet", "lenet\n  arguments: {width: [1]}", ["small.yaml:5", "'lenet'", "[1]"]),
        ("0.8", "much", ["small.yaml:8", "sparsity", "'much'"]),
        ("lenet", "lenot", ["small.yaml:4", "lenot", "lenet-300-100"]),
        ("variants:", "variants: [", ["small.yaml:", "YAML"]),
        ("gates:", "  sparse:\n    - prune-filters\ngates:", ["small.yaml:9", "two variants", "sparse"]),
        ("metric: drop", "metric: speed", ["small.yaml:10", "speed", "speedup_b1"]),
        ("source: digits", "source: npz, path: nowhere.npz", ["nowhere.npz", "data.path"]),
        ("architecture: lenet\n  training: {epochs: 1}", "artifact: nowhere", ["nowhere", "base.artifact"]),
        ("source: digits", "source: npz, path: ~nosuchuser/x.npz", ["~nosuchuser", "data.path", "home directory"]),
        ("source: digits", f"source: npz, path: {'x' * 5000}", ["data.path", "too long"]),
        (
            "architecture: lenet\n  training: {epochs: 1}",
            "artifact: FOLDER/net.pdparams",
            ["base.artifact", "net.pdparams is weights alone", "Your own model"],
        ),
        (
            "prune-weights: {sparsity: 0.8, recovery_epochs: 0}",
            "distill-offline: {teachers: [base, nowhere/model]}",
            ["'nowhere/model'", "variants.sparse.0.distill-offline.teachers"],
        ),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else "",
)
def test_a_recipe_that_cannot_be_run(recipe: Path, before: str, after: str, words: list[str]) -> None:
    """What can be seen from the recipe is told before anything is made."""
    (recipe.parent / "net.pdparams").touch()
    change(recipe, before, after.replace("FOLDER", str(recipe.parent)))
    home = recipe.parent / "home"
    refused(paddlepress("run", recipe, "--home", home), *words)
    assert not home.exists()


def test_each_mistake_has_a_line(recipe: Path) -> None:
    """Whoever made several is told all of them at once."""
    change(recipe, "sparsity: 0.8", "sparsity: 1.8")
    change(recipe, "metric: drop", "metric: speed")
    done = paddlepress("run", recipe, "--home", recipe.parent / "home")
    first, second = done.stderr.splitlines()
    assert done.returncode == 2
    assert first.startswith(f"paddlepress: error: {recipe}:8: ")
    assert second.startswith(f"paddlepress: error: {recipe}:10: ")


def test_a_variant_that_is_not_there(recipe: Path) -> None:
    """`--only` names the variants there are."""
    home = recipe.parent / "home"
    refused(paddlepress("run", recipe, "--home", home, "--only", "sparce"), "sparce", "Valid: sparse")
    assert not home.exists()


def npz(path: Path, **changes: np.ndarray) -> Path:  # type: ignore[type-arg]
    """A tiny data file of 12x12 images in three classes."""
    rng = np.random.default_rng(0)
    arrays = {
        "x_train": rng.integers(0, 255, (60, 12, 12), dtype=np.uint8),
        "y_train": np.arange(60) % 3,
        "x_test": rng.integers(0, 255, (30, 12, 12), dtype=np.uint8),
        "y_test": np.arange(30) % 3,
    }
    np.savez(path, **(arrays | changes))  # type: ignore[arg-type]
    return path


def assert_nothing_made(home: Path) -> None:
    """No task is finished and no file is half-written."""
    assert not list((home / "cache").glob("*/done.json"))
    assert not [path for path in (home / "cache").rglob("*") if path.is_file() and path.name != "task.log"]


@pytest.mark.parametrize("damage", ["truncated", "checksum", "labels"])
def test_a_data_file_that_cannot_be_used(recipe: Path, damage: str) -> None:
    """A truncated file, one with another checksum, and labels outside the classes are told with the file's name."""
    home, path = recipe.parent / "home", recipe.parent / "data.npz"
    npz(path, **({"y_test": np.arange(30) % 4} if damage == "labels" else {}))
    extra = ""
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:3000])
    elif damage == "checksum":
        extra = f", sha256: {'ab' * 32}"
    else:
        extra = ", classes: [a, b, c]"
    change(recipe, "source: digits, limit: 200, test_limit: 100, calibration: 50", f"source: npz, path: {path}{extra}")
    words = {"truncated": ["data.npz"], "checksum": ["data.npz", "abab"], "labels": ["data.npz", "3"]}
    refused(paddlepress("run", recipe, "--home", home), *words[damage])
    assert_nothing_made(home)


def test_images_that_do_not_fit_the_architecture(recipe: Path) -> None:
    """8x8 images are too small for LeNet-5: told with both sizes."""
    change(recipe, "architecture: lenet", "architecture: lenet5-caffe")
    refused(paddlepress("run", recipe, "--home", recipe.parent / "home"), "8x8", "16x16")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compute.prepare()
    path = tmp_path_factory.mktemp("artifact") / "model"
    save(trained(), path)
    return path


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("missing", ["does not exist"]),
        ("no manifest", ["has no model.json"]),
        ("no weights", ["weights.safetensors is missing"]),
        ("truncated", ["weights.safetensors", "truncated"]),
        ("flipped", ["weights.safetensors", "checksum"]),
        ("newer", ["format version 99", "Upgrade"]),
        ("not json", ["model.json is damaged"]),
    ],
)
def test_a_model_artifact_that_cannot_be_used(artifact: Path, tmp_path: Path, damage: str, words: list[str]) -> None:
    """Each kind of damage is told with the file it is in."""
    path = tmp_path / "model"
    shutil.copytree(artifact, path)
    manifest, weights = path / "model.json", path / "weights.safetensors"
    if damage == "missing":
        shutil.rmtree(path)
    elif damage == "no manifest":
        manifest.unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "truncated":
        weights.write_bytes(weights.read_bytes()[:-10])
    elif damage == "flipped":
        content = bytearray(weights.read_bytes())
        content[-5] ^= 1
        weights.write_bytes(content)
    elif damage == "newer":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format_version": 99}))
    else:
        manifest.write_text(manifest.read_text()[:50])
    refused(paddlepress("show", path), *words)


def test_a_registry_that_cannot_be_reached(recipe: Path) -> None:
    """The address is told, and nothing is trained in vain."""
    home = recipe.parent / "home"
    done = paddlepress("run", recipe, "--home", home, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    refused(done, "http://127.0.0.1:9", "can't be reached")
    assert not (home / "cache").exists()


def test_a_home_in_use_by_another_run(recipe: Path) -> None:
    """Two runs can't share a home at once; the message names it."""
    home = recipe.parent / "home"
    home.mkdir()
    with FileLock(home / "run.lock"):
        refused(paddlepress("run", recipe, "--home", home), str(home), "another run")


def test_a_home_that_is_a_file(recipe: Path) -> None:
    """A home that can't be a directory is told."""
    refused(paddlepress("run", recipe, "--home", recipe), str(recipe))


@pytest.mark.parametrize("command", ["compare", "promote", "rollback", "history"])
def test_a_registry_that_is_not_there(tmp_path: Path, command: str) -> None:
    """Asking an empty home makes no registry in it."""
    refused(paddlepress(command, "mnist", "--home", tmp_path / "home"), str(tmp_path / "home"), "Run a recipe first")
    assert not (tmp_path / "home").exists()


def test_a_model_of_a_run_that_was_not(tmp_path: Path) -> None:
    """`show` of a variant in a home without runs says that there are none, and makes no home."""
    home = tmp_path / "home"
    refused(paddlepress("show", "mnist/base", "--home", home), "mnist/base", str(home), "Run a recipe first")
    assert not home.exists()


def test_an_unknown_technique(tmp_path: Path) -> None:
    """`techniques NAME` lists the known ones."""
    refused(paddlepress("techniques", "prune"), "'prune'", "prune-weights")


def test_a_pipeline_is_written_as_yaml_or_not_at_all(recipe: Path) -> None:
    """`compile -o` wants a YAML file's name."""
    refused(paddlepress("compile", recipe, "-o", recipe.parent / "out.json"), "out.json", ".yaml")


@pytest.mark.parametrize("place", ["small.yaml/below.yaml", "folder.yaml"])
def test_a_place_that_cannot_be_written(recipe: Path, place: str) -> None:
    """A path below a file, or that is a folder, is told with the reason."""
    (recipe.parent / "folder.yaml").mkdir()
    refused(paddlepress("compile", recipe, "-o", recipe.parent / place), "can't write", place)
    assert sorted(path.name for path in recipe.parent.iterdir()) == ["folder.yaml", "small.yaml"]


def test_a_title_is_no_markup(recipe: Path) -> None:
    """Brackets in a title are printed as they are, and don't end a run."""
    change(recipe, "name: small", "name: small\ntitle: odd [/x] [abc] title")
    change(recipe, "digits, limit", "npz, path: nowhere.npz, limit")
    home = recipe.parent / "home"
    done = paddlepress("run", recipe, "--home", home)
    refused(done, "nowhere.npz")
    assert "odd [/x] [abc] title  1 variant, " in done.stdout
