from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from paddlepress.core.errors import TechniqueRefused, UsageError
from paddlepress.core.progress import Silent
from paddlepress.forward.score import score
from paddlepress.network.edits import find, parameter
from paddlepress.network.layer_kinds import output_axis
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.techniques import run, technique
from paddlepress.testing import digits, digits_context, trained
from paddlepress_components.distillation.student_initialization import reinitialized
from paddlepress_components.pruning import patterns
from paddlepress_components.pruning.prune_weights import PruneWeights


def test_a_threshold_takes_the_place_of_sparsity() -> None:
    """Given a threshold, every smaller weight goes and no other."""
    chosen = PruneWeights(threshold=0.05, recovery_epochs=0)
    model = run(chosen, trained(), digits_context(trained()))
    assert len(model.masked()) == 4
    for name in model.masked():
        before = parameter(trained().network, name).numpy()
        assert np.array_equal(parameter(model.network, name).numpy() != 0, np.abs(before) >= 0.05)


def test_gradual_pruning_needs_training() -> None:
    """A gradual schedule without epochs is refused."""
    with pytest.raises(UsageError, match="'recovery_epochs' must be at least 1"):
        technique("prune-weights", {"schedule": "gradual", "recovery_epochs": 0})


def test_gradients_through_a_recurrent_layer() -> None:
    """They are there in evaluation mode too, where Paddle's recurrent layers keep nothing of their own accord."""
    data = digits()
    architecture = ArchitectureRef(name="lstm", arguments={"hidden": 8, "layers": 1})
    model = Model.build(architecture, data.inputs, data.task)
    model.network.train()
    pruned = run(PruneWeights(criterion="gradient", recovery_epochs=0), model, digits_context(model))
    assert pruned.masked()
    assert model.network.training


def test_excluded_layers_keep_every_weight() -> None:
    """An excluded layer is neither pruned nor masked."""
    chosen = PruneWeights(sparsity=0.5, exclude=["conv*"], recovery_epochs=0)
    model = run(chosen, trained(), digits_context(trained()))
    assert model.masked() == ("fc1.weight", "fc2.weight")
    assert np.array_equal(
        parameter(model.network, "conv1.weight").numpy(), parameter(trained().network, "conv1.weight").numpy()
    )


def test_pruning_less_than_was_pruned_is_refused() -> None:
    """A model that is sparser already is refused with its sparsity."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.8, recovery_epochs=0), trained(), context)
    with pytest.raises(TechniqueRefused, match=r"sparsity 0\.5 prunes nothing: 0\.8 .* zero already"):
        run(PruneWeights(sparsity=0.5), sparse, context)


def test_a_layer_is_never_pruned_away() -> None:
    """A sparsity that would leave a layer without weights is refused with the layer's name."""
    model = trained().copy()
    weight = parameter(model.network, "conv1.weight")
    weight.set_value(weight * 1e-6)
    with pytest.raises(TechniqueRefused, match=r"conv1\.weight would lose all its weights"):
        run(PruneWeights(sparsity=0.9), model, digits_context(trained()))


class _Stop(Exception):
    pass


class StopInSecondEpoch(Silent):
    def track(self, items: Iterable[Any], total: int, description: str) -> Iterator[Any]:
        if description.startswith("epoch 2/"):
            raise _Stop
        yield from items


def test_gradual_pruning_resumes_with_the_same_bits(tmp_path: Path) -> None:
    """Stopped half-way up its ramp and started again, gradual pruning ends where it would have ended."""
    chosen = PruneWeights(sparsity=0.8, schedule="gradual", recovery_epochs=2, recovery_batch_size=64)
    with pytest.raises(_Stop):
        run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=StopInSecondEpoch()))
    resumed = run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path))
    straight = run(chosen, trained(), digits_context(trained()))
    assert resumed.digest() == straight.digest()


