"""Training a base model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddlepress import architectures
from paddlepress.data import store as data_store
from paddlepress.testing import digits
from paddlepress.training import base
from paddlepress_components.entry import ERROR_PREFIX
from paddlepress_components.training.train import train
from tests.components.artifacts import Artifact


def test_a_network_that_cannot_be_deployed_is_refused_before_it_trains(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names architecture, operator and layer; no epoch is trained and nothing is written."""
    from own_networks import SHAPE, Computed, Lambda

    def build(*given: Any) -> Any:
        import paddle

        return Computed(Lambda(lambda x: paddle.cumprod(x.tanh(), 1)), SHAPE)

    def fit(*given: Any, **settings: Any) -> None:
        raise AssertionError("it was trained")

    monkeypatch.setattr(architectures, "build", build)
    monkeypatch.setattr(data_store, "load", lambda path: digits())
    monkeypatch.setattr(base, "fit", fit)
    with pytest.raises(SystemExit) as caught:
        train(
            data=Artifact(tmp_path),
            model=Artifact(tmp_path / "model"),
            metrics=Artifact(tmp_path / "metrics"),
            architecture="lenet",
            arguments={},
            seed=0,
            device="cpu",
            fields={},
        )
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(ERROR_PREFIX)]
    assert caught.value.code == 1 and len(lines) == 1
    assert "'lenet' can't be deployed: paddle2onnx does not convert cumprod in layer 'then'" in lines[0]
    assert not (tmp_path / "model").exists()
