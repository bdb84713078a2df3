"""Semantic segmentation: one of several classes for each pixel."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from paddlepress.core.errors import DataError
from paddlepress.spec.metric import Metric
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks.base import Guess, Score, Targets, Task
from paddlepress.tasks.classification import kl_divergence, softmax

if TYPE_CHECKING:
    import numpy as np
    import paddle
    from numpy.typing import NDArray

    from paddlepress.spec.tensors import Array

MIOU = Metric("%", True, "mean over classes of intersection over union, on the deployed runtime", label="Mean IoU")
IGNORED = 255
"""The label of pixels that neither train nor score, as Pascal VOC and Cityscapes have it."""
_RESAMPLES = 300


class Segmentation(Task):
    """A class for each pixel.

    Outputs are logits [n, classes, height, width]; targets are labels, uint8 [n, height, width], each in 0..classes-1,
    or 255 for a pixel that does not count.

    Attributes:
        classes: the classes' names, in the order of the logits.
        height, width: of the masks, in pixels.
    """

    primary: ClassVar[str] = "miou"
    metrics: ClassVar[Mapping[str, Metric]] = {"miou": MIOU}
    refuses: ClassVar[Collection[str]] = ("crop", "flip")  # masks stay where they are

    kind: Literal["segmentation"] = "segmentation"
    classes: tuple[str, ...] = Field(min_length=2, max_length=IGNORED)
    height: int = Field(ge=1, le=2**14)
    width: int = Field(ge=1, le=2**14)

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Logits, one a class and pixel."""
        return (TensorSpec(name="logits", shape=(len(self.classes), self.height, self.width)),)

    @property
    def out_features(self) -> int:
        """The classes, which are the channels of the logits."""
        return len(self.classes)

    @classmethod
    def of_data(cls, stated: Mapping[str, Any], targets: Targets) -> Task:
        """With the classes that are stated, or the source's own, or the labels that occur; masks of the data's size."""
        masks = _masks(targets.values, targets.origin)
        told = tuple(stated.get("classes", ())) or targets.classes
        if not told:
            counted = masks[masks != IGNORED]
            told = tuple(map(str, range(int(counted.max()) + 1 if counted.size else 0)))
        height, width = masks.shape[1:]
        return cls.stating({"height": height, "width": width, **stated, "classes": told})

    def read(self, values: Array, origin: str) -> Array:
        """Masks, uint8 [n, height, width]."""
        import numpy as np

        masks = _masks(values, origin)
        if masks.shape[1:] != (self.height, self.width):
            raise DataError(
                f"{origin}: the masks are {masks.shape[1]} by {masks.shape[2]} pixels. "
                f"Valid: {self.height} by {self.width}, as the images"
            )
        outside = np.argwhere((masks >= len(self.classes)) & (masks != IGNORED))
        if len(outside):
            example, row, column = outside[0]
            raise DataError(
                f"{origin}: mask {example} has label {masks[example, row, column]} at row {row}, column {column}. "
                f"Valid: 0..{len(self.classes) - 1}, or {IGNORED} where a pixel does not count"
            )
        return masks.astype(np.uint8)

    def decode(self, outputs: Array) -> dict[str, Array]:
        """The most probable class of each pixel, `mask`, uint8 [n, height, width]."""
        import numpy as np

        return {"mask": outputs.argmax(axis=1).astype(np.uint8)}

    def probabilities(self, outputs: Array) -> Array:
        """Softmax over the classes of each pixel, computed in float64."""
        return softmax(outputs)

    def score(self, outputs: Array, targets: Array) -> Score:
        """Mean IoU in percent (Everingham et al., IJCV 2010), over the classes that the masks or the outputs name.

        Its interval is by resampling images (Efron, Annals of Statistics 1979).

        Raises:
            DataError: there are no examples, or not as many outputs as masks.
        """
        import numpy as np

        if len(outputs) != len(targets) or not len(targets):
            raise DataError(
                f"mean IoU needs as many predictions as masks, and at least one; got {len(outputs)} and {len(targets)}"
            )
        counts = np.stack([self._counts(one, mask) for one, mask in zip(outputs, targets, strict=True)])
        order = np.random.default_rng(0).integers(0, len(counts), (_RESAMPLES, len(counts)))
        low, high = np.percentile([_miou(counts[chosen]) for chosen in order], [2.5, 97.5])
        return Score(_miou(counts), float(low), float(high))

    def _counts(self, logits: Array, mask: Array) -> NDArray[np.int64]:
        """Of one image and each class: pixels in both, in the outputs, and in the mask; int64 [3, classes]."""
        import numpy as np

        counted = mask != IGNORED
        told, there, size = logits.argmax(axis=0)[counted], mask[counted], len(self.classes)
        both = np.bincount(there[told == there], minlength=size)
        return np.stack([both, np.bincount(told, minlength=size), np.bincount(there, minlength=size)])

    def guess(self, targets: Array) -> Guess:
        """Always the most frequent class, which is right in its own share of the pixels and finds no other class."""
        import numpy as np

        counts = np.bincount(targets[targets != IGNORED], minlength=len(self.classes))
        share = counts.max() / max(1, counts.sum()) / max(1, int((counts > 0).sum()))
        return Guess(100 * float(share), "naming the most frequent class everywhere")

    def agreement(self, outputs: Array, others: Array) -> float:
        """The share of pixels that two models give the same class, in percent."""
        import numpy as np

        return 100.0 * float(np.mean(outputs.argmax(axis=1) == others.argmax(axis=1)))

    def groups(self, targets: Array) -> dict[str, NDArray[np.bool_]]:
        """The images that each class is in."""
        masks = {name: (targets == label).any(axis=(1, 2)) for label, name in enumerate(self.classes)}
        return {name: mask for name, mask in masks.items() if mask.any()}

    def loss(self, outputs: paddle.Tensor, targets: paddle.Tensor, label_smoothing: float = 0.0) -> paddle.Tensor:
        """Cross entropy, the mean over the pixels that count."""
        import paddle.nn.functional as F

        pixels = outputs.transpose([0, 2, 3, 1]).reshape([-1, len(self.classes)])
        return F.cross_entropy(pixels, targets.astype("int64").reshape([-1]), ignore_index=IGNORED)

    def divergence(self, student: paddle.Tensor, teacher: paddle.Tensor, temperature: float = 1.0) -> paddle.Tensor:
        """`T^2 * KL(teacher || student)` at temperature T, the mean over pixels: Liu et al., CVPR 2019."""
        import paddle.nn.functional as F

        told, target = (
            logits.transpose([0, 2, 3, 1]).reshape([-1, len(self.classes)]) / temperature
            for logits in (student, teacher)
        )
        return temperature**2 * kl_divergence(F.softmax(target, axis=-1), F.log_softmax(told, axis=-1))

    def describe(self) -> str:
        """Kind, number of classes and size."""
        return f"segmentation, {len(self.classes)} classes, {self.height} by {self.width} pixels"


def _masks(values: Array, origin: str) -> Array:
    if values.ndim != 3 or values.dtype.kind not in "iu":
        raise DataError(
            f"{origin}: the targets are {values.dtype} of shape {list(values.shape)}. "
            "Valid: whole numbers of shape [n, height, width]"
        )
    return values


def _miou(counts: NDArray[np.int64]) -> float:
    """Percent, of counts [n, 3, classes]; a class that neither side names does not count."""
    both, told, there = counts.sum(axis=0)
    union = told + there - both
    named = union > 0
    return 100.0 * float((both[named] / union[named]).mean()) if named.any() else 100.0
