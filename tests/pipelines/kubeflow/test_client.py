"""What a Kubeflow server that is busy, away, strange or strict makes of a request."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from paddlepress.core.errors import ClusterError
from paddlepress_pipelines.kubeflow.client import Cluster, checked_host
from paddlepress_pipelines.kubeflow.submission import experiment_id
from paddlepress_pipelines.kubeflow.token import TokenSource
from tests.kubeflow_server import Failure, KubeflowServer, kubeflow, serving

__all__ = ["kubeflow"]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def connect(kubeflow: KubeflowServer, said: list[str]) -> Callable[..., Cluster]:
    """Connects to the server with pauses too short to notice."""

    def connected(token: TokenSource | None = None, **options: Any) -> Cluster:
        options = {"pause_s": 0.01, "patience_s": 20.0, "say": said.append} | options
        return Cluster(kubeflow.url, token, **options).connect()

    return connected


def names(cluster: Cluster) -> list[str]:
    listing = cluster.experiments.experiment_service_list_experiments
    return [one.display_name for one in cluster.listed(listing, "experiments")]


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_busy_server_is_asked_again(
    status: int, kubeflow: KubeflowServer, connect: Callable[..., Cluster], said: list[str]
) -> None:
    """Whatever the status, with a line for each pause that names it; nothing is made twice."""
    cluster = connect()
    kubeflow.fail(Failure(status, on="POST"), Failure(status, on="POST"))
    assert experiment_id(cluster, "first")
    assert names(cluster) == ["first"]
    assert len(said) == 2
    assert all(f"answers {status}: injected; trying again in " in line for line in said)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(),
        Failure(obeyed=True),
        Failure(502, obeyed=True),
        Failure(504, body="<html>gateway</html>", obeyed=True),
    ],
    ids=["dropped", "obeyed and dropped", "obeyed behind 502", "obeyed behind a page"],
)
def test_what_may_have_been_done_is_looked_up(
    failure: Failure, kubeflow: KubeflowServer, connect: Callable[..., Cluster]
) -> None:
    """A request that got no answer is not sent again before it is known that it was not obeyed."""
    cluster = connect()
    failure.on = "POST"
    kubeflow.fail(failure)
    identity = experiment_id(cluster, "first")
    assert list(kubeflow.experiments) == [identity]
    assert kubeflow.requests.count("POST /apis/v2beta1/experiments") == (1 if failure.obeyed else 2)


def test_what_somebody_else_has_made_meanwhile_is_taken(
    kubeflow: KubeflowServer, connect: Callable[..., Cluster]
) -> None:
    """A conflict of names is no failure where the same is wanted."""
    first = experiment_id(connect(), "first")
    kubeflow.fail(Failure(200, body="{}", on="GET /apis/v2beta1/experiments"))  # as it was a moment before
    assert experiment_id(connect(), "first") == first


def test_a_server_that_is_slow_is_asked_again(
    kubeflow: KubeflowServer, connect: Callable[..., Cluster], said: list[str]
) -> None:
    """An answer that takes too long counts as none."""
    cluster = connect(answer_timeout_s=1.0)
    kubeflow.fail(Failure(200, wait_s=3.0, on="POST"))
    assert experiment_id(cluster, "first")
    assert any("did not answer in time; trying again" in line for line in said)


def test_a_server_says_when_to_come_back(
    kubeflow: KubeflowServer, connect: Callable[..., Cluster], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Retry-After is obeyed as seconds and as a date; one that is beyond all patience ends it at once."""
    cluster, slept = connect(), list[float]()
    monkeypatch.setattr(time, "sleep", slept.append)
    kubeflow.fail(
        Failure(429, headers={"Retry-After": "7"}),
        Failure(503, headers={"Retry-After": formatdate(time.time() + 11, usegmt=True)}),
        Failure(503, headers={"Retry-After": "soon"}),
    )
    assert names(cluster) == []
    assert slept[0] == 7
    assert 5 < slept[1] <= 11.5
    assert slept[2] < 1
    kubeflow.fail(Failure(429, headers={"Retry-After": "3600"}))
    with pytest.raises(ClusterError, match=r"answers 429: injected; it was asked once, and asks to .* for 3600 s$"):
        names(cluster)


