from __future__ import annotations

import pytest
from pydantic import ValidationError

from paddlepress.training.settings import TrainingSettings, learning_rate


def rates(schedule: str, total: int = 100, **fields: float) -> list[float]:
    settings = TrainingSettings.model_validate({"schedule": schedule, "learning_rate": 1.0, **fields})
    return [learning_rate(settings, step, total) for step in range(total)]


def test_one_cycle_rises_to_the_peak_and_falls_to_almost_nothing() -> None:
    """One-cycle starts low, peaks at the learning rate after 30% of the steps and ends near 0."""
    found = rates("one-cycle")
    assert found[0] == pytest.approx(0.04)
    assert max(found) == found[30] == pytest.approx(1.0)
    assert found[-1] == pytest.approx(1e-3)
    assert found[:31] == sorted(found[:31])
    assert found[30:] == sorted(found[30:], reverse=True)


def test_cosine_only_falls_and_constant_stays() -> None:
    """Cosine begins at the peak and falls; constant is the peak."""
    assert rates("cosine")[0] == pytest.approx(1.0)
    assert rates("cosine") == sorted(rates("cosine"), reverse=True)
    assert set(rates("constant")) == {1.0}


def test_a_training_of_one_step_has_a_rate() -> None:
    """Every schedule gives a single step a positive learning rate."""
    for schedule in ("one-cycle", "cosine", "constant"):
        assert rates(schedule, total=1)[0] > 0


def test_a_warm_up_rises_in_equal_parts_before_the_schedule() -> None:
    """The warm-up ends at the peak, and what is left of the steps has the whole schedule; 0 leaves it as it is."""
    found = rates("cosine", warmup=0.2)
    assert found[:20] == pytest.approx([(step + 1) / 21 for step in range(20)])
    assert found[20:] == rates("cosine", total=80)
    assert rates("constant", total=10, warmup=0.3) == [0.25, 0.5, 0.75, *[1.0] * 7]
    assert rates("cosine", warmup=0.0) == rates("cosine")
    assert rates("constant", total=1, warmup=0.9) == [0.5]


def test_a_warm_up_before_one_cycle_is_refused() -> None:
    """One-cycle rises by itself: the error names the schedules that do not."""
    with pytest.raises(ValidationError, match=r"'warmup' is 0\.1.*'one-cycle': it goes with schedule 'cosine'"):
        TrainingSettings(warmup=0.1)


def test_unknown_and_bad_settings_are_refused() -> None:
    """A setting that does not exist, or a value out of range, is refused."""
    for bad in (
        {"epoch": 3},
        {"epochs": 0},
        {"optimizer": "lion"},
        {"label_smoothing": 1.0},
        {"accumulate": 0},
        {"warmup": 1.0},
    ):
        with pytest.raises(ValidationError):
            TrainingSettings.model_validate(bad)
