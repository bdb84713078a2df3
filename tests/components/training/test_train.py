"""Training a base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.data import store as data_store
from paddlepress.data.sources.digits import Digits
from paddlepress.network import architectures
from paddlepress.training import base_training
from paddlepress_components.entry import ERROR_PREFIX
from paddlepress_components.training.train import train
from tests.components.artifacts import Artifact


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    data_store.prepare(Digits(calibration=50), folder / "data", folder / "test")
    return folder / "data"


def trained(data: Path, folder: Path, architecture: str = "lenet-300-100", **fields: Any) -> Artifact:
    """The model artifact that the component leaves in a folder."""
    made = Artifact(folder / "model")
    train(
        data=Artifact(data),
        model=made,
        metrics=Artifact(folder / "metrics"),
        architecture=architecture,
        arguments={},
        seed=0,
        device="cpu",
        fields=fields,
    )
    return made


def refusal(data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    """The exit code and the one line that the component ends with; it leaves no model."""
    with pytest.raises(SystemExit) as caught:
        trained(data, folder, "lenet")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(ERROR_PREFIX))
    assert not (folder / "model").exists()
    return caught.value.code, line


def test_a_network_that_cannot_be_deployed_is_refused_before_it_trains(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names architecture, operator and layer; no epoch is trained and nothing is written."""
    from own_networks import SHAPE, Computed, Lambda

    def build(*given: Any) -> Any:
        import paddle

        return Computed(Lambda(lambda x: paddle.cumprod(x.tanh(), 1).flatten(1)[:, :10]), SHAPE)

    def fit(*given: Any, **settings: Any) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr(architectures, "build", build)
    monkeypatch.setattr(base_training, "fit", fit)
    code, said = refusal(data, tmp_path, capsys)
    assert code == 1
    assert "'lenet' can't be deployed: paddle2onnx does not convert cumprod in layer 'then'" in said


def barely_trained(data: Path, folder: Path, learning_rate: float) -> Artifact:
    return trained(data, folder, epochs=1, batch_size=64, learning_rate=learning_rate)


def test_a_new_model_takes_the_datas_mean_and_deviation(data: Path, tmp_path: Path) -> None:
    """What is measured of the training data is the model's preprocessing; one that learned warns of nothing."""
    made = barely_trained(data, tmp_path, 3e-3)
    model, stored = store.load(tmp_path / "model"), data_store.load(data)
    assert model.preprocessing == stored.statistics
    assert model.preprocessing is not None and model.preprocessing.dtype == "uint8"
    prepared = model.preprocessing.apply(stored.split("train").inputs)
    assert abs(float(prepared.mean())) < 1e-4 and np.isclose(prepared.std(), 1, atol=1e-3)
    assert "warnings" not in made.metadata


def test_a_model_that_learned_nothing_is_warned_of(data: Path, tmp_path: Path) -> None:
    """The warning names what to look at: here nothing could be learned with such steps."""
    (warning,) = barely_trained(data, tmp_path, 1e-12).metadata["warnings"]
    assert "what is made from it is worth nothing. Look at its learning rate, its epochs" in warning


def test_a_network_of_another_kind_is_refused_before_it_trains(
    data: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Outputs that are no logits of the classes are a mistake in what was asked for, told in one line."""
    from own_networks import SHAPE, Computed, Lambda

    monkeypatch.setattr(architectures, "build", lambda *given: Computed(Lambda(lambda x: x), SHAPE))
    code, said = refusal(data, tmp_path, capsys)
    assert code == 2
    assert "gives float32 [n, 512]; supported is a network that gives" in said


def carried(**fields: Any) -> dict[str, Any]:
    """Parameters as they come out of Kubeflow, where every number in a list is a double."""
    from google.protobuf import json_format, struct_pb2

    return json_format.MessageToDict(json_format.ParseDict(fields, struct_pb2.Struct()))


def test_steps_of_augmentation_reach_the_training(data: Path, tmp_path: Path) -> None:
    """They are the same, and stand in the model's history as they were stated, after Kubeflow has carried them."""
    stated = [{"crop": {"padding": 1}}, "mixup", {"cutout": {"size": 2}}]
    given = carried(augmentation=stated)
    assert given["augmentation"][0]["crop"]["padding"].__class__ is float
    for name, fields in {"carried": given, "stated": {"augmentation": stated}}.items():
        trained(data, tmp_path / name, epochs=1, batch_size=64, **fields)
    models = [store.load(tmp_path / name / "model") for name in ("carried", "stated")]
    assert models[0].digest() == models[1].digest()
    assert models[0].lineage[0].parameters["augmentation"] == stated


def test_a_step_that_does_not_exist_is_told_in_one_line(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The component ends before it trains, with the steps that there are."""
    with pytest.raises(SystemExit) as caught:
        trained(data, tmp_path, augmentation=["flop"])
    assert caught.value.code == 2
    assert "unknown augmentation step 'flop'. Did you mean 'flip'? Valid: color, crop" in capsys.readouterr().out
