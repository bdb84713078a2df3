"""Files that are complete or not there."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from paddlepress.core.errors import DiskFull, UsageError
from paddlepress.core.files import disk_full, replacing, sha256_of, write_text


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    """A body that fails changes nothing and leaves nothing behind."""
    path = tmp_path / "file"
    write_text(path, "old")

    def fail() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["folder", "replaced"])
def test_a_directory_takes_the_place_of_a_full_one(tmp_path: Path, name: str) -> None:
    """Whatever it is called."""
    for content in ("first", "second"):
        with replacing(tmp_path / name) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert [path.name for path in (tmp_path / name).iterdir()] == ["second"]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_directory_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the last step fails, what was there is there again, and the reason names the path."""
    path = tmp_path / "folder"
    path.mkdir()
    (path / "first").touch()
    rename = Path.rename

    def failing(source: Path, target: Path) -> Path:
        if (source / "second").exists():
            raise OSError(errno.EIO, "Input/output error")
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(UsageError, match=r"can't write .*folder: Input/output error"), replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "second").touch()
    assert list(tmp_path.iterdir()) == [path]
    assert [file.name for file in path.iterdir()] == ["first"]


def test_a_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Below a file, at a folder, with a name that is too long: a usage error, and nothing is left behind."""
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for bad in ("file/below", "file/far/below", "folder", "x" * 300, "."):
        with pytest.raises(UsageError, match="can't write"):
            write_text(tmp_path / bad, "text")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]
    with pytest.raises(UsageError, match="can't write"), replacing(tmp_path / "file") as temporary:
        temporary.mkdir()


def test_digests_are_sha256(tmp_path: Path) -> None:
    """Of the bytes of the file."""
    path = tmp_path / "empty"
    path.touch()
    assert sha256_of(path) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_what_is_written_reaches_the_disk_before_it_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every file and folder, then the rename, then the folder around: a power cut leaves the old or the new, whole."""
    events: list[str] = []
    replace, fsync = Path.replace, os.fsync

    def synced(descriptor: int) -> None:
        events.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        fsync(descriptor)

    def renamed(source: Path, target: Path) -> Path:
        events.append("renamed")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    with replacing(tmp_path / "model") as temporary:
        (temporary / "inner").mkdir(parents=True)
        (temporary / "inner" / "weights").write_text("1")
    assert sorted(events[:3]) == ["inner", "model", "weights"]
    assert events[3:] == ["renamed", tmp_path.name]


def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever says it, the system or a library; nothing is half written, and no other error is taken for it."""

    def full(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(DiskFull, match=r"no room is left on the disk at /.* make room, and go on from there$"):
        write_text(tmp_path / "file", "text")
    assert list(tmp_path.iterdir()) == []
    wrapped = RuntimeError("it failed")
    wrapped.__cause__ = RuntimeError("(sqlite3.OperationalError) database or disk is full")
    assert disk_full(wrapped, tmp_path) is not None
    assert disk_full(OSError(errno.EDQUOT, "Disk quota exceeded", "/dev/full"), tmp_path) is not None
    assert disk_full(OSError(errno.EACCES, "Permission denied"), tmp_path) is None
