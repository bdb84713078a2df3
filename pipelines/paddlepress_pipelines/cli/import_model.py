"""`import`: a network's class and its weights as a model artifact."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress.spec.preprocessing import AnyPreprocessing
    from paddlepress.spec.signature import TensorSpec
    from paddlepress.spec.tensors import Array

app = typer.Typer()

_MOST_CLASSES = 1_000_000


@app.command("import")
def import_model(
    architecture: Annotated[
        str,
        typer.Option(
            "--architecture",
            help="What builds the network: package.module:Name or FILE.py:Name of a class of paddle.nn.Layer or a "
            "function that returns one, which an installed package registers; or a registered name.",
            metavar="CLASS",
        ),
    ],
    inputs: Annotated[
        list[str],
        typer.Option(
            "--inputs",
            help="The shape of an example without the batch, such as 3x32x32; of a network that takes several, "
            "NAME=SHAPE for each in their order.",
            metavar="SHAPE",
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder to write.", metavar="FOLDER")],
    weights: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--weights",
            help="A .pdparams, .safetensors or .npz, or a folder with one. Default: those it is built with.",
            metavar="FILE",
        ),
    ] = None,
    arguments: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--arguments",
            help="What it is built with: KEY=VALUE, several times if need be, or all as JSON.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    preprocessing: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(
            "--preprocessing",
            help="How its training normalized inputs: scale=255, mean=0.5,0.4,0.3, std=0.2, or all as JSON, each by "
            "its name for several inputs. Default: the recipe says it.",
            metavar="KEY=VALUE",
        ),
    ] = None,
    classes: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--classes",
            help="Their names in the order of the logits, such as cat,dog, or how many: 10. Default: as many as "
            "there are logits.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model artifact that is there.")] = False,
) -> None:
    """Make a base model of a network's class and its weights, for a recipe's `base: {artifact: FOLDER}`.

    Nothing in the weights is run: of a .pdparams, which is a pickle, arrays are read and all else is refused.
    """
    _check_free(output, force)
    takes, named, settings = _inputs(inputs), _classes(classes), _mapping("--arguments", arguments)
    stated = _preprocessing(_mapping("--preprocessing", preprocessing))

    from paddlepress.artifact import store
    from paddlepress.artifact.weights_files import read
    from paddlepress.core import compute
    from paddlepress.deployment.export import check_exportable
    from paddlepress.network.interface import check_supported

    compute.prepare()
    state = read(weights) if weights is not None else None
    model = _built(architecture, settings, takes, named, stated)
    if state is not None:
        _load(model, state, weights)
    check_supported(model)
    check_exportable(model)
    store.save(model, output)
    _conclude(model, output, trained=state is not None)


def _built(
    architecture: str,
    arguments: dict[str, Any],
    inputs: tuple[TensorSpec, ...],
    named: tuple[str, ...],
    preprocessing: AnyPreprocessing | None,
) -> Model:
    """The network with the weights that it is built with."""
    from dataclasses import replace

    from pydantic import ValidationError

    from paddlepress.core.errors import PaddlepressError, UsageError, in_one_line
    from paddlepress.network import architectures
    from paddlepress.network.architectures import class_path
    from paddlepress.network.model import Model
    from paddlepress.spec.origin import ArchitectureRef
    from paddlepress.tasks import Classification

    name = class_path.registered_name(architecture) if class_path.is_path(architecture) else architecture
    if not named and architectures.takes(architectures.resolve(name), "task"):
        raise UsageError(
            f"--classes is missing: architecture {name!r} has an output for each. "
            "Valid: their names in the order of the logits, such as cat,dog, or how many"
        )
    try:
        reference = ArchitectureRef(name=name, arguments=arguments)
        # A class that isn't told its task has the outputs that it has.
        model = Model.build(reference, inputs, Classification(classes=named or ("0",)), preprocessing=preprocessing)
        return model if named else replace(model, task=Classification(classes=_numbered(_outputs(model))))
    except PaddlepressError:
        raise
    except ValidationError:
        raise UsageError(f"--arguments {in_one_line(arguments, 100)}: they are no plain data") from None
    except Exception as error:  # a network is anybody's code
        said = in_one_line(f"{type(error).__name__}: {error}")
        raise UsageError(f"{architecture} with {in_one_line(arguments, 100)} can't be built: {said}") from error


def _outputs(model: Model) -> int:
    """How many logits a network gives; 1 where it gives something else or can't be run, which is told afterwards."""
    import paddle

    from paddlepress.network.random_inputs import unseeded

    try:
        with unseeded(), paddle.no_grad():
            found = model.network(*(paddle.zeros([1, *spec.shape], spec.dtype) for spec in model.inputs))
        return int(found.shape[-1])
    except Exception:
        return 1


def _load(model: Model, state: dict[str, Array], source: Path | None) -> None:
    """Set a model's weights; those that several layers share may have the name of any of them."""
    from paddlepress.core.errors import ArtifactError

    first: dict[int, str] = {}
    names = {name: first.setdefault(id(tensor), name) for name, tensor in model.network.state_dict().items()}
    try:
        model.load_state({names.get(name, name): value for name, value in state.items()})
    except ArtifactError as error:
        raise ArtifactError(f"{source} does not fit architecture {model.architecture.name!r}: {error}") from None


