from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paddlepress.training.feature_losses import (
    angle_loss,
    attention_loss,
    attention_map,
    distance_loss,
    hint_loss,
)

seeds = st.integers(0, 10_000)


def embeddings(seed: int, count: int = 6, sizes: tuple[int, int] = (3, 5)) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [generator.normal(size=(count, size)).astype(np.float32) for size in sizes]


def huber(difference: np.ndarray) -> float:
    size = np.abs(difference)
    return float(np.where(size < 1, size**2 / 2, size - 0.5).mean())


def pairwise(embedding: np.ndarray) -> np.ndarray:
    distances = np.linalg.norm(embedding[:, None] - embedding[None], axis=2)
    return distances / distances[distances > 0].mean()


def cosines(embedding: np.ndarray) -> np.ndarray:
    directions = embedding[None] - embedding[:, None]
    lengths = np.linalg.norm(directions, axis=2, keepdims=True)
    directions = np.divide(directions, lengths, out=np.zeros_like(directions), where=lengths > 0)
    return np.einsum("ijd,ikd->ijk", directions, directions)


def rotation(seed: int, size: int) -> np.ndarray:
    found, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))
    return found.astype(np.float32)


@given(seeds)
@settings(max_examples=20, deadline=None)
def test_relations_are_the_papers(seed: int) -> None:
    """Distances by their mean, and cosines of all angles, as NumPy computes them; the embeddings' sizes may differ."""
    student, teacher = embeddings(seed)
    given_ = paddle.to_tensor(student), paddle.to_tensor(teacher)
    assert float(distance_loss(*given_)) == pytest.approx(huber(pairwise(student) - pairwise(teacher)), rel=1e-3)
    assert float(angle_loss(*given_)) == pytest.approx(huber(cosines(student) - cosines(teacher)), rel=1e-3)


@given(seeds, st.floats(0.01, 100), st.floats(-5, 5))
@settings(max_examples=20, deadline=None)
def test_relations_survive_rotation_scaling_and_a_shift(seed: int, scale: float, shift: float) -> None:
    """An embedding that is turned, enlarged and moved has the same relations: no loss against itself."""
    embedding, _ = embeddings(seed, count=8)
    other = scale * embedding @ rotation(seed, 3) + np.float32(scale * shift)
    given_ = paddle.to_tensor(np.asarray(other, np.float32)), paddle.to_tensor(embedding)
    assert float(distance_loss(*given_)) == pytest.approx(0, abs=1e-5)
    assert float(angle_loss(*given_)) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("loss", [distance_loss, angle_loss])
def test_relations_of_equal_examples_have_finite_gradients(loss) -> None:
    """Examples in one place have no distance and no direction, and break nothing."""
    teacher = paddle.to_tensor(embeddings(1)[1])
    for value in (np.zeros((6, 3)), np.repeat(embeddings(0, count=3)[0], 2, axis=0)):
        student = paddle.to_tensor(value.astype(np.float32), stop_gradient=False)
        loss(student, teacher).backward()
        assert np.isfinite(student.grad.numpy()).all()


@given(seeds, st.floats(0.1, 100))
@settings(max_examples=20, deadline=None)
def test_attention_maps_have_length_one_whatever_the_activations_size(seed: int, scale: float) -> None:
    """A map says where, not how much, and not with how many channels: the same for larger and repeated channels."""
    feature = np.random.default_rng(seed).normal(size=(3, 4, 5, 6)).astype(np.float32)
    found = attention_map(paddle.to_tensor(feature)).numpy()
    expected = np.square(feature).sum(axis=1).reshape(3, 30)
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected, axis=1, keepdims=True), rtol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    for other in (scale * feature, -feature, np.concatenate([feature, feature], axis=1)):
        np.testing.assert_allclose(attention_map(paddle.to_tensor(other)).numpy(), found, rtol=1e-3, atol=1e-5)


def test_hints_are_a_share_of_the_teachers_square_and_attention_a_mean() -> None:
    """Hints do not depend on the activations' size: 1 for zeros, 0 for equals; attention averages over all places."""
    first, second = (paddle.to_tensor(value) for value in embeddings(4, sizes=(7, 7)))
    difference, size = np.square(first.numpy() - second.numpy()).mean(), np.square(second.numpy()).mean()
    assert float(attention_loss(first, second)) == pytest.approx(float(difference), rel=1e-5)
    assert float(hint_loss(first, second)) == pytest.approx(float(difference / size), rel=1e-5)
    assert float(hint_loss(first * 100, second * 100)) == pytest.approx(float(difference / size), rel=1e-5)
    assert float(hint_loss(paddle.zeros_like(second), second)) == pytest.approx(1, rel=1e-6)
    assert float(hint_loss(first, paddle.zeros_like(second))) > 0
