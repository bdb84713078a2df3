"""Augmentation: named steps that change the inputs of a training step, one after the other.

What is random follows a seed, the training step and the place among the steps, so that a training which was
killed goes on with the changes that it would have had. Imports nothing heavy, so that recipes can check steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, ValidationError

from paddlepress.core.errors import DataError, UnknownName, shown
from paddlepress.core.fields import Fields, explain_all

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from paddlepress.data import Split
    from paddlepress.spec.tensors import Inputs
    from paddlepress.tasks import Task

_ROWS = 1024  # are looked at at once, where all are


@dataclass(frozen=True)
class Examples:
    """The examples of a training step, or one input of them.

    Attributes:
        inputs: float32 [n, *shape]; `NamedArrays` where there are several.
        partners: int64 [n]: the example of these that each is mixed with; None: they are not mixed.
        share: of each example itself in the mixture.
    """

    inputs: Any
    partners: NDArray[np.int64] | None = None
    share: float = 1.0


class Values:
    """Which values images have, over a whole split; looked up once, and only where a step wants to know."""

    def __init__(self, images: Inputs) -> None:
        self._images = images

    @property
    def background(self) -> float:
        """The darkest value of all."""
        return float(self.darkest.min())

    @property
    def darkest(self) -> NDArray[np.float32]:
        """Of each channel, [channels]."""
        return self._found[0]

    @property
    def brightest(self) -> NDArray[np.float32]:
        """Of each channel, [channels]."""
        return self._found[1]

    @property
    def mean(self) -> NDArray[np.float32]:
        """Of each channel, [channels]."""
        return self._found[2]

    @cached_property
    def _found(self) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        import numpy as np

        inputs, count = self._images, len(self._images)
        lows, highs, sums = [], [], []
        for start in range(0, count, _ROWS):
            part = inputs[start : start + _ROWS]
            lows.append(part.min(axis=(0, 2, 3)))
            highs.append(part.max(axis=(0, 2, 3)))
            sums.append(part.mean(axis=(2, 3), dtype=np.float64).sum(axis=0))
        return np.min(lows, axis=0), np.max(highs, axis=0), (np.sum(sums, axis=0) / count).astype(np.float32)


class Step(Fields, ABC):
    """A change of inputs; its fields are what a recipe may say of it."""

    for_images: ClassVar[bool] = True
    """Whether it takes images [channels, height, width] only."""

    @abstractmethod
    def __call__(self, examples: Examples, values: Values, generator: np.random.Generator) -> Examples:
        """Change examples.

        Args:
            examples: with images [n, channels, height, width], where the step is for these.
            values: of the whole training split.
            generator: decides everything that is random.
        """

    def misfit(self, shape: tuple[int, ...]) -> str:
        """Why it does not fit inputs of a shape, in words that follow its name; empty if it does."""
        if self.for_images and len(shape) != 3:
            return f"is for images [channels, height, width], but the examples have shape {shape}"
        return ""


class Crop(Step):
    """The image moved: a window of its own size, anywhere in the image with a border of the darkest value of all.

    He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2.
    """

    padding: int = Field(default=4, ge=1, le=32, description="pixels of the border, and how far an image can move")

    def __call__(self, examples: Examples, values: Values, generator: np.random.Generator) -> Examples:
        return replace(examples, inputs=cropped(examples.inputs, self.padding, values.background, generator))


class Flip(Step):
    """The image's mirror image: He et al., CVPR 2016. Not for what it turns into something else, such as digits."""

    probability: float = Field(default=0.5, gt=0, le=1, description="share of the images that are flipped")
    direction: Literal["horizontal", "vertical"] = Field(
        default="horizontal", description="left and right change places, or top and bottom"
    )

    def __call__(self, examples: Examples, values: Values, generator: np.random.Generator) -> Examples:
        axis = 3 if self.direction == "horizontal" else 2
        return replace(examples, inputs=flipped(examples.inputs, self.probability, axis, generator))


class Color(Step):
    """The image brighter or darker, with more or less contrast.

    Howard, "Some Improvements on Deep Convolutional Neural Network Based Image Classification", 2013.
    """

    brightness: float = Field(
        default=0.2, ge=0, le=1, description="a value's distance from black is multiplied by 1, give or take up to this"
    )
    contrast: float = Field(
        default=0.2, ge=0, le=1, description="its distance from the image's mean is, channel by channel"
    )

    def __call__(self, examples: Examples, values: Values, generator: np.random.Generator) -> Examples:
        low, high = values.darkest, values.brightest
        return replace(
            examples, inputs=recolored(examples.inputs, self.brightness, self.contrast, low, high, generator)
        )