def _conclude(model: Model, output: Path, trained: bool) -> None:
    """Say what was made, and what goes into the recipe."""
    from paddlepress.core.yaml_text import write

    count = sum(tensor.size for tensor in model.network.parameters())
    told = " and ".join(f"{given.dtype} [n, {', '.join(map(str, given.shape))}]" for given in model.inputs)
    untrained = "" if trained else ", not trained"
    print(
        f"Wrote {output}: {model.architecture.name}, {count:,} parameters{untrained}, "
        f"{told} -> logits [n, {model.task.out_features}]"
    )
    print("In a recipe:\n")
    base: dict[str, Any] = {"artifact": str(output)}
    if model.preprocessing is None:
        scales = {spec.name: {"scale": 255 if len(spec.shape) == 3 else 1} for spec in model.inputs}
        base["preprocessing"] = scales if len(scales) > 1 else {"scale": 255}
    print(write({"base": base}).rstrip())
    if model.preprocessing is None:
        print("# or whatever else its training did to inputs, with mean: [...], std: [...] besides")


def _check_free(output: Path, force: bool) -> None:
    """Refuse to replace what is there: a model artifact unless it is wished, anything else always."""
    from paddlepress.artifact.manifest import MANIFEST, WEIGHTS
    from paddlepress.core.errors import UsageError

    if not output.exists() or (output.is_dir() and not any(output.iterdir())):
        return
    if not output.is_dir() or {found.name for found in output.iterdir()} - {MANIFEST, WEIGHTS}:
        raise UsageError(f"{output} is something else than a model artifact; name a folder that is not there")
    if not force:
        raise UsageError(f"{output} holds a model already; --force replaces it")


def _inputs(stated: list[str]) -> tuple[TensorSpec, ...]:
    """What a network takes, of a shape or of several with their names."""
    from paddlepress.core.errors import UsageError, shown

    if len(stated) == 1 and "=" not in stated[0]:
        return (_input("input", stated[0]),)
    parts = [text.partition("=") for text in stated]
    for text, (name, equals, _) in zip(stated, parts, strict=True):
        if not equals or not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", name):
            raise UsageError(f"--inputs is {shown(text)}. Valid: NAME=SHAPE for each of several, such as image=3x32x32")
    if twice := next((name for place, (name, _, _) in enumerate(parts) if name in [p[0] for p in parts[:place]]), None):
        raise UsageError(f"--inputs names {twice!r} more than once. Valid: a name for each")
    return tuple(_input(name, shape) for name, _, shape in parts)


def _input(name: str, text: str) -> TensorSpec:
    from pydantic import ValidationError

    from paddlepress.core.errors import UsageError, shown
    from paddlepress.spec.signature import TensorSpec

    try:
        if not re.fullmatch(r"\d{1,9}(x\d{1,9})*", text, re.ASCII):
            raise ValueError
        return TensorSpec(name=name, shape=tuple(map(int, text.split("x"))))
    except ValidationError as error:
        raise UsageError(f"--inputs is {shown(text)}: {error.errors()[0]['msg']}") from None
    except ValueError:
        raise UsageError(f"--inputs is {shown(text)}. Valid: a shape without the batch, such as 3x32x32") from None


def _classes(text: str | None) -> tuple[str, ...]:
    from paddlepress.core.errors import UsageError, shown

    if text is None:
        return ()
    if re.fullmatch(r"\d{1,9}", text, re.ASCII):
        if not 1 <= int(text) <= _MOST_CLASSES:
            raise UsageError(f"--classes is {text}. Valid: 1 to {_MOST_CLASSES:,}")
        return _numbered(int(text))
    names = tuple(name.strip() for name in text.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise UsageError(f"--classes is {shown(text)}. Valid: different names, such as cat,dog, or how many")
    return names


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(map(str, range(count)))


def _mapping(option: str, given: list[str] | None) -> dict[str, Any]:
    """What an option's values say together; YAML, of which JSON is a part."""
    from ruamel.yaml.error import YAMLError

    from paddlepress.core.errors import UsageError, shown
    from paddlepress.core.yaml_text import read

    found: dict[str, Any] = {}
    for text in given or ():
        key, equals, value = ("", "", text) if text.lstrip().startswith("{") else text.partition("=")
        try:
            said = read(value)
        except (YAMLError, ValueError):
            said, equals = None, ""
        if key.isidentifier() and equals:
            found[key] = said
        elif not key and isinstance(said, dict) and all(isinstance(each, str) for each in said):
            found |= said
        else:
            raise UsageError(f"{option} is {shown(text)}. Valid: KEY=VALUE, or all as JSON")
    return found


def _preprocessing(fields: dict[str, Any]) -> AnyPreprocessing | None:
    from pydantic import ValidationError

    from paddlepress.core.errors import UsageError
    from paddlepress.core.fields import explain_all
    from paddlepress.spec.preprocessing import form_of

    if not fields:
        return None
    for key in ("mean", "std"):
        if key in fields and not isinstance(fields[key], list):
            fields[key] = str(fields[key]).split(",")
    form = form_of(fields)
    try:
        return form.model_validate(fields)
    except ValidationError as error:
        raise UsageError(*(f"--preprocessing: {problem}" for problem in explain_all(error, form))) from None
