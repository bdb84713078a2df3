from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import paddle
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from paddlepress.core.errors import DataError
from paddlepress.core.fields import explain
from paddlepress.data import Split
from paddlepress.forward.score import score
from paddlepress.network.model import Model
from paddlepress.tasks import Classification, MultiLabel, Regression, Segmentation, Task
from paddlepress.testing import digits
from paddlepress.training import augmentation
from paddlepress.training.augmentation import STEPS, Augmentation, Values
from paddlepress.training.batch import Batch
from paddlepress.training.context import TrainingContext
from paddlepress.training.loop import fit
from paddlepress.training.settings import TrainingSettings
from tests.shared.training.test_loop import build, train


def images(count: int = 50, channels: int = 3, height: int = 6, width: int = 4) -> NDArray[np.float32]:
    return np.random.default_rng(1).normal(size=(count, channels, height, width)).astype(np.float32)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_crop_moves_images_by_whole_pixels() -> None:
    """A cropped image is the image moved, with background where it came from."""
    image = np.arange(1, 10, dtype=np.float32).reshape(1, 1, 3, 3)
    padded = np.pad(image[0, 0], 1)
    possible = [padded[i : i + 3, j : j + 3].tolist() for i in range(3) for j in range(3)]
    seen = [augmentation.cropped(image, 1, 0.0, generator(seed))[0, 0].tolist() for seed in range(60)]
    assert all(found in possible for found in seen)
    assert len({str(found) for found in seen}) == 9


@pytest.mark.parametrize(("axis", "mirrored"), [(3, np.s_[..., ::-1]), (2, np.s_[..., ::-1, :])])
def test_about_half_of_the_images_are_flipped(axis: int, mirrored: Any) -> None:
    """Each is itself or its mirror image, and with probability 1 all are flipped."""
    given = images()
    found = augmentation.flipped(given, 0.5, axis, generator())
    turned = [np.array_equal(a, b[mirrored]) for a, b in zip(found, given, strict=True)]
    kept = [np.array_equal(a, b) for a, b in zip(found, given, strict=True)]
    assert all(a != b for a, b in zip(turned, kept, strict=True))
    assert 15 < sum(turned) < 35
    assert np.array_equal(augmentation.flipped(given, 1, axis, generator()), given[mirrored])


def test_brightness_and_contrast_stay_within_the_values_there_are() -> None:
    """Black stays black, a flat image has no contrast to change, nothing leaves the range, and 0 changes nothing."""
    given = images()
    low, high = given.min(axis=(0, 2, 3)), given.max(axis=(0, 2, 3))
    found = augmentation.recolored(given, 0.5, 0.5, low, high, generator())
    bounds = low[None, :, None, None], high[None, :, None, None]
    assert (found >= bounds[0]).all() and (found <= bounds[1]).all()
    assert not np.allclose(found, given, atol=0.1) and found.dtype == np.float32
    np.testing.assert_allclose(augmentation.recolored(given, 0, 0, low, high, generator()), given, atol=1e-6)
    black = np.broadcast_to(bounds[0], given.shape)
    np.testing.assert_allclose(augmentation.recolored(black, 0.5, 0.5, low, high, generator()), black, atol=1e-6)
    bright = augmentation.recolored(given, 0.5, 0, low - 100, high + 100, generator())
    factors = (bright - (low - 100)[:, None, None]) / (given - (low - 100)[:, None, None])
    np.testing.assert_allclose(factors.std(axis=(1, 2, 3)), 0, atol=1e-5)
    assert factors.min() < 0.6 and factors.max() > 1.4


def test_cutout_leaves_the_mean_in_a_square() -> None:
    """A square of at most the size is filled, channel by channel, and all else stays."""
    given, fill = images(count=200), np.array([10.0, 20.0, 30.0], np.float32)
    found = augmentation.cut_out(given, 3, fill, generator())
    changed = (found != given).any(axis=1)
    for channel in range(3):
        assert (found[:, channel][changed] == fill[channel]).all()
    assert np.array_equal(np.where(changed[:, None], given, found), given)
    rows, columns = changed.any(axis=2).sum(axis=1), changed.any(axis=1).sum(axis=1)
    assert np.array_equal(changed.sum(axis=(1, 2)), rows * columns)
    assert set(rows) == set(columns) == {2, 3}


def test_mixup_mixes_each_example_with_another() -> None:
    """Inputs are the mixture that the share and the partners say."""
    given = images()
    found = augmentation.mixed(given, 1.0, generator())
    assert found.partners is not None and sorted(found.partners) == list(range(50))
    assert 0 < found.share < 1 and found.inputs.dtype == np.float32
    np.testing.assert_allclose(found.inputs, found.share * given + (1 - found.share) * given[found.partners], atol=1e-6)


