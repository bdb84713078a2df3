"""KServe InferenceServices for published and registered versions, as YAML."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Literal

from paddlepress.core.errors import RegistryError
from paddlepress.core.storage import is_s3
from paddlepress.publishing.manifest import REPOSITORY
from paddlepress.publishing.stores import normalized
from paddlepress.publishing.versions import prefix_of
from paddlepress.registry.location import redacted

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from paddlepress.registry.catalogue import Row

ServingFormat = Literal["onnx", "mlflow"]

# Where KServe's storage initializer can load from.
_CLUSTER_SCHEMES = ("s3", "gs", "https", "http", "pvc", "hdfs", "webhdfs")


def inference_service(client: MlflowClient, name: str, row: Row, served_as: ServingFormat, location: str = "") -> str:
    """An InferenceService that serves a version.

    Args:
        client: of the registry.
        name, row: the version.
        served_as: `onnx`: the published model repository, by Triton; `mlflow`: the registered model, by MLServer.
        location: of `onnx`, where it is published; empty: where it was published last.

    Raises:
        RegistryError: it is not published there, or lies where no cluster can load it from.
    """
    if served_as == "onnx":
        uri, runtime = (
            f"{_place(name, row, location)}/{prefix_of(name, row.version)}{REPOSITORY}",
            "kserve-tritonserver",
        )
    else:
        uri, runtime = _registered(client, name, row), "kserve-mlserver"
    return _yaml(name, row, served_as, uri, runtime)


def _place(name: str, row: Row, location: str) -> str:
    wanted = normalized(location) if location else ""
    places = [each.location for each in row.published if not wanted or each.location == wanted]
    if not places:
        at = f" at {wanted}" if wanted else ""
        raise RegistryError(
            f"version {row.version} of {name!r} is not published{at}: paddlepress publish {name}@{row.version} "
            f"--to {wanted or 's3://bucket/prefix'}"
        )
    if not is_s3(places[-1]):
        raise RegistryError(
            f"version {row.version} of {name!r} is published in {places[-1]}, which no cluster can load from: "
            "publish it to s3://bucket/prefix"
        )
    return places[-1]


def _registered(client: MlflowClient, name: str, row: Row) -> str:
    uri = str(client.get_model_version_download_uri(name, str(row.version)))
    if uri.startswith("models:"):
        model_id = uri.rpartition("/")[2]
        uri = str(client.get_logged_model(model_id).artifact_location)
    scheme = uri.partition(":")[0]
    if scheme not in _CLUSTER_SCHEMES:
        raise RegistryError(
            f"the registry keeps version {row.version} of {name!r} in {redacted(uri)}, which no cluster can load from; "
            f"valid: {', '.join(_CLUSTER_SCHEMES)}. --format onnx serves what is published"
        )
    return uri


def _yaml(name: str, row: Row, served_as: str, uri: str, runtime: str) -> str:
    needs, model = ("", name) if served_as == "onnx" else (" Its image needs paddlepress.", _label(name))
    return f"""\
# {name}, version {row.version} ({row.variant}). The service account has the credentials of the storage.
# Inference protocol v2: POST /v2/models/{model}/infer, by {runtime}.{needs}
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata:
  name: {json.dumps(_label(name))}
  labels:
    paddlepress/version: {json.dumps(str(row.version))}
spec:
  predictor:
    model:
      modelFormat:
        name: {served_as}
      runtime: {runtime}
      protocolVersion: v2
      storageUri: {json.dumps(uri)}
"""


def _label(name: str) -> str:
    """A name as Kubernetes takes it: up to 63 lower-case letters, digits and hyphens, first a letter."""
    text = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    return (text if text[:1].isalpha() else f"model-{text}")[:63].rstrip("-")
