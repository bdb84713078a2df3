"""Kills of a first run, from its first second on: `make benchmark-kills`.

Each home is made by a run that is killed several times, by SIGKILL or SIGINT, at moments of a fixed seed between its
first second and its end; a plain run then has to finish it. Afterwards every variant is registered once, production can
load the champion, and nothing is left behind: no half-made database, no run or model of an attempt to register that was
cut off, no temporary file in the home or in TMPDIR.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.cli import start  # noqa: E402

RECIPE = """\
name: kills
data: {source: digits, calibration: 100, limit: 600, test_limit: 200}
base: {architecture: lenet, training: {epochs: 2, batch_size: 32}}
variants:
  int8: [quantize-post-training]
evaluation: {latency_seconds: 0.05}
"""
VARIANTS = ["base", "int8"]
FIRST_S = 1.0
KILLS_OF_A_HOME = 3
# What a run keeps in its home: everything else would be left behind.
KEPT = {"artifacts", "cache", "mlflow.db", "registry.lock", "reports", "run.lock", "runs"}


def main() -> int:
    """Kill as often as asked; 1 if anything is wrong afterwards."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=8)
    options = parser.parse_args()
    chance = random.Random(options.seed)
    done = faults = 0
    with tempfile.TemporaryDirectory() as folder:
        duration = run(Path(folder) / "plain", lambda process, home: None)
        print(f"a plain run takes {duration:.0f} s", flush=True)
        while done < options.kills:
            home = Path(folder) / f"home-{done}"
            for turn in range(min(KILLS_OF_A_HOME, options.kills - done)):
                # What is finished is kept, so that each further run of a home is shorter.
                moment, way = (
                    chance.uniform(FIRST_S, duration / 2**turn),
                    chance.choice([signal.SIGKILL, signal.SIGINT]),
                )
                run(home, after(moment, way))
                if code(home) == 0:  # it was done before
                    break
                done += 1
                print(f"{done:3}  {way.name} after {moment:.1f} s", flush=True)
            run(home, lambda process, home: None)
            found = check(home)
            faults += len(found)
            print(
                "\n".join(f"     WRONG: {fault}" for fault in found) or "     finished, nothing left behind", flush=True
            )
    print(f"{done} kills, {faults} faults")
    return 1 if faults else 0


def after(seconds: float, way: signal.Signals) -> Callable[[subprocess.Popen[str], Path], None]:
    """Kill a run after so many seconds."""

    def kill(process: subprocess.Popen[str], home: Path) -> None:
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(way)

    return kill


def run(home: Path, disturb: Callable[[subprocess.Popen[str], Path], None]) -> float:
    """Run the recipe in a home whose temporary files go beside it; gives the seconds that it took."""
    recipe, scratch = home.with_suffix(".yaml"), home.with_suffix(".tmp")
    recipe.write_text(RECIPE)
    scratch.mkdir(exist_ok=True)
    began = time.monotonic()
    log = home.with_suffix(".log")
    process = start("run", recipe, "--home", home, TMPDIR=str(scratch), output=log)
    disturb(process, home)
    process.wait()
    home.with_suffix(".code").write_text(str(process.returncode))
    return time.monotonic() - began


def code(home: Path) -> int:
    """The exit code of the last run in a home."""
    return int(home.with_suffix(".code").read_text())


def check(home: Path) -> list[str]:
    """What is wrong with a home after a run that nobody disturbed."""
    if code(home) != 0:
        return [f"the run ended with {code(home)}: {home.with_suffix('.log').read_text()[-500:]}"]
    found = [f"{path.name} in the home" for path in home.iterdir() if path.name not in KEPT]
    found += [f"temporary {path.relative_to(home)}" for path in home.rglob(".*")]
    found += [f"{path.name} in TMPDIR" for path in home.with_suffix(".tmp").iterdir()]
    return found + _registered(home)


def _registered(home: Path) -> list[str]:
    """What is wrong with the registry: variants that are there twice or not, and what no variant owns."""
    import mlflow

    from paddlepress.registry.catalogue import registered
    from paddlepress.registry.connection import connect, in_use
    from paddlepress.registry.integrity import audit

    client: Any = connect(home)
    entries = registered(client, "kills")
    found = [fault.text for fault in audit(client, "kills")]
    if sorted(entry.tags["variant"] for entry in entries) != VARIANTS:
        found.append(f"registered are {[entry.tags['variant'] for entry in entries]}")
    with in_use(client):
        mlflow.pyfunc.load_model("models:/kills@champion")
    runs = {entry.run_id for entry in entries}
    models = {entry.source.removeprefix("models:/") for entry in entries}
    experiment = client.get_experiment_by_name("kills").experiment_id
    found += [f"run {run.info.run_id}" for run in client.search_runs([experiment]) if run.info.run_id not in runs]
    artifacts = home / "artifacts" / "kills"
    found += [f"files of run {path.name}" for path in artifacts.iterdir() if path.name not in runs | {"models"}]
    found += [f"model {path.name}" for path in (artifacts / "models").iterdir() if path.name not in models]
    return found


if __name__ == "__main__":
    os.environ.pop("MLFLOW_TRACKING_URI", None)
    sys.exit(main())
