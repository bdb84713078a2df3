"""Twenty thousand mutants of what paddlepress reads from files: `make benchmark-mutants`.

Prints how many of each kind came to what, see `mutants`, and every fault with the number that makes it again; exits 1
if there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mutants import judge, run, seeds

COUNTS = {"model": 9000, "deployable": 6000, "data": 3500, "recipe": 1500}
AT_ONCE = 250
"""Mutants that one process judges."""


def main() -> int:
    """Judge them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, 0 to 1")
    parser.add_argument("--workers", type=int, default=2, help="how many processes at a time")
    parser.add_argument("--target", choices=seeds.TARGETS, action="append", help="only these; by default all")
    chosen = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="paddlepress-seeds-") as folder:
        seeds.make(Path(folder))
        ranges = [
            (target, start, min(start + AT_ONCE, count))
            for target in chosen.target or seeds.TARGETS
            for count in [round(COUNTS[target] * chosen.share)]
            for start in range(0, count, AT_ONCE)
        ]
        outcomes: Counter[tuple[str, str, str]] = Counter()
        faults = []
        for result in _judged(Path(folder), ranges, chosen.workers):
            outcomes[result.target, f"{result.kind} ({result.level})", result.outcome] += 1
            if result.outcome in judge.FAULTS:
                faults.append(result)
                print(f"FAULT {result}", flush=True)
    _print(outcomes)
    print(f"{outcomes.total():,} mutants in {time.monotonic() - began:.0f} s, {len(faults)} faults")
    return 1 if faults else 0


def _judged(folder: Path, ranges: list[tuple[str, int, int]], workers: int) -> Iterator[run.Result]:
    with ThreadPoolExecutor(workers) as pool:
        for found in pool.map(lambda each: list(run.results(each[0], folder, each[1], each[2])), ranges):
            yield from found


def _print(outcomes: Counter[tuple[str, str, str]]) -> None:
    shown = ["refused", "same", "other", "accepted", *judge.FAULTS]
    columns = [name for name in shown if any(outcome == name for _, _, outcome in outcomes)]
    print(f"{'target':<11} {'kind (level)':<28}", *(f"{name:>9}" for name in columns))
    for target, kind in sorted({(target, kind) for target, kind, _ in outcomes}):
        print(f"{target:<11} {kind:<28}", *(f"{outcomes[target, kind, name] or '':>9}" for name in columns))
    for target in dict.fromkeys(target for target, _, _ in outcomes):
        totals = [sum(count for key, count in outcomes.items() if key[::2] == (target, name)) for name in columns]
        print(f"{target:<11} {'all':<28}", *(f"{count or '':>9}" for count in totals))


if __name__ == "__main__":
    sys.exit(main())
