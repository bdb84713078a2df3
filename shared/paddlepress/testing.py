"""What every technique has to keep, as tests that a plugin's own tests inherit.

    class TestMyTechnique(TechniqueContract):
        technique = MyTechnique(recovery_epochs=1)
        bad_fields = {"ratio": -1}

        def assert_effect(self, before: Path, after: Path) -> None:
            assert size_of(after) < size_of(before)

The suite compresses LeNet, lightly trained on scikit-learn's digits: a contract takes some seconds.
It needs pytest: `pip install paddlepress[testing]`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from paddlepress.core import compute
from paddlepress.core.errors import UsageError
from paddlepress.data import Dataset, Split
from paddlepress.forward.score import score
from paddlepress.network.edits import Mask, parameter
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
from paddlepress.techniques import Context, Technique, name_of, run, technique

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "paddlepress.testing needs pytest: pip install 'paddlepress[testing]'", name=error.name
    ) from None

compute.prepare()  # nothing above has imported Paddle yet

_IN_A_FRESH_PROCESS = """
import sys
from pathlib import Path
from paddlepress.core import compute
compute.prepare()
import numpy as np
from paddlepress.artifact.store import load
np.save(sys.argv[3], load(Path(sys.argv[1])).predict(np.load(sys.argv[2])))
"""


@cache
def digits() -> Dataset:
    """scikit-learn's 8x8 digits, in splits for training, validation, calibration and test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = (found.images[:, None].astype(np.float32) - 4.88) / 6.02
    labels = found.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    parts = np.split(order, [1097, 1397])
    splits = {
        name: Split(np.ascontiguousarray(images[chosen], np.float32), labels[chosen])
        for name, chosen in zip(("train", "validation", "test"), parts, strict=True)
    }
    splits["calibration"] = splits["train"].take(256)
    return Dataset(
        name="digits",
        inputs=(TensorSpec(name="image", shape=(1, 8, 8)),),
        task=Classification(classes=tuple(str(name) for name in found.target_names)),
        splits=splits,
        digest="digits",
    )


@cache
def trained(architecture: str = "lenet") -> Model:
    """An architecture after a short training on `digits`; not to be changed: take a copy."""
    from paddlepress.training.base_training import train_base
    from paddlepress.training.settings import TrainingSettings

    settings = TrainingSettings(epochs=6, batch_size=32, learning_rate=3e-3)
    return train_base(ArchitectureRef(name=architecture), digits(), settings)


def digits_context(base: Model, **changes: Any) -> Context:
    """A context over `digits`, without its test split."""
    splits = digits().splits
    given = {name: splits[name] for name in ("train", "validation", "calibration")}
    return Context(**{**given, "base": base, **changes})


def size_of(directory: Path) -> int:
    """Bytes of all files of an artifact."""
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def predict_in_fresh_process(directory: Path, inputs: np.ndarray[Any, Any], scratch: Path) -> np.ndarray[Any, Any]:
    """What an artifact predicts when a new Python process loads it."""
    given, received = scratch / "inputs.npy", scratch / "outputs.npy"
    np.save(given, inputs)
    command = [sys.executable, "-c", _IN_A_FRESH_PROCESS, str(directory), str(given), str(received)]
    environment = {**os.environ, **compute.subprocess_environment()}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    outputs: np.ndarray[Any, Any] = np.load(received)
    return outputs


