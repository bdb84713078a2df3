"""What surrounds the tasks of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddlepress_pipelines.local.run import _scratch


def test_temporary_files_go_with_their_run(tmp_path: Path) -> None:
    """However it ends; those of a run that was killed go when the next one begins."""
    (tmp_path / "tmp" / "dead" / "tmp.x1").mkdir(parents=True)
    with pytest.raises(KeyboardInterrupt), _scratch(tmp_path, "run") as folder:
        assert list((tmp_path / "tmp").iterdir()) == [folder]
        (folder / "file").touch()
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
