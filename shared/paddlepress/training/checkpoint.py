"""What training needs to go on after it was killed, on disk, one complete epoch at a time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import paddle
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from paddlepress.core.files import replacing

Arrays = dict[str, NDArray[Any]]

_STATE = "state.json"
_PARTS = ("weights", "optimizer", "best")


@dataclass
class State:
    """A training after a number of whole epochs.

    Attributes:
        losses, scores: of each finished epoch.
        weights, optimizer: arrays by name.
        best: the weights of the best epoch, where they are kept.
    """

    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    weights: Arrays = field(default_factory=dict)
    optimizer: Arrays = field(default_factory=dict)
    best: Arrays = field(default_factory=dict)


class Checkpoint:
    """A directory that holds the last finished epoch of one training.

    Args:
        directory: where; made when the first epoch is written.
        digest: names the training; what another one left there is not read.
    """

    def __init__(self, directory: Path, digest: str) -> None:
        self._directory = directory / "training"
        self._digest = digest

    def read(self) -> State | None:
        """The last finished epoch; None if there is none, or it is damaged or of another training."""
        try:
            content = json.loads((self._directory / _STATE).read_text(encoding="utf-8"))
            if content["digest"] != self._digest:
                return None
            parts = {part: load_file(self._directory / f"{part}.safetensors") for part in _PARTS}
            return State([float(v) for v in content["losses"]], [float(v) for v in content["scores"]], **parts)
        except (OSError, ValueError, KeyError, TypeError, SafetensorError):
            return None  # training starts over, which is always right

    def write(self, state: State) -> None:
        """Put an epoch in the place of the one before, whole or not at all."""
        with replacing(self._directory) as temporary:
            temporary.mkdir()
            for part in _PARTS:
                arrays = {name: np.ascontiguousarray(array) for name, array in getattr(state, part).items()}
                save_file(arrays, temporary / f"{part}.safetensors")
            content = {"digest": self._digest, "losses": state.losses, "scores": state.scores}
            (temporary / _STATE).write_text(json.dumps(content), encoding="utf-8")


def digest_of(description: str, arrays: Iterable[tuple[str, NDArray[Any]]]) -> str:
    """SHA-256 of a text and of arrays with their names, dtypes and shapes, in their order."""
    sha = hashlib.sha256(description.encode())
    for name, array in arrays:
        sha.update(f"{name} {array.dtype} {array.shape}".encode())
        sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()


def weights_of(network: paddle.nn.Layer) -> Arrays:
    """Copies of every parameter and buffer, by name."""
    return {name: np.array(tensor.numpy()) for name, tensor in network.state_dict().items()}


def set_weights(network: paddle.nn.Layer, weights: Mapping[str, NDArray[Any]]) -> None:
    """Set every parameter and buffer."""
    for name, tensor in network.state_dict().items():
        tensor.set_value(weights[name])


def optimizer_state(optimizer: paddle.optimizer.Optimizer, network: paddle.nn.Layer) -> Arrays:
    """An optimizer's accumulators as `PARAMETER|ACCUMULATOR`.

    Paddle names them after parameters' internal names (`linear_3.w_0`), which another process counts
    differently; here they carry the parameters' names in the network.
    """
    state = optimizer.state_dict()
    names = {parameter.name: name for name, parameter in network.named_parameters()}
    arrays: Arrays = {}
    for key, value in state.items():
        owner = max((name for name in names if key.startswith(f"{name}_")), key=len, default=None)
        if owner is not None:
            arrays[f"{names[owner]}|{key.removeprefix(owner)}"] = np.array(value.numpy())
    return arrays


def set_optimizer_state(
    optimizer: paddle.optimizer.Optimizer, network: paddle.nn.Layer, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Undo `optimizer_state`."""
    names = {name: parameter.name for name, parameter in network.named_parameters()}
    state = {}
    for key, value in arrays.items():
        owner, _, accumulator = key.rpartition("|")
        state[names[owner] + accumulator] = paddle.to_tensor(value)
    optimizer.set_state_dict(state)
