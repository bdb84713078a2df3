"""A recipe as a Kubeflow pipeline: a static DAG in which chains that share a prefix share its tasks."""

# No `from __future__ import annotations` here: Kubeflow reads the pipeline function's annotations as they are.
import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from kfp import compiler, dsl
from kfp.dsl import utils

from paddlepress.core.errors import UsageError
from paddlepress.registry.catalogue import BASE
from paddlepress_components import catalogue
from paddlepress_pipelines.recipe import Recipe, Step


def pipeline(recipe: Recipe) -> Any:
    """The pipeline of a recipe: load data, train or import, compress, evaluate, register, compare, promote, report."""

    def body() -> None:
        _Builder(recipe).build()

    description = recipe.description or recipe.title or f"Compress {recipe.base.architecture or 'a model'}"
    with _names_found_fast():
        return dsl.pipeline(name=f"paddlepress-{recipe.name}", description=description)(body)


@contextmanager
def _names_found_fast() -> Iterator[None]:
    """Have Kubeflow's compiler remember what it found out about names.

    For each task it cleans the names of all tasks again, and of those of one component it tries one number after
    the other: of a thousand variants that alone took a minute.
    """
    before = utils.sanitize_task_name, utils.make_name_unique_by_adding_index
    utils.sanitize_task_name = cache(before[0])
    utils.make_name_unique_by_adding_index = _Numbers().unique
    try:
        yield
    finally:
        utils.sanitize_task_name, utils.make_name_unique_by_adding_index = before


class _Numbers:
    """Names with the next number that is free; the same as Kubeflow's, which counts from 2 every time."""

    def __init__(self) -> None:
        self._last: dict[tuple[str, str], int] = {}

    def unique(self, name: str, collection: Collection[str], delimiter: str) -> str:
        number = self._last.get((name, delimiter), 0) + 1
        while (numbered := name if number == 1 else f"{name}{delimiter}{number}") in collection:
            number += 1
        self._last[name, delimiter] = number
        return numbered


def compile_to(recipe: Recipe, path: str) -> None:
    """Write the pipeline of a recipe as KFP YAML.

    Raises:
        UsageError: the file is not called `.yaml` or `.yml`.
    """
    if not path.endswith((".yaml", ".yml")):
        raise UsageError(f"can't compile to {Path(path).name!r}: a KFP pipeline's name must end in .yaml or .yml")
    compiler.Compiler().compile(pipeline(recipe), path)


