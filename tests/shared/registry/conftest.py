"""A registry with real variants, made once, and empty ones for tests of decisions."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.core import compute
from paddlepress.data.raw import Examples
from paddlepress.data.statistics import measured
from paddlepress.evaluation.result import Evaluation
from paddlepress.registry import register as registering
from paddlepress.registry import tags
from paddlepress.registry.catalogue import Row
from paddlepress.registry.connection import connect
from paddlepress.registry.register import RegisteredVersion
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.tasks import Classification

NAME = "digits"


@dataclass(frozen=True)
class Variant:
    """A model as a pipeline hands it to the registry."""

    name: str
    chain: tuple[Any, ...]
    model_dir: Path
    deployable: Path
    evaluation: Evaluation

    def register(self, client: Any, name: str = NAME, recipe_digest: str = "recipe-1") -> RegisteredVersion:
        variant = registering.Variant(self.name, self.chain, recipe_digest, "data-1", "run-1")
        delivered = registering.Delivered(self.model_dir, self.deployable, self.evaluation)
        return registering.register(client, name, variant, delivered)


@dataclass(frozen=True)
class Digits:
    """Images as a user has them, uint8 [n, 1, 8, 8], the same as a network takes them, float32, and their classes."""

    images: np.ndarray
    preprocessing: Preprocessing
    labels: np.ndarray

    @property
    def inputs(self) -> np.ndarray:
        return self.preprocessing.apply(self.images)


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_DEFAULT_ARTIFACT_ROOT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def digits() -> tuple[Digits, Digits]:
    """Training and test images of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    images = (images.reshape(-1, 1, 8, 8) * 15).astype(np.uint8)
    statistics = measured(Examples(images[:1200], labels[:1200], "digits", "digits"))
    return Digits(images[:1200], statistics, labels[:1200]), Digits(images[1200:], statistics, labels[1200:])


@pytest.fixture(scope="session")
def variants(digits: tuple[Digits, Digits], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Variant]:
    """A base and a half-width student, trained for moments."""
    compute.prepare()
    root = tmp_path_factory.mktemp("variants")
    return {
        "base": _make("base", "lenet", (), root, digits),
        "student": _make("student", "lenet-half", ({"distill-offline": {"student": "lenet-half"}},), root, digits),
    }


def _make(name: str, architecture: str, chain: tuple[Any, ...], root: Path, digits: tuple[Digits, Digits]) -> Variant:
    import paddle

    from paddlepress.artifact import manifest as manifests
    from paddlepress.artifact import store
    from paddlepress.deployment.export import export
    from paddlepress.deployment.predictor import Predictor
    from paddlepress.network.model import Model
    from paddlepress.spec.lineage import LineageEntry
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.spec.signature import TensorSpec

    train, test = digits
    compute.seed_everything(1)
    model = Model.build(
        ArchitectureRef(name=architecture),
        (TensorSpec(name="image", shape=(1, 8, 8)),),
        Classification(classes=tuple("0123456789")),
        lineage=[LineageEntry(technique="train", version="paddlepress 0", parameters={"epochs": 1}, seed=1)],
        preprocessing=train.preprocessing,
    )
    optimizer = paddle.optimizer.Adam(0.005, parameters=model.network.parameters())
    for start in range(0, len(train.labels), 100):
        batch = paddle.to_tensor(train.inputs[start : start + 100])
        classes = paddle.to_tensor(train.labels[start : start + 100].astype(np.int64))
        loss = paddle.nn.functional.cross_entropy(model.network(batch), classes)
        loss.backward()
        optimizer.step()
        optimizer.clear_grad()
    model_dir, deployable = root / name / "model", root / name / "deployable"
    manifest = store.save(model, model_dir)
    export(model, model_dir, deployable)
    logits = Predictor.load(deployable).predict(test.images)
    accuracy = 100.0 * float((logits.argmax(1) == test.labels).mean())
    files = {path.name: path.stat().st_size for path in deployable.iterdir()}
    evaluation = Evaluation(
        metrics={"accuracy": accuracy, "bytes": float(sum(files.values())), "drop": 0.0},
        missing={"peak_memory_mib": "not asked for"},
        model_digest=manifest.digest,
        base_digest=manifests.read(root / "base" / "model").digest,
        data_digest="test-1",
        files=files,
    )
    return Variant(name, chain, model_dir, deployable, evaluation)


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose database has tables and nothing else; tests copy it, for making it takes a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home = tmp_path_factory.mktemp("empty") / "home"
        connect(home)
    return home


@pytest.fixture
def home(empty_home: Path, tmp_path: Path) -> Path:
    """A home of this test's own."""
    copy = tmp_path / "home"
    shutil.copytree(empty_home, copy)
    return copy


@pytest.fixture
def client(home: Path) -> Any:
    """A client of the test's own registry."""
    return connect(home)


AddVersion = Callable[..., int]


@pytest.fixture
def add(client: Any) -> AddVersion:
    """Register a version that has metrics and no model, which is quick."""

    def add_version(variant: str, test_data: str = "test-1", recipe: str = "recipe-1", **metrics: float) -> int:
        from paddlepress.registry.connection import ensure_model

        ensure_model(client, NAME)
        facts = {
            tags.VARIANT: variant,
            tags.METRICS: json.dumps(metrics),
            tags.TEST_DATA_DIGEST: test_data,
            tags.RECIPE_DIGEST: recipe,
            tags.REGISTERED_AT: datetime.now(UTC).isoformat(),
        }
        return int(client.create_model_version(NAME, "file:///nowhere", tags=facts).version)

    return add_version


@pytest.fixture
def row() -> Callable[..., Row]:
    """Make a row as the catalogue gives it."""

    def make_row(variant: str, version: int, test_data: str = "test-1", **metrics: float) -> Row:
        moment = datetime(2026, 1, 1, tzinfo=UTC)
        return Row(
            variant=variant,
            version=version,
            metrics=metrics,
            test_data_digest=test_data,
            created=moment,
            registered=moment,
        )

    return make_row


@dataclass(frozen=True)
class Registry:
    """A registry with the base, the student and a champion."""

    home: Path
    client: Any
    first: dict[str, RegisteredVersion]


@pytest.fixture(scope="session")
def registry(variants: dict[str, Variant], empty_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Base and student registered, the student promoted."""
    from paddlepress.registry.gates import Gate, Objective
    from paddlepress.registry.policy import Policy, store_policy
    from paddlepress.registry.promotion import promote

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        home = tmp_path_factory.mktemp("registry") / "home"
        shutil.copytree(empty_home, home)
        client = connect(home)
        first = {name: variant.register(client) for name, variant in variants.items()}
        policy = Policy(gates=(Gate(metric="accuracy", at_least=10),), objective=Objective(minimize="bytes"))
        store_policy(client, NAME, policy)
        promote(client, home, NAME, policy)
    return Registry(home, client, first)


@pytest.fixture
def environment(registry: Registry) -> Iterator[dict[str, str]]:
    """Variables for a process that is to find the registry by MLflow's own means."""
    from paddlepress.registry.location import tracking_uri

    # The scripts of this interpreter's environment come first: MLflow starts `uvicorn` by name.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    yield {**os.environ, "PATH": path, "MLFLOW_TRACKING_URI": tracking_uri(registry.home)}
