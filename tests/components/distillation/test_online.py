from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.progress import Silent
from paddlepress.forward.score import score
from paddlepress.network.edits import Mask, Quantize, parameter
from paddlepress.network.grids import put_on_grid
from paddlepress.network.model import Model
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.distillation.online import DistillOnline
from paddlepress_components.distillation.peers import Peers, apart, best, together
from paddlepress_components.distillation.student_initialization import reinitialized

SMALL = {"student": "lenet", "student_arguments": {"width": 0.125}, "batch_size": 64}


class Stop(Exception):
    """The power went off."""


class Notes(Silent):
    """Keeps what it is told; stops in an epoch if it is to."""

    def __init__(self, stop: str = "") -> None:
        self.said: list[str] = []
        self.stop = stop

    def note(self, text: str) -> None:
        self.said.append(text)

    def track(self, items: Any, total: int, description: str) -> Any:
        if self.stop and description.startswith(self.stop):
            raise Stop
        yield from items


def compressed() -> Model:
    """A model with a masked, 8-bit and a masked, 4-bit weight."""
    model = trained().copy()
    edits = []
    for name, bits in (("conv2", 8), ("fc1", 4)):
        weight = parameter(model.network, f"{name}.weight")
        value = weight.numpy()
        weight.set_value(np.where(np.abs(value) < np.median(np.abs(value)), 0, value))
        edits += [Mask(parameters=(f"{name}.weight",)), Quantize(layer=name, bits=bits, axis=1 if name == "fc1" else 0)]
        put_on_grid(model, edits[-1])
    return model.with_edits(*edits)


def test_all_peers_answer_in_training_and_the_first_in_evaluation() -> None:
    """Logits are stacked by peer; validation sees one network."""
    models = [reinitialized(trained(), seed) for seed in (1, 2, 3)]
    network, inputs = Peers([model.network for model in models]), paddle.to_tensor(digits().split("test").inputs[:5])
    network.train()
    stacked = network(inputs)
    assert stacked.shape == [3, 5, 10]
    network.eval()
    np.testing.assert_array_equal(network(inputs).numpy(), models[0].network(inputs).numpy())
    for peer, model in enumerate(models):
        np.testing.assert_allclose(stacked[peer].numpy(), model.network(inputs).numpy(), atol=1e-5)


def test_the_best_peer_is_the_result() -> None:
    """Of all peers, measured on the validation data, the one that gets most right; each one's accuracy is told."""
    told: dict[int, float] = {}

    def log(name: str, value: float, step: int) -> None:
        if name == "peer_validation_accuracy":
            told[step] = value

    fields = {**SMALL, "peers": 3, "epochs": 3}
    model = run(technique("distill-online", fields), trained(), digits_context(trained(), log=log))
    assert set(told) == {1, 2, 3}
    assert len(set(told.values())) > 1
    assert score(model.network, model.task, digits().split("validation")) == max(told.values())
    assert model.network.fc1.weight.shape[1] == 16


def test_the_first_of_equal_peers_wins() -> None:
    """The choice does not depend on chance."""
    models = [trained().copy(), trained().copy()]
    assert best(models, digits().split("validation"))[0] is models[0]


def test_promises_of_every_peer_hold_in_training() -> None:
    """One model of several has each one's masks, grids and scales under its own names, and gives them back."""
    models = [compressed(), compressed()]
    whole = together(models)
    names = {f"peers.{peer}.{name}.weight" for peer in (0, 1) for name in ("conv2", "fc1")}
    assert set(whole.masked()) == set(whole.quantized()) == set(whole.scales) == names
    assert {edit.bits for edit in whole.quantized().values()} == {8, 4}
    whole.scales["peers.1.fc1.weight"] = whole.scales["peers.1.fc1.weight"] * 2
    first, second = apart(whole, models)
    assert np.array_equal(second.scales["fc1.weight"], 2 * first.scales["fc1.weight"])


def test_peers_of_a_compressed_model_start_from_it_and_stay_compressed() -> None:
    """Masked zeros are zero and codes are codes of the same scales; fresh peers are refused with a reason."""
    model = compressed()
    context = digits_context(trained())
    taught = run(DistillOnline(start="incoming", epochs=2, batch_size=64, learning_rate=1e-3), model, context)
    assert taught.digest() != model.digest()
    for name in model.masked():
        before, after = (parameter(one.network, name).numpy() for one in (model, taught))
        assert not after[before == 0].any()
        assert taught.codes(name).codes.any()
    assert score(taught.network, taught.task, digits().split("test")) > 85
    with pytest.raises(TechniqueRefused, match=r"conv2.weight is quantized already.*start from the incoming weights"):
        run(DistillOnline(epochs=1), model, context)


def test_peers_keep_the_pattern_of_a_pruned_model() -> None:
    """Fresh weights only where the incoming model has any."""
    model = trained().copy()
    weight = parameter(model.network, "fc1.weight")
    value = weight.numpy()
    weight.set_value(np.where(np.abs(value) < np.quantile(np.abs(value), 0.8), 0, value))
    model = model.with_edits(Mask(parameters=("fc1.weight",)))
    taught = run(DistillOnline(epochs=4, batch_size=32), model, digits_context(trained()))
    after = parameter(taught.network, "fc1.weight").numpy()
    assert np.array_equal(after == 0, weight.numpy() == 0)
    assert score(taught.network, taught.task, digits().split("test")) > 80


def test_resumes_to_the_same_bits(tmp_path: Path) -> None:
    """Peers that were stopped in their third epoch go on from the second, and end as if nothing had been."""
    chosen = technique("distill-online", {**SMALL, "epochs": 3})
    with pytest.raises(Stop):
        run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=Notes("epoch 3/")))
    notes = Notes()
    resumed = run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=notes))
    assert "resuming after epoch 2 of 3" in notes.said
    assert resumed.digest() == run(chosen, trained(), digits_context(trained())).digest()
    run(
        technique("distill-online", {**SMALL, "epochs": 3, "mutual_weight": 2.0}),
        trained(),
        digits_context(trained(), checkpoint=tmp_path, progress=(other := Notes())),
    )
    assert not any("resuming" in text for text in other.said)
