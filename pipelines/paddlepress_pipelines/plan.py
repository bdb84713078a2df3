"""A recipe as tasks: components with constants and other tasks' outputs, in which chains that begin alike share tasks.

The runner on this machine and the compiler for Kubeflow both read it. It grows with the recipe, not with its square.
With loops it hardly grows at all: the tasks that make, measure and register a variant stand in it once for many.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from paddlepress.registry.catalogue import BASE
from paddlepress.techniques import technique_class
from paddlepress_components import catalogue
from paddlepress_components.traits import Traits
from paddlepress_pipelines.recipe import Recipe, Step

Output = tuple[str, str]
"""A task's name and one of its outputs."""
ITEM = object()
"""A constant's value in a loop: the variant whose turn it is, as `ChainedVariant` has it."""
MOST_SHARED = 12
"""How many beginnings of chains are made once for all that share them, where variants are made in loops."""


@dataclass(frozen=True)
class Task:
    """One component with all that it is given.

    Attributes:
        name: unique in the plan: the component's, with a number where it is used again.
        title: for people.
        component: the component's name, such as `prune-weights`.
        constants: parameter -> value, as Kubeflow carries it; what is left to its default is not among them.
        inputs: artifact input -> output of another task.
        behind: tasks that must be finished before, beside those whose outputs it is given.
        loop: the loop that it stands in; empty for none.
    """

    name: str
    title: str
    component: str
    constants: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Output] = field(default_factory=dict)
    behind: tuple[str, ...] = ()
    loop: str = ""

    @property
    def after(self) -> frozenset[str]:
        """Every task that must be finished before."""
        return frozenset(self.behind) | {producer for producer, _ in self.inputs.values()}

    @property
    def traits(self) -> Traits:
        """What its component needs of whatever runs it."""
        return catalogue.traits(self.component)


@dataclass(frozen=True)
class Plan:
    """What is to be done for a recipe.

    Attributes:
        tasks: by name, each after those that it needs; those of a loop stand together.
        loops: loop -> the variants that its tasks are done for, each by itself.
    """

    tasks: dict[str, Task] = field(default_factory=dict)
    loops: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


def plan(recipe: Recipe, *, loops: bool = False) -> Plan:
    """The tasks of a recipe.

    Load data, train or import, compress, export, evaluate, register, compare, promote, report.

    Args:
        recipe: what is to be done.
        loops: put variants into loops, but for those of a technique with a container image of its own.
    """
    planner = _Planner(recipe)
    planner.plan(loops)
    return planner.made


