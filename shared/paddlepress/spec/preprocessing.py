"""What becomes of the inputs that data hold before a network takes them.

A model owns its preprocessing: it is trained, compressed, measured and deployed with the same. Nothing but NumPy is
needed to apply it, so a device runs the very same steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field, RootModel, field_validator, model_validator

from paddlepress.core.fields import Fields
from paddlepress.spec.signature import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import NamedArrays

_LEAST, _MOST = 1e-30, 3.4e38
"""Above zero and below infinity as float32 numbers, which inputs are computed with."""


class Preprocessing(Fields):
    """`(inputs / scale - mean) / std`, with a mean and a standard deviation a channel or feature."""

    dtype: Literal["uint8", "float32"] | None = Field(
        default=None, description="of the inputs as the data hold them; null takes that of the data it is used with"
    )
    scale: float = Field(
        default=1.0, ge=_LEAST, le=_MOST, description="what inputs are divided by first, such as 255 for pixels"
    )
    mean: tuple[float, ...] = Field(
        default=(0.0,), description="subtracted then: a number for each channel or feature, or one for all"
    )
    std: tuple[float, ...] = Field(
        default=(1.0,), description="what is divided by last: a number for each channel or feature, or one for all"
    )

    @field_validator("mean", "std")
    @classmethod
    def _not_empty(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value:
            raise ValueError("holds no number. Valid: one for each channel, or one for all")
        if max(map(abs, value)) > _MOST:
            raise ValueError(f"holds {max(value, key=abs):g}. Valid: numbers up to {_MOST:g}")
        return value

    @field_validator("std")
    @classmethod
    def _divisible(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if min(value) < _LEAST:
            raise ValueError(f"holds {min(value):g}. Valid: numbers above 0; 1 leaves a channel as it is")
        return value

    @model_validator(mode="after")
    def _one_each(self) -> Preprocessing:
        if 1 not in (len(self.mean), len(self.std)) and len(self.mean) != len(self.std):
            raise ValueError(
                f"'mean' has {len(self.mean)} numbers and 'std' has {len(self.std)}. "
                "Valid: as many, or one for all channels"
            )
        return self

    def of(self, name: str) -> Preprocessing:
        """That of the input of a name, which is the only one."""
        return self

    def misfit(self, inputs: tuple[TensorSpec, ...]) -> str:
        """Why it can't be applied to what stands for these inputs, in words; empty if it can."""
        if len(inputs) > 1:
            return f"it is of one input, and there are {len(inputs)}: {', '.join(spec.name for spec in inputs)}"
        shape = inputs[0].shape if inputs else ()
        channels = shape[0] if shape else 1
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                return f"{name!r} has {len(values)} numbers, and inputs of shape {list(shape)} have {channels} channels"
        return ""

    def unlike(self, stored: AnyPreprocessing, data: str) -> str:
        """Why it is not for inputs that data hold, in words that follow its name; empty if it is.

        Args:
            stored: the data's own, whose dtypes are those of what they hold.
            data: what they are called.
        """
        if not isinstance(stored, Preprocessing):
            return f"is of one input, and {data} hold {', '.join(stored.root)}"
        takes, held = self.dtype, stored.dtype
        return "" if takes in (None, held) else f"takes {takes} inputs, and {data} hold {held}"

    def of_data(self, stored: AnyPreprocessing) -> Preprocessing:
        """It with the dtype of what data hold, as `unlike` is told of them."""
        return self.model_copy(update={"dtype": stored.of("").dtype})

    def apply(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """What a network takes for inputs [n, channels, ...] as data hold them; float32 of the same shape."""
        import numpy as np

        shape = (1, -1) + (1,) * (stored.ndim - 2)
        inputs = stored.astype(np.float32)
        inputs /= np.float32(self.scale)
        inputs -= np.asarray(self.mean, np.float32).reshape(shape)
        inputs /= np.asarray(self.std, np.float32).reshape(shape)
        return inputs

    def after(self, other: Preprocessing) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What turns the results of another preprocessing into those of this one: `results * factor + offset`.

        Returns:
            Factor and offset, float32 [channels], or [1] where all channels have the same.
        """
        import numpy as np

        (mean, std), (other_mean, other_std) = (
            (np.asarray(each.mean, np.float64), np.asarray(each.std, np.float64)) for each in (self, other)
        )
        rescaled = other.scale / self.scale
        factor, offset = other_std * rescaled / std, (other_mean * rescaled - mean) / std
        return factor.astype(np.float32), offset.astype(np.float32)

    def text(self) -> str:
        """It in a few words, such as `uint8 / 255, mean 0.1307, std 0.3081`."""
        return f"{self.dtype or 'inputs'} / {self.scale:g}, mean {_few(self.mean)}, std {_few(self.std)}"


class NamedPreprocessing(RootModel[dict[str, Preprocessing]]):
    """The preprocessing of a network that takes several inputs: that of each, by the input's name."""

    model_config = ConfigDict(frozen=True)

    def of(self, name: str) -> Preprocessing:
        """That of the input of a name."""
        return self.root[name]

    def misfit(self, inputs: tuple[TensorSpec, ...]) -> str:
        """Why it can't be applied to what stands for these inputs, in words; empty if it can."""
        names = {spec.name for spec in inputs}
        if names != self.root.keys():
            return f"it is of {', '.join(self.root)}, and the inputs are {', '.join(sorted(names))}"
        problems = {spec.name: self.of(spec.name).misfit((spec,)) for spec in inputs}
        return next((f"{name}: {problem}" for name, problem in problems.items() if problem), "")

    def unlike(self, stored: AnyPreprocessing, data: str) -> str:
        """See `Preprocessing.unlike`."""
        held = stored.root if isinstance(stored, NamedPreprocessing) else {}
        if held.keys() != self.root.keys():
            return f"is of {', '.join(self.root)}, and {data} hold {', '.join(held) or 'one input'}"
        problems = {name: own.unlike(held[name], data) for name, own in self.root.items()}
        return next((f"{problem} of {name!r}" for name, problem in problems.items() if problem), "")

    def of_data(self, stored: AnyPreprocessing) -> NamedPreprocessing:
        """See `Preprocessing.of_data`."""
        return NamedPreprocessing({name: own.of_data(stored.of(name)) for name, own in self.root.items()})

    def apply(self, stored: NamedArrays) -> NamedArrays:
        """What a network takes for inputs as data hold them."""
        from paddlepress.spec.tensors import NamedArrays

        return NamedArrays({name: self.of(name).apply(array) for name, array in stored.arrays.items()})

    def text(self) -> str:
        """It in a few words, such as `image: uint8 / 255, mean 0, std 1; age: float32 / 1, mean 38, std 12`."""
        return "; ".join(f"{name}: {own.text()}" for name, own in self.root.items())


def _of_its_form(value: Any) -> Any:
    """A mapping of names to mappings as the preprocessing of several inputs, any other as that of one."""
    if not isinstance(value, Mapping):
        return value
    return preprocessing_of(value)


AnyPreprocessing = Annotated[Preprocessing | NamedPreprocessing, BeforeValidator(_of_its_form)]
"""The type of a field that holds the preprocessing of one input or of several."""


def preprocessing_of(fields: Mapping[str, Any]) -> Preprocessing | NamedPreprocessing:
    """The preprocessing of one input, or by their names of several, from its fields.

    Raises:
        pydantic.ValidationError: they do not fit.
    """
    return (NamedPreprocessing if several(fields) else Preprocessing).model_validate(dict(fields))


def several(fields: Mapping[str, Any]) -> bool:
    """Whether fields are those of several inputs, by name."""
    return bool(fields) and all(isinstance(part, Mapping) for part in fields.values())


def _few(values: tuple[float, ...], most: int = 4) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(f"{value:.4g}" for value in values[:most]) + more
