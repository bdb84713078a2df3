"""The distillation techniques keep the contract."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from paddlepress.artifact.store import load
from paddlepress.testing import TechniqueContract
from paddlepress_components.distillation.offline import DistillOffline
from paddlepress_components.distillation.online import DistillOnline
from paddlepress_components.distillation.self_distillation import DistillSelf

QUARTER = {"student": "lenet", "student_arguments": {"width": 0.25}}


def parameters(directory: Path) -> int:
    return sum(array.size for array in load(directory).state().values())


class TestDistillStudent(TechniqueContract):
    technique: ClassVar = DistillOffline(student="lenet-half", epochs=5, batch_size=32)
    bad_fields: ClassVar = {
        "student": "lenet-of-nowhere",
        "alpha": 2,
        "temperature": 0,
        "loss": "telepathy",
        "teachers": [""],
        "teacher_weights": [1.0, 2.0],
    }
    replaces_network: ClassVar = True

    def assert_effect(self, before: Path, after: Path) -> None:
        """The student is another, smaller network, with the teacher's history."""
        assert load(after).architecture.name == "lenet-half"
        assert [entry.technique for entry in load(after).lineage] == ["train", "distill-offline"]
        assert parameters(after) <= 0.5 * parameters(before)


class TestDistillIncoming(TechniqueContract):
    technique: ClassVar = DistillOffline(loss="hints", epochs=2, batch_size=32, learning_rate=1e-3, shift=1)
    bad_fields: ClassVar = {"epochs": 0, "hint_weight": -1}

    def assert_effect(self, before: Path, after: Path) -> None:
        """The incoming model learned: same structure and no part of the hints' regressor, other weights."""
        assert load(after).architecture == load(before).architecture
        assert load(after).state().keys() == load(before).state().keys()
        assert load(after).digest() != load(before).digest()


class TestDistillOnline(TechniqueContract):
    technique: ClassVar = DistillOnline(epochs=5, batch_size=32)
    bad_fields: ClassVar = {"peers": 1, "mutual_weight": -1, "start": "yesterday"}

    def assert_effect(self, before: Path, after: Path) -> None:
        """One network of the incoming structure is left of the peers, with weights of its own."""
        assert load(after).architecture == load(before).architecture
        assert load(after).state().keys() == load(before).state().keys()
        assert load(after).digest() != load(before).digest()


class TestDistillBornAgain(TechniqueContract):
    technique: ClassVar = DistillSelf(epochs=5, batch_size=32)
    bad_fields: ClassVar = {"generations": 0, "method": "rebirth"}

    def assert_effect(self, before: Path, after: Path) -> None:
        """The student has its teacher's structure and weights of its own."""
        assert load(after).architecture == load(before).architecture
        assert load(after).digest() != load(before).digest()


class TestDistillWithHeads(TechniqueContract):
    technique: ClassVar = DistillSelf(method="auxiliary-heads", epochs=5, batch_size=32, **QUARTER)
    bad_fields: ClassVar = {"alpha": -1, "layers": 3}
    least_accuracy: ClassVar = 80.0  # a quarter of the width, from fresh weights in a few epochs
    replaces_network: ClassVar = True

    def assert_effect(self, before: Path, after: Path) -> None:
        """The heads are gone: what is left is the student alone."""
        assert set(load(after).state()) == set(load(before).state())
        assert parameters(after) <= 0.3 * parameters(before)
