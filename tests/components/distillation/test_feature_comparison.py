from __future__ import annotations

from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.core.errors import TechniqueRefused, UnknownName
from paddlepress.training.features import Feature
from paddlepress_components.distillation.feature_comparison import Kind, Regressor, feature_comparison, pairs, pooled

WEIGHTS = {"hint": 1.0, "attention": 1.0, "distance": 1.0, "angle": 1.0}
STUDENT = [Feature("a", (4, 8, 8)), Feature("b", (8, 4, 4)), Feature("c", (16,))]
TEACHER = [
    Feature("stem", (32, 16, 16)),
    Feature("one", (32, 8, 8)),
    Feature("two", (32, 8, 8)),
    Feature("three", (64, 2, 2)),
    Feature("last", (128,)),
]


def chosen(kind: Kind, *layers: str) -> list[tuple[str, str]]:
    return [(own.layer, other.layer) for own, other in pairs(kind, STUDENT, TEACHER, *layers)]


def test_layers_are_matched_by_the_size_of_their_maps() -> None:
    """Hints and attention take the last maps of a size that both have, relational each network's last feature."""
    assert chosen("hints") == [("a", "two")]
    assert chosen("attention") == [("a", "two")]
    assert chosen("relational") == [("c", "last")]


def test_networks_without_common_maps_get_hints_between_vectors() -> None:
    """Where no size of map agrees, the last vectors do."""
    vectors = [Feature("x", (7, 16)), Feature("y", (32,))]
    assert [(own.layer, other.layer) for own, other in pairs("hints", vectors, TEACHER)] == [("y", "last")]


def test_named_layers_are_taken() -> None:
    """Both layers by name, of any size of map; with one of them the other is found."""
    assert chosen("hints", "b", "three") == [("b", "three")]
    assert chosen("attention", "b", "stem") == [("b", "stem")]
    assert chosen("relational", "a", "one") == [("a", "one")]
    assert chosen("hints", "a") == [("a", "two")]
    assert chosen("hints", "", "one") == [("a", "one")]
    assert chosen("relational", "", "stem") == [("c", "stem")]


def test_what_does_not_fit_is_refused_with_what_there_is() -> None:
    """An unknown layer lists the valid ones; features that can't be compared are listed with their shapes."""
    with pytest.raises(UnknownName, match=r"teacher_layer: unknown layer 'forth'.*Valid: last, one, stem, three, two"):
        chosen("hints", "a", "forth")
    with pytest.raises(TechniqueRefused, match=r"'attention'.*a \[4, 8, 8\].*last \[128\]"):
        chosen("attention", "c", "last")
    with pytest.raises(TechniqueRefused, match="'hints'"):
        chosen("hints", "c", "two")
    with pytest.raises(TechniqueRefused, match="The student has none"):
        pairs("relational", [], TEACHER)


@pytest.mark.parametrize("own", [(7, 16), (16, 1, 1)])
@pytest.mark.parametrize("other", [(7, 16), (7, 32), (16, 1, 1)])
def test_attention_wants_maps(own: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Sequences have no channels first, and a map of one pixel has nowhere else to look: refused when named too."""
    with pytest.raises(TechniqueRefused, match=r"'attention'.*more than one pixel"):
        pairs("attention", [Feature("x", own)], [Feature("y", other)], "x", "y")


@pytest.mark.parametrize(
    ("own", "other"),
    [((4, 8, 8), (32, 8, 8)), ((4, 8, 8), (32, 2, 3)), ((4, 2, 2), (32, 4, 4)), ((16,), (128,)), ((7, 16), (7, 128))],
)
def test_a_regressor_gives_the_teachers_shape(own: tuple[int, ...], other: tuple[int, ...]) -> None:
    """Maps of any height and width, vectors and sequences."""
    regressor = Regressor(Feature("own", own), Feature("other", other))
    assert regressor(paddle.rand([2, *own])).shape == [2, *other]


@pytest.mark.parametrize("kind", ["hints", "attention", "relational"])
@pytest.mark.parametrize("layers", [("", ""), ("b", "stem")])
def test_a_comparison_pulls_the_student_to_its_teacher(kind: Any, layers: tuple[str, str]) -> None:
    """The loss has a gradient for the student's feature, and is less after a step against it."""
    paddle.seed(0)
    made = feature_comparison(kind, STUDENT, TEACHER, WEIGHTS, *layers)
    shapes = {feature.layer: list(feature.shape) for feature in (*STUDENT, *TEACHER)}
    own = [paddle.randn([5, *shapes[layer]]) for layer in made.student_layers]
    told = made.summary([paddle.randn([5, *shapes[layer]]) for layer in made.teacher_layers])
    for feature in own:
        feature.stop_gradient = False
    before = made.compare(own, told)
    before.backward()
    gradients = [feature.grad for feature in own]
    size = float(sum(paddle.square(gradient).sum() for gradient in gradients))
    step = 0.05 * float(before) / size
    moved = [feature.detach() - step * gradient for feature, gradient in zip(own, gradients, strict=True)]
    assert size > 0
    assert float(made.compare(moved, told)) < float(before)


def test_pooling_averages_and_keeps_what_fits() -> None:
    """A map is averaged over equal parts; one of the right size stays as it is."""
    feature = paddle.to_tensor(np.arange(16, dtype=np.float32).reshape(1, 1, 4, 4))
    np.testing.assert_allclose(pooled(feature, (2, 2)).numpy()[0, 0], [[2.5, 4.5], [10.5, 12.5]])
    assert pooled(feature, (4, 4)) is feature