def test_values_are_of_the_whole_split() -> None:
    """Darkest, brightest and mean of each channel, however many images there are."""
    given = images(count=2500) * np.array([1, 2, 3], np.float32)[:, None, None]
    values = Values(given)
    assert np.array_equal(values.darkest, given.min(axis=(0, 2, 3)))
    assert np.array_equal(values.brightest, given.max(axis=(0, 2, 3)))
    np.testing.assert_allclose(values.mean, given.mean(axis=(0, 2, 3)), atol=1e-5)
    assert values.background == given.min()


def test_the_loss_is_the_mixture_of_both_targets_losses() -> None:
    """`share * loss(a) + (1 - share) * loss(b)` of the mixed inputs, whatever the loss is."""
    few, seen = digits().split("train").take(40), []

    def loss(outputs: paddle.Tensor, targets: paddle.Tensor, batch: Batch) -> paddle.Tensor:
        found = paddle.nn.functional.cross_entropy(outputs, targets)
        seen.append((float(found), targets.numpy(), batch))
        return found

    settings = TrainingSettings(epochs=1, batch_size=40, augmentation=[{"mixup": {"alpha": 1.0}}])
    history = fit(build().network, digits().task, TrainingContext(train=few, validation=few), settings, loss=loss)
    (first, own, batch), (second, partners, again) = seen
    expected = augmentation.mixed(few.inputs[batch.indices], 1.0, np.random.default_rng((0, 0, 1)))
    assert batch is again  # so that a teacher is asked once
    assert np.array_equal(own, few.labels[batch.indices])
    assert np.array_equal(partners, own[expected.partners])
    np.testing.assert_array_equal(batch.inputs[0].numpy(), expected.inputs)
    assert history.losses[0] == pytest.approx(expected.share * first + (1 - expected.share) * second, rel=1e-6)


def test_shift_is_a_crop_before_all_others() -> None:
    """The field and the step give the same bits."""
    shifted, cropped = build(), build()
    train(shifted, epochs=1, shift=2, augmentation=["mixup"])
    train(cropped, epochs=1, augmentation=[{"crop": {"padding": 2}}, "mixup"])
    assert shifted.digest() == cropped.digest()


ALL = [{"crop": {"padding": 1}}, {"flip": {"probability": 0.1}}, "color", {"cutout": {"size": 2}}, "mixup"]


def test_the_seed_decides_all_steps() -> None:
    """The same seed gives the same bits, another seed others."""
    models = [build(), build(), build()]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        train(model, seed=seed, epochs=1, augmentation=ALL)
    assert models[0].digest() == models[1].digest() != models[2].digest()


def test_accumulated_batches_are_changed_like_one_larger_batch() -> None:
    """Steps see all examples of a training step, so that accumulating changes no figure but by rounding."""
    one = train(build(), batch_size=64, epochs=1, augmentation=ALL)
    four = train(build(), batch_size=16, epochs=1, accumulate=4, augmentation=ALL)
    assert four.losses == pytest.approx(one.losses, rel=1e-4)


@pytest.mark.parametrize("steps", [[{"crop": {"padding": 1}}], ["color"], [{"cutout": {"size": 3}}], ["mixup"], ALL])
def test_the_digits_are_learned_with_it(steps: Sequence[Any]) -> None:
    """Each step, and all of them, leave something to learn from."""
    model = build()
    train(model, epochs=6, batch_size=32, augmentation=steps)
    assert score(model.network, model.task, digits().split("test")) > 88


def test_what_was_moved_about_in_training_is_known_where_it_is_moved() -> None:
    """A network that was trained with crops tells moved digits apart better than one that was not."""
    test, found = digits().split("test"), []
    moved = Split(augmentation.cropped(test.inputs, 2, float(test.inputs.min()), generator(5)), test.labels)
    for steps in ([], [{"crop": {"padding": 2}}]):
        model = build()
        train(model, epochs=6, batch_size=32, augmentation=steps)
        found.append(score(model.network, model.task, moved))
    assert found[1] > found[0] + 10


class Ordered(Classification):
    """A task whose targets are not those of a mirror image, and can't be mixed."""

    refuses: ClassVar[Sequence[str]] = ("flip", "mixup")


def refused(steps: Sequence[Any], inputs: NDArray[np.float32], task: Any = None) -> str:
    """What is said where steps are refused; nothing has been trained then."""
    split = Split(inputs, np.zeros(len(inputs), np.int64))
    model: Model = build()
    before = model.digest()
    with pytest.raises(DataError) as caught:
        fit(
            model.network,
            task or digits().task,
            TrainingContext(train=split, validation=split),
            TrainingSettings(augmentation=list(steps)),
        )
    assert model.digest() == before
    return str(caught.value)


def test_a_task_refuses_steps() -> None:
    """The message names the step, the task and what is valid."""
    said = refused(["flip"], images(), Ordered(classes=("a", "b")))
    assert said == ("the augmentation step 'flip' is refused by the task 'classification'. Valid: color, crop")
    assert "'mixup' is refused" in refused([{"crop": {"padding": 1}}, "mixup"], images(), Ordered(classes=("a", "b")))