def matrix(model: Model, name: str) -> np.ndarray[Any, Any]:
    """A weight's non-zeros, one row for each output."""
    layer = find(model.network, name.removesuffix(".weight"))
    return patterns.rows(parameter(model.network, name).numpy() != 0, output_axis(layer))


def fours(model: Model, name: str) -> np.ndarray[Any, Any]:
    """How many weights of each four in a row are not zero."""
    found = matrix(model, name)
    return np.pad(found, ((0, 0), (0, -found.shape[1] % 4))).reshape(len(found), -1, 4).sum(axis=-1)


@pytest.mark.parametrize(
    "more", [{}, {"criterion": "gradient"}, {"schedule": "gradual"}, {"schedule": "gradual", "criterion": "movement"}]
)
def test_two_of_each_four_weights_are_zero(more: dict[str, Any]) -> None:
    """With pattern 2:4 no four neighbours have more than two weights after training, whatever chose them."""
    chosen = PruneWeights(pattern="2:4", recovery_batch_size=64, **more)
    model = run(chosen, trained(), digits_context(trained()))
    assert all((fours(model, name) <= 2).all() for name in model.masked())
    weights = [parameter(model.network, name).numpy() for name in model.masked()]
    assert 0.49 < np.concatenate([weight.reshape(-1) == 0 for weight in weights]).mean() <= 0.5
    if chosen.criterion != "movement":  # which half an epoch tells little
        assert score(model.network, model.task, digits().split("test")) > 80


@pytest.mark.parametrize("more", [{}, {"schedule": "gradual"}, {"schedule": "gradual", "criterion": "movement"}])
def test_blocks_of_weights_are_zero_together(more: dict[str, Any]) -> None:
    """With pattern block every zero is in a block of zeros, and as many weights are zero as asked for."""
    chosen = PruneWeights(pattern="block", block_size=[8, 4], sparsity=0.6, recovery_batch_size=64, **more)
    model = run(chosen, trained(), digits_context(trained()))
    zeros = total = 0
    for name in model.masked():
        found = matrix(model, name)
        for top in range(0, len(found), 8):
            for left in range(0, found.shape[1], 4):
                block = found[top : top + 8, left : left + 4]
                assert block.all() or not block.any()
        zeros, total = zeros + int((~found).sum()), total + found.size
    assert abs(zeros - 0.6 * total) <= 16


@pytest.mark.parametrize("schedule", ["one-shot", "gradual"])
def test_pruning_by_gradient_reaches_its_sparsity(schedule: Literal["one-shot", "gradual"]) -> None:
    """The share of zeros is exact, and they are others than magnitude would choose."""
    found = {}
    for criterion in ("gradient", "magnitude"):
        chosen = PruneWeights(sparsity=0.8, criterion=criterion, schedule=schedule, recovery_batch_size=64)
        found[criterion] = run(chosen, trained(), digits_context(trained()))
    zeros = {
        criterion: np.concatenate(
            [(parameter(model.network, name).numpy() == 0).reshape(-1) for name in model.masked()]
        )
        for criterion, model in found.items()
    }
    assert zeros["gradient"].sum() == zeros["magnitude"].sum() == round(0.8 * zeros["gradient"].size)
    assert (zeros["gradient"] != zeros["magnitude"]).mean() > 0.05
    assert score(found["gradient"].network, found["gradient"].task, digits().split("test")) > 75


def test_movement_leaves_small_weights_that_grow() -> None:
    """The share of zeros is exact; some weights stay that magnitude would have taken first."""
    chosen = PruneWeights(
        sparsity=0.8, criterion="movement", schedule="gradual", scope="layer", recovery_epochs=3, recovery_batch_size=32
    )
    model = run(chosen, trained(), digits_context(trained()))
    for name in model.masked():
        weight = parameter(model.network, name).numpy()
        assert np.count_nonzero(weight == 0) == round(0.8 * weight.size)
    before = np.abs(parameter(trained().network, "fc1.weight").numpy())
    kept = parameter(model.network, "fc1.weight").numpy() != 0
    assert (before[kept] < np.median(before)).mean() > 0.05
    assert score(model.network, model.task, digits().split("test")) > 70


