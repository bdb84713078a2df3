"""What a student is shown of its teacher's inside: which layers are compared, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import paddle
import paddle.nn.functional as F
from paddle import nn

from paddlepress.core.errors import TechniqueRefused
from paddlepress.training.feature_losses import angle_loss, attention_loss, attention_map, distance_loss, hint_loss
from paddlepress.training.features import Feature, embedding, named, stages
from paddlepress.training.teachers import Summary

Kind = Literal["hints", "attention", "relational"]
Weights = dict[str, float]
Pair = tuple[Feature, Feature]
Compare = Callable[[list[paddle.Tensor], list[paddle.Tensor]], paddle.Tensor]
"""`(the student's features [n, ...], what the summary kept of the teacher's) -> scalar`"""

_WANTED = {
    "hints": "of the same height and width, or two vectors",
    "attention": "feature maps of the same height and width, more than one pixel",
    "relational": "any before the outputs",
}


@dataclass(frozen=True)
class FeatureComparison:
    """A comparison of a student with one teacher.

    Attributes:
        student_layers, teacher_layers: whose features are compared, pair by pair.
        summary: what of the teacher's features is compared.
        compare: the loss.
        auxiliary: a layer with parameters of the loss, which learn along with the student.
    """

    student_layers: tuple[str, ...]
    teacher_layers: tuple[str, ...]
    summary: Summary
    compare: Compare
    auxiliary: nn.Layer | None = None


def feature_comparison(
    kind: Kind,
    student: list[Feature],
    teacher: list[Feature],
    weights: Weights,
    student_layer: str = "",
    teacher_layer: str = "",
) -> FeatureComparison:
    """The comparison of a kind.

    Args:
        kind: `hints` compares one feature through a regressor, `attention` where both look, for each size of
            feature map that both have, `relational` how a batch's examples lie to each other in one feature.
        student, teacher: the features there are.
        weights: of `hint`, `attention`, `distance` and `angle`.
        student_layer, teacher_layer: whose feature to take; empty: see `pairs`.

    Raises:
        UnknownName: a layer that there is not.
        TechniqueRefused: the two have nothing that could be compared.
    """
    chosen = pairs(kind, student, teacher, student_layer, teacher_layer)
    layers = tuple(own.layer for own, _ in chosen), tuple(other.layer for _, other in chosen)
    if kind == "hints":
        regressor = Regressor(*chosen[0])
        return FeatureComparison(*layers, list, _hints(regressor, weights["hint"]), regressor)
    if kind == "attention":
        return FeatureComparison(*layers, _attention_summary(chosen), _attention(chosen, weights["attention"]))
    return FeatureComparison(*layers, _flat, _relational(weights["distance"], weights["angle"]))


def pairs(
    kind: Kind, student: list[Feature], teacher: list[Feature], student_layer: str = "", teacher_layer: str = ""
) -> list[Pair]:
    """The features that are compared, the student's first.

    Where no layer is named, `attention` takes the last feature map of each size that both have, `hints` the
    last of these, or else the last features with the same places (such as two vectors), `relational` each
    network's last feature before its outputs.

    Raises:
        UnknownName: a layer that there is not.
        TechniqueRefused: nothing fits.
    """
    if student_layer and teacher_layer:
        found = [(named(student, student_layer, "student_layer"), named(teacher, teacher_layer, "teacher_layer"))]
    else:
        # One layer that is named is all that its side has to offer.
        student = [named(student, student_layer, "student_layer")] if student_layer else student
        teacher = [named(teacher, teacher_layer, "teacher_layer")] if teacher_layer else teacher
        found = _relational_pair(student, teacher) if kind == "relational" else _stage_pairs(student, teacher)
        if kind == "hints":
            found = found[-1:] or _same_places(student, teacher)
    if not found or not all(_comparable(kind, *pair) for pair in found):
        raise TechniqueRefused(
            f"the loss {kind!r} finds no layers of student and teacher whose features it can compare "
            f"({_WANTED[kind]}). The student has {_listed(student)}; the teacher has {_listed(teacher)}"
        )
    return found


def _relational_pair(student: list[Feature], teacher: list[Feature]) -> list[Pair]:
    own, other = embedding(student), embedding(teacher)
    return [(own, other)] if own and other else []


def _stage_pairs(student: list[Feature], teacher: list[Feature]) -> list[Pair]:
    other = stages(teacher)
    common = {places: feature for places, feature in stages(student).items() if places in other}
    order = [feature.layer for feature in student]
    return sorted(((own, other[places]) for places, own in common.items()), key=lambda pair: order.index(pair[0].layer))


def _same_places(student: list[Feature], teacher: list[Feature]) -> list[Pair]:
    for own in reversed(student):
        for other in reversed(teacher):
            if len(own.shape) == len(other.shape) and own.places == other.places:
                return [(own, other)]
    return []


def _comparable(kind: Kind, own: Feature, other: Feature) -> bool:
    if kind == "relational":
        return True
    if len(own.shape) != len(other.shape) or (kind == "attention" and not (own.is_map and other.is_map)):
        return False
    return own.places == other.places or len(own.shape) == 3


def _listed(found: list[Feature]) -> str:
    return ", ".join(f"{feature.layer} {list(feature.shape)}" for feature in found) or "none"


class Regressor(nn.Layer):
    """Turns a student's feature into one with as many channels as the teacher's, place by place.

    A convolution of 1x1 for maps, a dense layer for vectors and sequences. Pictures of another size are pooled
    to the teacher's.
    """

    def __init__(self, student: Feature, teacher: Feature) -> None:
        super().__init__()
        kinds = {3: nn.Conv2D, 4: nn.Conv3D}
        kind = kinds.get(len(student.shape))
        if kind is None:
            self.map = nn.Linear(student.channels, teacher.channels)
        else:
            self.map = kind(student.channels, teacher.channels, 1)
        self.places = teacher.places

    def forward(self, feature: paddle.Tensor) -> paddle.Tensor:
        return self.map(pooled(feature, self.places))


def pooled(feature: paddle.Tensor, places: tuple[int, ...]) -> paddle.Tensor:
    """A feature map [n, channels, height, width] averaged (or stretched) to another height and width."""
    if len(feature.shape) != 4 or tuple(feature.shape[2:]) == places:
        return feature
    return F.adaptive_avg_pool2d(feature, list(places))


def _hints(regressor: Regressor, weight: float) -> Compare:
    def compare(own: list[paddle.Tensor], told: list[paddle.Tensor]) -> paddle.Tensor:
        return weight * hint_loss(regressor(own[0]), told[0])

    return compare


def _attention_summary(chosen: list[Pair]) -> Summary:
    def summary(found: list[paddle.Tensor]) -> list[paddle.Tensor]:
        return [attention_map(pooled(feature, _smaller(pair))) for feature, pair in zip(found, chosen, strict=True)]

    return summary


def _attention(chosen: list[Pair], weight: float) -> Compare:
    summary = _attention_summary(chosen)

    def compare(own: list[paddle.Tensor], told: list[paddle.Tensor]) -> paddle.Tensor:
        losses = [attention_loss(mine, theirs) for mine, theirs in zip(summary(own), told, strict=True)]
        return weight * paddle.add_n(losses)

    return compare


def _smaller(pair: Pair) -> tuple[int, ...]:
    return min((feature.places for feature in pair), key=lambda places: places[0] * places[-1])


def _flat(found: list[paddle.Tensor]) -> list[paddle.Tensor]:
    return [feature.flatten(1) for feature in found]


def _relational(distance: float, angle: float) -> Compare:
    def compare(own: list[paddle.Tensor], told: list[paddle.Tensor]) -> paddle.Tensor:
        (mine,), (theirs,) = _flat(own), told
        weighted = ((distance, distance_loss), (angle, angle_loss))
        parts = [weight * loss(mine, theirs) for weight, loss in weighted if weight]
        return paddle.add_n(parts) if parts else paddle.zeros([])

    return compare