class Cutout(Step):
    """The image without a square, in which every channel has the mean of the training data.

    DeVries and Taylor, "Improved Regularization of Convolutional Neural Networks with Cutout", 2017. The square's
    centre is anywhere in the image, so that part of the square may be outside.
    """

    size: int = Field(default=8, ge=1, le=4096, description="pixels of the square's sides")

    def __call__(self, examples: Examples, values: Values, generator: np.random.Generator) -> Examples:
        return replace(examples, inputs=cut_out(examples.inputs, self.size, values.mean, generator))

    def misfit(self, shape: tuple[int, ...]) -> str:
        """Besides, a square as large as the image would leave nothing of it."""
        found = super().misfit(shape)
        if not found and self.size >= max(shape[1:]):
            found = (
                f"has size {self.size}, but the images are {shape[1]} x {shape[2]}: it must be below {max(shape[1:])}"
            )
        return found


class Mixup(Step):
    """A mixture of each example with another of the step: the loss is the same mixture of both targets' losses.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018. One share for all examples of a step.
    """

    for_images: ClassVar[bool] = False

    alpha: float = Field(
        default=0.2,
        gt=0,
        le=100,
        description="of the shares' beta distribution: a small one mixes little, with 1 any share is as likely",
    )

    def __call__(self, examples: Examples, values: Values, generator: np.random.Generator) -> Examples:
        return mixed(examples.inputs, self.alpha, generator)


STEPS: Mapping[str, type[Step]] = {"color": Color, "crop": Crop, "cutout": Cutout, "flip": Flip, "mixup": Mixup}
"""All there are, by name."""

DESCRIPTION = f"changes of each batch, in their order: {', '.join(STEPS)}, each a name or name: {{field: value}}"
"""Of a field that states steps."""


def cropped(
    images: NDArray[np.float32], most: int, background: float, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Images moved by up to `most` pixels in both directions; what comes in at the edge has the background's value."""
    import numpy as np

    count, channels, height, width = images.shape
    edge = ((0, 0), (0, 0), (most, most), (most, most))
    padded = np.pad(images, edge, constant_values=background)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (channels, height, width), axis=(1, 2, 3))[:, 0]
    down, right = generator.integers(0, 2 * most + 1, (2, count))
    return np.ascontiguousarray(windows[np.arange(count), down, right])