class _Planner:
    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.made = Plan()
        self._loop = ""  # that tasks are being added to
        self._uses: dict[str, int] = {}  # of each component
        self._chains: dict[bytes, Output] = {}  # by the digest of all steps up to there

    def plan(self, loops: bool) -> None:
        recipe = self.recipe
        loading = catalogue.loading(recipe.data.source)
        loaded = self._add(loading, "load-data", recipe.data.model_dump(mode="json"))
        self.data, self.test_data = (loaded, "data"), (loaded, "test_data")
        self.base = self._base()
        self.exported_base = self._exported(BASE, self.base)
        registered = [self._deliver(BASE, self.base, self.exported_base, self._variant(BASE, ()))]
        looped = {name: chain for name, chain in recipe.variants.items() if loops and not any(map(_own_image, chain))}
        for variant, chain in recipe.variants.items():
            if variant not in looped:
                model = self._chain(variant, chain)
                exported = self._exported(variant, model)
                registered.append(self._deliver(variant, model, exported, self._variant(variant, chain)))
        self._conclude([*registered, *self._loops(looped)])

    def _loops(self, variants: dict[str, tuple[Step, ...]]) -> list[str]:
        """A loop for all variants that are made from one model; the tasks that register them."""
        shared = _shared({variant: _digests(chain) for variant, chain in variants.items()})
        begun: dict[Output, list[dict[str, Any]]] = {}
        for variant, chain in variants.items():
            count = sum(digest in shared for digest in _digests(chain))
            model = self._chain(variant, chain[:count])
            begun.setdefault(model, []).append({**self._variant(variant, chain), "begun": count})
        registered = []
        for number, (model, items) in enumerate(begun.items(), 1):
            self._loop = f"variants-{number}"
            self.made.loops[self._loop] = items
            constants = {"made": ITEM, **self._computing()}
            compressed = self._add("compress", "compress", constants, model=model, base=self.base, data=self.data)
            made = (compressed, "compressed_model")
            registered.append(self._deliver("", made, self._exported("", made), ITEM))
            self._loop = ""
        return registered

    def _variant(self, variant: str, chain: tuple[Step, ...]) -> dict[str, Any]:
        """A variant as components take it."""
        steps = [{"technique": step.technique, "parameters": step.parameters} for step in chain]
        return {"variant": variant, "chain": steps, "recipe_digest": self.recipe.digest(variant)}

    def _base(self) -> Output:
        base = self.recipe.base
        if base.artifact:
            given = base.preprocessing.model_dump(mode="json", exclude_none=True) if base.preprocessing else {}
            constants = {"artifact": base.artifact, "preprocessing": given}
            return self._add("import-model", "import-model", constants, data=self.data), "model"
        constants = {
            **base.training.model_dump(mode="json"),
            "architecture": base.architecture,
            "arguments": base.arguments,
            **self._computing(),
        }
        return self._add("train", "train", constants, data=self.data), "model"

    def _computing(self) -> dict[str, Any]:
        return {"seed": self.recipe.seed, "device": self.recipe.device}

    def _chain(self, variant: str, chain: tuple[Step, ...]) -> Output:
        """The model at the end of a chain; a prefix that another chain has too is made once."""
        model = self.base
        for step, done in zip(chain, _digests(chain), strict=True):
            if done not in self._chains:
                title, constants = f"{step.technique} ({variant})", {**step.settings(), **self._computing()}
                made = self._add(step.technique, title, constants, model=model, base=self.base, data=self.data)
                self._chains[done] = (made, "compressed_model")
            model = self._chains[done]
        return model

    def _exported(self, variant: str, model: Output) -> str:
        """The task that makes of a model what is deployed, once, whoever compares it with what."""
        return self._add("export", f"export {variant}".strip(), model=model, test_data=self.test_data)

    def _deliver(self, variant: str, model: Output, exported: str, made: Any) -> str:
        """Evaluate and register one variant, or those of a loop."""
        evaluated = self._add(
            "evaluate",
            f"evaluate {variant}".strip(),
            {"latency_seconds": self.recipe.evaluation.latency_seconds},
            model=model,
            deployable=(exported, "deployable"),
            outputs=(exported, "outputs"),
            **self._reference(),
        )
        return self._add(
            "register",
            f"register {variant}".strip(),
            {"name": self.recipe.name, "made": made},
            model=model,
            deployable=(exported, "deployable"),
            data=self.data,
            evaluation=(evaluated, "evaluation"),
        )

    def _reference(self) -> dict[str, Output]:
        """What variants are measured beside, and on."""
        return {
            "base": self.base,
            "base_deployable": (self.exported_base, "deployable"),
            "base_outputs": (self.exported_base, "outputs"),
            "test_data": self.test_data,
        }

    def _conclude(self, registered: list[str]) -> None:
        recipe = self.recipe
        policy = {
            "name": recipe.name,
            "title": recipe.title or recipe.name,
            "variants": [
                {"variant": variant, "recipe_digest": recipe.digest(variant)} for variant in (BASE, *recipe.variants)
            ],
            "gates": [gate.model_dump(mode="json", exclude_defaults=True) for gate in recipe.gates],
            "objective": recipe.objective.model_dump(mode="json", exclude_defaults=True),
            "latency_seconds": recipe.evaluation.latency_seconds,
        }
        compared = self._add("compare", "compare", policy, registered, **self._reference())
        promoted = self._add("promote", "promote", {"name": recipe.name}, [compared])
        self._add("report", "report", comparison=(compared, "comparison"), decision=(promoted, "decision"))

    def _add(
        self,
        component: str,
        title: str,
        constants: dict[str, Any] | None = None,
        behind: list[str] | None = None,
        /,
        **inputs: Output,
    ) -> str:
        """A further task; its name.

        Args:
            component: its name.
            title: for people.
            constants: of the component's parameters, those that are None left out.
            behind: tasks that it waits for, beside those that give its inputs.
        """
        number = self._uses[component] = self._uses.get(component, 0) + 1
        name = component if number == 1 else f"{component}-{number}"
        carried = _carried(component, constants or {})
        self.made.tasks[name] = Task(name, title, component, carried, inputs, tuple(behind or ()), self._loop)
        return name


def _own_image(step: Step) -> bool:
    """Whether a technique runs in a container image of its own, where no other technique can."""
    return bool(technique_class(step.technique).image)


def _digests(chain: tuple[Step, ...]) -> list[bytes]:
    """Of each step with all before it."""
    found, done = [], b""
    for step in chain:
        written = json.dumps([step.technique, step.settings()], sort_keys=True)
        done = hashlib.sha256(done + written.encode()).digest()
        found.append(done)
    return found


def _shared(chains: dict[str, list[bytes]]) -> set[bytes]:
    """The beginnings that several chains have, by their digests: those that save most, and what these begin with."""
    counts = Counter(digest for digests in chains.values() for digest in digests)
    # Whatever a beginning begins with, at least as many chains have, and it was counted before.
    return {digest for digest, count in counts.most_common(MOST_SHARED) if count > 1}


def _carried(component: str, constants: dict[str, Any]) -> dict[str, Any]:
    """Constants as Kubeflow carries them.

    It has none for None, which every optional field defaults to, and takes no integer for a float, or for text where a
    field is a number or a word.
    """
    inputs = catalogue.component(component).component_spec.inputs
    kinds: dict[str, Any] = {"Float": float, "String": str}
    return {
        name: kinds[inputs[name].type](value) if isinstance(value, int) and inputs[name].type in kinds else value
        for name, value in constants.items()
        if value is not None
    }
