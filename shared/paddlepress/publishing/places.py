"""The places that versions can be published to, by their locations."""

from __future__ import annotations

from paddlepress.core.storage import is_s3
from paddlepress.publishing.folder_store import FolderStore
from paddlepress.publishing.s3_store import S3Store
from paddlepress.publishing.stores import Store


def open_store(location: str) -> Store:
    """The place at a location: `s3://bucket/prefix`, or a folder, which need not be there yet.

    Raises:
        DataError: the location can't be understood, or S3 is not set up.
    """
    return S3Store(location) if is_s3(location) else FolderStore(location)
