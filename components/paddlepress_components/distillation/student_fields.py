"""What the distillation techniques have in common: who learns, and how long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, field_validator

from paddlepress.core.errors import UnknownName
from paddlepress.core.fields import Fields, When
from paddlepress.core.plugins import ARCHITECTURES, listed
from paddlepress.network.architectures import ArchitectureName
from paddlepress.training.augmentation import DESCRIPTION, Stated
from paddlepress.training.settings import TrainingSettings

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class StudentTraining(Fields):
    """Fields of the techniques that train a student."""

    student: Annotated[str, ArchitectureName(arguments="student_arguments")] = Field(
        default="", description="architecture of the student; empty: that of the incoming model"
    )
    student_arguments: Annotated[dict[str, Any], When("student", ...)] = Field(
        default={}, description="arguments of the student's architecture"
    )
    epochs: int = Field(default=4, ge=1, le=10_000, description="passes over the training data")
    batch_size: int = Field(default=128, ge=1, le=65_536, description="examples in one step")
    accumulate: int = Field(
        default=1, ge=1, le=65_536, description="batches whose gradients are averaged before each step"
    )
    learning_rate: float = Field(default=4e-3, gt=0, le=10, description="highest learning rate (Adam, one-cycle)")
    weight_decay: float = Field(default=0.0, ge=0, lt=1, description="weights shrink by this times the learning rate")
    shift: int = Field(
        default=0, ge=0, le=32, description="augmentation: move each image by up to this many pixels at random"
    )
    augmentation: Stated = Field(default=[], description=DESCRIPTION)

    @field_validator("student")
    @classmethod
    def _known(cls, student: str) -> str:
        # Paddle's own models are looked up when the student is built: listing them imports Paddle.
        known = listed(ARCHITECTURES)
        if student and student not in known and not student.startswith("vision/"):
            raise ValueError(str(UnknownName("architecture", student, [*known, "vision/NAME"])))
        return student

    def settings(self, patience: int = 0) -> TrainingSettings:
        """How the fields say to train."""
        return TrainingSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            patience=patience,
            shift=self.shift,
            augmentation=self.augmentation,
            accumulate=self.accumulate,
        )

    def named_student(self, model: Model) -> Model | None:
        """A student of the architecture that `student` names, with fresh weights; None where it names none.

        One that can't be deployed is refused before it learns.

        Args:
            model: the incoming model, whose task and history the student takes over.

        Raises:
            UsageError: arguments that the architecture does not take, or a network of a kind that is not supported.
            TechniqueRefused: its graph can't be made, or computes something else.
        """
        from paddlepress.deployment.export import check_exportable
        from paddlepress.network.interface import check_supported
        from paddlepress.network.model import Model
        from paddlepress.spec.origin import ArchitectureRef

        if not self.student:
            return None
        reference = ArchitectureRef(name=self.student, arguments=self.student_arguments)
        student = Model.build(
            reference, model.inputs, model.task, lineage=model.lineage, preprocessing=model.preprocessing
        )
        check_supported(student)
        check_exportable(student)
        return student
