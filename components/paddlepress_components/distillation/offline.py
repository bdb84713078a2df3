"""The technique `distill-offline`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field, field_validator

from paddlepress.architectures import ArchitectureName
from paddlepress.errors import TrainingFailed, UnknownName
from paddlepress.plugins import ARCHITECTURES, listed
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.settings import TrainingSettings

if TYPE_CHECKING:
    from paddlepress.model import Model


class DistillOffline(Technique):
    """Train a student on the softened outputs of the base model, which does not learn itself.

    The student is a fresh network of another architecture, or, with `student` left empty, the incoming
    compressed model, which then learns from the model it was compressed from; what was pruned stays zero
    and what was quantized is put back on its grid.

    Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015: KL divergence on
    log-probabilities at a temperature, times the temperature squared, plus cross entropy with the labels.
    """

    family: ClassVar[Family] = "distillation"
    paper: ClassVar[str] = "Hinton, Vinyals and Dean, 2015, arXiv:1503.02531"

    student: Annotated[str, ArchitectureName(arguments="student_arguments")] = Field(
        default="", description="architecture of the student; empty: the incoming model learns"
    )
    student_arguments: dict[str, Any] = Field(default={}, description="arguments of the student's architecture")
    temperature: float = Field(default=4.0, gt=0, le=100, description="what logits are divided by")
    alpha: float = Field(default=0.7, ge=0, le=1, description="share of the soft loss; the rest is the labels'")
    epochs: int = Field(default=4, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(default=128, ge=1, le=65_536, description="examples in one step")
    learning_rate: float = Field(default=4e-3, gt=0, le=10, description="highest learning rate (Adam, one-cycle)")
    weight_decay: float = Field(default=0.0, ge=0, lt=1, description="weights shrink by this times the learning rate")
    patience: int = Field(
        default=0, ge=0, description="epochs without a better validation accuracy before stopping; 0: never"
    )
    shift: int = Field(
        default=0, ge=0, le=32, description="augmentation: move each image by up to this many pixels at random"
    )

    @field_validator("student")
    @classmethod
    def _known(cls, student: str) -> str:
        # Paddle's own models are looked up when the student is built: listing them imports Paddle.
        known = listed(ARCHITECTURES)
        if student and student not in known and not student.startswith("vision/"):
            raise ValueError(str(UnknownName("architecture", student, [*known, "vision/NAME"])))
        return student

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.training.losses import taught_by
        from paddlepress.training.recovery import retrain

        student = self._student(model)
        if len(student.task.classes) != len(context.base.task.classes):
            raise TrainingFailed(
                f"the teacher tells {len(context.base.task.classes)} classes apart, "
                f"the student {len(student.task.classes)}"
            )
        settings = TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=self.patience,
            shift=self.shift,
        )
        teacher = context.base.network
        loss = taught_by(teacher, context.train, self.temperature, self.alpha, augmented=self.shift > 0)
        return retrain(student, context, settings, loss, identity=self.model_dump_json())

    def _student(self, model: Model) -> Model:
        from paddlepress.model import ArchitectureRef, Model

        if not self.student:
            return model
        reference = ArchitectureRef(name=self.student, arguments=self.student_arguments)
        return Model.build(reference, model.inputs, model.task, lineage=model.lineage)
