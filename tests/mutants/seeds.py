"""The whole artifacts, deployables, data sets and recipes that mutants are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import digits_models
import numpy as np

from paddlepress.artifact import store
from paddlepress.data.sources.digits import Digits
from paddlepress.data.store import prepare
from paddlepress.deployment.export import export
from paddlepress.network.edits import Factorize, Mask, Narrow, Quantize, Share, find
from paddlepress.network.edits import replace as put
from paddlepress.network.model import Model
from paddlepress.spec.lineage import LineageEntry
from paddlepress.spec.preprocessing import Preprocessing

TARGETS = ("model", "deployable", "data", "recipe")
RECIPES = Path(__file__).resolve().parents[2] / "pipelines" / "recipes"
SHAPE = (1, 8, 8)

Files = dict[str, bytes]


def make(folder: Path) -> None:
    """Write every seed below a folder, as `TARGET/NAME/FILE`."""
    inputs = np.random.default_rng(0).normal(size=(64, *SHAPE)).astype(np.float32)
    lenet = digits_models.build("lenet", SHAPE, width=0.5)
    step = LineageEntry(technique="train", version="paddlepress 1", parameters={"epochs": 3, "rate": 0.1}, seed=7)
    int8 = digits_models.quantized(lenet, inputs)
    models = {
        "float": lenet.with_lineage(step),
        "int8": replace(int8, preprocessing=Preprocessing(dtype="uint8", scale=255, mean=(0.1,), std=(0.3,))),
        "encoded": _encoded(int8),
        "cut": _cut(lenet),
        "split": _split(lenet).with_lineage(step).with_lineage(step),
        "residual": digits_models.build("resnet-cifar", SHAPE, depth=8, width=4),
        "recurrent": digits_models.build("lstm", (8, 8), hidden=8),
    }
    for name, model in models.items():
        store.save(model, folder / "model" / name)
    for name in ("float", "encoded", "int8"):
        export(models[name], folder / "model" / name, folder / "deployable" / name)
    prepare(Digits(calibration=100), folder / "data" / "data", folder / "data" / "test")
    for path in RECIPES.glob("*.yaml"):
        (folder / "recipe" / path.stem).mkdir(parents=True)
        (folder / "recipe" / path.stem / "recipe.yaml").write_bytes(path.read_bytes())


def read(folder: Path, target: str) -> dict[str, Files]:
    """The seeds of a target by name, each its files' bytes by name."""
    return {
        seed.name: {path.name: path.read_bytes() for path in sorted(seed.iterdir())}
        for seed in sorted((folder / target).iterdir())
    }


def _encoded(int8: Model) -> Model:
    """A tensor in each encoding: fc1 coded, fc2 shared, conv2 sparse, conv1 packed or coded, biases raw."""
    twin = int8.copy()
    weight = find(twin.network, "fc2").weight
    weight.set_value(np.sign(weight.numpy()) + np.float32(0.0))
    weight = find(twin.network, "conv2").weight
    weight.set_value(np.where(np.abs(weight.numpy()) > 0.1, 0.5, 0.0).astype(np.float32))
    kept = tuple(edit for edit in twin.edits if isinstance(edit, Quantize) and edit.layer in {"conv1", "fc1"})
    return replace(twin, edits=(*kept, Mask(parameters=("conv2.weight",)), Share(layer="fc2", bits=2)))


def _cut(model: Model) -> Model:
    twin = model.copy()
    rows, columns = (find(twin.network, name).weight.shape for name in ("fc1", "fc2"))
    edit = Narrow(
        shapes={"fc1.weight": (rows[0], 24), "fc1.bias": (24,), "fc2.weight": (24, columns[1])},
    )
    edit.replay(twin.network)
    return twin.with_edits(edit)


def _split(model: Model) -> Model:
    from paddlepress.network.inserted_layers import LowRankLinear

    twin = model.copy()
    put(twin.network, "fc1", LowRankLinear.in_place_of(find(twin.network, "fc1"), 8))
    return twin.with_edits(Factorize(layer="fc1", rank=8))
