"""The preprocessing of several inputs, and of any."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, RootModel, SerializeAsAny

from paddlepress.spec.preprocessing.base import InputPreprocessing
from paddlepress.spec.preprocessing.numbers import Preprocessing
from paddlepress.spec.preprocessing.tokens import Tokenization
from paddlepress.spec.signature import TensorSpec


def _of_its_kind(value: Any) -> Any:
    return preprocessing_of(value) if isinstance(value, Mapping) else value


OfOneInput = Annotated[SerializeAsAny[InputPreprocessing], BeforeValidator(_of_its_kind)]


class NamedPreprocessing(RootModel[dict[str, OfOneInput]]):
    """The preprocessing of a network that takes several inputs: that of each, by the input's name."""

    model_config = ConfigDict(frozen=True)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""
        return tuple(self.root)

    def of(self, name: str) -> InputPreprocessing:
        """That of the input of a name."""
        return self.root[name]

    def misfit(self, inputs: tuple[TensorSpec, ...]) -> str:
        """Why it can't be applied to what stands for these inputs, in words; empty if it can."""
        names = {spec.name for spec in inputs}
        if names != self.root.keys():
            return f"it is of {', '.join(self.root)}, and the inputs are {', '.join(sorted(names))}"
        problems = {spec.name: self.of(spec.name).misfit((spec,)) for spec in inputs}
        return next((f"{name}: {problem}" for name, problem in problems.items() if problem), "")

    def unlike(self, held: AnyPreprocessing, data: str) -> str:
        """See `InputPreprocessing.unlike`."""
        others = held.root if isinstance(held, NamedPreprocessing) else {}
        if others.keys() != self.root.keys():
            return f"is of {', '.join(self.root)}, and {data} hold {', '.join(others) or 'one input'}"
        problems = {name: own.unlike(others[name], data) for name, own in self.root.items()}
        return next((f"{problem} of {name!r}" for name, problem in problems.items() if problem), "")

    def of_data(self, held: AnyPreprocessing) -> NamedPreprocessing:
        """See `InputPreprocessing.of_data`."""
        return NamedPreprocessing({name: own.of_data(held.of(name)) for name, own in self.root.items()})

    def text(self) -> str:
        """It in a few words, such as `image: uint8 / 255, mean 0, std 1; title: text as 64 of 10,002 words`."""
        return "; ".join(f"{name}: {own.text()}" for name, own in self.root.items())


AnyPreprocessing = Annotated[SerializeAsAny[InputPreprocessing] | NamedPreprocessing, BeforeValidator(_of_its_kind)]
"""The type of a field that holds the preprocessing of one input or of several."""


def form_of(fields: Mapping[str, Any]) -> type[InputPreprocessing | NamedPreprocessing]:
    """The class that fields are of: several inputs have mappings of their own, and text has a vocabulary."""
    if fields and all(isinstance(part, Mapping) for part in fields.values()):
        return NamedPreprocessing
    return Tokenization if "vocabulary" in fields else Preprocessing


def preprocessing_of(fields: Mapping[str, Any]) -> InputPreprocessing | NamedPreprocessing:
    """The preprocessing of one input, or by their names of several, from its fields.

    Raises:
        pydantic.ValidationError: they do not fit.
    """
    return form_of(fields).model_validate(dict(fields))