class _Builder:
    """Makes the tasks of one pipeline, inside its function."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.chains: dict[bytes, Any] = {}  # by the digest of all steps up to there

    def build(self) -> None:
        recipe = self.recipe
        loading = catalogue.loading(recipe.data.source)
        loaded = self._task(loading, "load-data", recipe.data.model_dump(mode="json"))
        self.data, self.test_data = loaded.outputs["data"], loaded.outputs["test_data"]
        self.base = self._base()
        self.exported_base = self._exported(BASE, self.base)
        registered = [self._deliver(BASE, self.base, self.exported_base, ())]
        for variant, chain in recipe.variants.items():
            model = self._chain(variant, chain)
            registered.append(self._deliver(variant, model, self._exported(variant, model), chain))
        self._conclude(registered)

    def _base(self) -> Any:
        base = self.recipe.base
        if base.artifact:
            given = base.preprocessing.model_dump(mode="json", exclude_none=True) if base.preprocessing else {}
            imported = self._task(
                "import-model", "import-model", data=self.data, artifact=base.artifact, preprocessing=given
            )
            return imported.outputs["model"]
        trained = self._task(
            "train",
            "train",
            base.training.model_dump(mode="json"),
            data=self.data,
            architecture=base.architecture,
            arguments=base.arguments,
            seed=self.recipe.seed,
            device=self.recipe.device,
        )
        return trained.outputs["model"]

    def _chain(self, variant: str, chain: tuple[Step, ...]) -> Any:
        """The model at the end of a chain; a prefix that another chain has too is made once."""
        model, done = self.base, b""
        for step in chain:
            settings = step.settings()
            written = json.dumps([step.technique, settings], sort_keys=True)
            done = hashlib.sha256(done + written.encode()).digest()
            if done not in self.chains:
                task = self._task(
                    step.technique,
                    f"{step.technique} ({variant})",
                    settings,
                    model=model,
                    base=self.base,
                    data=self.data,
                    seed=self.recipe.seed,
                    device=self.recipe.device,
                )
                self.chains[done] = task.outputs["compressed_model"]
            model = self.chains[done]
        return model

    def _exported(self, variant: str, model: Any) -> Any:
        """The task that makes of a model what is deployed, once, whoever compares it with what."""
        return self._task("export", f"export {variant}", model=model, test_data=self.test_data)

    def _deliver(self, variant: str, model: Any, exported: Any, chain: tuple[Step, ...]) -> Any:
        """Evaluate and register one variant."""
        evaluated = self._task(
            "evaluate",
            f"evaluate {variant}",
            model=model,
            deployable=exported.outputs["deployable"],
            outputs=exported.outputs["outputs"],
            **self._reference(),
            latency_seconds=self.recipe.evaluation.latency_seconds,
        )
        return self._task(
            "register",
            f"register {variant}",
            model=model,
            deployable=exported.outputs["deployable"],
            data=self.data,
            evaluation=evaluated.outputs["evaluation"],
            name=self.recipe.name,
            variant=variant,
            chain=[{"technique": step.technique, "parameters": step.parameters} for step in chain],
            recipe_digest=self.recipe.digest(variant),
        )

    def _reference(self) -> dict[str, Any]:
        """What variants are measured beside, and on."""
        return {
            "base": self.base,
            "base_deployable": self.exported_base.outputs["deployable"],
            "base_outputs": self.exported_base.outputs["outputs"],
            "test_data": self.test_data,
        }

    def _conclude(self, registered: list[Any]) -> None:
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
        compared = self._task("compare", "compare", **self._reference(), **policy).after(*registered)
        promoted = self._task("promote", "promote", name=recipe.name).after(compared)
        self._task("report", "report", comparison=compared.outputs["comparison"], decision=promoted.outputs["decision"])

    def _task(self, component: str, title: str, fields: dict[str, Any] | None = None, /, **arguments: Any) -> Any:
        """A task on the cluster that the recipe describes, as its component's traits ask for.

        Args:
            component: its name.
            title: for people.
            fields: of the component, those that are None left out.
            arguments: its inputs and settings.
        """
        task, traits = _task(component, fields or {}, **arguments), catalogue.traits(component)
        for variable, value in self.recipe.cluster.environment.items():
            task.set_env_variable(variable, value)
        task.set_display_name(title)
        if not traits.kept_by_kubeflow:
            task.set_caching_options(False)
        return self._on_node(task) if traits.accelerator else task

    def _on_node(self, task: Any) -> Any:
        cluster = self.recipe.cluster
        if cluster.gpus:
            task.set_accelerator_type(cluster.gpu_type).set_accelerator_limit(cluster.gpus)
        if cluster.cpus:
            task.set_cpu_limit(cluster.cpus)
        if cluster.memory:
            task.set_memory_limit(cluster.memory)
        return task


def _task(name: str, fields: dict[str, Any], /, **arguments: Any) -> Any:
    """A task of a component, with the fields that are set.

    Kubeflow has no constant for None, which every optional field defaults to, and takes no integer for a float, or
    for text where a field is a number or a word.
    """
    component = catalogue.component(name)
    inputs = component.component_spec.inputs
    given: dict[str, Any] = {"Float": float, "String": str}
    values = {
        key: given[inputs[key].type](value) if isinstance(value, int) and inputs[key].type in given else value
        for key, value in fields.items()
        if value is not None
    }
    return component(**values, **arguments)
