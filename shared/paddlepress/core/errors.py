"""Everything paddlepress raises on purpose.

PaddlepressError                 exit code 1: the work failed
├── TechniqueRefused             a technique has no meaning on this model, and says why
├── TrainingFailed               a loss that is not a number, a student that cannot be built
├── PromotionRefused             no variant passed its gates
├── PublishRefused               a version that is published otherwise already, a pointer that somebody else moved
├── VerificationFailed           a published version that is unsigned, altered, incomplete or older than it may be
├── DiskFull                     no room for what has to be written; names the place
└── UsageError                   exit code 2: the user asked for something that cannot be
    ├── UnknownName              a name that is not registered; lists the ones that are
    ├── RecipeError              a recipe that cannot be run; names file, line and key
    ├── ArtifactError            a model artifact that is missing, damaged or too new
    ├── DataError                a data set that is missing, damaged or does not fit
    ├── RegistryError            a registry that cannot be reached or lacks what was asked for
    ├── ClusterError             a Kubeflow server that cannot be reached, refuses, or lacks what was asked for
    └── RunInUse                 a home directory that another run is using
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def in_one_line(problem: object, longest: int = 400) -> str:
    """What somebody else's error or value says, as a part of one line: what is too long loses its middle."""
    text = "".join(
        each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in " ".join(str(problem).split())
    )
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]} ... {text[-half:]}"


def shown(value: Any, longest: int = 60) -> str:
    """A value for a message: as Python writes it, see `in_one_line`."""
    if isinstance(value, int) and value.bit_length() > 1000:
        return f"a whole number of {value.bit_length()} bits"  # which Python would refuse to write
    try:
        return in_one_line(repr(value), longest)
    except ValueError:
        return f"a {type(value).__name__} with a number too long to write"


class PaddlepressError(Exception):
    """The work failed for a reason that can be told in one line."""

    exit_code = 1

    @property
    def mistakes(self) -> tuple[str, ...]:
        """All that is wrong, a line each; mostly one."""
        return (str(self),)


class TechniqueRefused(PaddlepressError):
    """A technique that has no meaning on the model it was given."""


class TrainingFailed(PaddlepressError):
    """Training that cannot go on."""


class PromotionRefused(PaddlepressError):
    """A promotion that the gates do not allow."""


class PublishRefused(PaddlepressError):
    """A version or a pointer that can't be published as it was asked for, since something else is there."""


class VerificationFailed(PaddlepressError):
    """A published version that can't be trusted: nothing of it is used."""


class DiskFull(PaddlepressError):
    """No room on a disk, or none left of somebody's share, for what has to be written."""


class UsageError(PaddlepressError):
    """A mistake in what the user asked for, or several that were found together.

    Args:
        first, more: each a line; the error's own text is the first, and how many more there are.
    """

    exit_code = 2

    def __init__(self, first: str, *more: str) -> None:
        super().__init__(f"{first} (and {len(more)} more)" if more else first)
        self._mistakes = (first, *more)

    @property
    def mistakes(self) -> tuple[str, ...]:
        return self._mistakes


class UnknownName(UsageError):
    """A name that is not among the valid ones."""

    def __init__(self, kind: str, name: str, valid: Iterable[str], where: str = "") -> None:
        known = sorted(valid)
        close = get_close_matches(name[:100], known, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        prefix = f"{where}: " if where else ""
        choices = ", ".join(known) if known else "none"
        super().__init__(f"{prefix}unknown {kind} {shown(name)}.{hint} Valid: {choices}")


class RecipeError(UsageError):
    """A recipe that cannot be run."""


class ArtifactError(UsageError):
    """A model artifact that cannot be read."""


class DataError(UsageError):
    """A data set that cannot be read or does not fit."""


class RegistryError(UsageError):
    """A registry that cannot be reached, or that lacks what was asked for."""


class ClusterError(UsageError):
    """A Kubeflow server that cannot be reached, refuses, or lacks what was asked for."""


class RunInUse(UsageError):
    """A home directory in which another run is at work."""
