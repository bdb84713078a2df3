"""What a request to a Kubeflow server failed of, in one line, and whether asking again may help."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from paddlepress.core.errors import ClusterError, in_one_line
from paddlepress_pipelines.kubeflow.token import TokenSource, expiry

BUSY = frozenset({429, 500, 502, 503, 504})
"""The answers after which the same request may succeed."""
_NOT_DONE = frozenset({429, 503})


class Passing(ClusterError):
    """A failure that may pass.

    Attributes:
        after_s: how long the server asks to be left alone, in seconds; 0 where it doesn't say.
        maybe_done: whether the server may have done what it was asked for.
    """

    def __init__(self, text: str, after_s: float = 0.0, maybe_done: bool = True) -> None:
        super().__init__(text)
        self.after_s = after_s
        self.maybe_done = maybe_done


class Missing(ClusterError):
    """What was asked for is not there."""


class AlreadyThere(ClusterError):
    """What was to be made is there."""


class Refused(ClusterError):
    """What was asked for is not valid for the server."""


def answered(status: int, headers: Any, body: Any, host: str, token: TokenSource) -> ClusterError:
    """The error of an answer that is no success.

    Args:
        status: the HTTP status.
        headers: with a `get`, or None.
        body: bytes, text or None.
        host: the server's URL.
        token: what was sent along.
    """
    said = _message(body)
    if secret := token.read():  # a server may repeat what it was sent
        said = said.replace(secret, "***")
    because = f": {said}" if said else ""
    if status in BUSY:
        return Passing(f"{host} answers {status}{because}", _retry_after(headers), status not in _NOT_DONE)
    if status == 401 or 300 <= status < 400:
        return ClusterError(_not_let_in(status, host, token))
    if status == 403:
        return ClusterError(f"{host} does not allow this to the holder of the token{because}")
    if status == 404:
        return Missing(f"{host} has no such thing{because}")
    if status == 409:
        return AlreadyThere(f"{host} has that already{because}")
    if status == 413:
        return ClusterError(f"{host} takes no request so large{because}")
    return Refused(f"{host} refuses it ({status}){because}")


def _not_let_in(status: int, host: str, token: TokenSource) -> str:
    renew = "such as `kubectl -n kubeflow create token NAME` prints"
    if not token.origin:
        what = "asks for a token" if status == 401 else "sends to a login page, which a token avoids"
        return f"{host} {what}: give --token-file FILE or PADDLEPRESS_TOKEN, {renew}"
    until = expiry(token.read())
    if until is not None and until <= datetime.now(UTC):
        return f"the token in {token.origin} expired at {until:%Y-%m-%d %H:%M} UTC: get a new one for {host}, {renew}"
    return f"{host} does not accept the token in {token.origin}: it has expired, or is for another server. Get {renew}"


def unreached(error: Exception, host: str) -> ClusterError:
    """The error of a request without an answer.

    Raises:
        Exception: it is none of a connection's.
    """
    from urllib3 import exceptions

    cause = getattr(error, "reason", None) or error
    if isinstance(cause, exceptions.NameResolutionError):
        return ClusterError(f"there is no {host}: its name is not known. Check --host")
    if isinstance(cause, exceptions.SSLError) or getattr(error, "status", None) == 0:
        return ClusterError(
            f"the certificate of {host} is not trusted: {in_one_line(cause, 200)}. "
            "SSL_CERT_FILE names a file of authorities to trust"
        )
    if isinstance(cause, exceptions.NewConnectionError):
        return Passing(f"{host} can't be reached: {_reason(cause)}", maybe_done=False)
    if isinstance(cause, exceptions.ConnectTimeoutError):
        return Passing(f"{host} can't be reached: no answer in time", maybe_done=False)
    if isinstance(cause, exceptions.TimeoutError):
        return Passing(f"{host} did not answer in time")
    if isinstance(cause, exceptions.ProtocolError):
        return Passing(f"{host} dropped the connection")
    if isinstance(cause, exceptions.HTTPError):
        return ClusterError(f"{host} can't be asked: {in_one_line(cause, 200)}. Check --host")
    raise error


def _reason(error: Exception) -> str:
    """The system's words in an error of urllib3."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, OSError) and link.strerror:
            return link.strerror.lower()
        link = link.__cause__ or link.__context__
    return "no connection"


def _message(body: Any) -> str:
    """What the server says: `message` of its JSON, or a line of text; nothing of a page of HTML."""
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else str(body or "")
    try:
        content = json.loads(text)
    except ValueError:
        return "" if "<" in text[:200] else in_one_line(text, 300)
    if not isinstance(content, dict):
        return in_one_line(text, 300)
    said = next((content[key] for key in ("message", "error_message", "error") if content.get(key)), "")
    return in_one_line(said, 300)


def _retry_after(headers: Any) -> float:
    """Seconds that a `Retry-After` asks for: a number, or a date."""
    stated = (headers.get("Retry-After") or "").strip() if headers is not None else ""
    try:
        when = float(stated) if stated[:1].isdigit() else parsedate_to_datetime(stated).timestamp() - time.time()
        return max(0.0, when)
    except (ValueError, TypeError, OverflowError):
        return 0.0