def test_movement_keeps_earlier_zeros() -> None:
    """What was zero when movement pruning began is zero when it ends."""
    context = digits_context(trained())
    sparse = run(PruneWeights(sparsity=0.4, recovery_epochs=0), trained(), context)
    chosen = PruneWeights(sparsity=0.7, criterion="movement", schedule="gradual", recovery_batch_size=64)
    model = run(chosen, sparse, context)
    assert len(model.masked()) == 4
    for name in model.masked():
        assert (parameter(model.network, name).numpy()[parameter(sparse.network, name).numpy() == 0] == 0).all()


REWINDING = PruneWeights(
    sparsity=0.8,
    schedule="rewinding",
    rounds=2,
    rewind_epochs=0.5,
    recovery_epochs=2,
    recovery_batch_size=64,
    recovery_learning_rate=4e-3,
)


@cache
def rewound() -> Model:
    return run(REWINDING, trained(), digits_context(trained()))


def test_a_rewound_network_was_trained_from_fresh_weights() -> None:
    """Its weights have the asked zeros and follow the seed, not the incoming weights."""
    model = rewound()
    weights = [parameter(model.network, name).numpy() for name in model.masked()]
    assert sum(int((weight == 0).sum()) for weight in weights) == round(0.8 * sum(weight.size for weight in weights))
    assert score(model.network, model.task, digits().split("test")) > 85
    other = trained().copy()
    for _, tensor in other.network.named_parameters():
        tensor.set_value(tensor * 2)
    assert run(REWINDING, other, digits_context(trained())).digest() == model.digest()
    assert run(REWINDING, trained(), digits_context(trained(), seed=1)).digest() != model.digest()


def test_what_a_round_leaves_starts_where_it_was_early() -> None:
    """With a rewind to the start and hardly any learning, the weights that are left have their initial values."""
    chosen = REWINDING.model_copy(update={"rewind_epochs": 0.0, "recovery_learning_rate": 1e-9, "recovery_epochs": 1})
    model = run(chosen, trained(), digits_context(trained()))
    start = reinitialized(trained(), 0)
    assert len(model.masked()) == 4
    for name in model.masked():
        weight = parameter(model.network, name).numpy()
        np.testing.assert_allclose(weight[weight != 0], parameter(start.network, name).numpy()[weight != 0], atol=1e-6)


def test_rewinding_refuses_grids() -> None:
    """Quantized weights can't be trained anew; the refusal says so."""
    context = digits_context(trained())
    quantized = run(technique("quantize-post-training", {}), trained(), context)
    with pytest.raises(TechniqueRefused, match=r"quantized already .* fresh weights would lose"):
        run(REWINDING, quantized, context)


@pytest.mark.parametrize(
    "fields",
    [
        {"sparsity": 0.8, "schedule": "gradual", "criterion": "gradient"},
        {"sparsity": 0.8, "schedule": "gradual", "criterion": "movement"},
        {"sparsity": 0.8, "schedule": "rewinding", "rounds": 1, "rewind_epochs": 0.5},
    ],
    ids=["gradient", "movement", "rewinding"],
)
def test_every_training_resumes_with_the_same_bits(fields: dict[str, Any], tmp_path: Path) -> None:
    """Stopped in its second epoch and started again, pruning ends where it would have ended."""
    chosen = technique("prune-weights", {"recovery_epochs": 2, "recovery_batch_size": 128, **fields})
    with pytest.raises(_Stop):
        run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path, progress=StopInSecondEpoch()))
    resumed = run(chosen, trained(), digits_context(trained(), checkpoint=tmp_path))
    assert resumed.digest() == run(chosen, trained(), digits_context(trained())).digest()


