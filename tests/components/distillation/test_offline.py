from __future__ import annotations

import pytest

from paddlepress.errors import UsageError
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.distillation.offline import DistillOffline
from paddlepress_components.pruning.prune_weights import PruneWeights


def test_an_unknown_student_names_the_known_ones() -> None:
    """A student that is no architecture is refused before anything runs."""
    with pytest.raises(UsageError, match=r"unknown architecture 'lenet-hafl'\. Did you mean 'lenet-half'"):
        technique("distill-offline", {"student": "lenet-hafl"})


def test_a_student_takes_its_arguments() -> None:
    """student_arguments reach the architecture, and wrong ones are refused with the valid ones."""
    context = digits_context(trained())
    model = run(DistillOffline(student="lenet", student_arguments={"width": 0.25}, epochs=1), trained(), context)
    assert model.network.fc1.weight.shape == [64, 32]
    with pytest.raises(UsageError, match=r"'depth'.*Valid: width"):
        run(DistillOffline(student="lenet", student_arguments={"depth": 3}), trained(), context)


def test_a_pruned_model_is_taught_and_stays_pruned() -> None:
    """With no student named, the incoming model learns from the base, and its zeros stay."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.95, recovery_epochs=0), trained(), context)
    taught = run(DistillOffline(epochs=4, batch_size=32, learning_rate=1e-3), sparse, context)
    for name in sparse.masked():
        weights = dict(taught.network.named_parameters())[name].numpy()
        assert ((weights == 0) == (dict(sparse.network.named_parameters())[name].numpy() == 0)).all()
    inputs = digits().split("test").inputs
    expected = trained().predict(inputs).argmax(1)
    agreement = [(model.predict(inputs).argmax(1) == expected).mean() for model in (sparse, taught)]
    assert agreement[1] > agreement[0]
