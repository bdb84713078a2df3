"""Weights that others saved."""

from __future__ import annotations

import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from paddlepress.artifact.weights_files import read
from paddlepress.core.errors import ArtifactError

STATE = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3), "a.bias": np.float32([1, 2])}


def test_every_format_holds_the_same(tmp_path: Path) -> None:
    """Names and arrays are those that were saved; a folder stands for the file in it, or for parts of a network."""
    paddle.save({name: paddle.to_tensor(value) for name, value in STATE.items()}, str(tmp_path / "of" / "w.pdparams"))
    (tmp_path / "plain.pdparams").write_bytes(pickle.dumps(OrderedDict(STATE), 2))
    np.savez(tmp_path / "w.npz", **STATE)  # type: ignore[arg-type]
    save_file(STATE, tmp_path / "w.safetensors")
    (tmp_path / "parts").mkdir()
    for name, value in STATE.items():
        save_file({name: value}, tmp_path / "parts" / f"{name}.safetensors")
    for place in ("of", "of/w.pdparams", "plain.pdparams", "w.npz", "w.safetensors", "parts"):
        found = read(tmp_path / place)
        assert found.keys() == STATE.keys(), place
        for name, value in STATE.items():
            np.testing.assert_array_equal(found[name], value, strict=True)


@pytest.mark.parametrize("protocol", range(6))
def test_a_saved_network_of_any_protocol(protocol: int, tmp_path: Path) -> None:
    """Whatever Python wrote it, with an array that isn't laid out row by row."""
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({"w": np.asfortranarray(STATE["a.weight"])}, protocol))
    np.testing.assert_array_equal(read(tmp_path / "w.pdparams")["w"], STATE["a.weight"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": STATE, "epoch": 3}, "holds a dict under 'model'. Valid: what paddle.save"),
        ([1, 2], "holds a list"),
        ({"w": np.array([None])}, "'w' is damaged: it holds an array of type"),
        ({"w": np.array(["text"])}, "'w' is damaged: it holds an array of type"),
        ({"w": print}, "is refused: it asks for builtins.print"),
    ],
    ids=["checkpoint", "list", "objects", "text", "function"],
)
def test_a_pickle_of_something_else(content: Any, words: str, tmp_path: Path) -> None:
    """It is told what was found."""
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content))
    with pytest.raises(ArtifactError, match=r"w\.pdparams") as caught:
        read(tmp_path / "w.pdparams")
    assert words in str(caught.value)


def test_a_pickle_can_not_change_the_reader(tmp_path: Path) -> None:
    """Attributes that it sets on what it may name are gone with it."""
    # GLOBAL numpy.dtype, a state of (None, {"_call": None}), BUILD: sets the attribute of what stands for numpy.dtype.
    (tmp_path / "forged.pdparams").write_bytes(b"cnumpy\ndtype\n(N}V_call\nNstb.")
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(STATE))
    with pytest.raises(ArtifactError, match="holds a _Admitted"):
        read(tmp_path / "forged.pdparams")
    assert read(tmp_path / "w.pdparams").keys() == STATE.keys()


@pytest.mark.parametrize("suffix", [".pdparams", ".safetensors", ".npz"])
def test_a_damaged_file(suffix: str, tmp_path: Path) -> None:
    """Nothing but one error, which names it."""
    for content in (b"", b"text", b"\x80\x04", b"PK\x03\x04" + bytes(40)):
        (tmp_path / f"w{suffix}").write_bytes(content)
        with pytest.raises(ArtifactError, match=f"w{suffix}"):
            read(tmp_path / f"w{suffix}")


def test_a_folder_with_several(tmp_path: Path) -> None:
    """Which one is meant can't be guessed; nor what a part is that two files hold."""
    with pytest.raises(ArtifactError, match="holds no weights file"):
        read(tmp_path)
    save_file(STATE, tmp_path / "one.safetensors")
    save_file(STATE, tmp_path / "two.safetensors")
    with pytest.raises(ArtifactError, match=r"'a\..*' in several files"):
        read(tmp_path)
    np.savez(tmp_path / "three.npz", **STATE)  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=r"several weights files \(one\.safetensors, three\.npz"):
        read(tmp_path)
    with pytest.raises(ArtifactError, match=r"nets\.txt is no weights file"):
        (tmp_path / "nets.txt").touch()
        read(tmp_path / "nets.txt")
