from __future__ import annotations

import numpy as np
import paddle
import pytest

from paddlepress.network.edits import parameter
from paddlepress.testing import digits, trained
from paddlepress_components.pruning import weight_scores
from paddlepress_components.pruning.gradual import MovementPruning, share_at
from paddlepress_components.pruning.patterns import GONE, Choice
from paddlepress_components.pruning.rewinding import EarlyWeights, share_of_round


def test_the_way_is_done_by_the_middle_of_training() -> None:
    """Masks are made some fifty times, up to half of all steps; then they stay as they are."""
    shares = [share_at(step, 1000) for step in range(1001)]
    made = [step for step, share in enumerate(shares) if share is not None]
    assert made[0] == 0 and made[-1] == 500
    assert 45 <= len(made) <= 55
    assert shares[500] == 1.0
    assert sorted(share for share in shares if share is not None) == [shares[step] for step in made]


def test_movement_scores_are_what_the_loss_asks_for() -> None:
    """The score of a weight that grows by a step is positive, of one that shrinks negative, also while masked."""
    network = paddle.nn.Linear(4, 1)
    network.weight.set_value(np.array([[1.0], [-1.0], [2.0], [0.0]], np.float32))
    choice = Choice("unstructured", "global", {"weight": 1}, (1, 1), 0.25, 0.5)
    movement = MovementPruning(network, ("weight",), choice)
    movement.after_step(0, 100)  # what is zero today is masked
    movement.before_pass()
    (network(paddle.to_tensor([[1.0, 2.0, -3.0, 4.0]])) * -1).sum().backward()
    movement.after_pass()
    # The gradient is minus the input, the score minus the weight times that.
    (score,) = [tensor.numpy()[:, 0] for tensor in movement._scores.by_name.values()]
    assert score.tolist() == [1.0, -2.0, -6.0, 0.0]
    assert network.weight.grad.numpy()[:, 0].tolist() == [-1.0, -2.0, 3.0, 0.0]
    movement.after_step(50, 100)
    movement.before_pass()
    assert network.weight.numpy()[:, 0].tolist() == [1.0, -1.0, 0.0, 0.0]
    movement.after_pass()
    assert network.weight.numpy()[:, 0].tolist() == [1.0, -1.0, 2.0, 0.0], "a masked weight keeps its value"
    assert movement.settle()["weight"][:, 0].tolist() == [True, True, False, False]
    assert network.weight.numpy()[:, 0].tolist() == [1.0, -1.0, 0.0, 0.0]


def test_gradient_scores_tell_what_a_weight_does_to_the_loss() -> None:
    """A weight that reads a silent unit has no score, however large; a pruned one is gone; nothing changes."""
    model = trained().copy()
    for name in ("conv2.weight", "conv2.bias"):
        tensor = parameter(model.network, name)
        value = tensor.numpy()
        value[5] = 0
        tensor.set_value(value)
    before = model.digest()
    names = ("conv1.weight", "conv2.weight", "fc1.weight")
    scores = weight_scores.by_gradient(model, names, digits().split("train"), batches=3, seed=0)
    side = scores["fc1.weight"].shape[0] // 64
    assert (scores["fc1.weight"][5 * side : 6 * side] == 0).all()
    assert (scores["conv2.weight"][5] == GONE).all()
    assert np.count_nonzero(scores["conv1.weight"] > 0) > 200
    assert model.digest() == before
    assert all(tensor.grad is None for tensor in model.network.parameters())


def test_each_round_removes_the_same_share_of_what_is_left() -> None:
    """From 0.2 to 0.9 in three rounds, the weights that are left shrink by the same factor each time."""
    left = [1 - (0.2 + 0.7 * share_of_round(number, 3, 0.2, 0.9)) for number in (1, 2, 3)]
    assert left[1] / left[0] == pytest.approx(left[0] / 0.8)
    assert left[2] == pytest.approx(0.1)
    assert share_of_round(3, 3, 0.2, 0.9) == 1.0


def test_early_weights_are_those_of_their_step() -> None:
    """What was there at the step asked for comes back, norms' statistics too."""
    network = paddle.nn.Sequential(paddle.nn.Linear(2, 2), paddle.nn.BatchNorm1D(2))
    early = EarlyWeights(network, 0.25)
    for step in range(5):
        for tensor in network.state_dict().values():
            tensor.set_value(np.full(tensor.shape, step, np.float32))
        early.after_step(step, 4)
    early.restore()
    assert all((tensor.numpy() == 1).all() for tensor in network.state_dict().values())