def flipped(
    images: NDArray[np.float32], probability: float, axis: int, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Images of which each is reversed along an axis, 2 or 3, with a probability."""
    import numpy as np

    chosen = generator.random(len(images)) < probability
    return np.where(chosen[:, None, None, None], np.flip(images, axis), images)


def recolored(
    images: NDArray[np.float32],
    brightness: float,
    contrast: float,
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    generator: np.random.Generator,
) -> NDArray[np.float32]:
    """Images with another brightness, then another contrast, within the darkest and brightest values [channels]."""
    import numpy as np

    low, high = low[None, :, None, None], high[None, :, None, None]
    parts = generator.uniform(-1, 1, (2, len(images), 1, 1, 1)).astype(np.float32)
    lit: NDArray[np.float32] = np.clip(low + (1 + brightness * parts[0]) * (images - low), low, high)
    mean = lit.mean(axis=(2, 3), keepdims=True)
    sharp: NDArray[np.float32] = np.clip(mean + (1 + contrast * parts[1]) * (lit - mean), low, high)
    return sharp


def cut_out(
    images: NDArray[np.float32], size: int, fill: NDArray[np.float32], generator: np.random.Generator
) -> NDArray[np.float32]:
    """Images with a square of the values `fill` [channels], its centre anywhere."""
    import numpy as np

    count, _, height, width = images.shape
    inside = []
    for length in (height, width):
        first = generator.integers(0, length, (count, 1)) - size // 2
        places = np.arange(length)
        inside.append((places >= first) & (places < first + size))
    square = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return np.where(square, fill[None, :, None, None], images)


def mixed(inputs: NDArray[np.float32], alpha: float, generator: np.random.Generator) -> Examples:
    """Inputs each mixed with another one, in shares that follow the beta distribution of `alpha`."""
    share = float(generator.beta(alpha, alpha))
    partners = generator.permutation(len(inputs))
    return Examples(_mixture(inputs, partners, share), partners, share)


def _mixture(array: NDArray[np.float32], partners: NDArray[np.int64], share: float) -> NDArray[np.float32]:
    found: NDArray[np.float32] = share * array + (1 - share) * array[partners]
    return found


def steps_of(stated: Sequence[str | Mapping[str, Any]]) -> dict[str, Step]:
    """Steps as a recipe states them, by name in their order.

    Raises:
        ValueError: one is unknown, has a wrong field or stands twice; all that is wrong is told.
    """
    found: dict[str, Step] = {}
    problems: list[str] = []
    for one in stated:
        name, fields = next(iter(one.items())) if isinstance(one, Mapping) and len(one) == 1 else (one, {})
        if not isinstance(name, str) or not isinstance(fields, Mapping | None):
            problems.append(f"{shown(one)} is no step. Valid: a name, such as flip, or name: {{field: value}}")
        elif name not in STEPS:
            problems.append(str(UnknownName("augmentation step", name, STEPS)))
        elif name in found:
            problems.append(f"the step {name!r} stands twice")
        else:
            try:
                found[name] = STEPS[name].model_validate(dict(fields or {}))
            except ValidationError as error:
                problems += [f"{name}: {text}" for text in explain_all(error, STEPS[name])]
    if problems:
        raise ValueError("; ".join(problems))
    return found


def _plain(stated: Any) -> Any:
    """Steps in the form that is kept: names, and with them the fields that are no defaults."""
    if not isinstance(stated, list | tuple):
        return stated
    given = {name: step.model_dump(exclude_defaults=True) for name, step in steps_of(stated).items()}
    return [{name: fields} if fields else name for name, fields in given.items()]


Stated = Annotated[list[str | dict[str, Any]], BeforeValidator(_plain)]
"""The type of a field that states steps: their names, or mappings of one name to its fields."""


class Augmentation:
    """The steps of a training. Of several inputs they change the one that holds images.

    Args:
        stated: steps, as a field of the type `Stated` holds them.
        shift: above 0: `crop` with this padding, before all others.
        task: may refuse steps.
        train: the split whose examples are changed.

    Raises:
        DataError: the task refuses a step, or it does not fit the examples; the message says which steps are valid.
    """

    def __init__(self, stated: Sequence[str | Mapping[str, Any]], shift: int, task: Task, train: Split) -> None:
        self._name, changed = _changed(train.inputs)
        shape, steps = tuple(changed[:1].shape[1:]), steps_of(stated)
        if shift and len(shape) != 3:
            raise DataError(
                f"shift is {shift}, but the examples have shape {shape}: "
                "only images [channels, height, width] can be shifted"
            )
        if shift and "crop" in task.refuses:
            raise DataError(
                f"shift is {shift}, but the task {task.kind!r} refuses 'crop', which is what it does. Valid: 0"
            )
        for name, step in steps.items():
            problem = f"is refused by the task {task.kind!r}" if name in task.refuses else step.misfit(shape)
            if problem:
                fit = [known for known in STEPS if known not in task.refuses and not STEPS[known]().misfit(shape)]
                raise DataError(f"the augmentation step {name!r} {problem}. Valid: {', '.join(fit) or 'none'}")
            if isinstance(step, Mixup) and (whole := _whole_numbers(train.inputs)):
                raise DataError(f"the augmentation step {name!r} mixes numbers, and {whole!r} are places in a table")
        self.steps = [*([Crop(padding=shift)] if shift else []), *steps.values()]
        self._values = Values(changed)

    def __call__(self, inputs: Any, seed: int, step: int) -> Examples:
        """The inputs of a training step, changed."""
        import numpy as np

        from paddlepress.spec.tensors import NamedArrays

        examples = Examples(inputs.arrays[self._name] if self._name else inputs)
        for place, change in enumerate(self.steps, start=1):
            examples = change(examples, self._values, np.random.default_rng((seed, step, place)))
        if not self._name:
            return examples
        others = inputs.arrays
        if examples.partners is not None:
            others = {name: _mixture(array, examples.partners, examples.share) for name, array in others.items()}
        return replace(examples, inputs=NamedArrays({**others, self._name: examples.inputs}))


def _whole_numbers(inputs: Inputs) -> str:
    """The name of an input that holds whole numbers; empty if none does."""
    from paddlepress.spec.tensors import arrays_of, names_of

    found = zip(names_of(inputs), arrays_of(inputs), strict=True)
    return next((name for name, array in found if array[:1].dtype.kind in "iu"), "")


def _changed(inputs: Inputs) -> tuple[str, Any]:
    """The input that augmentation changes, and its name where there are several: the images, or else the first."""
    from paddlepress.spec.tensors import NamedArrays

    if not isinstance(inputs, NamedArrays):
        return "", inputs
    images = [name for name, array in inputs.arrays.items() if array[:1].ndim == 4]
    chosen = [*images, *inputs.arrays][0]
    return chosen, inputs.arrays[chosen]
