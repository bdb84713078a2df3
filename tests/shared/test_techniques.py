"""Running techniques."""

from __future__ import annotations

from paddlepress.model import Model
from paddlepress.techniques import Context, Technique, run
from paddlepress.testing import digits_context, trained


class Nothing(Technique):
    """Changes nothing."""

    def apply(self, model: Model, context: Context) -> Model:
        return model


def test_the_lineage_has_the_name_that_was_asked_for() -> None:
    """A plugin registered through a re-export stands in the lineage by its registered name."""
    context = digits_context(trained())
    assert run(Nothing(), trained(), context, name="do-nothing").lineage[-1].technique == "do-nothing"
    assert run(Nothing(), trained(), context).lineage[-1].technique == "Nothing"
