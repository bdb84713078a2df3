"""What is refused of fields that people set, and in which words."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import Field, ValidationError

from paddlepress.core.fields import Fields, Place, When, describe_fields, explain


class Oven(Fields):
    """Fields of every sort.

    Attributes:
        extras: told in the class.
    """

    mode: str = Field(default="bake", description="how it heats")
    fan: Annotated[int, When("mode", "bake", "roast")] = Field(default=1, ge=0, le=3, description="its speed")
    probe: bool = Field(default=False, description="whether it is in")
    target: Annotated[float, When("probe", ...)] = Field(default=60.0, gt=0, lt=100, description="degrees inside")
    light: Annotated[bool, When("mode", "grill", also=(False,))] = Field(default=True, description="whether it is on")
    place: Annotated[str | None, Place("here")] = Field(default=None, description="where it is")
    minutes: Annotated[int, When("probe", False)] = Field(default=30, ge=1, description="how long")
    racks: list[int] = Field(default=[1], description="which")
    extras: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"fann": 1}, "unknown field 'fann'. Did you mean 'fan'? Valid: "),
        ({"fan": 4}, "'fan' is 4: must be >= 0 and <= 3"),
        ({"fan": True}, "'fan' is True: neither true nor false is valid here"),
        ({"target": float("inf"), "probe": True}, "'target' is inf: "),
        ({"extras": {"a": [{"b": float("nan")}]}}, "holds nan, which is not a finite number"),
        ({"racks": [1, True]}, "'racks' is [1, True]: neither true nor false is valid here"),
        ({"racks": 2}, "'racks' is 2: must be a list, such as [2]"),
        ({"mode": "grill", "fan": 2}, "'fan' is 2, which does nothing with mode 'grill': it goes with mode 'bake' or"),
        ({"target": 70}, "'target' is 70.0, which does nothing with probe False"),
        ({"minutes": 5, "probe": True}, "'minutes' is 5, which does nothing with probe True: it goes with probe False"),
    ],
)
def test_a_mistake_is_told_in_one_line(fields: dict[str, Any], told: str) -> None:
    """The field, its value and what is valid."""
    with pytest.raises(ValidationError) as caught:
        Oven(**fields)
    message = explain(caught.value, Oven)
    assert told in message
    assert "\n" not in message


def test_what_does_something_is_taken() -> None:
    """A field beside the values with which it counts, one with its default anywhere, a boolean that is one."""
    assert Oven(mode="roast", fan=2).fan == 2
    assert Oven(mode="grill", fan=1).fan == 1
    assert Oven(probe=True, target=70).target == 70
    assert not Oven(light=False).light
    assert Oven(extras={"steam": True}).extras == {"steam": True}
    assert Oven.model_validate(Oven(probe=True, target=70).model_dump()).probe


def test_fields_are_described() -> None:
    """A description stands in the field or in the class; types have names that people know."""
    rows = {row["field"]: row for row in describe_fields(Oven)}
    assert rows["extras"]["description"] == "told in the class"
    assert rows["extras"]["type"] == "mapping"
    assert rows["fan"]["range"] == ">= 0, <= 3"
    assert rows["racks"]["type"] == "list of int"


class Kiln(Oven):
    """It has a field of its own, and another default for one."""

    heat: int = Field(default=1000, description="degrees")
    minutes: int = Field(default=60, description="how long")


def test_own_fields_are_told_first() -> None:
    """A field that is only given another default stays among those of the class that has it."""
    rows = [row["field"] for row in describe_fields(Kiln)]
    assert rows[0] == "heat"
    assert rows[1:] == [row["field"] for row in describe_fields(Oven)]


def test_places_on_this_machine() -> None:
    """No words that mean something else, nothing remote, nothing at all."""
    mark = Place("here")
    assert mark.local(["here", "", "s3://bucket/key", "a/b"]) == ["a/b"]
    assert mark.local("a") == ["a"]
    assert mark.local(None) == []
