"""Every technique on every built-in architecture and on every task: what comes out is right, or refused with a reason.

Right is: it reloads bit-equal, is deployed as it computes, and stores no more than the model that it was made from.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from paddlepress.artifact import store
from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.plugins import ARCHITECTURES, TASKS, TECHNIQUES, listed
from paddlepress.data import Split
from paddlepress.deployment.export import export
from paddlepress.deployment.predictor import Predictor
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.spec.tensors import NamedArrays
from paddlepress.tasks import Classification, MultiLabel, Regression, Segmentation, Task, TextRecognition
from paddlepress.techniques import Context, run, technique
from paddlepress.testing import size_of

# Small networks; the largest images are what the largest of them takes.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "lenet": {"width": 0.25},
    "resnet-cifar": {"depth": 8, "width": 8},
    "vit": {"depth": 2, "width": 16, "heads": 2},
    "lstm": {"hidden": 16},
    "mlp": {"hidden": [24, 16]},
    "unet": {"width": 4, "depth": 1},
    "crnn": {"width": 4, "hidden": 8},
    "text-cnn": {"embedding": 16, "filters": 12},
    "late-fusion": {"filters": [8, 16], "features": 8, "hidden": 24},
}
SIDES = {"lenet5-caffe": 16}
RECOVERY = {"recovery_epochs": 0}
TRAINING = {"epochs": 1, "batch_size": 32}
FIELDS: dict[str, dict[str, Any]] = {
    "prune-weights": {"scope": "layer", **RECOVERY},
    "prune-filters": {"round_to": 1, **RECOVERY},
    "prune-neurons": {"round_to": 1, **RECOVERY},
    "prune-layers": RECOVERY,
    "quantize-post-training": {},
    "quantize-aware-training": {"recovery_epochs": 1, "recovery_batch_size": 32},
    "quantize-mixed": {"sensitivity_examples": 16},
    "share-weights": {},
    "distill-offline": TRAINING,
    "distill-online": TRAINING,
    "distill-self": TRAINING,
    "factorize-dense": {"min_size": 8, "round_to": 1, **RECOVERY},
    "factorize-conv": {"min_channels": 4, "round_to": 1, **RECOVERY},
}
NO_CONVOLUTION = ("lenet-300-100", "lstm", "mlp")
NO_BLOCK = ("lenet", "lenet-half", "lenet5-caffe", "lenet-300-100", "lstm", "mlp", "text-cnn")
# What has no meaning, with the words that say so; every other combination must work.
REFUSED: dict[tuple[str, str], str] = {
    **{("prune-filters", name): "no filters can be removed from this network" for name in NO_CONVOLUTION},
    **{("factorize-conv", name): "no convolution" for name in NO_CONVOLUTION},
    **{("prune-layers", name): "1 to remove, but 0 can be" for name in NO_BLOCK},
    **{("prune-neurons", name): "no neurons can be removed from this network" for name in ("resnet-cifar", "unet")},
    ("factorize-dense", "unet"): "no dense layer can be factorized",
    ("factorize-conv", "text-cnn"): "no convolution can be factorized",  # it is for those over two dimensions
    ("factorize-conv", "vit"): "1 channels are fewer than min_channels 4",
}


@cache
def tasks() -> dict[str, tuple[Task, np.ndarray[Any, Any]]]:
    """Each task with targets of scikit-learn's digits: the digit, how much ink it takes, and where it is."""
    from sklearn.datasets import load_digits

    images, labels = load_digits().images[:128], load_digits().target[:128]
    ink = images.sum(axis=(1, 2)).astype(np.float32)
    halves = np.stack([images[:, :4].sum(axis=(1, 2)), images[:, :, :4].sum(axis=(1, 2))], axis=1)
    regression = Regression(targets=("ink",)).fitted(ink[:, None])
    return {
        "classification": (Classification(classes=tuple("0123456789")), labels.astype(np.int64)),
        "regression": (regression, ink[:, None]),
        "multi-label": (MultiLabel(labels=("top", "left")), (halves > ink[:, None] / 2).astype(np.float32)),
        "segmentation": (
            Segmentation(classes=("ground", "ink"), height=8, width=8),
            (images > 8).astype(np.uint8),
        ),
        "text-recognition": _reading(labels),
    }


