from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import paddle.nn.functional as F
import pytest
from own_networks import SHAPE, Computed, Lambda

from paddlepress.artifact.store import save
from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.core.progress import Silent
from paddlepress.network import architectures
from paddlepress.network.edits import Quantize
from paddlepress.network.grids import put_on_grid
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.tasks import Classification
from paddlepress.tasks.classification import kl_divergence
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training import loop
from paddlepress.training.batch import Batch
from paddlepress.training.feature_losses import attention_loss, attention_map
from paddlepress.training.features import Capture
from paddlepress.training.teachers import Answer
from paddlepress_components.distillation.offline import DistillOffline
from paddlepress_components.distillation.student_loss import DistillationLoss, WeightedTeacher, diverging
from paddlepress_components.pruning.prune_weights import PruneWeights

STUDENT = {"student": "lenet", "student_arguments": {"width": 0.25}, "batch_size": 64}


class Notes(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


def test_an_unknown_student_names_the_known_ones() -> None:
    """A student that is no architecture is refused before anything runs."""
    with pytest.raises(UsageError, match=r"unknown architecture 'lenet-hafl'\. Did you mean 'lenet-half'"):
        technique("distill-offline", {"student": "lenet-hafl"})


def test_a_student_takes_its_arguments() -> None:
    """student_arguments reach the architecture, and wrong ones are refused with the valid ones."""
    context = digits_context(trained())
    model = run(DistillOffline(student="lenet", student_arguments={"width": 0.25}, epochs=1), trained(), context)
    assert model.network.fc1.weight.shape == [64, 32]
    with pytest.raises(UsageError, match=r"'depth'.*Valid: width"):
        run(DistillOffline(student="lenet", student_arguments={"depth": 3}), trained(), context)


def test_a_student_that_cannot_be_deployed_does_not_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by the operator's name, and no epoch is spent on it."""
    context = digits_context(trained())
    model = trained()
    build = architectures.build

    def logits(x: Any) -> Any:
        return paddle.cumprod(x.tanh(), 1).flatten(1)[:, :10]

    def some(reference: ArchitectureRef, *given: Any) -> Any:
        undeployable = reference.name == "lenet-half"
        return Computed(Lambda(logits), SHAPE) if undeployable else build(reference, *given)

    monkeypatch.setattr(architectures, "build", some)
    monkeypatch.setattr(loop, "fit", lambda *given, **settings: pytest.fail("it learned"))
    with pytest.raises(TechniqueRefused, match="does not convert cumprod in layer 'then'"):
        run(DistillOffline(student="lenet-half", epochs=1), model, context)


def test_a_pruned_model_is_taught_and_stays_pruned() -> None:
    """With no student named, the incoming model learns from the base, and its zeros stay."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.95, recovery_epochs=0), trained(), context)
    taught = run(DistillOffline(epochs=4, batch_size=32, learning_rate=1e-3), sparse, context)
    for name in sparse.masked():
        weights = dict(taught.network.named_parameters())[name].numpy()
        assert ((weights == 0) == (dict(sparse.network.named_parameters())[name].numpy() == 0)).all()
    inputs = digits().split("test").inputs
    expected = trained().predict(inputs).argmax(1)
    agreement = [(model.predict(inputs).argmax(1) == expected).mean() for model in (sparse, taught)]
    assert agreement[1] > agreement[0]


@pytest.mark.parametrize("loss", ["kd", "decoupled", "logit-standardized", "hints", "attention", "relational"])
@pytest.mark.parametrize("changed", [{}, {"shift": 1}, {"augmentation": ["mixup"]}])
def test_every_loss_teaches_a_student(loss: Any, changed: dict[str, Any]) -> None:
    """The loss falls, the student is none but itself, and the teacher is left as it was, without a hook."""
    base, losses = trained().copy(), []
    before = base.digest()

    def log(name: str, value: float, step: int) -> None:
        if name == "train_loss":
            losses.append(value)

    fields = {**STUDENT, "epochs": 3, "loss": loss, **changed}
    taught = run(technique("distill-offline", fields), base, digits_context(base, log=log))
    assert losses[-1] < 0.8 * losses[0]
    assert set(taught.state()) == set(base.state())
    assert base.digest() == before
    for model in (base, taught):
        assert not any(layer._forward_post_hooks for layer in model.network.sublayers(include_self=True))


def test_features_inside_come_nearer_to_the_teachers() -> None:
    """With attention transfer the student's maps are more like the teacher's than without."""
    inputs = digits().split("validation").inputs

    def apart(weight: float) -> float:
        fields = {**STUDENT, "epochs": 4, "loss": "attention", "attention_weight": weight}
        model = run(technique("distill-offline", fields), trained(), digits_context(trained()))
        found = []
        for network in (model.network, trained().network):
            with Capture(network, ["conv2"]) as captured:
                network(paddle.to_tensor(inputs))
                found.append(attention_map(captured.outputs["conv2"]))
        return float(attention_loss(*found))

    assert apart(1000.0) < 0.7 * apart(0.0)


def test_a_layer_that_does_not_exist_is_refused_with_the_valid_ones() -> None:
    """The field, the layer, and the layers there are."""
    fields = {**STUDENT, "loss": "hints", "teacher_layer": "conv9"}
    with pytest.raises(UsageError, match=r"teacher_layer: unknown layer 'conv9'.*Valid: conv1, conv2, fc1"):
        run(technique("distill-offline", fields), trained(), digits_context(trained()))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"teachers": ["a", "b"], "teacher_weights": [1.0]}, "1 weights for 2 teachers"),
        ({"teachers": ["base"], "teacher_weights": [-1.0]}, "teacher_weights must be 0 or more"),
        ({"teachers": ["a", "b"], "teacher_weights": [0, 0.0]}, "not all of them 0"),
        ({"teachers": [""]}, "a location is empty"),
    ],
)
def test_teachers_that_make_no_sense_are_refused(fields: dict[str, Any], said: str) -> None:
    """A weight for each teacher, none negative, not all zero; no empty location."""
    with pytest.raises(UsageError, match=said):
        technique("distill-offline", fields)


def test_several_teachers_answer_together(tmp_path: Path) -> None:
    """The target is the weighted mean of the teachers' softened outputs, and so are their hints."""
    noise = trained().copy()
    weight = noise.network.fc2.weight
    weight.set_value(np.random.default_rng(0).normal(0, 1, weight.shape).astype(np.float32))
    save(noise, tmp_path / "noise")
    inputs = digits().split("test").inputs

    def agreement(*weights: float) -> float:
        """How often a student of the base and the noisy teacher says what the base says."""
        fields = {**STUDENT, "batch_size": 32, "epochs": 4, "learning_rate": 0.01, "alpha": 1.0}
        fields |= {"loss": "hints", "hint_weight": 0.01}
        teachers = {"teachers": ["base", str(tmp_path / "noise")], "teacher_weights": list(weights)}
        model = run(technique("distill-offline", {**fields, **teachers}), trained(), digits_context(trained()))
        return float((model.predict(inputs).argmax(1) == trained().predict(inputs).argmax(1)).mean())

    sure, noisy = agreement(1, 0), agreement(0.1, 0.9)
    assert sure > 0.8
    assert noisy < sure - 0.2


def test_several_teachers_teach_their_mean() -> None:
    """With shares of a half a student learns what it learns from the mean of both teachers' probabilities."""
    generator = np.random.default_rng(0)
    logits = [paddle.to_tensor(generator.normal(0, 3, (4, 5)).astype(np.float32)) for _ in range(3)]
    answers = [lambda batch, said=said: Answer(said, []) for said in logits[:2]]
    batch, labels = Batch(np.arange(4), (logits[0],)), paddle.to_tensor([0, 1, 2, 3])
    task, student = Classification(classes=("a", "b", "c", "d", "e")), logits[2]
    student.stop_gradient = False
    taught = [WeightedTeacher(answer, 0.5) for answer in answers]  # type: ignore[arg-type]
    DistillationLoss(task, taught, diverging(task, 2.0), 0.6)(student, labels, batch).backward()
    learned = student.grad.numpy()
    student.clear_grad()
    target = (F.softmax(logits[0] / 2, axis=-1) + F.softmax(logits[1] / 2, axis=-1)) / 2
    soft = 4 * kl_divergence(target, F.log_softmax(student / 2, axis=-1))
    (0.6 * soft + 0.4 * F.cross_entropy(student, labels)).backward()
    np.testing.assert_allclose(learned, student.grad.numpy(), atol=1e-6)


def test_another_teacher_is_another_training(tmp_path: Path) -> None:
    """A checkpoint left by a training with other teachers is not resumed from; one's own is, to the same bits."""
    save(trained(), tmp_path / "teacher")
    fields = {**STUDENT, "epochs": 1, "loss": "hints", "teachers": [str(tmp_path / "teacher")]}
    notes = Notes()
    context = digits_context(trained(), checkpoint=tmp_path / "kept", progress=notes)
    first = run(technique("distill-offline", fields), trained(), context)
    again = run(technique("distill-offline", fields), trained(), context)
    assert again.digest() == first.digest()
    assert sum("resuming" in text for text in notes.said) == 1
    other = trained().copy()
    other.network.fc2.bias.set_value(other.network.fc2.bias + 1)
    save(other, tmp_path / "teacher")
    run(technique("distill-offline", fields), trained(), context)
    assert sum("resuming" in text for text in notes.said) == 1


def test_a_quantized_student_learns_from_features_on_its_grid() -> None:
    """The incoming 4-bit model is taught with hints and stays on its 4-bit grid."""
    model = trained().copy()
    edit = Quantize(layer="fc1", bits=4, axis=1)
    put_on_grid(model, edit)
    model = model.with_edits(edit)
    taught = run(DistillOffline(loss="hints", epochs=1), model, digits_context(trained()))
    assert np.abs(taught.codes("fc1.weight").codes).max() <= 7
    assert taught.digest() != model.digest()
