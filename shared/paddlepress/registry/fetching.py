"""What a registered version holds, brought to this machine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from paddlepress.core.errors import RegistryError, UnknownName
from paddlepress.registry import catalogue
from paddlepress.registry.connection import in_use
from paddlepress.registry.failures import RegistryAway, told

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEPLOYABLE = "deployable"


def version_of(client: MlflowClient, name: str, reference: str) -> catalogue.Row:
    """The version that a number or an alias stands for.

    Args:
        client: of the registry.
        name: the registered model.
        reference: such as `7` or `champion`.

    Raises:
        UnknownName: no registered model, version or alias of that name; the message lists those that there are.
    """
    aliases = {key: int(value) for key, value in catalogue.model(client, name).aliases.items()}
    found = {row.version: row for row in catalogue.versions(client, name)}
    number = int(reference) if reference.isdecimal() else aliases.get(reference)
    if number in found:
        return found[number]
    if number is None:
        raise UnknownName(f"alias of {name!r}", reference, aliases)
    raise UnknownName(f"version of {name!r}", str(number), map(str, found))


def fetch_version(client: MlflowClient, name: str, version: int, folder: Path) -> Path:
    """Download all files of a version.

    Args:
        client: of the registry.
        name, version: of the registered model.
        folder: where to; must exist.

    Raises:
        RegistryAway: the registry does not answer.
        RegistryError: the version's files can't be had.
    """
    import mlflow

    try:
        with told(client.tracking_uri), in_use(client):
            return Path(mlflow.artifacts.download_artifacts(f"models:/{name}/{version}", dst_path=str(folder)))
    except RegistryAway:
        raise
    except Exception as error:  # of MLflow, of the store behind it, of the disk
        reason = " ".join(str(error).split())[:300]
        raise RegistryError(f"the files of version {version} of {name!r} can't be had: {reason}") from None


def fetch_deployable(client: MlflowClient, name: str, version: int, folder: Path) -> Path:
    """Download what is deployed of a version.

    Args:
        client: of the registry.
        name, version: of the registered model.
        folder: where to; must exist.

    Raises:
        RegistryError: the version's files can't be had.
    """
    found = fetch_version(client, name, version, folder) / "artifacts" / DEPLOYABLE
    if not found.is_dir():
        raise RegistryError(f"version {version} of {name!r} has no deployable among its files")
    return found
