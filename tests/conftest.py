"""What every test may use."""

from __future__ import annotations

import sys
from pathlib import Path

# Tests are imported one by one, so modules that they share are found from here.
sys.path.insert(0, str(Path(__file__).parent))

from s3_server import s3, s3_server

__all__ = ["s3", "s3_server"]
