"""How texts are to become numbers, as far as a user says it."""

from __future__ import annotations

from dataclasses import dataclass

from paddlepress.spec.preprocessing.tokens import Unit


@dataclass(frozen=True)
class Tokens:
    """Which table is made of the training texts, see `Tokenization`.

    Attributes:
        unit: `words` or `characters`.
        vocabulary: tokens in the table at most, the most frequent ones.
        length: tokens of a text that are taken; None: as many as 95% of the texts have, up to 512.
    """

    unit: Unit = "words"
    vocabulary: int = 10_000
    length: int | None = None
