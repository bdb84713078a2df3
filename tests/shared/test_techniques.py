"""Running techniques."""

from __future__ import annotations

from dataclasses import replace

import pytest

from paddlepress.core.errors import UsageError
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.preprocessing import Preprocessing
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


def test_a_base_model_that_takes_other_inputs_is_refused() -> None:
    """Data that the model takes would tell a teacher nothing that takes them normalized otherwise."""
    model = replace(trained(), preprocessing=Preprocessing(dtype="uint8", scale=255))
    with pytest.raises(UsageError, match=r"preprocessing is uint8 / 255, mean 0, std 1, and that of .* not stated"):
        run(Nothing(), model, digits_context(trained()))


class Replace(Technique):
    """Makes another network, and does not think of what its inputs go through."""

    def apply(self, model: Model, context: Context) -> Model:
        return Model.build(ArchitectureRef(name="lenet-half"), model.inputs, model.task, lineage=model.lineage)


def test_a_technique_never_changes_the_preprocessing() -> None:
    """Whatever network a technique returns, it takes inputs as the model before did: so were the data it saw."""
    model = replace(trained(), preprocessing=Preprocessing(scale=255, mean=(0.5,)))
    assert run(Replace(), model, digits_context(model)).preprocessing == model.preprocessing
