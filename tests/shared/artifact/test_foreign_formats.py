"""What people have instead of a model artifact."""

from __future__ import annotations

from pathlib import Path

import paddle
import pytest

from paddlepress.artifact import manifest, store
from paddlepress.artifact.foreign_formats import refuse
from paddlepress.core.errors import ArtifactError


def test_a_program_that_paddle_saved_is_not_called_damaged(tmp_path: Path) -> None:
    """Paddle calls the program `model.json` too, beside its weights; it is told what it is and what to do."""
    network = paddle.nn.Linear(3, 2)
    for name in ("model", "inference"):
        folder = tmp_path / name
        paddle.jit.save(network, str(folder / name), input_spec=[paddle.static.InputSpec([None, 3])])
        with pytest.raises(ArtifactError) as caught:
            store.load(folder)
        message = str(caught.value)
        assert message.startswith(f"{folder / name}.json is a program that Paddle saved for inference, not a model")
        assert "`paddlepress import` makes one" in message and "'Your own model'" in message and "\n" not in message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("net.pdparams", "is weights alone, without the network, that Paddle saved, not a model artifact"),
        ("net.pdmodel", "in the format before Paddle 3"),
        ("net.onnx", "is an ONNX graph"),
        ("net.pth", "is a PyTorch file"),
    ],
)
def test_files_of_other_formats(tmp_path: Path, name: str, words: str) -> None:
    """Given themselves, or the folder that they are in."""
    file = tmp_path / name
    file.write_bytes(b"\x80\x04")
    for place in (file, tmp_path):
        with pytest.raises(ArtifactError, match=f"{name} .*{words}"):
            manifest.read(place)


def test_anything_else_passes(tmp_path: Path) -> None:
    """What is missing, or a folder of something, is told by whoever reads it."""
    (tmp_path / "notes.txt").touch()
    (tmp_path / "settings.json").write_text("{}")
    (tmp_path / "weights.safetensors").touch()  # of an artifact that has lost its manifest
    for place in (tmp_path, tmp_path / "notes.txt", tmp_path / "nothing"):
        refuse(place, "model.json")
