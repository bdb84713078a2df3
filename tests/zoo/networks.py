"""Every network that the zoo's tests go through, small enough to take seconds."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from paddlepress.core import compute
from paddlepress.data import Split
from paddlepress.network import edits
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.surgery.graph import narrow_all, trace
from paddlepress.tasks import Classification
from paddlepress.techniques import Context

compute.prepare()

CLASSES = tuple("abcde")


@dataclass(frozen=True)
class Case:
    """A network of the zoo.

    Attributes:
        name: its architecture.
        shape: of an input.
        arguments: of the architecture.
        dense: units that wide dense layers are cut to at first: theirs are most of some networks' weights.
        kinds: what is cut of it.
        conv: how its convolutions can be factorized; empty for one that has none to factorize.
        wide: whether it has dense layers worth factorizing.
    """

    name: str
    shape: tuple[int, ...]
    arguments: dict[str, Any] = field(default_factory=dict)
    dense: int | None = None
    kinds: tuple[str, ...] = ("filters",)
    conv: str = "tucker2"
    wide: bool = False


VIT = {"width": 48, "depth": 3}
CASES = [
    Case("vision/alexnet", (3, 224, 224), dense=64, wide=True),
    Case("vision/densenet121", (3, 32, 32)),
    Case("vision/googlenet", (3, 64, 64)),
    Case("vision/inception_v3", (3, 80, 80)),
    Case("vision/mobilenet_v1", (3, 64, 64), conv="channel-svd"),
    Case("vision/mobilenet_v2", (3, 64, 64), conv="channel-svd"),
    Case("vision/mobilenet_v3_small", (3, 64, 64), conv="channel-svd", wide=True),
    Case("vision/mobilenet_v3_large", (3, 64, 64), conv="channel-svd", wide=True),
    Case("vision/resnet18", (3, 64, 64)),
    Case("vision/resnet50", (3, 48, 48)),
    Case("vision/resnext50_32x4d", (3, 48, 48), conv="channel-svd"),
    Case("vision/wide_resnet50_2", (3, 32, 32)),
    Case("vision/shufflenet_v2_x1_0", (3, 64, 64), conv="channel-svd"),
    Case("vision/squeezenet1_0", (3, 64, 64)),
    Case("vision/squeezenet1_1", (3, 64, 64)),
    Case("vision/vgg11", (3, 32, 32), dense=64, wide=True),
    Case("vision/vgg16", (3, 32, 32), dense=64, wide=True),
    Case("vit", (3, 16, 16), VIT, kinds=("neurons", "heads"), conv="", wide=True),
    Case("vit", (3, 16, 16), VIT, kinds=("filters", "neurons", "heads"), conv="", wide=True),
    Case("lstm", (1, 16, 16), {"hidden": 48, "layers": 2}, kinds=("neurons",), conv=""),
]


def label(case: Case) -> str:
    """What a case is called."""
    return f"{case.name.removeprefix('vision/')}-{'+'.join(case.kinds)}"


def build(case: Case) -> Model:
    """The network with fresh weights, always the same, and norms of which each counts."""
    compute.seed_everything(0)
    reference = ArchitectureRef(name=case.name, arguments=case.arguments)
    model = Model.build(reference, (TensorSpec(name="image", shape=case.shape),), Classification(classes=CLASSES))
    if case.dense is not None:
        graph = trace(model)
        wide = {group.name: np.arange(case.dense) for group in graph.groups if group.kind == "neurons"}
        model = narrow_all(model, wide, graph)
    _settle(model, images(case, 8, seed=5))
    return model


def images(case: Case, count: int, seed: int = 1) -> np.ndarray[Any, Any]:
    """Random inputs."""
    return np.random.default_rng(seed).normal(0, 1, (count, *case.shape)).astype(np.float32)


def context(case: Case, base: Model) -> Context:
    """A context over random images with random labels."""
    random = np.random.default_rng(2)
    split = Split(images(case, 8, seed=3), random.integers(0, len(CLASSES), 8))
    return Context(train=split, validation=split, calibration=split, base=base)


def _settle(model: Model, inputs: np.ndarray[Any, Any]) -> None:
    """Give norms factors of both signs and, where they remember any, the statistics of a batch."""
    import paddle

    random = np.random.default_rng(1)
    kept = {}
    for name, parameter in model.network.named_parameters():
        owner = edits.find(model.network, name.rpartition(".")[0])
        if name.endswith("bias"):
            parameter.set_value(random.uniform(-0.3, 0.3, parameter.shape).astype(np.float32))
        if hasattr(owner, "_mean") and name.endswith("weight"):
            size = parameter.shape
            parameter.set_value((random.choice([-1, 1], size) * random.uniform(0.5, 1.5, size)).astype(np.float32))
    for layer in model.network.sublayers():
        if hasattr(layer, "_mean"):
            kept[layer] = layer._momentum
            layer._momentum = 0.0
    model.network.train()
    with warnings.catch_warnings(), paddle.no_grad():
        warnings.simplefilter("ignore")
        model.network(paddle.to_tensor(inputs))
    model.network.eval()
    for layer, momentum in kept.items():
        layer._momentum = momentum
