"""Text cut into tokens, and tokens as places in a table that is part of the model."""

from __future__ import annotations

import re
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator

from paddlepress.spec.preprocessing.base import InputPreprocessing
from paddlepress.spec.signature import TensorSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Unit = Literal["words", "characters"]
UNIT = (
    "what text is cut into: words are runs of letters, digits and _, and every other sign by itself; characters, for "
    "languages that are written without blanks, are all signs. Blanks only divide"
)
UNKNOWN, FIRST = 1, 2
"""The place of what is not in the table, and that of its first token; 0 fills up."""

_TOKENS = {"words": re.compile(r"\w+|[^\w\s]"), "characters": re.compile(r"\S")}


def cut(text: str, unit: str) -> list[str]:
    """The tokens of a text in their order: of its Unicode normal form NFKC, in lower case."""
    return _TOKENS[unit].findall(unicodedata.normalize("NFKC", text).lower())


class Tokenization(InputPreprocessing):
    """Text as places of its tokens in a table.

    Place 0 fills up what is shorter than `length`, 1 stands for what is not in the table, and the table's own tokens
    follow from 2 on.
    """

    vocabulary: tuple[str, ...] = Field(description="the table's tokens, in their order")
    length: int = Field(ge=1, le=2**16, description="tokens of an example; what is longer is cut off, 0 fills up")
    unit: Unit = Field(default="words", description=UNIT)

    @field_validator("vocabulary")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("names a token more than once. Valid: distinct tokens")
        return value

    @property
    def size(self) -> int:
        """How many numbers there are that tokens become."""
        return len(self.vocabulary) + FIRST

    def stored(self, spec: TensorSpec) -> tuple[str, tuple[int, ...]]:
        """A text for each example."""
        return "str", ()

    def taken(self, spec: TensorSpec) -> TensorSpec:
        """As many whole numbers as it makes of a text."""
        return TensorSpec(name=spec.name, shape=(self.length,), dtype="int64", vocabulary=self.size)

    def misfit_of(self, spec: TensorSpec) -> str:
        """It makes other numbers, or another number of them."""
        if spec == self.taken(spec):
            return ""
        below = f" below {spec.vocabulary:,}" if spec.vocabulary else ""
        takes = f"{spec.dtype} {list(spec.shape)}{below}"
        return f"it makes int64 [{self.length}] below {self.size:,} of a text, and the network takes {takes}"

    def unlike_of(self, held: InputPreprocessing, data: str) -> str:
        """The data hold no text."""
        return "" if isinstance(held, Tokenization) else f"takes text, and {data} hold numbers"

    def apply(self, stored: NDArray[Any]) -> NDArray[np.int64]:
        """Places int64 [n, length] for texts [n]."""
        import numpy as np

        found = np.zeros((len(stored), self.length), np.int64)
        for row, text in zip(found, stored, strict=True):
            places = [self._places.get(token, UNKNOWN) for token in cut(str(text), self.unit)[: self.length]]
            row[: len(places)] = places
        return found

    @cached_property
    def _places(self) -> dict[str, int]:
        return {token: place for place, token in enumerate(self.vocabulary, start=FIRST)}

    def text(self) -> str:
        """It in a few words, such as `text as 64 of 10,002 words`."""
        return f"text as {self.length} of {self.size:,} {self.unit}"
