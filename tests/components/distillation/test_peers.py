"""Peers learn from each other."""

from __future__ import annotations

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.tasks import Classification
from paddlepress.training.batch import Batch
from paddlepress_components.distillation.peers import learn_from_each_other

seeds = st.integers(0, 10_000)
temperatures = st.floats(0.5, 10)
TASK = Classification(classes=("a", "b", "c", "d", "e"))


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def kl(first: np.ndarray, second: np.ndarray) -> float:
    return float((first * np.log(first / second)).sum(axis=-1).mean())


@given(seeds, st.integers(2, 4), temperatures, st.floats(0, 5))
@settings(max_examples=25, deadline=None)
def test_mutual_loss_is_the_papers(seed: int, peers: int, temperature: float, weight: float) -> None:
    """Cross entropy plus the mean divergence from the others, summed over peers, as NumPy computes it."""
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(peers, 6, 5)), generator.integers(0, 5, 6)
    said, soft = softmax(logits), softmax(logits / temperature)
    expected = 0.0
    for peer in range(peers):
        expected -= np.log(said[peer, np.arange(6), labels]).mean()
        others = [kl(soft[other], soft[peer]) for other in range(peers) if other != peer]
        expected += weight * temperature**2 * float(np.mean(others))
    said_now, targets = paddle.to_tensor(logits.astype(np.float32)), paddle.to_tensor(labels)
    loss = learn_from_each_other(TASK, temperature, weight)(said_now, targets, Batch(np.arange(6), (said_now,)))
    assert float(loss) == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_peer_learns_only_from_its_own_part_of_the_mutual_loss() -> None:
    """A peer's gradient is that of its own loss with the others held fixed: none flows into those who teach it."""
    generator = np.random.default_rng(3)
    value, labels = generator.normal(size=(3, 6, 5)).astype(np.float32), paddle.to_tensor(generator.integers(0, 5, 6))
    whole = paddle.to_tensor(value, stop_gradient=False)
    learn_from_each_other(TASK, 2.0, 1.5)(whole, labels, Batch(np.arange(6), (whole,))).backward()
    for peer in range(3):
        own = paddle.to_tensor(value[peer], stop_gradient=False)
        others = [paddle.to_tensor(value[other]) for other in range(3) if other != peer]
        told = paddle.add_n([TASK.divergence(own, other, 2.0) for other in others]) / 2
        (F.cross_entropy(own, labels) + 1.5 * told).backward()
        np.testing.assert_allclose(whole.grad[peer].numpy(), own.grad.numpy(), atol=1e-6)
