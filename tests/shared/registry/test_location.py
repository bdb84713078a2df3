"""Where a registry is, and a URI that can be shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from paddlepress.core.errors import RegistryError
from paddlepress.registry.location import check, redacted, sqlite_file, tracking_uri, unreachable


def test_the_local_database_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without MLFLOW_TRACKING_URI the registry is a file under the home directory; with it, it is what it says."""
    assert tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://registry:5000")
    assert tracking_uri(tmp_path) == "http://registry:5000"


@pytest.mark.parametrize("name", ["a b", "job_50%25", "feature%2Fx", "e#f", "g?h=1&i", "é", "中文", "50%"])
def test_every_home_has_its_own_database(name: str, tmp_path: Path) -> None:
    """The URI of a home's database leads SQLAlchemy to that very file, whatever characters its path has."""
    from sqlalchemy.engine import make_url

    uri = tracking_uri(tmp_path / name)
    assert make_url(uri).database == str(tmp_path / name / "mlflow.db")
    assert not make_url(uri).query
    assert sqlite_file(uri) == tmp_path / name / "mlflow.db"


def test_a_relative_database_is_found() -> None:
    """The URI that the README gives is relative to the working directory; a database in memory is no file."""
    assert sqlite_file("sqlite:///.paddlepress/mlflow.db") == Path.cwd() / ".paddlepress" / "mlflow.db"
    assert sqlite_file("sqlite:///:memory:") is None
    assert sqlite_file("http://host:5000") is None


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("postgresql+psycopg2://me:p@ss:w/rd@host/db", "postgresql+psycopg2://me:***@host/db"),
        ("https://me:secret@host:5000", "https://me:***@host:5000"),
        ("https://token@host:5000", "https://***@host:5000"),
        ("postgresql+psycopg2://h/db?user=u&password=p", "postgresql+psycopg2://h/db?user=***&password=***"),
        ("https://h/path?api_key=x&page=2", "https://h/path?api_key=***&page=2"),
        ("sqlite:////tmp/a@b:c@d/mlflow.db", "sqlite:////tmp/a@b:c@d/mlflow.db"),
    ],
)
def test_secrets_are_not_shown(uri: str, shown: str) -> None:
    """A URI in a message has no password, token or user, whatever characters they have and wherever they stand."""
    assert redacted(uri) == shown


@pytest.mark.parametrize(
    "uri", ["http://u:secret%21@h", "https://secret!@h", "postgresql://h/db?user=u&password=secret%21"]
)
def test_secrets_that_an_error_repeats_are_not_shown(uri: str) -> None:
    """What a driver or server says of a URI is cleared of its secrets too, quoted or not."""
    said = str(unreachable(uri, f"no answer from {uri}\nwith secret! and secret%21"))
    assert "secret" not in said
    assert "\n" not in said


@pytest.mark.parametrize(
    "uri", ["postgresql://u:secret@127.0.0.1:notaport/db", "http://u:secret@[bad", "http://h:99999", "http://u:se/t@h"]
)
def test_a_port_that_is_none_is_told(uri: str) -> None:
    """A URI whose host or port can't be read is refused in one line that says how to write it."""
    with pytest.raises(RegistryError, match=r"the host or port of the registry .* can't be read\. Valid: ") as caught:
        check(uri)
    assert "secret" not in str(caught.value)
