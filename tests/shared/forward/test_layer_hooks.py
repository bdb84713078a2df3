"""Layers that a network calls by keyword are seen, rounded, replaced and removed like any others."""

from __future__ import annotations

import numpy as np
import pytest
from surgical import Build, images

from paddlepress.core import compute
from paddlepress.data import Split
from paddlepress.forward.layer_hooks import after, before
from paddlepress.techniques import Context, run, technique

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402


class Block(nn.Layer):
    """A residual block, given its input by a name of its own."""

    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = nn.Conv2D(8, 8, 3, padding=1), nn.BatchNorm2D(8), nn.Conv2D(8, 8, 3, padding=1)

    def forward(self, source, scale=1.0):
        return source + self.b(x=F.relu(self.norm(input=self.a(x=source)))) * scale


class Named(nn.Layer):
    """Every layer is called by keyword."""

    def __init__(self):
        super().__init__()
        self.stem, self.first, self.second = nn.Conv2D(3, 8, 3, padding=1), Block(), Block()
        self.hidden, self.classify = nn.Linear(8, 16), nn.Linear(16, 10)

    def forward(self, x):
        x = self.second(scale=0.5, source=self.first(source=F.relu(self.stem(x=x))))
        return self.classify(input=F.relu(self.hidden(input=x.mean([2, 3]))))


def test_hooks_see_what_is_given_by_name() -> None:
    """Inputs come in the order of `forward`, and what a hook gives instead is used."""
    block, seen = Block(), []
    x = paddle.ones([1, 8, 4, 4])
    handles = [
        before(block, lambda layer, given: (given[0] * 2, *given[1:])),
        after(block, lambda layer, given, made: seen.append((given[0].mean().item(), given[1]))),
    ]
    block(scale=0.5, source=x)
    block(x, 0.25)
    for handle in handles:
        handle.remove()
    block(source=x)
    assert seen == [(2.0, 0.5), (2.0, 0.25)]


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("quantize-post-training", {}),
        ("quantize-post-training", {"bits": 4}),
        ("prune-filters", {"importance": "output-gradient", "recovery_epochs": 0, "round_to": 1}),
        ("prune-neurons", {"importance": "apoz", "recovery_epochs": 0}),
        ("prune-layers", {"recovery_epochs": 0}),
        ("factorize-dense", {"recovery_epochs": 0, "method": "data-aware", "min_size": 8}),
        ("factorize-conv", {"recovery_epochs": 0, "round_to": 1}),
    ],
)
def test_techniques(name: str, fields: dict[str, object], build: Build) -> None:
    """Each works on such a network, and what comes of it runs and reloads."""
    model = build(Named)
    x = images(model, 16)
    split = Split(x, np.arange(16) % 10)
    context = Context(train=split, validation=split, calibration=split, base=model)
    made = run(technique(name, fields), model.copy(), context)
    got = made.predict(x)
    assert made.edits and np.isfinite(got).all()
    assert np.array_equal(made.copy().predict(x), got)
