"""What a recipe may say."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_serializer, model_validator

from paddlepress.core.errors import RecipeError, UsageError, shown
from paddlepress.core.fields import Fields, Place, worded
from paddlepress.data.source import AnySource
from paddlepress.registry.catalogue import BASE
from paddlepress.registry.gates import Gate, Objective
from paddlepress.spec.preprocessing import AnyPreprocessing
from paddlepress.techniques import Technique, technique
from paddlepress.training.settings import TrainingSettings

Name = Annotated[
    str, worded("[a-z0-9][a-z0-9-]{0,59}", "small letters, digits and hyphens, at most 60, and no hyphen first")
]


Variable = Annotated[
    str, worded("[A-Za-z_.-][A-Za-z0-9_.-]*", "a variable's name: letters, digits, _, . and -, no digit first")
]


class _Part(Fields):
    """A part of a recipe."""


class Step(BaseModel):
    """One technique of a chain; in YAML a name, or one name with its fields below it.

    `prune-weights` and `{prune-weights: {sparsity: 0.9}}` are both steps.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    technique: str
    parameters: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"technique": value}
        if isinstance(value, dict) and len(value) == 1:
            ((name, parameters),) = value.items()
            if parameters is None or isinstance(parameters, dict):
                return {"technique": str(name), "parameters": parameters or {}}
        raise ValueError(f"a step is a technique's name, or 'name: {{field: value}}'; this is {shown(value)}")

    @model_validator(mode="after")
    def _fields_fit(self) -> Step:
        try:
            self.build()
        except UsageError as error:
            raise ValueError(str(error)) from error  # all that is wrong is in its mistakes
        return self

    @model_serializer
    def _to_yaml(self) -> dict[str, Any]:
        return {self.technique: self.parameters}

    def build(self) -> Technique:
        """The technique itself."""
        return technique(self.technique, self.parameters)

    def settings(self) -> dict[str, Any]:
        """Every field of the technique with its value, defaults included."""
        return self.build().model_dump(mode="json")


class BaseModelSpec(_Part):
    """The uncompressed model: trained here, or imported.

    Attributes:
        architecture: a registered architecture's name, or `vision/NAME`.
        arguments: what the architecture is built with.
        training: how it is trained.
        artifact: a model artifact to import instead (a folder or `s3://`); then there is no training.
        preprocessing: what the imported model's training did to its inputs, in place of what the artifact states;
            a model trained here takes the mean and deviation of the training data. Several inputs have each their
            own, by name.
    """

    architecture: str = ""
    arguments: dict[str, Any] = {}
    training: TrainingSettings = Field(default_factory=TrainingSettings)
    artifact: Annotated[str, Place()] = ""
    preprocessing: AnyPreprocessing | None = None

    @model_validator(mode="after")
    def _one_source(self) -> BaseModelSpec:
        if bool(self.architecture) == bool(self.artifact):
            raise ValueError("give either 'architecture' (to train) or 'artifact' (to import), not both or neither")
        if self.artifact:
            for key in ("arguments", "training"):
                if key in self.model_fields_set:
                    raise ValueError(f"{key!r} goes with 'architecture': an imported 'artifact' is taken as it is")
        elif self.preprocessing is not None:
            raise ValueError(
                "'preprocessing' goes with 'artifact': a model that is trained here takes the data's mean and deviation"
            )
        return self


class Cluster(_Part):
    """What tasks get on a Kubernetes cluster; a run on this machine ignores it.

    Training and compressing tasks ask for the GPUs, processors and memory; every task gets the environment.

    Attributes:
        gpus: how many; 0 runs on the CPU.
        gpu_type: the resource name of the GPU.
        cpus: such as `4` or `500m`.
        memory: such as `8Gi`.
        parallel: of many variants, how many are made at once.
        environment: variables such as MLFLOW_TRACKING_URI; not for secrets, they stand in the compiled pipeline.
    """

    gpus: int = Field(default=0, ge=0, le=1024)
    gpu_type: Annotated[str, Field(min_length=1, max_length=200)] = "nvidia.com/gpu"
    cpus: Annotated[
        str, worded(r"([0-9]{1,6}m?|[0-9]{1,6}\.[0-9]{1,3})?", "a number of processors, such as 4, 0.5 or 500m")
    ] = ""
    memory: Annotated[
        str, worded("([0-9]{1,15}([KMGTP]i?)?)?", "a number of bytes, with a unit such as M, Gi or T where it is large")
    ] = ""
    parallel: int = Field(default=20, ge=1, le=1000)
    environment: dict[Variable, str] = {}


class EvaluationSpec(_Part):
    """How variants are measured.

    Attributes:
        latency_seconds: about how long each of the four latency comparisons with the base model takes at the most.
    """

    latency_seconds: float = Field(default=1.5, gt=0, le=600)


class Recipe(_Part):
    """A whole recipe.

    Attributes:
        name: names the pipeline, the MLflow experiment and the registered model: small letters, digits and hyphens.
        title, description: shown to people.
        seed: what every random choice follows.
        device: `cpu`, `gpu`, one such as `gpu:1`, or `auto`.
        data: the data set.
        base: the model to compress.
        variants: chains of techniques by name (small letters, digits and hyphens); chains that share a prefix share its
            work.
        evaluation: how variants are measured.
        gates: what a variant must fulfil to be promoted.
        objective: what makes one passing variant better than another.
        cluster: what tasks ask of a cluster's nodes.
    """

    name: Name
    title: str = Field(default="", max_length=200)
    description: str = Field(default="", max_length=10_000)
    seed: int = Field(default=0, ge=0, lt=2**31)
    device: Annotated[str, worded("auto|cpu|gpu(:[0-9]{1,4})?", "auto, cpu, gpu, or one such as gpu:1")] = "auto"
    data: AnySource
    base: BaseModelSpec
    variants: dict[Name, Annotated[tuple[Step, ...], Field(min_length=1)]] = Field(min_length=1)
    evaluation: EvaluationSpec = EvaluationSpec()
    gates: tuple[Gate, ...] = ()
    objective: Objective = Field(default_factory=lambda: Objective(maximize="ratio"))
    cluster: Cluster = Cluster()

    @field_validator("variants")
    @classmethod
    def _base_is_taken(cls, variants: dict[str, tuple[Step, ...]]) -> dict[str, tuple[Step, ...]]:
        if BASE in variants:
            raise ValueError(f"a variant can't be called {BASE!r}: that is the uncompressed model")
        return variants

    def only(self, names: list[str]) -> Recipe:
        """This recipe with some of its variants; all of them where `names` is empty.

        Raises:
            RecipeError: a name is not one of its variants.
        """
        for name in names:
            if name not in self.variants:
                raise RecipeError(
                    f"recipe {self.name!r} has no variant {name!r}. Valid: {', '.join(sorted(self.variants))}"
                )
        if not names:
            return self
        return self.model_copy(update={"variants": {n: c for n, c in self.variants.items() if n in names}})

    def digest(self, variant: str) -> str:
        """SHA-256 of what makes one variant: data, base, chain, seed and device.

        Other variants, gates and prose don't change it, so that a recipe can grow without making again, or
        registering again, what it had.
        """
        chain = [{step.technique: step.settings()} for step in self.variants.get(variant, ())]
        content = {**self.model_dump(mode="json", include={"data", "base", "seed", "device"}), "chain": chain}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def shipped() -> Path | None:
    """The folder of the recipes that ship with paddlepress, in a checkout or an installed wheel."""
    here = Path(__file__).resolve().parents[1]
    for folder in (here / "recipes", here.parent / "recipes"):
        if folder.is_dir():
            return folder
    return None
