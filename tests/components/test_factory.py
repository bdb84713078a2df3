"""Components made from fields."""

from __future__ import annotations

from typing import Literal, Optional

import pytest
from pydantic import BaseModel, Field

from paddlepress.core.errors import UsageError
from paddlepress_components.entry import whole_numbers
from paddlepress_components.factory import IMAGE_VARIABLE, Signature, build, source_of


class Fields(BaseModel):
    """Fields of every kind that can be carried.

    Attributes:
        ratio: told in the docstring.
    """

    ratio: float = 0.5
    bits: Literal[8, 16] = 8
    scope: Literal["global", "layer"] = Field(default="global", description='with a "quoted" word')
    exclude: tuple[str, ...] = ("fc*",)
    arguments: dict[str, float] = {}
    threshold: Optional[float] = None  # noqa: UP045
    limit: Optional[int] = None  # noqa: UP045
    width: int | Literal["auto"] = "auto"
    wanted: bool
    """Has no default: it must be given."""


def signature(fields: type[BaseModel]) -> Signature:
    return Signature(name="example", summary="An example.", call="package.module:function", fields=fields)


def test_fields_become_typed_inputs_with_their_defaults() -> None:
    """Kubeflow sees each field's type, default and description, and what must be given."""
    inputs = build(signature(Fields)).component_spec.inputs
    assert {name: (spec.type, spec.default) for name, spec in inputs.items()} == {
        "wanted": ("Boolean", None),
        "ratio": ("Float", 0.5),
        "bits": ("Integer", 8),
        "scope": ("String", "global"),
        "exclude": ("List", ["fc*"]),
        "arguments": ("Dict", {}),
        "threshold": ("Float", None),
        "limit": ("Float", None),
        "width": ("String", "auto"),
    }
    assert inputs["ratio"].description == "told in the docstring"
    assert not inputs["wanted"].optional


def test_a_component_runs_in_the_projects_image_and_installs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image is the project's unless PADDLEPRESS_IMAGE says otherwise; nothing is installed at run time."""
    monkeypatch.setenv(IMAGE_VARIABLE, "registry.example/press:1")
    container = build(signature(Fields)).component_spec.implementation.container
    assert container.image == "registry.example/press:1"
    assert "pip install" not in " ".join(container.command)


def test_a_type_kubeflow_does_not_know_is_refused() -> None:
    """The message names the component, the field, its type and what is valid."""

    class Bad(BaseModel):
        size: complex = 1j

    with pytest.raises(UsageError, match=r"example: the field 'size' has type .*complex.*Valid: int, float"):
        source_of(signature(Bad))


def test_an_optional_field_with_another_default_is_refused() -> None:
    """Kubeflow can't pass 'nothing' in place of a default, so such a field could never be unset."""

    class Bad(BaseModel):
        size: Optional[int] = 3  # noqa: UP045

    with pytest.raises(UsageError, match=r"example: the field 'size' .* must be None"):
        source_of(signature(Bad))


def test_whole_numbers_come_back() -> None:
    """Kubeflow's structs turn integers in lists and dicts into floats; components undo that."""
    assert whole_numbers({"a": 2.0, "b": [1.5, 3.0], "c": "2.0"}) == {"a": 2, "b": [1.5, 3], "c": "2.0"}
