"""The suite that a plugin's tests inherit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.techniques import Context, Technique
from paddlepress.testing import TechniqueContract, trained


class GiveBase(Technique):
    """Forgets what was done to the model."""

    def apply(self, model: Model, context: Context) -> Model:
        return context.base.copy()


class Forgetful(TechniqueContract):
    technique: ClassVar = GiveBase()
    bad_fields: ClassVar = {"no_such_field": 1}


class GiveStudent(Technique):
    """Makes a network of another architecture."""

    def apply(self, model: Model, context: Context) -> Model:
        return Model.build(ArchitectureRef(name="lenet-half"), model.inputs, model.task, lineage=model.lineage)


class Unannounced(TechniqueContract):
    technique: ClassVar = GiveStudent()


class AnotherNetwork(Unannounced):
    replaces_network: ClassVar = True


def test_a_contract_without_an_effect_fails(tmp_path: Path) -> None:
    """A contract that does not say what its technique does fails, and says what to implement."""
    with pytest.raises(pytest.fail.Exception, match="implement assert_effect"):
        TechniqueContract().assert_effect(tmp_path, tmp_path)


def test_a_technique_that_forgets_masks_fails(tmp_path: Path) -> None:
    """A mask of the technique before that is gone, although its layer is there, is named."""
    with pytest.raises(AssertionError, match=r"conv1\.weight lost the mask"):
        Forgetful().test_works_after_another_technique(trained(), tmp_path)


def test_a_technique_that_undoes_narrowing_fails(tmp_path: Path) -> None:
    """A result of more parameters than the narrowed model had fails."""
    with pytest.raises(AssertionError, match="the technique undid what was cut before"):
        Forgetful().test_works_after_prune_filters(trained(), tmp_path)


def test_another_architecture_has_to_be_announced(tmp_path: Path) -> None:
    """A network of another architecture owes no mask and no size, where the contract says that it is one."""
    for check in ("test_works_after_another_technique", "test_works_after_prune_filters"):
        getattr(AnotherNetwork(), check)(trained(), tmp_path / "announced")
        with pytest.raises(AssertionError, match="replaces_network is False"):
            getattr(Unannounced(), check)(trained(), tmp_path / "unannounced")


def test_a_bad_value_is_of_a_field() -> None:
    """A name in bad_fields that the technique does not have would be refused for that alone: the contract fails."""
    with pytest.raises(AssertionError, match="has no field 'no_such_field'"):
        Forgetful().test_refuses_a_bad_value()


def test_without_pytest_it_says_what_to_install(tmp_path: Path) -> None:
    """Where pytest is not installed, the import names the extra that brings it."""
    (tmp_path / "pytest.py").write_text("raise ModuleNotFoundError(\"No module named 'pytest'\", name='pytest')")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "import paddlepress.testing"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "paddlepress.testing needs pytest: pip install 'paddlepress[testing]'" in done.stderr
