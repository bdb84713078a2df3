"""Distillation where it matters: a network an eighth as wide as LeNet and 5,000 training images of MNIST.

Every way to distill against the same network trained alone, with the same epochs, steps, batches and learning
rate (the best of those tried for the one that learns alone), over several seeds. A seed decides which 5,000
images there are, the first weights and the order of examples, so that differences are taken seed by seed.
The teacher is the recipe's base model, LeNet trained on the whole training set; `several-teachers` adds a
second network to it. Choices by validation use 1,000 images; the figures are of the whole test set.

A whole study leaves its figures in `components/docs/distillation.json`, for the techniques' pages.

Beside the network alone stand two that show what is no merit of distillation: `alone-better-of-2` chooses
between two of them as `distill-online` chooses between its peers, and `alone-twice` trains for as many epochs
as both generations of `distill-self` together.

    python tests/benchmarks/distillation.py [--seeds 5] [--processes 2] [--only VARIANT]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HOME = ROOT / ".paddlepress" / "benchmarks" / "distillation"
IMAGES, SEEDS = 5_000, 5
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 64, 0.02
STUDENT = {"student": "lenet", "student_arguments": {"width": 0.125}}
TEACHER = {"epochs": 3, "learning_rate": 0.003, "label_smoothing": 0.05, "shift": 1}

ALONE, BETTER, TWICE = "alone", "alone-better-of-2", "alone-twice"
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "kd": ("distill-offline", {"loss": "kd"}),
    "decoupled": ("distill-offline", {"loss": "decoupled"}),
    "logit-standardized": ("distill-offline", {"loss": "logit-standardized"}),
    "hints": ("distill-offline", {"loss": "hints"}),
    "attention": ("distill-offline", {"loss": "attention"}),
    "relational": ("distill-offline", {"loss": "relational"}),
    "several-teachers": ("distill-offline", {"teachers": ["base", str(HOME / "second")]}),
    "online": ("distill-online", {}),
    "born-again": ("distill-self", {"method": "born-again"}),
    "auxiliary-heads": ("distill-self", {"method": "auxiliary-heads"}),
}
# One of each of the three has to beat the network alone by more than the standard error of the difference.
WANTED = {"offline": ("kd",), "online": ("online",), "self": ("born-again", "auxiliary-heads")}


@dataclass(frozen=True)
class Row:
    """A variant over all seeds, in percent and points of the test set's accuracy.

    Attributes:
        variant: its name.
        mean, error: of its accuracies, and the mean's standard error.
        difference, difference_error: to the network alone, seed by seed; 0 for itself.
    """

    variant: str
    mean: float
    error: float
    difference: float
    difference_error: float

    @property
    def better(self) -> bool:
        """Whether it beats the network alone by more than the standard error of the difference."""
        return self.difference > self.difference_error


def standard_error(values: list[float]) -> float:
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def row(variant: str, accuracies: list[float], alone: list[float]) -> Row:
    """A variant's row.

    Args:
        variant: its name.
        accuracies, alone: percent, of the same seeds in the same order.
    """
    differences = [own - other for own, other in zip(accuracies, alone, strict=True)]
    return Row(
        variant,
        statistics.mean(accuracies),
        standard_error(accuracies),
        statistics.mean(differences),
        standard_error(differences),
    )


def ranked(found: dict[str, list[float]]) -> list[Row]:
    """All variants, the best first; `found` has accuracies by variant, in the order of the seeds."""
    rows = [row(variant, accuracies, found[ALONE]) for variant, accuracies in found.items()]
    return sorted(rows, key=lambda one: -one.mean)


@cache
def _data(seed: int, images: int | None) -> Any:
    """MNIST for learning and for testing, as stored; `images` of the training split, as the seed draws them."""
    import tempfile

    from paddlepress.data.sources.mnist import Mnist
    from paddlepress.data.store import load, prepare

    with tempfile.TemporaryDirectory(prefix="paddlepress-") as scratch:
        learning, test = Path(scratch) / "data", Path(scratch) / "test"
        prepare(Mnist(limit=images, seed=seed), learning, test)
        return load(learning), load(test)


def prepare_teachers() -> None:
    """Train the two teachers on the whole training set, unless they are there."""
    from paddlepress.artifact import store
    from paddlepress.forward.score import score
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.training.base_training import train_base
    from paddlepress.training.settings import TrainingSettings

    for name, architecture, seed in (("base", "lenet", 0), ("second", "lenet5-caffe", 1)):
        if (HOME / name / "model.json").exists():
            continue
        stored, test = _data(0, None)
        dataset = stored.through(stored.statistics)
        model = train_base(ArchitectureRef(name=architecture), dataset, TrainingSettings(**TEACHER), seed=seed)
        reached = score(model.network, model.task, test.for_model(model).split("test"))
        print(f"teacher {name} ({architecture}): {reached:.2f}%", flush=True)
        store.save(model, HOME / name)


def train_one(variant: str, seed: int) -> tuple[str, int, float, float]:
    """Train a variant with a seed; its name, the seed, and its validation and test accuracy in percent."""
    from paddlepress.core import compute

    compute.prepare()

    from paddlepress.artifact import store
    from paddlepress.forward.score import score
    from paddlepress.techniques import Context, run, technique

    base = store.load(HOME / "base")
    dataset, test = (stored.for_model(base) for stored in _data(seed, IMAGES))
    splits = {name: dataset.split(name) for name in ("train", "validation", "calibration")}
    if variant in VARIANTS:
        name, fields = VARIANTS[variant]
        training = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE}
        chosen = technique(name, {**STUDENT, **training, **fields})
        network = run(chosen, base, Context(**splits, base=base, seed=seed), name).network
    else:
        network = _alone(dataset, seed, variant)
    return variant, seed, *(score(network, base.task, split) for split in (splits["validation"], test.split("test")))


def _alone(dataset: Any, seed: int, variant: str) -> Any:
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.training.base_training import train_base
    from paddlepress.training.settings import TrainingSettings

    settings = TrainingSettings(
        epochs=2 * EPOCHS if variant == TWICE else EPOCHS, batch_size=BATCH_SIZE, learning_rate=LEARNING_RATE
    )
    reference = ArchitectureRef(name=str(STUDENT["student"]), arguments={"width": 0.125})
    return train_base(reference, dataset, settings, seed=seed + (1000 if variant == BETTER else 0)).network


def measure(variants: Iterable[str] = (), seeds: int = SEEDS, processes: int = 2) -> list[Row]:
    """Train every variant with every seed and rank them.

    Args:
        variants: those of `VARIANTS` to train beside the network alone; empty: all.
        seeds: how many, from 0.
        processes: how many trainings go on at once, each with one thread.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    from paddlepress.core import compute

    compute.prepare()
    prepare_teachers()
    chosen = list(variants) or list(VARIANTS)
    found: dict[str, dict[int, tuple[float, float]]] = {}
    started = time.perf_counter()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        # Seed by seed: a process then reads few data sets.
        jobs = [pool.submit(train_one, name, seed) for seed in range(seeds) for name in (ALONE, BETTER, TWICE, *chosen)]
        for number, job in enumerate(as_completed(jobs), start=1):
            variant, seed, validation, test = job.result()
            found.setdefault(variant, {})[seed] = validation, test
            passed = time.perf_counter() - started
            print(f"[{number}/{len(jobs)}, {passed:.0f} s] {variant}, seed {seed}: {test:.2f}%", flush=True)
    # Of two networks alone, the one that does better in validation, as of two peers.
    found[BETTER] = {
        seed: max(found[ALONE][seed], result, key=lambda figures: figures[0]) for seed, result in found[BETTER].items()
    }
    return ranked({variant: [results[seed][1] for seed in range(seeds)] for variant, results in found.items()})


