"""How much memory a deployable takes, measured in a process of its own.

Run as `python -m paddlepress.evaluation.memory DIRECTORY` it prints the number of bytes.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from paddlepress.core.compute import MALLOC_ENVIRONMENT
from paddlepress.core.errors import PaddlepressError

_STATUS = Path("/proc/self/status")
_LIMIT_S = 120


def peak_memory_mib(deployable: Path) -> float:
    """The most memory that loading a deployable and predicting one input takes, in MiB.

    It is the growth of the resident set over that of the process with its libraries loaded, in a fresh
    process with the allocator's own settings.

    Raises:
        PaddlepressError: it can't be measured here, with the reason.
    """
    if not _STATUS.exists():
        raise PaddlepressError(f"peak memory is read from {_STATUS}, which this system does not have")
    environment = {name: value for name, value in os.environ.items() if name not in MALLOC_ENVIRONMENT}
    command = [sys.executable, "-m", "paddlepress.evaluation.memory", str(deployable)]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=_LIMIT_S)
    except subprocess.TimeoutExpired:
        raise PaddlepressError(f"measuring peak memory took more than {_LIMIT_S} seconds") from None
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise PaddlepressError(f"measuring peak memory failed: {last}")
    return int(done.stdout) / 2**20


def _growth(deployable: Path) -> int:
    """Bytes by which this process's peak exceeds what it had before the deployable was loaded."""
    import constriction  # noqa: F401  loaded before the first reading: libraries are not the model
    import onnxruntime  # noqa: F401
    import safetensors.numpy  # noqa: F401

    from paddlepress.deployment.predictor import Predictor, blank

    before = _resident("VmRSS")
    predictor = Predictor.load(deployable, threads=1)
    predictor.predict(blank(predictor.manifest))
    # VmHWM and not getrusage: the latter remembers the process that this one was started from.
    return max(0, _resident("VmHWM") - before)


def _resident(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise PaddlepressError(f"{_STATUS} has no {field}")
    return int(found[1]) * 1024


if __name__ == "__main__":
    print(_growth(Path(sys.argv[1])))