class TechniqueContract:
    """Inherit it, set `technique`, implement `assert_effect`; pytest runs the rest.

    Attributes:
        technique: as it is to be tested; short recovery keeps the suite fast.
        bad_fields: a field and a value that it must refuse.
        architecture: what is compressed.
        least_accuracy: what the compressed model must still reach on digits' test split, percent.
        replaces_network: the technique makes a network of another architecture, which owes nothing to the
            incoming model's masks and sizes.
    """

    technique: ClassVar[Technique]
    bad_fields: ClassVar[Mapping[str, Any]] = {}
    architecture: ClassVar[str] = "lenet"
    least_accuracy: ClassVar[float] = 85.0
    replaces_network: ClassVar[bool] = False

    def assert_effect(self, before: Path, after: Path) -> None:
        """Fail unless the artifact `after` shows what the technique promises, against `before`."""
        pytest.fail("a technique's contract says what the technique does: implement assert_effect")

    @pytest.fixture(scope="class")
    @classmethod
    def model(cls) -> Model:
        """What the technique is applied to, which is the base model too."""
        return trained(cls.architecture).copy()

    @pytest.fixture(scope="class")
    @classmethod
    def before(cls, model: Model) -> dict[str, str]:
        return {"digest": model.digest()}

    @pytest.fixture(scope="class")
    @classmethod
    def compressed(cls, model: Model, before: dict[str, str]) -> Model:
        return run(cls.technique, model, digits_context(model))

    @pytest.fixture(scope="class")
    @classmethod
    def artifacts(
        cls, model: Model, compressed: Model, tmp_path_factory: pytest.TempPathFactory
    ) -> Iterator[tuple[Path, Path]]:
        from paddlepress.artifact.store import save

        home = tmp_path_factory.mktemp("artifacts")
        save(model, home / "before")
        save(compressed, home / "after")
        yield home / "before", home / "after"

    def test_reloads_bit_equal_in_a_fresh_process(
        self, compressed: Model, artifacts: tuple[Path, Path], tmp_path: Path
    ) -> None:
        """A saved model computes exactly the same outputs in a process that never saw the technique."""
        inputs = digits().split("test").inputs[:64]
        received = predict_in_fresh_process(artifacts[1], inputs, tmp_path)
        assert np.array_equal(received.view(np.int32), compressed.predict(inputs).view(np.int32))

    def test_effect_is_real(self, artifacts: tuple[Path, Path]) -> None:
        """The artifact shows what the technique promises."""
        self.assert_effect(*artifacts)

    def test_still_works(self, compressed: Model) -> None:
        """The compressed model still tells the digits apart."""
        assert score(compressed.network, compressed.task, digits().split("test")) >= self.least_accuracy

    def test_leaves_its_input_alone(self, model: Model, before: dict[str, str], compressed: Model) -> None:
        """Neither the incoming model nor the base model changes."""
        assert model.digest() == before["digest"]

    def test_is_deterministic(self, model: Model, compressed: Model) -> None:
        """The same seed gives the same bits."""
        assert run(self.technique, model, digits_context(model)).digest() == compressed.digest()

    def test_is_recorded(self, compressed: Model) -> None:
        """The lineage names the technique with every field."""
        last = compressed.lineage[-1]
        assert last.technique == name_of(self.technique)
        assert last.parameters == self.technique.model_dump(mode="json")

    def test_refuses_an_unknown_field(self) -> None:
        """A field that the technique does not have is refused with the valid ones."""
        with pytest.raises(UsageError, match="no_such_field"):
            self._rebuilt(no_such_field=1)

    def test_refuses_a_bad_value(self) -> None:
        """A value out of range or of the wrong type is refused with the field's name."""
        assert self.bad_fields, "name a field and a value that it must refuse in bad_fields"
        for name, value in self.bad_fields.items():
            assert name in type(self.technique).model_fields, f"bad_fields: the technique has no field {name!r}"
            with pytest.raises(UsageError, match=rf"\b{re.escape(name)}\b") as refused:
                self._rebuilt(**{name: value})
            assert "unknown field" not in str(refused.value)

    def test_fields_survive_json(self) -> None:
        """A technique's fields can be written as JSON and read back."""
        kind = type(self.technique)
        assert kind.model_validate_json(self.technique.model_dump_json()) == self.technique

    def test_works_after_another_technique(self, model: Model, tmp_path: Path) -> None:
        """A model that was compressed before can be compressed again, saved and loaded, and keeps its masks.

        A mask may go with its layer only, where the technique takes that out or puts another in its place.
        """
        from paddlepress.artifact.store import load, save

        once = self._pruned(model)
        twice = run(self.technique, once, digits_context(model))
        save(twice, tmp_path / "twice")
        inputs = digits().split("test").inputs[:64]
        assert np.array_equal(load(tmp_path / "twice").predict(inputs), twice.predict(inputs))
        if self._replaced(once, twice):
            return
        present = dict(twice.network.named_parameters())
        for name in (name for name in once.masked() if name in present):
            assert name in twice.masked(), f"{name} lost the mask of the technique before"
            assert np.mean(present[name].numpy() == 0) > 0.2, f"{name} lost the zeros of the technique before"

    def test_works_after_prune_filters(self, model: Model, tmp_path: Path) -> None:
        """A model that lost filters can be compressed further, saved, loaded, still predicts and does not grow."""
        from paddlepress.artifact.store import load, save

        once = self._narrowed(model)
        twice = run(self.technique, once, digits_context(model))
        save(twice, tmp_path / "twice")
        inputs = digits().split("test").inputs[:64]
        outputs = twice.predict(inputs)
        assert np.isfinite(outputs).all()
        assert np.array_equal(load(tmp_path / "twice").predict(inputs), outputs)
        if not self._replaced(once, twice):
            before, after = (sum(value.size for value in each.state().values()) for each in (once, twice))
            assert after <= before, f"{before} parameters became {after}: the technique undid what was cut before"

    def _replaced(self, before: Model, after: Model) -> bool:
        """Whether the network is of another architecture; fails unless `replaces_network` says the same."""
        replaced = after.architecture != before.architecture
        assert replaced == self.replaces_network, (
            f"replaces_network is {self.replaces_network}, but the architecture was {before.architecture} and is "
            f"{after.architecture}"
        )
        return replaced

    def _narrowed(self, model: Model) -> Model:
        """The model with every third of the units of each group that can be narrowed removed."""
        from paddlepress.surgery.graph import narrow_all, trace

        groups = trace(model).groups
        return narrow_all(model.copy(), {g.name: np.flatnonzero(np.arange(g.units) % 3) for g in groups})

    def _pruned(self, model: Model) -> Model:
        """The model with the smaller half of its first layer's weights masked."""
        from paddlepress.network.layer_kinds import weighted_layers

        pruned = model.copy()
        name = f"{next(iter(weighted_layers(pruned.network)))}.weight"
        target = parameter(pruned.network, name)
        weight = target.numpy()
        weight[np.abs(weight) < np.median(np.abs(weight))] = 0
        target.set_value(weight)
        return pruned.with_edits(Mask(parameters=(name,)))

    def _rebuilt(self, **changes: Any) -> Technique:
        kind = type(self.technique)
        name = name_of(kind)
        fields = {**self.technique.model_dump(), **changes}
        try:
            return technique(name, fields)
        except UsageError as error:
            if "unknown technique" not in str(error):
                raise
            raise AssertionError(f"{kind.__qualname__} is not registered: add its entry point") from None