def test_a_server_that_stays_away_is_given_up(kubeflow: KubeflowServer, connect: Callable[..., Cluster]) -> None:
    """The error says what it answered, and how often it was asked."""
    cluster = connect(patience_s=0.3)
    kubeflow.fail(*(Failure(503) for _ in range(100)))
    with pytest.raises(ClusterError, match=r"answers 503: injected; it was asked [0-9]+ times in 0 s$"):
        names(cluster)


@pytest.mark.parametrize("page", [1, 5])
def test_all_pages_are_read(page: int, kubeflow: KubeflowServer, connect: Callable[..., Cluster]) -> None:
    """However few a server gives at once."""
    cluster = connect()
    for number in range(page):
        experiment_id(cluster, f"e{number}")
    assert sorted(names(cluster)) == [f"e{number}" for number in range(page)]


def jwt(expires: float) -> str:
    content = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{content}.c2ln"


def test_a_token_is_sent_and_never_shown(
    kubeflow: KubeflowServer, connect: Callable[..., Cluster], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file or the environment; a server that repeats it is not repeated."""
    kubeflow.token = "right-token"
    with pytest.raises(ClusterError, match=r"asks for a token: give --token-file FILE or PADDLEPRESS_TOKEN"):
        connect()
    monkeypatch.setenv("PADDLEPRESS_TOKEN", "right-token")
    assert names(connect()) == []
    file = tmp_path / "token"
    file.write_text("wrong-token\n")
    with pytest.raises(ClusterError, match=r"does not accept the token in .*/token: it has expired, or") as caught:
        connect(TokenSource(file))
    assert "wrong-token" not in str(caught.value)
    kubeflow.fail(Failure(400, body='{"message": "bad wrong-token"}', on="experiments"))
    file.write_text("right-token")
    cluster = connect(TokenSource(file))
    file.write_text("wrong-token")
    with pytest.raises(ClusterError, match=r"refuses it \(400\): bad \*\*\*$"):
        names(cluster)


def test_an_expired_token_is_told_with_its_time(
    kubeflow: KubeflowServer, connect: Callable[..., Cluster], tmp_path: Path
) -> None:
    """What a JSON Web Token says of itself; a file that is renewed in between goes on working."""
    kubeflow.token = jwt(time.time() + 1000)
    file = tmp_path / "token"
    file.write_text(jwt(1_700_000_000))
    with pytest.raises(ClusterError, match=r"the token in .*/token expired at 2023-11-14 22:13 UTC: get a new one"):
        connect(TokenSource(file))
    file.write_text(kubeflow.token)
    cluster = connect(TokenSource(file))
    kubeflow.token = jwt(time.time() + 2000)
    file.write_text(kubeflow.token)
    assert names(cluster) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "can't read the token in .*: No such file"),
        (b"", "holds no token"),
        (b"two words", "holds no token"),
        (b"line\nline", "holds no token"),
        (b"\xff\xfe", "holds no token"),
        (b"x" * 100_001, "holds no token"),
    ],
    ids=["missing", "empty", "words", "lines", "binary", "huge"],
)
def test_a_file_without_a_token_is_told(content: bytes | None, words: str, tmp_path: Path) -> None:
    """Before anything is sent."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ClusterError, match=words):
        Cluster("http://127.0.0.1:9", TokenSource(file))


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (Failure(302, headers={"Location": "/dex/login"}), "sends to a login page"),
        (Failure(403, body='{"message": "no"}'), "does not allow this to the holder of the token: no$"),
        (Failure(413, body="<html>too large</html>"), "takes no request so large$"),
        (Failure(418, body="a teapot"), r"refuses it \(418\): a teapot$"),
        (Failure(400, body="\x00\udce4".encode("utf-8", "surrogatepass").decode("latin-1")), r"refuses it \(400\)"),
        (Failure(200, body="<html>Log in</html>"), "answers with a page: is it a login's"),
    ],
)
def test_what_a_server_refuses_is_one_line(
    failure: Failure, words: str, kubeflow: KubeflowServer, connect: Callable[..., Cluster]
) -> None:
    """With what the server says, if it is no page."""
    cluster = connect()
    kubeflow.fail(failure)
    with pytest.raises(ClusterError, match=words) as caught:
        names(cluster)
    assert "\n" not in str(caught.value)