def _reading(labels: np.ndarray[Any, Any]) -> tuple[Task, np.ndarray[Any, Any]]:
    """An image's digit as a text of one character."""
    task = TextRecognition(characters="0123456789", steps=4)
    return task, task.read(labels.astype(str), "y")


def examples(architecture: str, targets: np.ndarray[Any, Any]) -> tuple[Split, tuple[TensorSpec, ...]]:
    """Images as the architecture takes them; as tokens, for one of text; with their rows' ink beside, for several."""
    from sklearn.datasets import load_digits

    pixels, side = load_digits().images[: len(targets), None], SIDES.get(architecture, 8)
    if architecture == "text-cnn":
        tokens = TensorSpec(name="input", shape=(64,), dtype="int64", vocabulary=17)
        return Split(pixels.reshape(len(targets), 64).astype(np.int64), targets), (tokens,)
    images = np.kron(pixels.astype(np.float32) / 16, np.ones((1, 1, side // 8, side // 8), np.float32))
    image = TensorSpec(name="input", shape=(1, side, side))
    if architecture == "late-fusion":
        inputs = NamedArrays({"input": images, "ink": images.mean(axis=(1, 3))})
        return Split(inputs, targets), (image, TensorSpec(name="ink", shape=(8,)))
    return Split(images, targets), (image,)


@cache
def base(architecture: str, kind: str) -> tuple[Model, Split]:
    """An untrained network for a task, and examples of it."""
    import paddle

    task, targets = tasks()[kind]
    paddle.seed(0)
    reference = ArchitectureRef(name=architecture, arguments=ARGUMENTS.get(architecture, {}))
    split, inputs = examples(architecture, targets)
    return Model.build(reference, inputs, task), split


def own(group: str) -> list[str]:
    return [name for name, entry in listed(group).items() if entry.module.startswith("paddlepress")]


# What the architectures are for that give no numbers a class.
DENSE = {"unet": "segmentation", "crnn": "text-recognition"}
PAIRS = [(each, DENSE.get(each, "classification")) for each in own(ARCHITECTURES)]
PAIRS += [
    (each, kind) for each in ("lenet", "mlp") for kind in own(TASKS) if kind not in ("classification", *DENSE.values())
]
COMBINATIONS = [(name, *pair) for name in own(TECHNIQUES) for pair in PAIRS]


@pytest.mark.parametrize(("name", "architecture", "kind"), COMBINATIONS, ids=map(" ".join, COMBINATIONS))
def test_every_combination(name: str, architecture: str, kind: str, tmp_path: Path) -> None:
    """A technique works on a network and for a task, or says why it does not."""
    model, split = base(architecture, kind)
    context = Context(train=split, validation=split.take(64), calibration=split.take(32, seed=1), base=model)
    chosen = technique(name, FIELDS[name])
    if (name, architecture) in REFUSED:
        with pytest.raises(TechniqueRefused, match=REFUSED[name, architecture]) as caught:
            run(chosen, model, context)
        assert "\n" not in str(caught.value)
        return
    small = run(chosen, model, context)
    inputs = split.inputs[:40]
    expected = small.predict(inputs)
    assert expected.shape == (40, *model.task.outputs[0].shape) and np.isfinite(expected).all()
    assert np.isfinite(model.task.score(expected, split.labels[:40]).value)
    store.save(model, tmp_path / "before")
    store.save(small, tmp_path / "after")
    assert np.array_equal(store.load(tmp_path / "after").predict(inputs), expected)
    assert size_of(tmp_path / "after") <= 1.1 * size_of(tmp_path / "before")
    export(small, tmp_path / "after", tmp_path / "deployable", inputs)  # compares the graph with the network
    deployed = Predictor.load(tmp_path / "deployable").run(inputs)
    assert model.task.agreement(deployed, expected) > 90
