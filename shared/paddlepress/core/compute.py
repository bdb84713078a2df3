"""Settings and kernels that make Paddle fast on a CPU: the settings before Paddle is first imported, the kernels after.

What they are worth depends on the processor and the network, from little to a factor of 3; `make benchmark`
measures it. `PADDLEPRESS_CPU_TUNING=0` in the environment switches them off.
"""

from __future__ import annotations

import ctypes
import os
import random
import sys
import warnings
from functools import cache
from pathlib import Path

SWITCH = "PADDLEPRESS_CPU_TUNING"

# glibc gives freed memory back to the kernel after each large operation, so that every activation is
# paid for in page faults. These keep it. Read by glibc when a process starts.
MALLOC_ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}
# Paddle's bundled MKL computes without AVX on a processor that it does not know, such as any of AMD's, unless
# it is told a type: of 5, AVX2, matrix products run 2.5 to 7 times as fast there. On Intel's with AVX-512 that
# type would halve them, and they gain half again where MKL is told to use just that.
MKL_ON_AMD = {"MKL_DEBUG_CPU_TYPE": "5"}
MKL_ON_INTEL_WITH_AVX512 = {"MKL_ENABLE_INSTRUCTIONS": "AVX512"}
_AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}  # what MKL means by it
CPUINFO = Path("/proc/cpuinfo")


def tuning_wanted() -> bool:
    """Whether the CPU settings are to be applied."""
    return os.environ.get(SWITCH, "1").strip().lower() not in {"0", "false", "no", "off"}


def subprocess_environment() -> dict[str, str]:
    """Variables that a process which will import Paddle should be started with."""
    return {**MALLOC_ENVIRONMENT, **mkl_environment(CPUINFO)} if tuning_wanted() else {}


@cache
def mkl_environment(cpuinfo: Path) -> dict[str, str]:
    """The variables with which MKL takes its fast paths on a processor; none for one that is not known.

    Args:
        cpuinfo: Linux's description of the processors, `/proc/cpuinfo`; there may be none.
    """
    facts: dict[str, str] = {}
    try:
        with cpuinfo.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if not line.strip():  # the end of the first processor; a machine may have hundreds
                    break
                key, _, value = line.partition(":")
                facts[key.strip()] = value.strip()
    except OSError:
        return {}
    vendor = facts.get("vendor_id")
    if vendor == "AuthenticAMD":
        return MKL_ON_AMD
    if vendor == "GenuineIntel" and set(facts.get("flags", "").split()) >= _AVX512:
        return MKL_ON_INTEL_WITH_AVX512
    return {}


def prepare() -> None:
    """Apply the CPU settings to this process; call it before Paddle is first imported."""
    warnings.filterwarnings("ignore", message="No ccache found")
    os.environ.setdefault("GLOG_minloglevel", "2")  # Paddle's C++ code warns of its own internals
    if not tuning_wanted():
        return
    for name, value in mkl_environment(CPUINFO).items():
        os.environ.setdefault(name, value)
    if sys.platform == "linux" and not any(name in os.environ for name in MALLOC_ENVIRONMENT):
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """The part of MALLOC_ENVIRONMENT that a running process can still ask of glibc."""
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # not glibc
        return
    mallopt(mmap_threshold, 32 * 2**20)
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 256 * 2**20)


def use_fast_kernels() -> bool:
    """Let Paddle's convolutions and max pooling on the CPU be computed by oneDNN; whether they are.

    Imports Paddle. What changes, and when it does not, is said in `paddlepress.onednn`.
    """
    if not tuning_wanted():
        return False
    from paddlepress.onednn.install import install

    return install()


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and Paddle."""
    import numpy
    import paddle

    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    paddle.seed(seed)


def use_device(device: str) -> None:
    """Select where Paddle computes: `cpu`, `gpu`, `gpu:1`, ...; `auto` takes a GPU if there is one."""
    import paddle

    if device == "auto":
        device = "gpu" if paddle.device.is_compiled_with_cuda() and paddle.device.cuda.device_count() else "cpu"
    paddle.set_device(device)
