"""Several models of one structure as one, which learn from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import paddle
from paddle import nn

from paddlepress.data import Split
from paddlepress.network.edits import Edit, Mask, Quantize, Share
from paddlepress.network.model import Model
from paddlepress.training.accuracy import accuracy
from paddlepress.training.batch import Batch
from paddlepress.training.losses import Loss, mutual_loss


class Peers(nn.Layer):
    """Networks side by side: all answer in training, [peers, n, classes], and in evaluation the first, [n, classes]."""

    def __init__(self, networks: Sequence[nn.Layer]) -> None:
        super().__init__()
        self.peers = nn.LayerList(networks)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        if not self.training:
            return self.peers[0](x)
        return paddle.stack([peer(x) for peer in self.peers])


def together(models: Sequence[Model]) -> Model:
    """One model of all, to train them at once; it shares their networks, and keeps the promises of their edits."""
    edits = [_renamed(edit, number) for number, model in enumerate(models) for edit in model.edits if _promises(edit)]
    scales = {_name(number, name): scale for number, model in enumerate(models) for name, scale in model.scales.items()}
    network = Peers([model.network for model in models])
    return replace(models[0], network=network, edits=tuple(edits), scales=scales)


def apart(whole: Model, models: Sequence[Model]) -> list[Model]:
    """The models again, with the scales that training left; their networks have learned in place."""
    found = []
    for number, model in enumerate(models):
        scales = {name: whole.scales[_name(number, name)] for name in model.scales}
        model.network.eval()
        found.append(replace(model, scales=scales))
    return found


def learn_from_each_other(temperature: float, weight: float) -> Loss:
    """The loss of `Peers`, see `mutual_loss`."""

    def loss(logits: paddle.Tensor, labels: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        return mutual_loss(logits, labels, temperature, weight)

    return loss


def best(models: Sequence[Model], validation: Split) -> tuple[Model, list[float]]:
    """The model with the best accuracy, the first of equal ones, and all accuracies in percent."""
    accuracies = [accuracy(model.network, validation) for model in models]
    return models[accuracies.index(max(accuracies))], accuracies


def _promises(edit: Edit) -> bool:
    """Whether training has to know of an edit; the others only gave the network its shape."""
    return isinstance(edit, Mask | Quantize | Share)


def _renamed(edit: Edit, number: int) -> Edit:
    if isinstance(edit, Mask):
        return edit.model_copy(update={"parameters": tuple(_name(number, name) for name in edit.parameters)})
    return edit.model_copy(update={"layer": _name(number, str(getattr(edit, "layer", "")))})


def _name(number: int, name: str) -> str:
    return f"peers.{number}.{name}"
