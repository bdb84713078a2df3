from __future__ import annotations

import pytest

from paddlepress.report import steps
from paddlepress.report.data import Step
from paddlepress.techniques import Technique


class Squeeze(Technique):
    family = "quantization"
    amount: float
    layers: tuple[str, ...] = ()
    epochs: int = 2

    def apply(self, model, context):  # type: ignore[no-untyped-def]
        return model


def test_only_chosen_parameters_are_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box shows the parameters that differ from the defaults, even where KFP made a float of an int."""
    monkeypatch.setattr(steps, "technique_class", lambda name: Squeeze)
    drawn = steps.view_of(Step(technique="squeeze", parameters={"amount": 0.5, "layers": [], "epochs": 2.0}))
    assert (drawn.family, drawn.parameters) == ("quantization", (("amount", "0.5"),))
    assert drawn.everything == "amount = 0.5, layers = [], epochs = 2"


def test_unknown_technique_is_drawn_whole() -> None:
    """A technique that is not installed here is drawn with all its parameters."""
    drawn = steps.view_of(Step(technique="no-such-plugin", parameters={"layers": ["fc1", "fc2"], "on": True}))
    assert drawn.family == "other"
    assert drawn.parameters == (("layers", "fc1, fc2"), ("on", "true"))
