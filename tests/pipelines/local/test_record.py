"""The models that runs leave."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from paddlepress.core.errors import UnknownName
from paddlepress_pipelines.local.record import model_of


def record(home: Path, run: str, recipe: str, **models: str) -> None:
    folder = home / "runs" / run
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps({"recipe": {"name": recipe}, "models": models}))


@pytest.mark.parametrize("damage", ['{"recipe": {"na', "[]", '{"recipe": {"name": "mnist"}, "models": [1]}'])
def test_a_damaged_record_hides_no_other(damage: str, tmp_path: Path) -> None:
    """What can't be read is passed over: the models of other runs are found, and nothing else is told wrongly."""
    record(tmp_path, "20260101-120000-mnist", "mnist", base="cache/base/model")
    record(tmp_path, "20260102-120000-mnist", "mnist")
    (tmp_path / "runs" / "20260102-120000-mnist" / "run.json").write_text(damage)
    assert model_of(tmp_path, "mnist/base") == tmp_path / "cache/base/model"


def test_the_last_run_of_a_recipe_counts(tmp_path: Path) -> None:
    """A newer model of a variant takes the place of an older; a run without models, or of another recipe, of none."""
    record(tmp_path, "20260101-120000-mnist", "mnist", base="cache/old/model", early="cache/early/model")
    record(tmp_path, "20260102-120000-mnist", "mnist", base="cache/new/model", int8="cache/int8/model")
    record(tmp_path, "20260103-120000-digits", "digits", base="cache/digits/model")
    record(tmp_path, "20260104-120000-mnist", "mnist")
    assert model_of(tmp_path, "mnist/base") == tmp_path / "cache/new/model"
    assert model_of(tmp_path, "mnist/early") == tmp_path / "cache/early/model"
    assert model_of(tmp_path, "digits/base") == tmp_path / "cache/digits/model"
    with pytest.raises(UnknownName, match=r"unknown model 'mnist/gone'.* Valid: mnist/base, mnist/early, mnist/int8$"):
        model_of(tmp_path, "mnist/gone")
    with pytest.raises(
        UnknownName, match=r"Did you mean 'mnist/int8'.* Valid: digits/base, mnist/base, mnist/early, mnist/int8$"
    ):
        model_of(tmp_path, "mnits/int8")
