"""What a compression technique is, and what it is given.

A technique is a frozen pydantic model with one method. Its fields are its configuration: its recipe
keys, its component's typed inputs and its MLflow parameters; each default stands there and nowhere
else. It is found by name through the entry-point group `paddlepress.techniques`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ValidationError

from paddlepress.core import plugins
from paddlepress.core.errors import UsageError
from paddlepress.core.fields import Fields, explain_all
from paddlepress.core.plugins import distribution_version
from paddlepress.training.context import TrainingContext

if TYPE_CHECKING:
    from paddlepress.data import Split
    from paddlepress.network.model import Model

Family = Literal["pruning", "quantization", "distillation", "factorization", "other"]


@dataclass(frozen=True, kw_only=True)
class Context(TrainingContext):
    """What a technique may see while it works; never the test data.

    Attributes:
        calibration: a sample of the training data, for post-training quantization.
        base: the uncompressed model, the teacher of distillation; not to be changed.
        device: where Paddle computes, such as `cpu` or `gpu`.
    """

    calibration: Split
    base: Model
    device: str = "cpu"


class Technique(Fields, ABC):
    """A way to compress a model. Subclass it, add typed fields, implement `apply`."""

    family: ClassVar[Family] = "other"
    paper: ClassVar[str] = ""
    """Where the algorithm comes from: authors, title, venue, year."""
    image: ClassVar[str] = ""
    """The container image that a plugin's component runs in; empty: the project's own."""

    @abstractmethod
    def apply(self, model: Model, context: Context) -> Model:
        """Compress a model.

        Args:
            model: a copy made for this call; it may be changed in place and returned.
            context: data, teacher, seed and the like.

        Returns:
            The compressed model.

        Raises:
            TechniqueRefused: the technique has no meaning on this model.
        """


def technique_class(name: str, where: str = "") -> type[Technique]:
    """The technique registered under a name.

    Raises:
        UnknownName: there is none; the message lists the known ones.
        UsageError: what is registered there is no technique.
    """
    found = plugins.load(plugins.TECHNIQUES, name, where)
    if not (isinstance(found, type) and issubclass(found, Technique)):
        raise UsageError(f"the plugin {name!r} is {found!r}, not a subclass of paddlepress.techniques.Technique")
    return found


def technique(name: str, parameters: Mapping[str, Any], where: str = "") -> Technique:
    """Build a technique from its name and its fields' values.

    Raises:
        UsageError: an unknown technique or field, or a value of the wrong type or out of range; all that is wrong
            is in its `mistakes`.
    """
    chosen = technique_class(name, where)
    try:
        return chosen(**parameters)
    except ValidationError as error:
        raise UsageError(*(f"{where or name}: {problem}" for problem in explain_all(error, chosen))) from None


def name_of(chosen: Technique | type[Technique]) -> str:
    """The name under which a technique is registered where its class is defined; else its class's name."""
    kind = chosen if isinstance(chosen, type) else type(chosen)
    value = f"{kind.__module__}:{kind.__qualname__}"
    for name, entry in plugins.listed(plugins.TECHNIQUES).items():
        if entry.value == value:
            return name
    return kind.__qualname__


def run(chosen: Technique, model: Model, context: Context, name: str = "") -> Model:
    """Apply a technique to a copy of a model, and record it in the result's lineage.

    Args:
        chosen: the technique.
        model: what it is applied to; it does not change.
        context: data, teacher, seed and the like.
        name: the technique's registered name; empty finds it by its class, see `name_of`.

    Raises:
        UsageError: the base model preprocesses inputs otherwise than the model: the same data are not for both.
    """
    from paddlepress.core.compute import seed_everything, use_device
    from paddlepress.spec.lineage import LineageEntry

    if context.base.preprocessing != model.preprocessing:
        said = [each.preprocessing.text() if each.preprocessing else "not stated" for each in (model, context.base)]
        raise UsageError(
            f"the model's preprocessing is {said[0]}, and that of its base model {said[1]}: it must be the same"
        )
    name = name or name_of(chosen)
    use_device(context.device)
    seed_everything(context.seed)
    parent = model.digest()
    result = chosen.apply(model.copy(), context)
    result.network.eval()
    result.drop_negative_zeros()
    # It saw data as the incoming model takes them, so that is what the result takes, whatever network it is.
    result = replace(result, preprocessing=model.preprocessing)
    entry = LineageEntry(
        technique=name,
        version=distribution_version(name),
        parameters=chosen.model_dump(mode="json"),
        seed=context.seed,
        parent=parent,
    )
    return result.with_lineage(entry)