def keep(rows: list[Row]) -> None:
    """Write the figures down for the techniques' pages."""
    from paddlepress.core.files import write_text
    from paddlepress_components.documentation import STUDY, Chain, settings_of

    training = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE}
    content: dict[str, Any] = {
        "about": f"A LeNet an eighth as wide learns from {IMAGES:,} training images of MNIST, {EPOCHS} epochs long, "
        f"from {SEEDS} seeds; accuracy on the whole test set. Offline its teacher is a LeNet that learned from the "
        f"whole training split, and `second` a lenet5-caffe that did so. `{ALONE}` learns from the labels only, "
        f"`{BETTER}` is the better of two such in validation, and `{TWICE}` trains twice as long.",
        "rows": [],
    }
    for one in rows:
        chain: Chain = []
        if one.variant in VARIANTS:
            name, fields = VARIANTS[one.variant]
            told = json.loads(json.dumps(fields).replace(f"{HOME}{os.sep}", ""))
            chain = [{name: {**STUDENT, **training, **told}}]
        settings = settings_of(chain, {}) if chain else ""
        content["rows"].append({**asdict(one), "chain": chain, "settings": settings})
    write_text(ROOT / STUDY, json.dumps(content, indent=1) + "\n")


def show(rows: list[Row]) -> bool:
    """Print the ranking; whether what is wanted was reached by all that were run."""
    print(f"\n{'variant':<20}{'accuracy':>10}{'error':>8}{'against alone':>15}{'error':>8}")
    for one in rows:
        against = f"{one.difference:>+15.2f}{one.difference_error:>8.2f}" if one.variant != ALONE else ""
        print(f"{one.variant:<20}{one.mean:>10.2f}{one.error:>8.2f}{against}")
    print("\nTargets: better than alone by more than the standard error of the difference")
    by_name = {one.variant: one for one in rows}
    fine = True
    for family, names in WANTED.items():
        run = [by_name[name] for name in names if name in by_name]
        if run:
            best = max(run, key=lambda one: one.difference)
            fine &= best.better
            print(f"  {'met   ' if best.better else 'MISSED'}   {family}: {best.variant}")
    return fine


def main() -> None:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=SEEDS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--only", action="append", default=[], choices=list(VARIANTS), metavar="VARIANT")
    given = parser.parse_args()
    rows = measure(given.only, given.seeds, given.processes)
    if not given.only and given.seeds == SEEDS:
        keep(rows)
    sys.exit(0 if show(rows) else 1)


if __name__ == "__main__":
    main()
