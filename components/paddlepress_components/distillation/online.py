"""The technique `distill-online`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress_components.distillation.student_fields import StudentTraining

if TYPE_CHECKING:
    from paddlepress.network.model import Model


class DistillOnline(StudentTraining, Technique):
    """Train several networks of one structure at once, each on the labels and on what the others say.

    There is no trained teacher. The peers have the architecture that `student` names, or the structure of the
    incoming model, with what was pruned still zero. They start from fresh weights, each from its own. The
    result is the peer with the best validation accuracy: one network, of the size that was asked for.

    A quantized model, and one whose weights share values, has grids and codebooks that were fitted to its
    weights, so its peers can only start from these: with `start: incoming` the first peer has the incoming
    weights and the others have them with a little noise.

    Zhang, Xiang, Hospedales and Lu, "Deep Mutual Learning", CVPR 2018: cross entropy plus the mean KL
    divergence from each of the others. The peers take their steps at the same time, not in turn. While they
    train, the validation accuracy shown is the first peer's.
    """

    family: ClassVar[Family] = "distillation"
    paper: ClassVar[str] = "Zhang et al., Deep Mutual Learning, CVPR 2018, arXiv:1706.00384"

    peers: int = Field(default=2, ge=2, le=64, description="networks that learn together; each costs as much as one")
    start: Annotated[Literal["fresh", "incoming"], When("student", "")] = Field(
        default="fresh",
        description="first weights where no student is named: fresh, or the incoming model's with a little noise",
    )
    temperature: float = Field(default=2.0, gt=0, le=100, description="what logits are divided by to compare peers")
    mutual_weight: float = Field(
        default=1.0, ge=0, le=1000, description="weight of what the peers say; that of the labels is 1"
    )

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.training.recovery import retrain
        from paddlepress_components.distillation import peers

        models = self._peers(model, context)
        whole = peers.together(models)
        loss = peers.learn_from_each_other(model.task, self.temperature, self.mutual_weight)
        retrain(whole, context, self.settings(), loss, identity=self.model_dump_json())
        chosen, scores = peers.best(peers.apart(whole, models), context.validation)
        primary = model.task.primary
        for number, value in enumerate(scores):
            context.log(f"peer_validation_{primary}", value, number + 1)
        shown = ", ".join(model.task.metrics[primary].text(value) for value in scores)
        context.progress.note(f"peers' validation {primary}: {shown}")
        return chosen

    def _peers(self, model: Model, context: Context) -> list[Model]:
        from paddlepress_components.distillation.student_initialization import nudged, reinitialized, seeds

        students = [self.named_student(model) for _ in range(self.peers)]
        found = [student for student in students if student is not None]
        if found:
            return found
        own = seeds(context.seed, self.peers)
        if self.start == "fresh":
            return [reinitialized(model, seed) for seed in own]
        return [model, *(nudged(model, seed) for seed in own[1:])]