def test_a_wrong_host_is_told_at_once(said: list[str]) -> None:
    """No server, no such name, no HTTPS: nothing of it is waited for."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        port = taken.getsockname()[1]
        with pytest.raises(ClusterError, match=rf"http://127.0.0.1:{port} can't be reached: connection refused. Check"):
            Cluster(f"http://127.0.0.1:{port}", say=said.append).connect()
    with pytest.raises(ClusterError, match=r"there is no http://no-such-host.invalid: its name is not known. Check"):
        Cluster("http://no-such-host.invalid", say=said.append).connect()
    with serving() as server, pytest.raises(ClusterError, match=r"the certificate of https://.* is not trusted"):
        Cluster(server.url.replace("http:", "https:"), say=said.append).connect()
    assert said == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"kind": "page"}, "answers, but is no Kubeflow Pipelines. Valid: http://localhost:8888 of"),
        ({"kind": "v1"}, "is Kubeflow Pipelines 1: paddlepress speaks the language of version 2$"),
        ({"version": "3.1.0"}, "is Kubeflow Pipelines 3.1.0: paddlepress speaks the language of version 2$"),
        ({"multi_user": True}, "--namespace is missing: .* is shared by several users"),
    ],
)
def test_another_server_than_is_needed(settings: dict[str, Any], words: str) -> None:
    """What answers is named."""
    with serving(**settings) as server, pytest.raises(ClusterError, match=words):
        Cluster(server.url).connect()


@pytest.mark.parametrize("body", ["{torn", '{"multi_user": "?"}'])
def test_a_health_that_is_none(body: str, kubeflow: KubeflowServer) -> None:
    """Something else that speaks JSON is no Kubeflow Pipelines."""
    kubeflow.fail(Failure(200, body=body, on="/apis/v2beta1/healthz"), Failure(404, on="/apis/v1beta1/healthz"))
    with pytest.raises(ClusterError, match="answers, but is no Kubeflow Pipelines"):
        Cluster(kubeflow.url).connect()


def test_namespaces() -> None:
    """One is sent where there are several users, and refused where there are not."""
    with serving(multi_user=True) as server:
        cluster = Cluster(server.url).connect("mine")
        experiment_id(cluster, "first")
        assert [one.namespace for one in server.experiments.values()] == ["mine"]
        server.multi_user = False
        with pytest.raises(ClusterError, match=r"--namespace 'mine': .* is not shared by several users"):
            Cluster(server.url).connect("mine")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://localhost:8888/", "http://localhost:8888"),
        ("https://kf.example/pipeline/#/runs/details/1", "https://kf.example/pipeline"),
        (" https://kf.example/pipeline/apis/v2beta1 ", "https://kf.example/pipeline"),
    ],
)
def test_a_host_is_taken_as_a_browser_has_it(text: str, url: str) -> None:
    """Without what is behind the server's own address."""
    assert checked_host(text) == url


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("localhost:8888", "'localhost:8888' is no URL of a server"),
        ("", "'' is no URL of a server"),
        ("ftp://host", "is no URL"),
        ("http://", "is no URL"),
        ("http://host:99999", "is no URL"),
        ("http://ho st", "is no URL"),
        ("http://host?x=1", "is no URL"),
        ("http://me:secret@host", "has a user in it. Valid: --token-file FILE"),
    ],
)
def test_a_host_that_is_none(text: str, words: str) -> None:
    """The option is named, and no secret."""
    with pytest.raises(ClusterError, match=words) as caught:
        checked_host(text)
    assert str(caught.value).startswith("--host ")
    assert "secret@" not in str(caught.value)
