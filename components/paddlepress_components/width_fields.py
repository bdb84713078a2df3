"""Fields that say which widths and ranks layers may have; imports nothing heavy."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from paddlepress.core.fields import Fields
from paddlepress.surgery.kernel_times import DEFAULT, Processor

AUTO: Literal["auto"] = "auto"
_MOST = 1024


def _checked(value: Any) -> Any:
    # As text too: Kubeflow knows no type that is both a word and a number.
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    if value != AUTO and not (isinstance(number, int) and not isinstance(number, bool) and 1 <= number <= _MOST):
        raise ValueError(f"must be auto, or a whole number from 1 to {_MOST}")
    return number


RoundTo = Annotated[int | Literal["auto"], BeforeValidator(_checked)]


class WidthFields(Fields):
    """Which widths layers may have, and where they are to be fast."""

    round_to: RoundTo = Field(
        default=AUTO,
        description="keep a multiple of this many in each layer, or what it had; auto: of as many as the runtime's "
        "kernels compute together, which with fewer take no less time and often more (16 with AVX-512 where a layer "
        "has 32 or more, 8 from 16 on)",
    )
    processor: Processor = Field(
        default=DEFAULT,
        description="where it is to be fast, for round_to auto and estimated times: x86 with AVX-512, or AVX2 only",
    )