def test_rewinding_reads_finished_trainings_again(tmp_path: Path) -> None:
    """Killed in its last training, rewinding does not train the ones before it a second time."""
    with pytest.raises(_Stop):
        run(REWINDING, trained(), digits_context(trained(), checkpoint=tmp_path, progress=StopInThirdTraining()))
    lines = StopInThirdTraining(stops=False)
    again = run(REWINDING, trained(), digits_context(trained(), checkpoint=tmp_path, progress=lines))
    assert again.digest() == rewound().digest()
    assert lines.resumed == 2


class StopInThirdTraining(Silent):
    def __init__(self, stops: bool = True) -> None:
        self.stops, self.resumed = stops, 0

    def note(self, text: str) -> None:
        self.resumed += text.startswith("resuming after epoch 2 of 2")
        if self.stops and text.startswith("training 3 of 3"):
            raise _Stop


def test_pruning_what_shares_values_is_refused() -> None:
    """A codebook has no room for zeros: the refusal names the layer, which can be excluded."""
    context = digits_context(trained())
    shared = run(technique("share-weights", {"bits": 4, "recovery_epochs": 0}), trained(), context)
    with pytest.raises(TechniqueRefused, match=r"conv1\.weight is shared already .* exclude it"):
        run(PruneWeights(), shared, context)


@pytest.mark.parametrize("bits", [8, 1])
def test_quantized_weights_can_be_pruned(bits: int) -> None:
    """Pruned after quantization, weights are on their grid or zero."""
    context = digits_context(trained())
    quantized = run(technique("quantize-post-training", {"bits": bits, "activations": "none"}), trained(), context)
    for fields in ({}, {"schedule": "gradual", "criterion": "movement"}):
        model = run(technique("prune-weights", {"sparsity": 0.6, **fields}), quantized, context)
        assert len(model.quantized()) == 4
        for name in model.quantized():
            model.codes(name)
        zeros = [parameter(model.network, name).numpy().reshape(-1) == 0 for name in model.masked()]
        assert np.concatenate(zeros).mean() >= 0.599


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"pattern": "2:4", "sparsity": 0.8}, "'sparsity' must be 0.5, not 0.8"),
        ({"criterion": "movement"}, "'schedule' must be 'gradual', not 'one-shot'"),
        ({"pattern": "block", "block_size": [0, 4]}, "'block_size' must be two numbers from 1 to 4096"),
        ({"block_size": [4]}, "block_size"),
        ({"schedule": "rewinding", "rewind_epochs": 2, "recovery_epochs": 2}, "'rewind_epochs' must be less than"),
        ({"schedule": "rewinding", "recovery_epochs": 0}, "'recovery_epochs' must be at least 1"),
        ({"threshold": 0.1, "criterion": "gradient"}, "a threshold is of magnitudes"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(fields: dict[str, Any], words: str) -> None:
    """One line says which field has to change."""
    with pytest.raises(UsageError, match=words):
        technique("prune-weights", fields)


def test_two_of_four_needs_no_sparsity() -> None:
    """A component is given every field with its default, and then this pattern."""
    chosen = technique("prune-weights", {**PruneWeights(recovery_epochs=0).model_dump(), "pattern": "2:4"})
    pruned = run(chosen, trained(), digits_context(trained()))
    assert np.mean(parameter(pruned.network, "conv2.weight").numpy() == 0) == pytest.approx(0.5, abs=0.01)


def test_gradually_each_layer_loses_its_share() -> None:
    """With scope layer, a gradual schedule ends at the asked sparsity in every layer."""
    chosen = PruneWeights(sparsity=0.8, schedule="gradual", scope="layer", recovery_batch_size=32)
    model = run(chosen, trained(), digits_context(trained()))
    for name in model.masked():
        weight = parameter(model.network, name).numpy()
        assert np.count_nonzero(weight == 0) == round(0.8 * weight.size)
    assert score(model.network, model.task, digits().split("test")) > 80
