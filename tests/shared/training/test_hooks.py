"""Hooks take part in passes and steps."""

from __future__ import annotations

import pytest

from paddlepress.training.hooks import Hook, passing


class Part(Hook):
    """Notes when it is called."""

    def __init__(self, name: str, seen: list[str]) -> None:
        self.name, self.seen = name, seen

    def before_pass(self) -> None:
        self.seen.append(f"+{self.name}")

    def after_pass(self) -> None:
        self.seen.append(f"-{self.name}")


class Broken(Part):
    """Can't give the network its weights."""

    def before_pass(self) -> None:
        raise ValueError(self.name)


def test_what_came_first_is_undone_last() -> None:
    """After a pass hooks are called in reverse."""
    seen: list[str] = []
    with passing(Part("a", seen), Part("b", seen)):
        seen.append("work")
    assert seen == ["+a", "+b", "work", "-b", "-a"]


def test_a_hook_that_fails_leaves_nothing_changed() -> None:
    """What had changed the weights before it changes them back; what had not does nothing."""
    seen: list[str] = []
    with pytest.raises(ValueError, match="b"), passing(Part("a", seen), Broken("b", seen)):
        seen.append("work")
    assert seen == ["+a", "-a"]
