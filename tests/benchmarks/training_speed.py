"""How fast networks train on a CPU: with oneDNN's kernels, with Paddle's own, and in PyTorch.

    python tests/benchmarks/training_speed.py [--torch PYTHON] [--rounds 3] [--network lenet ...] [--threads 1 2]

Each measurement is a process of its own. Rounds follow each other and the sides take turns within a round, so that
another load of the machine meets all of them; the figures are medians. CPU time counts all threads, also one that waits
for another.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from paddlepress.core import compute

STEPS = {"lenet": 40, "resnet18": 5, "mobilenet_v2": 8}
_HERE = Path(__file__).parent
Seconds = tuple[float, float]
"""Of a step: wall and CPU."""


def measure(command: list[str], threads: int) -> Seconds:
    settings = {"OMP_NUM_THREADS": str(threads), "GLOG_minloglevel": "2", **compute.subprocess_environment()}
    if "train_torch" in command[1]:
        settings = {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env={**os.environ, **settings}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr[-2000:]}")
    wall, cpu = map(float, done.stdout.split()[-2:])
    return wall, cpu


def compare(name: str, threads: int, rounds: int, torch: str = "") -> dict[str, Seconds]:
    """Medians of a step's seconds by side: `oneDNN`, `Paddle`, and `PyTorch` where its interpreter is given."""
    steps = str(STEPS[name])
    sides = {
        "oneDNN": [sys.executable, str(_HERE / "train_paddle.py"), name, steps, "onednn"],
        "Paddle": [sys.executable, str(_HERE / "train_paddle.py"), name, steps, "paddle"],
    }
    if torch:
        sides["PyTorch"] = [torch, str(_HERE / "train_torch.py"), name, steps]
    found: dict[str, list[Seconds]] = {side: [] for side in sides}
    for turn in range(rounds):
        for side, command in list(sides.items())[:: -1 if turn % 2 else 1]:
            found[side].append(measure(command, threads))
    return {
        side: (statistics.median(wall for wall, _ in each), statistics.median(cpu for _, cpu in each))
        for side, each in found.items()
    }


def table(name: str, threads: int, found: dict[str, Seconds]) -> str:
    """Steps a second of each side, and oneDNN's over each other's."""
    lines = []
    for side, (wall, cpu) in found.items():
        line = f"{name:<13} {threads} threads  {side:<8} {1 / wall:7.2f} /s wall {1 / cpu:7.2f} /s CPU"
        if side != "oneDNN":
            ours = found["oneDNN"]
            line += f"   oneDNN is {wall / ours[0]:.2f} times as fast by wall, {cpu / ours[1]:.2f} by CPU"
        lines.append(line)
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--torch", default="", help="an interpreter that has PyTorch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", nargs="*", choices=STEPS, default=list(STEPS))
    parser.add_argument("--threads", nargs="*", type=int, default=[1, 2])
    asked = parser.parse_args()
    for name in asked.network:
        for threads in asked.threads:
            print(table(name, threads, compare(name, threads, asked.rounds, asked.torch)), flush=True)


if __name__ == "__main__":
    main()
