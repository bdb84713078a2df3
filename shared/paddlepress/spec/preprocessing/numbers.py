"""Numbers, such as the pixels of images, brought to the scale that a network learned with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from paddlepress.spec.preprocessing.base import InputPreprocessing
from paddlepress.spec.signature import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_LEAST, _MOST = 1e-30, 3.4e38
"""Above zero and below infinity as float32 numbers, which inputs are computed with."""


class Preprocessing(InputPreprocessing):
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

    def stored(self, spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
        """As its `dtype` says, or else of that which the network takes; of the same shape."""
        return self.dtype or spec.dtype, spec.shape

    def misfit_of(self, spec: TensorSpec) -> str:
        """It has other numbers of channels."""
        channels = spec.shape[0] if spec.shape else 1
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, channels):
                given = f"inputs of shape {list(spec.shape)} have {channels} channels"
                return f"{name!r} has {len(values)} numbers, and {given}"
        return ""

    def unlike_of(self, held: InputPreprocessing, data: str) -> str:
        """It takes another dtype."""
        if not isinstance(held, Preprocessing):
            return f"takes {self.dtype or 'numeric'} inputs, and {data} hold text"
        return "" if self.dtype in (None, held.dtype) else f"takes {self.dtype} inputs, and {data} hold {held.dtype}"

    def of_data(self, held: Any) -> Preprocessing:
        """With the dtype of what data hold."""
        return self.model_copy(update={"dtype": held.dtype})

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


def _few(values: tuple[float, ...], most: int = 4) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(f"{value:.4g}" for value in values[:most]) + more
