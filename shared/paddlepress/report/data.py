"""What a report is made from: plain figures, complete enough to be stored as JSON and drawn again later."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)


class DatasetSummary(_Frozen):
    """The data that every variant was judged on.

    Attributes:
        name: such as `mnist`.
        test_examples: how many examples no technique has seen.
        classes: how many classes, or other groups of examples, there are.
        group: what one of them is called, and several.
    """

    name: str
    test_examples: int = Field(ge=0)
    classes: int = Field(ge=0)
    group: tuple[str, str] = ("class", "classes")


class Champion(_Frozen):
    """The version that production pulls, and why; it may come from an earlier run."""

    variant: str
    version: str
    reason: str


class GateOutcome(_Frozen):
    """One gate judged on one variant: a sentence with the gate, the value and the limit, and the metric it judges."""

    text: str
    passed: bool
    metric: str


class Step(_Frozen):
    """One technique of a chain, with the values of its fields."""

    technique: str
    parameters: dict[str, Any] = {}


class ClassChange(_Frozen):
    """What became of one class.

    Attributes:
        name: the class.
        count: how many of the test examples belong to it.
        accuracy: of the variant on them, percent.
        base_accuracy: of the base model on them, percent.
        change: accuracy - base_accuracy, points; negative where the variant forgot something.
    """

    name: str
    count: int = Field(ge=0)
    accuracy: float
    base_accuracy: float
    change: float


class VariantReport(_Frozen):
    """One variant's figures.

    Attributes:
        variant: its name in the recipe.
        version: in the registry; None before it is registered.
        aliases: such as `champion`.
        chain: the techniques in the order they were applied; empty for the base model.
        metrics: measured figures by name (`paddlepress.report.figures`); nothing that was not measured.
        missing: for figures that could not be measured, the reason by metric name.
        per_class: per class of the test data.
        gates: the gates judged on this variant.
        note: why it is shown, where it is not the recipe's newest version of its variant; else empty.
    """

    variant: str
    version: str | None = None
    aliases: tuple[str, ...] = ()
    chain: tuple[Step, ...] = ()
    metrics: dict[str, float] = {}
    missing: dict[str, str] = {}
    per_class: tuple[ClassChange, ...] = ()
    gates: tuple[GateOutcome, ...] = ()
    note: str = ""

    @property
    def is_base(self) -> bool:
        """Whether no technique was applied."""
        return not self.chain

    @property
    def failed_gates(self) -> int:
        """How many gates it missed."""
        return sum(not gate.passed for gate in self.gates)

    def figure(self, name: str) -> float | None:
        """A measured figure, or None where there is none or it is not a finite number."""
        value = self.metrics.get(name)
        return value if value is not None and math.isfinite(value) else None

    def reason_missing(self, name: str) -> str:
        """Why a figure is not there."""
        if name in self.missing:
            return self.missing[name]
        return "not a finite number" if name in self.metrics else "not measured"


class ReportData(_Frozen):
    """Everything the report shows.

    Attributes:
        recipe: the recipe's name, which is also the registered model's.
        title: the page's heading.
        created: when the figures were put together; a time without zone is taken as UTC.
        dataset: what the variants were judged on.
        primary: the metric that says how good a variant is.
        objective: what the champion is chosen by, in words.
        champion: None as long as no variant passed its gates.
        variants: in the recipe's order, the base model among them.
        environment: machine, versions and the like, in the order to show them.
        no_champion_reason: why there is none, shown in the champion's place.
    """

    recipe: str
    title: str
    created: datetime
    dataset: DatasetSummary
    primary: str = "accuracy"
    objective: str = ""
    champion: Champion | None = None
    variants: tuple[VariantReport, ...]
    environment: dict[str, str] = {}
    no_champion_reason: str = ""

    @property
    def base(self) -> VariantReport | None:
        """The uncompressed model, the first variant with no technique applied."""
        return next((variant for variant in self.variants if variant.is_base), None)

    def is_champion(self, variant: VariantReport) -> bool:
        """Whether a variant of this report is the champion, in that very version."""
        return (
            self.champion is not None
            and variant.variant == self.champion.variant
            and variant.version in (None, self.champion.version)
        )
