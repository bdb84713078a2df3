"""The technique `distill-self`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress_components.distillation.student_fields import StudentTraining

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.training.losses import Loss


class DistillSelf(StudentTraining, Technique):
    """Train a network on its own outputs: those of the generation before, or those at its own end.

    - `born-again`: the first teacher is the incoming model, or, where `student` names an architecture, such a
      network trained on the labels alone. Each of `generations` students of the same structure starts from
      fresh weights and learns from the labels and the one before it; the last is the result. What was pruned
      stays zero, in the same places. A model whose weights are quantized or shared is refused: grids and
      codebooks were fitted to the weights it has.
    - `auxiliary-heads`: small classifiers at layers inside learn along, from the labels, from the network's
      outputs and from its last feature; what they need the layers before them learn too. They are taken off
      afterwards. The network goes on from its incoming weights and keeps every promise of its edits, or starts
      from fresh ones; where `student` names an architecture these are fresh anyway.

    Furlanello et al., "Born-Again Neural Networks", ICML 2018; Zhang et al., "Be Your Own Teacher: Improve the
    Performance of Convolutional Neural Networks via Self Distillation", ICCV 2019.
    """

    family: ClassVar[Family] = "distillation"
    paper: ClassVar[str] = (
        "Furlanello et al., Born-Again Neural Networks, ICML 2018, arXiv:1805.04770; "
        "Zhang et al., Be Your Own Teacher, ICCV 2019, arXiv:1905.08094"
    )

    method: Literal["born-again", "auxiliary-heads"] = Field(
        default="born-again", description="learn from the generation before, or with heads from the network's own end"
    )
    generations: Annotated[int, When("method", "born-again")] = Field(
        default=1, ge=1, le=100, description="born-again: how many, each trained for all epochs"
    )
    layers: Annotated[list[str], When("method", "auxiliary-heads")] = Field(
        default=[],
        description="auxiliary-heads: layers that get a head; empty: the last feature map of each size, at most three",
    )
    start: Annotated[
        Literal["incoming", "fresh"], When("method", "auxiliary-heads"), When("student", "", also=("fresh",))
    ] = Field(default="incoming", description="auxiliary-heads: first weights where no student is named")
    temperature: float = Field(default=3.0, gt=0, le=100, description="what logits are divided by")
    alpha: float = Field(default=0.3, ge=0, le=1, description="share of the soft loss; the rest is the labels'")
    hint_weight: Annotated[float, When("method", "auxiliary-heads")] = Field(
        default=0.03,
        ge=0,
        le=1e6,
        description="auxiliary-heads: weight of the error between a head's feature and the last",
    )

    def apply(self, model: Model, context: Context) -> Model:
        return (
            self._with_heads(model, context) if self.method == "auxiliary-heads" else self._born_again(model, context)
        )

    def _born_again(self, model: Model, context: Context) -> Model:
        from paddlepress.training.losses import taught_by
        from paddlepress_components.distillation.student_initialization import reinitialized, seeds

        own = seeds(context.seed, self.generations)
        student = self.named_student(model)
        teacher = model if student is None else self._trained(student, context, 0, None, "")
        for generation, seed in enumerate(own, start=1):
            loss = taught_by(teacher, context.train, self.temperature, self.alpha, augmented=self.settings().augmented)
            student = reinitialized(teacher, seed)
            teacher = self._trained(student, replace(context, seed=seed), generation, loss, teacher.digest())
        return teacher

    def _trained(self, student: Model, context: Context, generation: int, loss: Loss | None, identity: str) -> Model:
        """A generation, trained; each has a checkpoint of its own, so that finished ones are only read again."""
        from paddlepress.training.recovery import retrain

        def log(name: str, value: float, step: int) -> None:
            context.log(name, value, generation * self.epochs + step)

        context.progress.note(f"generation {generation} of {self.generations}")
        checkpoint = context.checkpoint / f"generation-{generation}" if context.checkpoint is not None else None
        inner = replace(context, log=log, checkpoint=checkpoint)
        return retrain(student, inner, self.settings(), loss, identity=f"{self.model_dump_json()} {identity}")

    def _with_heads(self, model: Model, context: Context) -> Model:
        from paddlepress.training.features import Capture, features
        from paddlepress.training.hooks import Auxiliary
        from paddlepress.training.recovery import retrain
        from paddlepress_components.distillation.auxiliary_heads import HeadsLoss, put_on
        from paddlepress_components.distillation.student_initialization import reinitialized, seeds

        if len(shape := model.task.outputs[0].shape) > 1:
            raise TechniqueRefused(
                f"method 'auxiliary-heads': a head gives one row of logits an example; the task {model.task.kind!r} "
                f"has {' x '.join(map(str, shape))}"
            )
        student = self.named_student(model)
        if student is None:
            student = reinitialized(model, seeds(context.seed, 1)[0]) if self.start == "fresh" else model
        found = features(student.network, context.train.inputs[:2])
        heads, last = put_on(student.network, found, student.task.out_features, self.layers)
        with Capture(student.network, sorted({*heads.layers, last}), training=True) as captured:
            loss = HeadsLoss(student.task, heads, captured, last, self.temperature, self.alpha, self.hint_weight)
            identity = self.model_dump_json()
            return retrain(student, context, self.settings(), loss, [Auxiliary(heads)], identity)
