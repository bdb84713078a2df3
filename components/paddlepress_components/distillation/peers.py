"""Several models of one structure as one, which learn from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import permutations

import paddle
from paddle import nn

from paddlepress.data import Split
from paddlepress.forward.score import score
from paddlepress.network.edits import Edit, Mask, Quantize, Share
from paddlepress.network.model import Model
from paddlepress.tasks import Task
from paddlepress.training.batch import Batch
from paddlepress.training.losses import Loss


class Peers(nn.Layer):
    """Networks side by side: all answer in training, [peers, n, ...], and in evaluation the first, [n, ...]."""

    def __init__(self, networks: Sequence[nn.Layer]) -> None:
        super().__init__()
        self.peers = nn.LayerList(networks)

    def forward(self, *inputs: paddle.Tensor) -> paddle.Tensor:
        if not self.training:
            return self.peers[0](*inputs)
        return paddle.stack([peer(*inputs) for peer in self.peers])


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


def learn_from_each_other(task: Task, temperature: float, weight: float) -> Loss:
    """Deep mutual learning: each peer learns from the labels and from what the other peers say.

    For each peer, the task's loss plus `weight` times the mean over the others of the divergence from them; summed
    over the peers. What the others say is taken as it is: no peer learns to be an easier teacher. Zhang et al.,
    "Deep Mutual Learning", CVPR 2018, equations 8 and 9 (which have temperature = weight = 1).

    Args:
        task: what the peers are for.
        temperature: above 0; what logits are divided by.
        weight: of the peers' part, against 1 for the labels'.
    """

    def loss(outputs: paddle.Tensor, targets: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        """`outputs`: [peers, n, ...], at least two peers."""
        peers = paddle.unbind(outputs)
        parts = [task.loss(peer, targets) for peer in peers]
        share = weight / (len(peers) - 1)
        for peer, other in permutations(peers, 2):
            parts.append(share * task.divergence(peer, other.detach(), temperature))
        return paddle.add_n(parts)

    return loss


def best(models: Sequence[Model], validation: Split) -> tuple[Model, list[float]]:
    """The model with the best primary metric, the first of equal ones, and that metric of each."""
    scores = [score(model.network, model.task, validation) for model in models]
    return models[models[0].task.best(scores)], scores


def _promises(edit: Edit) -> bool:
    """Whether training has to know of an edit; the others only gave the network its shape."""
    return isinstance(edit, Mask | Quantize | Share)


def _renamed(edit: Edit, number: int) -> Edit:
    if isinstance(edit, Mask):
        return edit.model_copy(update={"parameters": tuple(_name(number, name) for name in edit.parameters)})
    return edit.model_copy(update={"layer": _name(number, str(getattr(edit, "layer", "")))})


def _name(number: int, name: str) -> str:
    return f"peers.{number}.{name}"
