"""What every test may use."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

# Tests are imported one by one, so modules that they share are found from here.
sys.path.insert(0, str(Path(__file__).parent))

from s3_server import s3, s3_server

# Examples are the same on every run, and none has to be quick: a busy machine fails no test.
settings.register_profile("suite", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

__all__ = ["s3", "s3_server"]
