"""Judge many mutants, each range of them in a process that may die: `python -m mutants.run TARGET SEEDS START STOP`."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HANG_S = 120
"""Of waiting for a mutant, after which its process is ended: longer than SECONDS, for others use the machine too."""


@dataclass(frozen=True)
class Result:
    """A mutant and what became of it."""

    target: str
    number: int
    seed: str
    kind: str
    level: str
    outcome: str
    detail: str


def results(target: str, seeds: Path, start: int, stop: int) -> Iterator[Result]:
    """Judge mutants of a target by their numbers; a process that dies or hangs costs one mutant."""
    while start < stop:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
        command = [sys.executable, "-m", "mutants.run", target, str(seeds), str(start), str(stop)]
        worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        lines: queue.Queue[str] = queue.Queue()
        threads = [threading.Thread(target=_forward, args=(worker.stdout, lines), daemon=True)]
        last: list[str] = []
        threads.append(threading.Thread(target=_keep_last, args=(worker.stderr, last), daemon=True))
        for thread in threads:
            thread.start()
        end = "crash"
        while True:
            try:
                line = lines.get(timeout=HANG_S)
            except queue.Empty:
                end = "hang"
                break
            if not line:
                break
            yield Result(**json.loads(line))
            start += 1
        worker.kill()
        worker.wait()
        if start < stop:
            said = last[-1] if last else ""
            yield Result(target, start, "", "", "", end, f"exit code {worker.returncode}: {said[:200]}")
            start += 1


def _forward(stream: Iterator[str], lines: queue.Queue[str]) -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _keep_last(stream: Iterator[str], last: list[str]) -> None:
    for line in stream:
        last[:] = [line.strip()]


def work(target: str, seeds: Path, start: int, stop: int) -> None:
    """Judge mutants in this process; prints a line of JSON for each."""
    import logging
    import warnings

    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # native code that prints is not to be mistaken for a verdict

    from paddlepress.core import compute

    compute.prepare()
    from mutants import judge, mutators
    from mutants import seeds as whole

    warnings.simplefilter("ignore")
    logging.disable()
    found = whole.read(seeds, target)
    originals = {name: judge.read(target, seeds / target / name) for name in found}
    if target != "recipe":
        judge.limit_memory()
    for number in range(start, stop):
        mutant = mutators.mutant(target, number, found)
        with mutators.folder() as folder:
            place = Path(folder)
            mutant.write(place)
            verdict = judge.judge(target, mutant, place, originals[mutant.seed])
        about = (target, number, mutant.seed, mutant.kind, mutant.level, verdict.outcome, verdict.detail)
        print(json.dumps(asdict(Result(*about))), file=told, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
