"""`keys`, `publish`, `pull`, `rollback --to` and `manifest`, as a user types them."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from s3_server import S3Server

from paddlepress.core.yaml_text import read
from tests.cli import Done, in_this_process, paddlepress
from tests.shared.registry.conftest import Registry, digits, empty_home, no_server, registry, variants

__all__ = ["digits", "empty_home", "no_server", "registry", "variants"]


Command = Callable[..., Done]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Run the command line in this process, which has imported MLflow already, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PADDLEPRESS_SIGNING_KEY", raising=False)

    def run(*arguments: str | Path) -> Done:
        done = in_this_process(monkeypatch, capsys, *arguments)
        assert "Traceback" not in done.err
        return done

    return run


def test_from_the_registry_to_a_folder_and_back(
    command: Command, registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the README says, with a folder in the place of S3."""
    made = command("keys", "new", "release.pem")
    assert made.code == 0 and "release.pem (private, not encrypted" in made.out
    assert stat.S_IMODE((tmp_path / "release.pem").stat().st_mode) == 0o600
    key_id = command("keys", "show", "release.pem.pub").out.strip()
    assert f"Key {key_id}" in made.out and len(key_id) == 64
    monkeypatch.setenv("PADDLEPRESS_SIGNING_KEY", "release.pem")
    there = ("--to", "store", "--home", registry.home)
    first = command("publish", "digits@1", *there)
    assert first.code == 0, first.err
    assert f"is current now: {tmp_path}/store/digits/current.json, number 1, key {key_id[:12]}" in first.out
    second = json.loads(command("publish", "digits", *there, "--json").out)
    assert (second["version"], second["sequence"], second["uploaded"], second["moved"]) == (2, 2, True, True)
    again = command("publish", "digits", *there)
    assert "is published already, with the same model" in again.out and "was made current already by" in again.out
    pulled = command("pull", "store/digits/current", "-o", "out", "--key", "release.pem.pub")
    assert pulled.code == 0, pulled.err
    assert "Version 2 of digits is in out: signed by" in pulled.out
    assert (tmp_path / "out" / "repository" / "digits" / "1" / "model.onnx").exists()
    back = command("rollback", "digits", "--to", "store")
    assert "Version 1 of digits is current now" in back.out, back.err
    older = command("pull", "store/digits/current", "-o", "out", "--key", "release.pem.pub")
    assert older.code == 1
    assert older.err.startswith("paddlepress: error: version 1 of digits is older than version 2")
    taken = command("pull", "store/digits/current", "-o", "out", "--key", "release.pem.pub", "--allow-older", "--json")
    assert json.loads(taken.out)["version"] == 1
    told = json.loads(command("history", "digits", "--home", registry.home, "--json").out)
    places = [(entry["version"], entry["location"]) for entry in told if entry["action"] == "published"]
    assert {(1, f"{tmp_path}/store"), (2, f"{tmp_path}/store")} <= set(places)
    assert "published" in command("history", "digits", "--home", registry.home).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("publish", "digits", "--to", "store"), "no key to sign with: give --key FILE or PADDLEPRESS_SIGNING_KEY"),
        (("publish", "digits", "--to", "store", "--key", "none.pem"), "there is no signing key at none.pem"),
        (("publish", "digits", "--to", "gs://b/p", "--key", "key.pem"), "nothing can be published at 'gs://b/p'"),
        (("publish", "letters", "--to", "store", "--key", "key.pem"), "unknown registered model 'letters'"),
        (("publish", "digits@9", "--to", "store", "--key", "key.pem"), "unknown version of 'digits' '9'"),
        (("publish", "digits", "--to", "key.pem", "--key", "key.pem"), "key.pem is a file"),
        (("rollback", "digits", "--to", "store"), "no key to sign with"),
        (("rollback", "a/b", "--to", "store", "--key", "key.pem"), "the name 'a/b' can't be registered"),
        (("pull", "store/digits/current", "-o", "out", "--key", "key.pem"), "is a private key; checking takes"),
        (("pull", "store/digits", "-o", "out", "--key", "key.pem.pub"), "'store/digits' is no published version"),
        (("keys", "new", "key.pem"), "key.pem exists already"),
        (("keys", "show", "absent"), "there is no public key at absent"),
        (("manifest", "digits", "--format", "tensorflow"), "unknown format 'tensorflow'. Valid: mlflow, onnx"),
        (("manifest", "digits", "--from", "s3://b/p"), "is not published at s3://b/p: paddlepress publish digits@2"),
        (("manifest", "digits", "--format", "mlflow"), "which no cluster can load from"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], message: str, command: Command, registry: Registry) -> None:
    """On standard error, with exit code 2; nothing is written."""
    command("keys", "new", "key.pem")
    home = ("--home", str(registry.home)) if arguments[0] in ("publish", "manifest") else ()
    said = command(*arguments, *home)
    assert said.code == 2
    assert message in said.err and len(said.err.strip().splitlines()) == 1
    assert not Path("store").exists() and not Path("out").exists()


def test_pulling_asks_for_a_key(command: Command) -> None:
    """There is no way to take what is not signed."""
    said = command("pull", "store/digits/current", "-o", "out")
    assert said.code == 2 and "--key" in said.err


def test_what_is_not_there_is_a_failure(command: Command) -> None:
    """Exit code 1: the command was right."""
    command("keys", "new", "key.pem")
    said = command("pull", "store/digits/current", "-o", "out", "--key", "key.pem.pub")
    assert (said.code, said.out) == (1, "")
    assert said.err == f"paddlepress: error: nothing is published at {Path.cwd()}/store/digits/current.json\n"
    assert command("rollback", "digits", "--to", "store", "--key", "key.pem").code == 1


@pytest.mark.services
def test_an_inference_service_serves_what_is_published(s3: S3Server, command: Command, registry: Registry) -> None:
    """Of the model repository in S3; a version that lies in a folder, or nowhere, is refused."""
    command("keys", "new", "key.pem")
    place = f"s3://{s3.bucket}/serving"
    assert command("publish", "digits", "--to", f"{place}/", "--key", "key.pem", "--home", registry.home).code == 0
    said = command("manifest", "digits", "--from", place, "--home", registry.home)
    service = read(said.out)
    assert service["kind"] == "InferenceService"
    model = service["spec"]["predictor"]["model"]
    assert model["modelFormat"] == {"name": "onnx"}
    assert model["storageUri"] == f"{place}/digits/2/repository"
    keys = {entry["Key"] for entry in s3.client().list_objects_v2(Bucket=s3.bucket, Prefix="serving/")["Contents"]}
    assert {
        "serving/digits/2/repository/digits/1/model.onnx",
        "serving/digits/2/repository/digits/config.pbtxt",
    } <= keys
    written = command("manifest", "digits", "--from", place, "-o", "service.yaml", "--home", registry.home)
    assert written.code == 0 and Path("service.yaml").read_text() == said.out
    command("publish", "digits", "--to", "store", "--key", "key.pem", "--home", registry.home)
    folder = command("manifest", "digits", "--from", "store", "--home", registry.home)
    assert folder.code == 2 and "which no cluster can load from: publish it to s3://" in folder.err


def test_help_is_quick_to_say(tmp_path: Path) -> None:
    """The commands are listed, and nothing heavy is imported for it."""
    said = paddlepress("keys", "--help", cwd=tmp_path)
    assert said.returncode == 0 and "new" in said.stdout and "show" in said.stdout
