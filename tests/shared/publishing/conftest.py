"""A registry to publish from, keys, and places of both kinds."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from paddlepress.publishing import publisher
from paddlepress.publishing.keys import SigningKey, create, load_signing_key
from paddlepress.publishing.places import open_store
from paddlepress.publishing.publisher import Outcome
from paddlepress.publishing.stores import Store
from paddlepress.registry.fetching import version_of
from tests.shared.registry.conftest import (
    NAME,
    Registry,
    client,
    digits,
    empty_home,
    home,
    no_server,
    registry,
    variants,
)

__all__ = ["client", "digits", "empty_home", "home", "no_server", "registry", "variants"]

BASE, STUDENT = 1, 2  # the versions of the registry


@dataclass(frozen=True)
class KeyFile:
    """A key and its two files."""

    private: Path
    public: Path
    key: SigningKey


def _key(path: Path) -> KeyFile:
    create(path)
    return KeyFile(path, Path(f"{path}.pub"), load_signing_key(path))


@pytest.fixture(scope="session")
def key(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return _key(tmp_path_factory.mktemp("keys") / "release.pem")


@pytest.fixture(scope="session")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> KeyFile:
    return _key(tmp_path_factory.mktemp("keys") / "other.pem")


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A location where nothing is published yet."""
    if request.param == "folder":
        return str(tmp_path / "store")
    server: Any = request.getfixturevalue("s3")
    return f"s3://{server.bucket}/{uuid.uuid4().hex}"


Publish = Callable[..., Outcome]


@pytest.fixture
def publish(registry: Registry, key: KeyFile) -> Publish:
    """Publish a version of the registry to a place or store."""

    def run(to: str | Store, version: int | str = "champion", by: KeyFile = key, **options: Any) -> Outcome:
        store = open_store(to) if isinstance(to, str) else to
        row = version_of(registry.client, NAME, str(version))
        return publisher.publish(registry.client, NAME, row, store, by.key, **options)

    return run
