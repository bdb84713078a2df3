"""What becomes of one input of a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

from paddlepress.core.fields import Fields
from paddlepress.spec.signature import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class InputPreprocessing(Fields, ABC):
    """What becomes of one input that data hold before a network takes it."""

    def of(self, name: str) -> Self:
        """That of the input of a name, which is the only one."""
        return self

    @abstractmethod
    def stored(self, spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
        """Dtype and shape of an example as data hold it.

        Args:
            spec: what the network takes.
        """

    def taken(self, spec: TensorSpec) -> TensorSpec:
        """What the network takes.

        Args:
            spec: what a network would take after the preprocessing that was measured of the data.
        """
        return spec

    def misfit(self, inputs: tuple[TensorSpec, ...]) -> str:
        """Why it can't be applied to what stands for these inputs, in words; empty if it can."""
        if len(inputs) > 1:
            return f"it is of one input, and there are {len(inputs)}: {', '.join(spec.name for spec in inputs)}"
        return self.misfit_of(inputs[0]) if inputs else ""

    @abstractmethod
    def misfit_of(self, spec: TensorSpec) -> str:
        """See `misfit`, of one input."""

    def unlike(self, held: Any, data: str) -> str:
        """Why it is not for inputs that data hold, in words that follow its name; empty if it is.

        Args:
            held: the preprocessing that was measured of the data, whose dtypes are those of what they hold.
            data: what they are called.
        """
        if not isinstance(held, InputPreprocessing):
            return f"is of one input, and {data} hold {', '.join(held.names)}"
        return self.unlike_of(held, data)

    @abstractmethod
    def unlike_of(self, held: InputPreprocessing, data: str) -> str:
        """See `unlike`, of one input."""

    def of_data(self, held: Any) -> InputPreprocessing:
        """It for what data hold; see `unlike`."""
        return self

    @abstractmethod
    def apply(self, stored: NDArray[Any]) -> NDArray[Any]:
        """What the network takes for inputs [n, ...] as data hold them."""

    @abstractmethod
    def text(self) -> str:
        """It in a few words."""
