from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.artifact.store import save
from paddlepress.core.errors import ArtifactError, DataError, TrainingFailed
from paddlepress.data import Split
from paddlepress.forward.score import score
from paddlepress.spec.preprocessing import Preprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.techniques import Context, run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress.training.batch import Batch
from paddlepress.training.teachers import CACHE_BYTES, Teacher
from paddlepress_components.distillation.offline import DistillOffline
from paddlepress_components.distillation.teachers import adapt, check_teacher, load_teachers


def test_no_location_is_the_base_model(tmp_path: Path) -> None:
    """The base model teaches alone unless teachers are named, and beside others as `base`."""
    save(trained(), tmp_path / "other")
    base = trained()
    assert load_teachers([], base) == [base]
    alone = load_teachers([str(tmp_path / "other")], base)
    both = load_teachers(["base", str(tmp_path / "other")], base)
    assert [model.digest() for model in alone] == [base.digest()]
    assert both[0] is base and both[1] is not base


@pytest.mark.services
def test_a_teacher_comes_from_s3(s3: Any, tmp_path: Path) -> None:
    """An `s3://` prefix is downloaded, with and without the slash at its end."""
    from paddlepress.core.storage import push

    save(trained(), tmp_path / "teacher")
    location = push(tmp_path / "teacher", f"s3://{s3.bucket}/distillation/teacher/")
    for given in (location, location.rstrip("/")):
        assert load_teachers([given], trained())[0].digest() == trained().digest()


def test_a_teacher_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One line that says what is missing where."""
    with pytest.raises(ArtifactError, match=r"no model artifact at .*missing: it does not exist"):
        load_teachers([str(tmp_path / "missing")], trained())
    with pytest.raises(DataError, match="'ftp' is not supported"):
        load_teachers(["ftp://host/model"], trained())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"task": Classification(classes=("0", "1"))},
            "the teacher at /t does not fit the student: it tells 2 classes apart, not 10",
        ),
        ({"task": Classification(classes=tuple("1023456789"))}, "it has another class 0: '1', not '0'"),
        ({"inputs": (TensorSpec(name="x", shape=(3, 8, 8)),)}, r"takes inputs of shape \[\[3, 8, 8\]\], the student"),
    ],
)
def test_a_teacher_of_another_task_is_refused(change: dict[str, Any], said: str) -> None:
    """Other classes or inputs: its answers would mean nothing."""
    with pytest.raises(TrainingFailed, match=said):
        check_teacher(replace(trained(), **change), trained(), "/t")


PIXELS = np.random.default_rng(0).integers(0, 17, (6, 1, 8, 8), dtype=np.uint8)
BY_16 = Preprocessing(dtype="uint8", scale=16)
STANDARD = Preprocessing(dtype="uint8", scale=255, mean=(0.0191,), std=(0.0236,))


def test_a_teacher_sees_what_it_was_trained_on() -> None:
    """One trained on pixels / 16 is given those, though its student's inputs have mean 0 and deviation 1."""
    teacher, student = replace(trained().copy(), preprocessing=BY_16), replace(trained(), preprocessing=STANDARD)
    expected = trained().predict(BY_16.apply(PIXELS))
    adapt(teacher, student, "/t")
    np.testing.assert_allclose(teacher.predict(STANDARD.apply(PIXELS)), expected, rtol=1e-3, atol=1e-3)


def test_a_teacher_that_sees_the_same_is_left_alone() -> None:
    """With the same preprocessing, or where neither states any, a teacher computes bit for bit what it did."""
    for stated in (None, STANDARD):
        teacher = replace(trained().copy(), preprocessing=stated)
        adapt(teacher, replace(trained(), preprocessing=stated), "/t")
        inputs = STANDARD.apply(PIXELS)
        assert np.array_equal(teacher.predict(inputs), trained().predict(inputs))


def test_a_teacher_of_unknown_preprocessing_is_refused() -> None:
    """Whether two networks take the same inputs is not guessed; neither is what bytes mean to one trained on floats."""
    known, unknown = replace(trained(), preprocessing=STANDARD), trained()
    with pytest.raises(TrainingFailed, match="the teacher at /t does not state its preprocessing, and the student"):
        adapt(unknown, known, "/t")
    with pytest.raises(TrainingFailed, match="the student does not state its preprocessing, and the teacher at /t"):
        adapt(known, unknown, "/t")
    with pytest.raises(TrainingFailed, match="the teacher at /t takes float32 inputs, the student uint8"):
        adapt(replace(trained(), preprocessing=Preprocessing(dtype="float32")), known, "/t")


