"""The technique `distill-offline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.fields import Place, When
from paddlepress.tasks import Task
from paddlepress.techniques import Context, Family, Technique
from paddlepress_components.distillation.student_fields import StudentTraining

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress_components.distillation.feature_comparison import FeatureComparison
    from paddlepress_components.distillation.student_loss import Soft, WeightedTeacher


class DistillOffline(StudentTraining, Technique):
    """Train a student to imitate trained teachers, which do not learn themselves.

    The student is a fresh network of another architecture, or, with `student` left empty, the incoming
    compressed model, which then learns from the model it was compressed from; what was pruned stays zero
    and what was quantized is put back on its grid.

    Every loss has `alpha` of a soft part, which compares the student's outputs with the teacher's at a
    temperature, and the rest of cross entropy with the labels:

    - `kd`: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015.
    - `decoupled`: the label's class and the others are compared apart, each with a weight of its own. Zhao et
      al., "Decoupled Knowledge Distillation", CVPR 2022.
    - `logit-standardized`: logits are brought to mean 0 and deviation 1 before they are compared. Sun et al.,
      "Logit Standardization in Knowledge Distillation", CVPR 2024.

    The others add to that of `kd` a comparison of what layers inside give, chosen by name or by themselves:

    - `hints`: of a feature, through a regressor that learns along. Romero et al., "FitNets", ICLR 2015; here in
      one stage with the rest instead of before it, and as a share of the teacher's feature's square.
    - `attention`: of where in the picture activations are large, at every size of feature map that both
      networks have. Zagoruyko and Komodakis, "Paying More Attention to Attention", ICLR 2017.
    - `relational`: of the distances and angles between the examples of a batch. Park et al., "Relational
      Knowledge Distillation", CVPR 2019.

    Several teachers answer together: their probabilities are averaged (You et al., "Learning from Multiple
    Teacher Networks", KDD 2017), and so are the comparisons of features. A teacher's location is read where
    the technique runs: in a container or a cluster an `s3://` prefix, or a folder that is mounted there.
    """

    family: ClassVar[Family] = "distillation"
    paper: ClassVar[str] = (
        "Hinton, Vinyals and Dean, 2015, arXiv:1503.02531; FitNets, ICLR 2015; attention transfer, ICLR 2017; "
        "multiple teachers, KDD 2017; relational, CVPR 2019; decoupled, CVPR 2022; logit standardization, CVPR 2024"
    )

    loss: Literal["kd", "decoupled", "logit-standardized", "hints", "attention", "relational"] = Field(
        default="kd", description="what of the teacher is learned"
    )
    temperature: float = Field(default=4.0, gt=0, le=100, description="what logits are divided by")
    alpha: float = Field(default=0.7, ge=0, le=1, description="share of the soft loss; the rest is the labels'")
    target_weight: Annotated[float, When("loss", "decoupled")] = Field(
        default=1.0, ge=0, le=1000, description="decoupled: weight of the label's class (alpha)"
    )
    others_weight: Annotated[float, When("loss", "decoupled")] = Field(
        default=2.0, ge=0, le=1000, description="decoupled: weight of the other classes (beta)"
    )
    hint_weight: Annotated[float, When("loss", "hints")] = Field(
        default=0.3, ge=0, le=1e6, description="hints: weight of the regressed feature's error"
    )
    attention_weight: Annotated[float, When("loss", "attention")] = Field(
        default=100.0, ge=0, le=1e6, description="attention: weight of the maps' error (beta)"
    )
    distance_weight: Annotated[float, When("loss", "relational")] = Field(
        default=25.0, ge=0, le=1e6, description="relational: weight of the distances' error"
    )
    angle_weight: Annotated[float, When("loss", "relational")] = Field(
        default=50.0, ge=0, le=1e6, description="relational: weight of the angles' error"
    )
    student_layer: Annotated[str, When("loss", "hints", "attention", "relational")] = Field(
        default="",
        description="hints, attention, relational: the student's layer to compare; empty: the last feature map (for "
        "attention: of each size), or for relational the last feature before the outputs",
    )
    teacher_layer: Annotated[str, When("loss", "hints", "attention", "relational")] = Field(
        default="", description="hints, attention, relational: the teacher's layer; empty: the last that fits"
    )
    teachers: Annotated[list[str], Place("base")] = Field(
        default=[],
        description="model artifacts to learn from: folders or s3:// prefixes that can be read where this runs, and "
        "`base`, the base model; empty: the base model alone",
    )
    teacher_weights: Annotated[list[float], When("teachers", ...)] = Field(
        default=[], description="weight of each teacher in the average; empty: all the same"
    )
    patience: int = Field(
        default=0, ge=0, description="epochs without a better validation accuracy before stopping; 0: never"
    )

    @field_validator("teachers")
    @classmethod
    def _locations(cls, teachers: list[str]) -> list[str]:
        if "" in teachers:
            raise ValueError("a location is empty. Valid: base, a folder, or s3://bucket/prefix/")
        return teachers

    @model_validator(mode="after")
    def _one_weight_each(self) -> Self:
        count = max(1, len(self.teachers))
        if self.teacher_weights and len(self.teacher_weights) != count:
            raise ValueError(f"teacher_weights has {len(self.teacher_weights)} weights for {count} teachers")
        if self.teacher_weights and not (min(self.teacher_weights) >= 0 < sum(self.teacher_weights)):
            raise ValueError("teacher_weights must be 0 or more, and not all of them 0")
        return self

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.training.features import Capture
        from paddlepress.training.hooks import Auxiliary
        from paddlepress.training.recovery import retrain
        from paddlepress_components.distillation.student_loss import DistillationLoss
        from paddlepress_components.distillation.teachers import BASE, adapt, check_teacher, load_teachers

        soft = self._soft(model.task)
        student = self.named_student(model) or model
        locations = self.teachers or [BASE]
        teachers = load_teachers(locations, context.base)
        for teacher, location in zip(teachers, locations, strict=True):
            check_teacher(teacher, student, location)
            adapt(teacher, student, location)
        weighted = self._weighted(student, teachers, context)
        comparisons = [one.comparison for one in weighted if one.comparison is not None]
        auxiliary = [Auxiliary(comparison.auxiliary) for comparison in comparisons if comparison.auxiliary is not None]
        compared = sorted({layer for comparison in comparisons for layer in comparison.student_layers})
        with Capture(student.network, compared, training=True) as captured:
            return retrain(
                student,
                context,
                self.settings(self.patience),
                DistillationLoss(student.task, weighted, soft, self.alpha, captured),
                auxiliary,
                " ".join([self.model_dump_json(), *(teacher.digest() for teacher in teachers)]),
            )

    def _weighted(self, student: Model, teachers: list[Model], context: Context) -> list[WeightedTeacher]:
        from paddlepress.training.teachers import Teacher
        from paddlepress_components.distillation.student_loss import WeightedTeacher

        weighted = []
        weights = self.teacher_weights or [1.0] * len(teachers)
        for model, weight in zip(teachers, weights, strict=True):
            comparison = self._comparison(student, model, context)
            layers, summary = (comparison.teacher_layers, comparison.summary) if comparison is not None else ((), list)
            asked = Teacher(model.network, context.train, self.settings().augmented, layers, summary)
            weighted.append(WeightedTeacher(asked, weight / sum(weights), comparison))
        return weighted

    def _soft(self, task: Task) -> Soft:
        from paddlepress.tasks import Classification
        from paddlepress_components.distillation import student_loss

        if self.loss in ("decoupled", "logit-standardized") and not isinstance(task, Classification):
            raise TechniqueRefused(f"loss {self.loss!r} compares classes, and the model's task is {task.kind}")
        if self.loss == "decoupled":
            return student_loss.decoupled(self.temperature, self.target_weight, self.others_weight)
        if self.loss == "logit-standardized":
            return student_loss.logit_standardized(task, self.temperature)
        return student_loss.diverging(task, self.temperature)

    def _comparison(self, student: Model, teacher: Model, context: Context) -> FeatureComparison | None:
        from paddlepress.training.features import features
        from paddlepress_components.distillation.feature_comparison import feature_comparison

        if self.loss not in ("hints", "attention", "relational"):
            return None
        examples = context.train.inputs[:2]
        weights = {
            "hint": self.hint_weight,
            "attention": self.attention_weight,
            "distance": self.distance_weight,
            "angle": self.angle_weight,
        }
        own, told = features(student.network, examples), features(teacher.network, examples)
        return feature_comparison(self.loss, own, told, weights, self.student_layer, self.teacher_layer)