@pytest.mark.parametrize("moving", [{"shift": 1}, {"augmentation": ["flip"]}, {"augmentation": ["crop"]}])
def test_images_are_not_moved_away_from_their_masks(moving: dict[str, Any]) -> None:
    """Segmentation refuses what would leave its targets where they were, by the field or by a step."""
    task = Segmentation(classes=("ground", "thing"), height=6, width=4)
    split = Split(images(8), np.zeros((8, 6, 4), np.uint8))
    network = paddle.nn.Conv2D(3, 2, 1)
    context = TrainingContext(train=split, validation=split)
    with pytest.raises(DataError, match=r"(shift is 1, but the|refused by the) task 'segmentation'.*Valid: "):
        fit(network, task, context, TrainingSettings(**moving))
    fit(network, task, context, TrainingSettings(epochs=1, augmentation=["color", {"cutout": {"size": 2}}, "mixup"]))


@pytest.mark.parametrize(
    ("task", "labels"),
    [
        (Regression(targets=("size",)), np.linspace(0, 1, 8, dtype=np.float32)[:, None]),
        (MultiLabel(labels=("a", "b")), np.eye(2, dtype=np.float32)[[0, 1] * 4]),
    ],
)
def test_other_tasks_are_mixed_too(task: Task, labels: NDArray[Any]) -> None:
    """The loss of both targets is mixed, whatever targets are."""
    split = Split(images(8), labels)
    network = paddle.nn.Sequential(paddle.nn.Flatten(), paddle.nn.Linear(72, task.out_features))
    settings = TrainingSettings(epochs=20, augmentation=["mixup"])
    history = fit(network, task, TrainingContext(train=split, validation=split), settings)
    assert history.losses[-1] < history.losses[0]


def test_steps_that_do_not_fit_the_examples_are_refused() -> None:
    """Rows of numbers are no images, and nothing may be cut out that is as large as the image."""
    rows = np.zeros((8, 64), np.float32)
    for name in sorted(set(STEPS) - {"mixup"}):
        assert refused([name], rows) == (
            f"the augmentation step {name!r} is for images [channels, height, width], but the examples have shape "
            "(64,). Valid: mixup"
        )
    said = refused([{"cutout": {"size": 32}}], np.zeros((2, 3, 32, 32), np.float32))
    assert said.startswith(
        "the augmentation step 'cutout' has size 32, but the images are 32 x 32: it must be below 32"
    )
    assert said.endswith("Valid: color, crop, cutout, flip, mixup")


def test_rows_of_numbers_are_mixed() -> None:
    """Mixup is for inputs of any shape."""
    flat = Split(digits().split("train").inputs.reshape(-1, 64), digits().split("train").labels)
    context = TrainingContext(train=flat, validation=flat)
    network = paddle.nn.Linear(64, 10)
    settings = TrainingSettings(epochs=6, batch_size=32, learning_rate=0.02, augmentation=["mixup"])
    history = fit(network, digits().task, context, settings)
    assert history.score > 85


def test_a_changed_batch_leaves_the_split_as_it_is() -> None:
    """Steps make new arrays."""
    split = digits().split("train").take(20)
    before = split.inputs.copy()
    found = Augmentation(ALL, 1, digits().task, split)(split.inputs, 0, 0)
    assert np.array_equal(split.inputs, before) and not np.allclose(found.inputs, before)


@pytest.mark.parametrize(
    ("stated", "words"),
    [
        ("flip", r"'augmentation' is 'flip': must be a list, such as \[flip\]"),
        (["flop"], "unknown augmentation step 'flop'. Did you mean 'flip'.*Valid: color, crop, cutout, flip, mixup"),
        ([{"crop": {"padding": 0}}], "crop: 'padding' is 0: must be >= 1 and <= 32"),
        ([{"crop": {"pad": 1}}], "crop: unknown field 'pad'.*Valid: padding"),
        ([{"crop": 4}], r"\{'crop': 4\} is no step. Valid: a name, such as flip, or name: \{field: value\}"),
        ([{"crop": {}, "flip": {}}], "is no step"),
        ([True], "True is no step"),
        (["flip", {"flip": {"probability": 1}}], "the step 'flip' stands twice"),
        ([{"mixup": {"alpha": True}}], "mixup: 'alpha' is True: neither true nor false"),
    ],
)
def test_a_mistake_in_a_step_is_told(stated: Any, words: str) -> None:
    """One line names the step, the field, the value and what is valid."""
    with pytest.raises(ValidationError) as caught:
        TrainingSettings(augmentation=stated)
    said = explain(caught.value, TrainingSettings)
    assert "\n" not in said
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(said)


def test_steps_that_say_the_same_are_the_same() -> None:
    """Defaults, and floats that Kubeflow made of whole numbers, make no other training."""
    plain = TrainingSettings(augmentation=["flip", {"crop": {"padding": 2}}])
    other = TrainingSettings(augmentation=[{"flip": {"probability": 0.5}}, {"crop": {"padding": 2.0}}])
    assert plain == other
    assert plain.model_dump_json() == other.model_dump_json()
    assert plain.augmented and not TrainingSettings().augmented and TrainingSettings(shift=1).augmented
