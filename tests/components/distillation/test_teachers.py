from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.artifact.store import save
from paddlepress.data import Split
from paddlepress.errors import ArtifactError, DataError, TrainingFailed
from paddlepress.model import InputSpec, Task
from paddlepress.testing import digits, trained
from paddlepress.training.losses import Batch
from paddlepress.training.teachers import CACHE_BYTES, Teacher
from paddlepress_components.distillation.teachers import check_teacher, load_teachers


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
    from paddlepress.storage import push

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
        ({"task": Task(classes=("0", "1"))}, "the teacher at /t tells 2 classes apart, the student 10"),
        ({"task": Task(classes=tuple("1023456789"))}, "its class 0 is '1', the student's '0'"),
        ({"inputs": (InputSpec(name="x", shape=(3, 8, 8)),)}, r"takes inputs of shape \[\[3, 8, 8\]\], the student"),
    ],
)
def test_a_teacher_of_another_task_is_refused(change: dict[str, Any], said: str) -> None:
    """Other classes or inputs: its answers would mean nothing."""
    with pytest.raises(TrainingFailed, match=said):
        check_teacher(replace(trained(), **change), trained(), "/t")


def test_cached_answers_are_the_networks() -> None:
    """Logits and features of a batch are the same from the cache, live, and from the network itself."""
    train = digits().split("train")
    network, indices = trained().network, np.array([900, 3, 250])
    batch = Batch(indices, paddle.to_tensor(train.inputs[indices]))

    def halves(found: list[paddle.Tensor]) -> list[paddle.Tensor]:
        return [feature / 2 for feature in found]

    for augmented in (False, True):
        answer = Teacher(network, train, augmented, ("conv1", "fc1"), halves)(batch)
        np.testing.assert_allclose(answer.logits.numpy(), network(batch.inputs).numpy(), atol=1e-4)
        expected = network.conv1(batch.inputs).numpy() / 2
        np.testing.assert_allclose(answer.features[0].numpy(), expected, atol=1e-5)
        assert answer.features[1].shape == [3, 128]
        assert answer.logits.stop_gradient and answer.features[0].stop_gradient


def test_answers_too_large_to_keep_are_given_live() -> None:
    """A teacher whose features would take more than the limit is asked for each batch."""
    many = CACHE_BYTES // (32 * 8 * 8 * 4) + 1
    image = digits().split("train").inputs[:1]
    train = Split(np.broadcast_to(image, (many, 1, 8, 8)), np.zeros(many, np.int64))
    asked: list[int] = []
    network = trained().copy().network
    network.register_forward_pre_hook(lambda layer, inputs: asked.append(len(inputs[0])))
    teacher = Teacher(network, train, layers=("conv1",))
    teacher(Batch(np.array([0, 1]), paddle.to_tensor(train.inputs[:2])))
    assert sum(asked) < many
    assert asked[-1] == 2


def test_a_teacher_asked_in_training_mode_answers_in_evaluation_mode() -> None:
    """Dropout and batch statistics are off, whatever mode the network was in."""
    network = paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Dropout(0.5), paddle.nn.Linear(64, 10))
    network.train()
    train = digits().split("train").take(20)
    teacher = Teacher(network, train, augmented=True)
    batch = Batch(np.arange(20), paddle.to_tensor(train.inputs))
    assert np.array_equal(teacher(batch).logits.numpy(), teacher(batch).logits.numpy())