@pytest.mark.parametrize("loss", ["kd", "attention"])
def test_distillation_gives_each_network_its_own_inputs(loss: str, tmp_path: Path) -> None:
    """A student learns from a teacher's answers alone, though the teacher takes numbers that are quite other ones."""
    given = Preprocessing(mean=(4.88,), std=(6.02,))  # what made the digits of `testing`
    own = Preprocessing(scale=16, mean=(2.0,))
    save(replace(trained(), preprocessing=given), tmp_path / "teacher")
    factor, offset = own.after(given)
    splits = {name: Split(split.inputs * factor + offset, split.labels) for name, split in digits().splits.items()}
    test = splits.pop("test")
    assert score(trained().network, trained().task, test) < 50
    model = replace(trained(), preprocessing=own)
    training = {"student": "lenet", "epochs": 6, "batch_size": 32}
    technique = DistillOffline(loss=loss, alpha=1, teachers=[str(tmp_path / "teacher")], **training)
    student = run(technique, model, Context(**splits, base=model))
    assert student.preprocessing == own
    assert score(student.network, student.task, test) > 85


def test_cached_answers_are_the_networks() -> None:
    """Logits and features of a batch are the same from the cache, live, and from the network itself."""
    train = digits().split("train")
    network, indices = trained().network, np.array([900, 3, 250])
    batch = Batch(indices, (paddle.to_tensor(train.inputs[indices]),))

    def halves(found: list[paddle.Tensor]) -> list[paddle.Tensor]:
        return [feature / 2 for feature in found]

    for augmented in (False, True):
        answer = Teacher(network, train, augmented, ("conv1", "fc1"), halves)(batch)
        np.testing.assert_allclose(answer.outputs.numpy(), network(*batch.inputs).numpy(), atol=1e-4)
        expected = network.conv1(*batch.inputs).numpy() / 2
        np.testing.assert_allclose(answer.features[0].numpy(), expected, atol=1e-5)
        assert answer.features[1].shape == [3, 128]
        assert answer.outputs.stop_gradient and answer.features[0].stop_gradient


def test_answers_too_large_to_keep_are_given_live() -> None:
    """A teacher whose features would take more than the limit is asked for each batch."""
    many = CACHE_BYTES // (32 * 8 * 8 * 4) + 1
    image = digits().split("train").inputs[:1]
    train = Split(np.broadcast_to(image, (many, 1, 8, 8)), np.zeros(many, np.int64))
    asked: list[int] = []
    network = trained().copy().network
    network.register_forward_pre_hook(lambda layer, inputs: asked.append(len(inputs[0])))
    teacher = Teacher(network, train, layers=("conv1",))
    teacher(Batch(np.array([0, 1]), (paddle.to_tensor(train.inputs[:2]),)))
    assert sum(asked) < many
    assert asked[-1] == 2


def test_a_batch_whose_loss_is_made_twice_asks_a_live_teacher_once() -> None:
    """Mixed targets have the loss of both made; the answer of the batch before is not taken for another's."""
    train = digits().split("train")
    asked: list[int] = []
    network = trained().copy().network
    network.register_forward_pre_hook(lambda layer, inputs: asked.append(len(inputs[0])))
    teacher = Teacher(network, train, augmented=True)
    first, second = (Batch(np.arange(2), (paddle.to_tensor(train.inputs[start : start + 2]),)) for start in (0, 2))
    answers = [teacher(batch).outputs.numpy() for batch in (first, first, second)]
    assert asked == [2, 2]
    assert np.array_equal(answers[0], answers[1]) and not np.allclose(answers[0], answers[2])


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("distill-offline", {"augmentation": ["mixup"], "epochs": 1}),
        ("distill-self", {"augmentation": ["flip"], "epochs": 1}),
        ("prune-weights", {"recovery_augmentation": ["color"], "recovery_loss": "distilled"}),
    ],
)
def test_no_answers_are_kept_where_batches_are_changed(
    name: str, fields: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a teacher made of the data as they are would be about other inputs than the student's."""

    def keep(teacher: Teacher, inputs: Any) -> None:
        raise AssertionError("answers for the whole split")

    monkeypatch.setattr(Teacher, "_all", keep)
    base = trained().copy()
    assert run(technique(name, fields), base, digits_context(base)).digest() != trained().digest()


def test_a_teacher_asked_in_training_mode_answers_in_evaluation_mode() -> None:
    """Dropout and batch statistics are off, whatever mode the network was in."""
    network = paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Dropout(0.5), paddle.nn.Linear(64, 10))
    network.train()
    train = digits().split("train").take(20)
    teacher = Teacher(network, train, augmented=True)
    batch = Batch(np.arange(20), (paddle.to_tensor(train.inputs),))
    assert np.array_equal(teacher(batch).outputs.numpy(), teacher(batch).outputs.numpy())
