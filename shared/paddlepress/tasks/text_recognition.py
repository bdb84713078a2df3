"""Text recognition: the characters of a line of text, by connectionist temporal classification (CTC)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from paddlepress.core.errors import DataError, shown
from paddlepress.spec.metric import Metric
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks.base import Guess, Score, Targets, Task
from paddlepress.tasks.classification import kl_divergence, softmax
from paddlepress.tasks.intervals import wilson

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import Array

LINE_ACCURACY = Metric(
    "%", True, "share of lines whose text is told without a mistake, on the deployed runtime", label="Line accuracy"
)
EDIT_SIMILARITY = Metric(
    "%",
    True,
    "mean over lines of 1 - edit distance / length of the longer text, PP-OCR's norm_edit_dis, on the deployed runtime",
    label="Edit similarity",
)
BLANK = 0
"""The place among the logits that stands for no character, as PP-OCR has it."""
PADDING = -1
"""What fills a row of labels behind its text."""
_MOST_CHARACTERS = 100  # that are groups of their own
_SHORTEST_GROUP = 4  # characters; each further group has lines of up to twice the length
_TOLD = 40


class TextRecognition(Task):
    """The text of each line, character by character.

    Outputs are logits [n, steps, 1 + characters], place 0 being the blank, at which nothing is told. Targets are
    int32 [n, steps]: the places of a text's characters among the logits, from 1 on, and then -1, as many as there are
    steps, so that every split has the same form. A text fits if it has no more characters than there are steps, where a
    character like the one before takes another step, for a blank between.

    Attributes:
        characters: one string of them, in the order of the logits behind the blank. Dictionaries of PP-OCR name the
            space twice; then its last place is learned, and each of them is told as a space.
        steps: the places along a line at which the network tells a character or none.
    """

    primary: ClassVar[str] = "line_accuracy"
    metrics: ClassVar[Mapping[str, Metric]] = {"line_accuracy": LINE_ACCURACY, "edit_similarity": EDIT_SIMILARITY}
    group: ClassVar[tuple[str, str]] = ("group", "groups")
    refuses: ClassVar[Collection[str]] = ("flip",)  # mirrored text is none

    kind: Literal["text-recognition"] = "text-recognition"
    characters: str = Field(min_length=1, max_length=2**17)
    steps: int = Field(ge=1, le=2**14)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Logits, one a character and one for the blank at each step."""
        return (TensorSpec(name="logits", shape=(self.steps, 1 + len(self.characters))),)

    @classmethod
    def of_data(cls, stated: Mapping[str, Any], targets: Targets) -> Task:
        """With the characters that are stated, or else the source's dictionary, or else those that occur, sorted."""
        told = "".join(targets.classes) or "".join(sorted(set().union(*_texts(targets.values, targets.origin))))
        return cls.stating({"characters": told, **stated})

    def read(self, values: Array, origin: str) -> Array:
        """Labels, int32 [n, steps], of texts [n]; or of such labels themselves."""
        import numpy as np

        if values.dtype.kind in "iu":
            return self._checked(values, origin)
        texts = _texts(values, origin)
        problems = [(place, problem) for place, text in enumerate(texts) if (problem := self.misfit(text))]
        if problems:
            place, problem = problems[0]
            others = f" ({len(problems)} such texts)" if len(problems) > 1 else ""
            raise DataError(f"{origin}: text {place}, {shown(texts[place])}, {problem}{others}. Valid: {self.valid()}")
        labels = np.full((len(texts), self.steps), PADDING, np.int32)
        places = self._places
        for row, text in zip(labels, texts, strict=True):
            row[: len(text)] = [places[character] for character in text]
        return labels

    def misfit(self, text: str) -> str:
        """Why a text can't be learned, in words that follow it; empty if it can."""
        if not text:
            return "is empty"
        if unknown := next((character for character in text if character not in self._places), None):
            return f"has {unknown!r}, which is none of the characters"
        repeats = sum(one == other for one, other in pairwise(text))
        if (needed := len(text) + repeats) > self.steps:
            again = f", {repeats} of them like the one before" if repeats else ""
            return f"takes {needed} steps for its {len(text)} characters{again}, and the network has {self.steps}"
        return ""

    def valid(self, named_by: str = "") -> str:
        """Texts that can be learned, in words.

        Args:
            named_by: what names the characters, if it is to be told.
        """
        told, rest = shown(self.characters[:_TOLD], 4 * _TOLD), len(self.characters) - _TOLD
        more = f" and {rest} more" if rest > 0 else ""
        of = f" of {named_by}" if named_by else ""
        return f"texts of the characters {told}{more}{of}, in at most {self.steps} steps"

    def decode(self, outputs: Array) -> dict[str, Array]:
        """The text of the best path, `text`, and the mean probability of its characters, `score`; 0 without any.

        The best path has the most probable place of each step, equal neighbours being one and blanks none: Graves et
        al., 2006, section 3.2.
        """
        import numpy as np

        labels, kept = best_path(outputs)
        probability = np.zeros(kept.shape)
        probability[kept] = softmax(outputs[kept]).max(axis=1, initial=0)
        score = probability.sum(axis=1) / np.maximum(1, kept.sum(axis=1))
        return {"text": self._told(labels), "score": score.astype(np.float32)}

    def probabilities(self, outputs: Array) -> Array:
        """Softmax at each step, computed in float64."""
        return softmax(outputs, axis=-1)

    def score(self, outputs: Array, targets: Array) -> Score:
        """The share of lines whose text is told without a mistake, in percent, with its Wilson interval."""
        self._check_counts(outputs, targets)
        percent = 100.0 * float(self._same(self._canonical(outputs), targets).mean())
        return Score(percent, *wilson(percent, len(targets)))

    def further(self, outputs: Array, targets: Array) -> dict[str, float]:
        """Edit similarity: the mean over lines of 1 - Levenshtein distance / length of the longer text, in percent."""
        from rapidfuzz.distance import Levenshtein
        from rapidfuzz.process import cpdist

        self._check_counts(outputs, targets)
        told, there = self._told(self._canonical(outputs)).tolist(), self._told(targets).tolist()
        similar = cpdist(told, there, scorer=Levenshtein.normalized_similarity, dtype="float64")
        return {"edit_similarity": 100.0 * float(similar.mean())}

    def guess(self, targets: Array) -> Guess:
        """Always the most frequent text."""
        import numpy as np

        _, counts = np.unique(targets, axis=0, return_counts=True)
        return Guess(100 * float(counts.max(initial=0)) / max(1, len(targets)), "always telling the most frequent text")

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of lines that two models read alike, in percent."""
        return 100.0 * float(self._same(self._canonical(outputs), self._canonical(others)).mean())

    def groups(self, targets: Array) -> dict[str, NDArray[np.bool_]]:
        """The lines of each length, and the lines that each character is in, of the 100 that are in most."""
        import numpy as np

        lengths = (targets != PADDING).sum(axis=1)
        found, shortest, longest = {}, 1, _SHORTEST_GROUP
        while (lengths >= shortest).any():
            found[f"{shortest} to {longest} characters"] = (lengths >= shortest) & (lengths <= longest)
            shortest, longest = longest + 1, 2 * longest
        counts = Counter(label for row in targets for label in set(row[row != PADDING].tolist()))
        often = sorted(label for label, _ in counts.most_common(_MOST_CHARACTERS))
        found |= {repr(self.characters[label - 1]): (targets == label).any(axis=1) for label in often}
        return {name: mask for name, mask in found.items() if np.any(mask)}

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        """CTC, the mean over lines: Graves et al., "Connectionist Temporal Classification", ICML 2006."""
        import paddle
        import paddle.nn.functional as F

        lines = outputs.shape[0]
        each = F.ctc_loss(
            outputs.astype("float32").transpose([1, 0, 2]),
            targets.astype("int32").clip(min=BLANK),  # what is behind a text is not read
            paddle.full([lines], outputs.shape[1], "int64"),
            (targets != PADDING).astype("int64").sum(axis=1),
            blank=BLANK,
            reduction="none",
        )
        return each.mean()

    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        """`T^2 * KL(teacher || student)` at temperature T, the mean over lines and steps.

        The frame-level distillation of Takashima, Li and Kawai, "An Investigation of a Knowledge Distillation Method
        for CTC Acoustic Models", ICASSP 2018.
        """
        import paddle.nn.functional as F

        target = F.softmax(teacher / temperature, axis=-1)
        return temperature**2 * kl_divergence(target, F.log_softmax(student / temperature, axis=-1))

    def mismatch(self, other: Task) -> str:
        """Why logits for other characters, or at other steps, mean nothing for these."""
        if not isinstance(other, TextRecognition):
            return super().mismatch(other)
        if len(other.characters) != len(self.characters):
            return f"tells {len(other.characters)} characters apart, not {len(self.characters)}"
        for number, (wanted, found) in enumerate(zip(self.characters, other.characters, strict=True)):
            if wanted != found:
                return f"has another character {number}: {found!r}, not {wanted!r}"
        return "" if self.steps == other.steps else f"has {other.steps} steps, not {self.steps}"

    def describe(self) -> str:
        """Kind, number of characters and steps."""
        return f"text-recognition, {len(self.characters)} characters, {self.steps} steps"

    @cached_property
    def _places(self) -> dict[str, int]:
        """The place of each character among the logits, the last one of a character that is named twice."""
        return {character: place for place, character in enumerate(self.characters, BLANK + 1)}

    def _canonical(self, outputs: Array) -> Array:
        """The labels of the best path, a character that is named twice by its last place."""
        import numpy as np

        places = self._places
        canonical = np.array([BLANK, *(places[character] for character in self.characters), PADDING], np.int32)
        return canonical[best_path(outputs)[0]]

    def _same(self, labels: Array, others: Array) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = (labels == others).all(axis=1)
        return found

    def _told(self, labels: Array) -> Array:
        """The texts of labels [n, steps], as objects [n]."""
        import numpy as np

        texts = ["".join(self.characters[label - 1] for label in row if label > BLANK) for row in labels.tolist()]
        return np.array(texts, dtype=object)

    def _checked(self, labels: Array, origin: str) -> Array:
        """Labels that are some already, as those of a stored data set are."""
        import numpy as np

        if labels.ndim != 2 or labels.shape[1] != self.steps:
            raise DataError(
                f"{origin}: the targets are {labels.dtype} of shape {list(labels.shape)}. "
                f"Valid: texts of shape [n], or labels of shape [n, {self.steps}]"
            )
        behind = np.cumsum(labels == PADDING, axis=1) > 0
        wrong = np.where(behind, labels != PADDING, (labels <= BLANK) | (labels > len(self.characters)))
        wrong[:, 0] |= behind[:, 0]
        if wrong.any():
            row, step = np.argwhere(wrong)[0]
            raise DataError(
                f"{origin}: line {row} has label {labels[row, step]} at place {step}. "
                f"Valid: 1..{len(self.characters)}, at least one, and {PADDING} behind them"
            )
        found = labels.astype(np.int32)
        # A text too long for the steps would have a loss of 0 and never be learned.
        repeats = ((found[:, 1:] == found[:, :-1]) & (found[:, 1:] != PADDING)).sum(axis=1)
        needed = (found != PADDING).sum(axis=1) + repeats
        if (needed > self.steps).any():
            row = int(np.argmax(needed > self.steps))
            raise DataError(f"{origin}: line {row} takes {needed[row]} steps. Valid: at most {self.steps}")
        return found

    def _check_counts(self, outputs: Array, targets: Array) -> None:
        if len(outputs) != len(targets) or not len(targets):
            raise DataError(
                "line accuracy needs as many predictions as lines, and at least one; "
                f"got {len(outputs)} and {len(targets)}"
            )


def best_path(outputs: Array) -> tuple[Array, NDArray[np.bool_]]:
    """The labels of the most probable path, and the steps at which each is told first.

    Args:
        outputs: logits [n, steps, places].

    Returns:
        int32 [n, steps], padded with -1; bool [n, steps].
    """
    import numpy as np

    path = outputs.argmax(axis=2).astype(np.int32)
    kept = path != BLANK
    kept[:, 1:] &= path[:, 1:] != path[:, :-1]
    labels = np.full(path.shape, PADDING, np.int32)
    rows, steps = np.nonzero(kept)
    labels[rows, kept.cumsum(axis=1)[rows, steps] - 1] = path[rows, steps]
    return labels, kept


def _texts(values: Array, origin: str) -> Sequence[str]:
    """Texts, of an array [n] or [n, 1] of `str`."""
    found = values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values
    if found.ndim != 1 or found.dtype.kind not in "UO":
        raise DataError(
            f"{origin}: the targets are {values.dtype} of shape {list(values.shape)}. Valid: texts of shape [n]"
        )
    if odd := [place for place, text in enumerate(found) if not isinstance(text, str)]:
        raise DataError(f"{origin}: target {odd[0]} is {shown(found[odd[0]])}, which is no text")
    return [str(text) for text in found]
