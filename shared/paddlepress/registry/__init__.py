"""The model registry: every variant a version with its evidence, and one of them the champion."""
