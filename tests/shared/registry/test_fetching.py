"""Bringing a registered version here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import RegistryError, UnknownName
from paddlepress.deployment.predictor import Predictor
from paddlepress.registry.fetching import fetch_deployable, version_of

NAME = "digits"


def test_numbers_and_aliases_name_a_version(registry: Any) -> None:
    """A version is found by its number and by its alias."""
    student = registry.first["student"].version
    assert version_of(registry.client, NAME, "champion").version == student
    assert version_of(registry.client, NAME, str(student)).variant == "student"
    assert version_of(registry.client, NAME, "baseline").variant == "base"


@pytest.mark.parametrize(
    ("name", "reference", "words"),
    [
        ("digit", "champion", ["registered model 'digit'", "digits"]),
        (NAME, "champoin", ["alias of 'digits' 'champoin'", "Did you mean 'champion'?", "baseline"]),
        (NAME, "99", ["version of 'digits' '99'", "1, 2"]),
    ],
    ids=["name", "alias", "version"],
)
def test_what_is_not_there_is_named(registry: Any, name: str, reference: str, words: list[str]) -> None:
    """The message names what was asked for, and what there is."""
    with pytest.raises(UnknownName) as caught:
        version_of(registry.client, name, reference)
    assert all(word in str(caught.value) for word in words), caught.value


def test_a_deployable_is_what_was_registered(registry: Any, variants: Any, tmp_path: Path) -> None:
    """The deployable that is fetched is of the model that the version names."""
    version = registry.first["student"].version
    found = Predictor.load(fetch_deployable(registry.client, NAME, version, tmp_path))
    assert found.manifest.digest == variants["student"].evaluation.model_digest


def test_files_that_are_gone(registry: Any, tmp_path: Path) -> None:
    """A version that can't be fetched is told in one line."""
    with pytest.raises(RegistryError, match="the files of version 99 of 'digits' can't be had"):
        fetch_deployable(registry.client, NAME, 99, tmp_path)
