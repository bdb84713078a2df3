"""Waiting for a registry that went away."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import pytest

from paddlepress.core.errors import RegistryError
from paddlepress.registry import retrying
from paddlepress.registry.failures import RegistryAway
from paddlepress.registry.retrying import steady, through_outages

T = TypeVar("T")
URI = "http://me:secret@host:5000"


class Told:
    """Keeps what is said of the progress, and lets no time pass."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        self.now = 0.0
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        monkeypatch.setattr(retrying.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(retrying.time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def track(self, items: Iterable[T], total: int, description: str) -> Iterator[T]:
        self.lines.append(description)
        yield from items

    def note(self, text: str) -> None:
        self.lines.append(text)


def _away(*results: Any) -> Any:
    """Work that meets an absent registry until it may give its last result."""
    import requests

    left = list(results)

    def work() -> Any:
        result = left.pop(0)
        if result is None:
            raise requests.ConnectionError("connection to me:secret@host refused")
        return result

    return work


def test_work_goes_on_when_the_registry_is_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a minute without an answer costs half a minute; the progress says what is waited for, without secrets."""
    told = Told(monkeypatch)
    assert through_outages(_away(None, None, None, None, None, "done"), URI, told) == "done"
    assert told.now == 1 + 2 + 4 + 8 + 15
    assert told.lines[0] == "the registry http://me:***@host:5000 does not answer: trying again in 1 s"
    assert "secret" not in " ".join(told.lines)


def test_a_registry_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After minutes the work stops, in one line that says how it goes on."""
    told = Told(monkeypatch)
    with pytest.raises(
        RegistryError, match=r"did not answer for \d+ s\. What is finished is kept: .* goes on"
    ) as caught:
        through_outages(_away(*[None] * 100), URI, told)
    assert 200 < told.now <= 300
    assert not isinstance(caught.value, RegistryAway)


def test_a_database_that_stays_locked_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a minute of SQLite's refusals the call stops and says what holds it up; another failure is not repeated."""
    told, calls = Told(monkeypatch), []

    def locked() -> None:
        calls.append(told.now)
        raise OSError("database is locked")

    with pytest.raises(RegistryError, match="has kept the registry's database locked for 60 s"):
        steady(locked)
    assert 60 <= told.now < 62
    assert calls[:3] == pytest.approx([0, 0.05, 0.13])
    with pytest.raises(ZeroDivisionError):
        steady(lambda: 1 / 0)


def test_a_refusal_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waiting does not mend ends the work at once."""
    from mlflow.exceptions import MlflowException

    told = Told(monkeypatch)

    def refused() -> None:
        raise MlflowException("no such run")

    with pytest.raises(RegistryError, match="no such run"):
        through_outages(refused, URI, told)
    assert not told.lines
