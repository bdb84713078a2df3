"""What compression is worth beside ONNX Runtime's own tools: `make benchmark-runtime`.

A ResNet-20 (16, 32 and 64 channels) learns from 12,000 images of Fashion-MNIST, is compressed, and each variant is
measured beside its base and beside what ONNX Runtime's `quantize_static` makes of the base; all of it once a seed.
Structural techniques go over a MobileNetV2 and a VGG-11 with fresh weights, at 64x64 pixels: none may make them
slower. What was trained is kept, so that a second call only measures. Speed is measured in one process, in turns, and
is the processor time of the one thread that computes: what else a machine does takes none of it.

    python tests/benchmarks/runtime.py [--seeds N ...] [--only VARIANT] [--home FOLDER] [--data FOLDER]

Accuracy is told of two test sets. `unseen` counts: 10,000 of the 60,000 training images, of those that neither train
nor validate here. `published` is Fashion-MNIST's own test set, which was in sight when the rule by which filters are
chosen was settled. Whoever changes a rule looks at the validation accuracy that is printed after each epoch, and at
neither of these.

Fails if the mean of a figure over the seeds misses its target. The data are those of Debian's package
dataset-fashion-mnist.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from paddlepress.tasks import Classification

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".paddlepress" / "benchmarks" / "runtime"
DATA = Path("/usr/share/datasets/fashion-mnist")
IMAGES = 12_000
UNSEEN, PUBLISHED = "unseen", "published"
UNSEEN_IMAGES = 10_000
TRAINING = {"epochs": 6, "batch_size": 64, "learning_rate": 0.01}
SEEDS = [0, 1, 2]
BATCHES = (1, 32)
STATIC = "ort-static-int8"
NOISE = 0.98
"""What counts as not slower: two runs of one graph differ by as much."""

Chain = list[tuple[str, dict[str, Any]]]
RECOVERY = {"recovery_loss": "distilled", "recovery_batch_size": 64, "recovery_learning_rate": 0.004}
FILTERS: Chain = [("prune-filters", {"macs": 0.5, "recovery_epochs": 2, **RECOVERY})]
LOW_RANK: Chain = [("factorize-conv", {"macs": 0.5, "recovery_epochs": 1, **RECOVERY})]
INT8: Chain = [("quantize-post-training", {})]
VARIANTS: dict[str, Chain] = {
    "filters": FILTERS,
    "low-rank": LOW_RANK,
    "int8": INT8,
    "filters-int8": FILTERS + INT8,
}

UNTRAINED = ("vision/mobilenet_v2", "vision/vgg11")
STRUCTURAL: dict[str, tuple[str, dict[str, Any]]] = {
    "filters, half": ("prune-filters", {}),
    "filters, half the MACs": ("prune-filters", {"macs": 0.5}),
    "filters, half the time": ("prune-filters", {"latency": 0.5}),
    "neurons, half": ("prune-neurons", {}),
    "layers, one less": ("prune-layers", {"sample": 8}),
    "tucker2, half the MACs": ("factorize-conv", {"macs": 0.5}),
    "channel-svd, half the MACs": ("factorize-conv", {"method": "channel-svd", "macs": 0.5}),
    "dense": ("factorize-dense", {}),
}


@dataclass(frozen=True)
class Row:
    """What was measured of a variant.

    Attributes:
        name: of the variant.
        accuracy: percent of each test set, by its name.
        bytes: deployed.
        macs: for one image.
        speedups: (beside, batch) -> how many times faster, beside `base` and other variants.
    """

    name: str
    accuracy: dict[str, float]
    bytes: int
    macs: float
    speedups: dict[tuple[str, int], float] = field(default_factory=dict)


@dataclass
class Verdicts:
    """What was wanted, and whether it came out."""

    fine: bool = True

    def want(self, what: str, values: Sequence[float], least: float) -> None:
        """Print whether the mean of some values, one a seed, is at least what is wanted."""
        mean = sum(values) / len(values)
        met = round(mean, 4) >= least
        self.fine &= met
        each = f" ({', '.join(f'{value:.2f}' for value in values)})" if len(values) > 1 else ""
        print(f"  {'met   ' if met else 'MISSED'}   {what} >= {least:g}: {mean:.3f}{each}")


def prepare(home: Path, data: Path) -> tuple[Any, dict[str, Any]]:
    """The learning data and the test sets by name, as they are stored; made if they are not there."""
    from paddlepress.core.errors import DataError
    from paddlepress.data.prepared import prepared
    from paddlepress.data.sources.idx import Idx, read_folder
    from paddlepress.data.splits import stratified_sample
    from paddlepress.data.store import load, save

    learning, published, unseen = home / "data", home / "test", home / "unseen"
    try:
        return load(learning), {UNSEEN: load(unseen), PUBLISHED: load(published)}
    except DataError:
        for folder in (learning, published, unseen):
            shutil.rmtree(folder, ignore_errors=True)
    source = Idx(path=str(data), limit=IMAGES)
    raw = read_folder(data, "idx")
    found = prepared(raw, source.wanted, source)
    save(learning, found, found.learning)
    save(published, found, {"test": found.parts.test})
    # Images of the source's training files that neither train nor validate, each class in proportion.
    used = np.concatenate([found.parts.train.rows, found.parts.validation.rows])
    left = raw.train.take(np.setdiff1d(np.arange(len(raw.train)), used))
    save(unseen, found, {"test": left.take(stratified_sample(left.targets, UNSEEN_IMAGES, seed=0))})
    return load(learning), {UNSEEN: load(unseen), PUBLISHED: load(published)}


def tell(metric: str, value: float, step: int) -> None:
    """Print a figure of a training."""
    print(f"  epoch {step}: {metric} {value:.4g}", flush=True)


def base_model(home: Path, stored: Any, seed: int) -> Any:
    """The trained base; trained if it is not there."""
    from paddlepress.artifact import store
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.training.base_training import train_base
    from paddlepress.training.settings import TrainingSettings

    kept = home / f"base-{seed}"
    if not (kept / "model.json").exists():
        started = time.perf_counter()
        reference = ArchitectureRef(name="resnet-cifar", arguments={"depth": 20, "width": 16})
        settings = TrainingSettings(**TRAINING)  # type: ignore[arg-type]
        store.save(train_base(reference, stored.through(stored.statistics), settings, seed=seed, log=tell), kept)
        print(f"base trained in {time.perf_counter() - started:.0f} s", flush=True)
    return store.load(kept)


def compressed(home: Path, base: Any, dataset: Any, chain: Chain, seed: int) -> Any:
    """A variant of the base; steps that were made with the same settings before are taken from the home."""
    from paddlepress.artifact import store
    from paddlepress.techniques import Context, run, technique

    model = base
    splits = {name: dataset.split(name) for name in ("train", "validation", "calibration")}
    told: list[Any] = [base.digest(), seed]
    for name, fields in chain:
        chosen = technique(name, fields)
        told.append([name, chosen.model_dump(mode="json")])
        kept = home / "steps" / hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        if not (kept / "model.json").exists():
            started = time.perf_counter()
            store.save(run(chosen, model, Context(**splits, base=base, seed=seed, log=tell), name), kept)
            print(f"{name} done in {time.perf_counter() - started:.0f} s", flush=True)
        model = store.load(kept)
    return model


def deployed(home: Path, name: str, model: Any) -> Path:
    """The deployable of a model."""
    from paddlepress.artifact import store
    from paddlepress.deployment.export import export

    folder = home / "deployables" / name
    store.save(model, folder / "model")
    export(model, folder / "model", folder / "bundle")
    return folder / "bundle"


def graph_alone(model: Any) -> Any:
    """A session of the graph of a deployable, with its weights inside it.

    What is computed is the same. Encoding the 500 MB of a VGG-11, checking and decoding them takes longer than all of
    its measuring.
    """
    from paddlepress.deployment.conversion import onnx_graph
    from paddlepress.deployment.graph import Graph, simplify

    proto, _ = onnx_graph(model)
    graph = Graph(proto)
    simplify(graph)
    graph.write_values()
    return session(proto.SerializeToString())


def call(session: Any, sample: np.ndarray[Any, Any]) -> Callable[[], Any]:
    """One prediction of a session."""
    feed = {session.get_inputs()[0].name: sample}
    return lambda: session.run(None, feed)


def static(home: Path, base: Any, dataset: Any) -> Path:
    """The base as ONNX Runtime's `quantize_static` makes it, calibrated with the same images."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

    from paddlepress.deployment.conversion import onnx_graph

    class Images(CalibrationDataReader):  # type: ignore[misc]
        """Batches of the calibration split."""

        def __init__(self) -> None:
            images = np.asarray(dataset.split("calibration").inputs)
            self.batches: Iterator[Any] = iter(np.array_split(images, max(1, len(images) // 100)))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {base.inputs[0].name: np.ascontiguousarray(batch)}

    path, plain, folded = home / f"{STATIC}.onnx", home / "float.onnx", home / "folded.onnx"
    proto, _ = onnx_graph(base)
    plain.write_bytes(proto.SerializeToString())
    # As its documentation asks: constants become initializers and norms a part of their convolutions first, or
    # hardly any layer could run on integers.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath, options.log_severity_level = str(folded), 3
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])
    # Unsigned activations: signed ones, its default, have no fast kernels on x86.
    quantize_static(
        folded,
        path,
        Images(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        reduce_range=False,
    )
    return path


def session(graph: str | bytes) -> Any:
    """An ONNX Runtime session with one thread, of a file or its content."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def paired(first: Callable[[], Any], second: Callable[[], Any], budget_s: float) -> float:
    """How many times faster the second is than the first, by the time that a processor spends on it."""
    from paddlepress.evaluation.latency import interleaved

    return interleaved(first, second, budget_s, clock=time.thread_time).speedup


def trained(
    home: Path, stored: Any, tests: dict[str, Any], only: list[str], budget_s: float, seed: int
) -> dict[str, Row]:
    """The rows of a ResNet-20 and its variants, of one seed."""
    from paddlepress.deployment.predictor import Predictor
    from paddlepress.evaluation.size import file_bytes
    from paddlepress.surgery.macs import macs
    from paddlepress.tasks.classification import accuracy

    base = base_model(home, stored, seed)
    dataset = stored.for_model(base)
    sets = {name: test.split("test") for name, test in tests.items()}
    seen = {name: np.asarray(test.for_model(base).split("test").inputs) for name, test in tests.items()}
    samples = {batch: np.ascontiguousarray(seen[UNSEEN][:batch], np.float32) for batch in BATCHES}
    rows: dict[str, Row] = {}
    predictors: dict[str, Any] = {}  # kept, since a session reads the weights from its predictor's memory
    calls: dict[str, dict[int, Callable[[], Any]]] = {}

    def add(name: str, percent: dict[str, float], size: int, work: int) -> None:
        rows[name] = Row(name, percent, size, work)
        print(f"{name}: {', '.join(f'{value:.2f}% {test}' for test, value in percent.items())}", flush=True)

    for name, chain in {"base": [], **VARIANTS}.items():
        if only and name not in ("base", *only):
            continue
        model = compressed(home, base, dataset, chain, seed)
        bundle = deployed(home, name, model)
        predictor = predictors[name] = Predictor.load(bundle, threads=1)
        percent = {test: accuracy(predictor.predict(part.inputs), part.labels) for test, part in sets.items()}
        add(name, percent, sum(file_bytes(bundle).values()), sum(macs(model).values()))
        calls[name] = {batch: call(predictor.session, sample) for batch, sample in samples.items()}
    path = static(home, base, dataset)
    rival = session(str(path))

    def logits(inputs: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.concatenate([call(rival, part)()[0] for part in np.array_split(inputs, 20)])

    percent = {test: accuracy(logits(inputs), sets[test].labels) for test, inputs in seen.items()}
    add(STATIC, percent, path.stat().st_size, rows["base"].macs)
    calls[STATIC] = {batch: call(rival, sample) for batch, sample in samples.items()}
    for name, row in rows.items():
        for beside in ("base", STATIC, "int8"):
            for batch in BATCHES if beside in calls else ():
                row.speedups[beside, batch] = paired(calls[beside][batch], calls[name][batch], budget_s)
    return rows


def untrained(architectures: Sequence[str], budget_s: float) -> dict[tuple[str, str], dict[int, float]]:
    """How many times faster than their base networks with fresh weights are after each structural technique."""
    from paddlepress.core import compute
    from paddlepress.core.errors import TechniqueRefused
    from paddlepress.data import Split
    from paddlepress.network.model import Model
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.techniques import Context, run, technique

    random = np.random.default_rng(0)
    images = random.standard_normal((32, 3, 64, 64)).astype(np.float32)
    split = Split(images[:8], random.integers(0, 10, 8))
    found: dict[tuple[str, str], dict[int, float]] = {}
    for architecture in architectures:
        compute.seed_everything(0)
        inputs, task = (TensorSpec(name="image", shape=images.shape[1:]),), Classification(classes=tuple("0123456789"))
        base = Model.build(ArchitectureRef(name=architecture), inputs, task)
        context = Context(train=split, validation=split, calibration=split, base=base)
        before = graph_alone(base)
        for label, (name, fields) in STRUCTURAL.items():
            try:
                model = run(technique(name, {**fields, "recovery_epochs": 0}), base, context, name)
            except TechniqueRefused as error:
                print(f"{architecture}, {label}: refused, {str(error)[:150]}", flush=True)
                continue
            after = graph_alone(model)
            found[architecture, label] = {
                batch: paired(call(before, images[:batch]), call(after, images[:batch]), budget_s) for batch in BATCHES
            }
            told = ", ".join(f"{speedup:.2f}x" for speedup in found[architecture, label].values())
            print(f"{architecture}, {label}: {told}", flush=True)
    return found


def show(rows: dict[str, Row], seed: int) -> None:
    """Print what was measured with one seed."""
    columns = [(beside, batch) for beside in ("base", STATIC) for batch in BATCHES]
    load = os.getloadavg()[0]
    heads = "".join(f"{f'{beside} b{batch}':>21}" for beside, batch in columns)
    tests = "".join(f"{test:>11}" for test in rows["base"].accuracy)
    print(f"\nseed {seed}, load {load:.1f}\n{'variant':<18}{tests}{'bytes':>12}{'MACs':>9}{heads}")
    for row in rows.values():
        cells = "".join(f"{row.speedups[column]:>20.2f}x" for column in columns)
        percents = "".join(f"{percent:>11.2f}" for percent in row.accuracy.values())
        print(f"{row.name:<18}{percents}{row.bytes:>12,}{row.macs / 1e6:>8.1f}M{cells}")


def judge(seeds: list[dict[str, Row]], structural: dict[tuple[str, str], dict[int, float]]) -> bool:
    """Print the targets; whether all that were measured are met."""
    print("\nTargets" + (f", of the mean of {len(seeds)} seeds" if len(seeds) > 1 else ""))
    verdicts = Verdicts()
    measured = set(seeds[0]) if seeds else set()

    def speedups(name: str, beside: str, batch: int) -> list[float]:
        return [rows[name].speedups[beside, batch] for rows in seeds]

    for name, least in (("filters", 1.35), ("low-rank", 1.1)):
        if name in measured:
            fewer = [rows["base"].macs / rows[name].macs for rows in seeds]
            verdicts.want(f"{name}: times fewer MACs", fewer, 1 / 0.525)
            for batch in BATCHES:
                verdicts.want(f"{name}: speedup b{batch}", speedups(name, "base", batch), least)
    if "filters" in measured:
        points = [rows["filters"].accuracy[UNSEEN] - rows["base"].accuracy[UNSEEN] for rows in seeds]
        verdicts.want("filters: points beside base", points, -0.5)
    for batch in BATCHES if "int8" in measured else ():
        verdicts.want(f"int8: beside {STATIC} b{batch}", speedups("int8", STATIC, batch), NOISE)
        if "filters-int8" in measured:
            verdicts.want(f"filters-int8: beside int8 b{batch}", speedups("filters-int8", "int8", batch), 1 / NOISE)
    for (architecture, label), found in structural.items():
        for batch, speedup in found.items():
            verdicts.want(f"{architecture}, {label}: speedup b{batch}", [speedup], NOISE)
    return verdicts.fine


def main() -> None:
    """Train, compress, measure, judge; networks that need no training first."""
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count() or 1))
    from paddlepress.core import compute

    compute.prepare()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, default=HOME, help="where what was trained is kept")
    parser.add_argument("--data", type=Path, default=DATA, help="a folder with Fashion-MNIST's IDX files")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS, help="of training; each trains its own base")
    alone = [*VARIANTS, *UNTRAINED]
    parser.add_argument("--only", action="append", default=[], choices=alone, help="this variant or network alone")
    parser.add_argument("--seconds", type=float, default=2.0, help="about how long each comparison of two takes")
    given = parser.parse_args()
    given.home.mkdir(parents=True, exist_ok=True)
    variants = [name for name in given.only if name in VARIANTS]
    architectures = [name for name in given.only if name in UNTRAINED] if given.only else list(UNTRAINED)
    structural = untrained(architectures, given.seconds)
    seeds = []
    if variants or not given.only:
        stored, tests = prepare(given.home, given.data)
        for seed in given.seeds:
            seeds.append(trained(given.home, stored, tests, variants, given.seconds, seed))
            show(seeds[-1], seed)
    sys.exit(0 if judge(seeds, structural) else 1)


if __name__ == "__main__":
    main()
