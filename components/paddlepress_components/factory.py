"""Typed Kubeflow components, derived from the fields of a pydantic model.

A component's function is generated as source text, because Kubeflow compiles components from their
source: typed parameters with the fields' defaults, a Google docstring with their descriptions (it is
what the Kubeflow UI shows), and a body of one call into the installed library.
"""

from __future__ import annotations

import keyword
import linecache
import os
import types
import typing
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from kfp import dsl
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from paddlepress import __version__
from paddlepress.core.errors import UsageError
from paddlepress.core.fields import Place, describe_fields
from paddlepress.techniques import technique_class
from paddlepress_components.traits import Traits

IMAGE_VARIABLE = "PADDLEPRESS_IMAGE"


def image() -> str:
    """The container image that components run in; PADDLEPRESS_IMAGE names another."""
    return os.environ.get(IMAGE_VARIABLE) or f"paddlepress-python:{__version__}"


@dataclass(frozen=True)
class Signature:
    """What a component takes, gives and calls.

    Attributes:
        name: snake_case name of the component.
        summary: the first line of its docstring.
        call: `module:function`, called with every input and output by keyword.
        inputs, outputs: artifact name -> (its type in `dsl`, its description).
        fields: the pydantic model whose fields become parameters; they reach `call` as one dict `fields`.
        settings: further parameters: name -> (type, default, description).
        constants: further keyword arguments of `call`, fixed for this component.
        image: the container image; empty: the project's own.
        traits: what it needs of whatever runs it.
    """

    name: str
    summary: str
    call: str
    inputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    outputs: dict[str, tuple[str, str]] = field(default_factory=dict)
    fields: type[BaseModel] | None = None
    settings: dict[str, tuple[type, Any, str]] = field(default_factory=dict)
    constants: dict[str, str] = field(default_factory=dict)
    image: str = ""
    traits: Traits = field(default_factory=Traits)


SEED = (int, 0, "What every random choice follows.")
DEVICE = (str, "auto", "Where Paddle computes: cpu, gpu, gpu:1, or auto (a GPU if there is one).")
TECHNIQUE_INPUTS = {
    "model": ("Model", "The model to compress."),
    "base": ("Model", "The uncompressed model: the teacher, and what results are measured against."),
    "data": ("Dataset", "Training, validation and calibration data; never test data."),
}
TECHNIQUE_OUTPUTS = {
    "compressed_model": ("Model", "The compressed model."),
    "metrics": ("Metrics", "What was measured while compressing."),
}


@cache
def technique_component(name: str) -> Any:
    """The component of a technique: `model`, `base` and `data` in, the compressed model and metrics out."""
    chosen = technique_class(name)
    summary = (chosen.__doc__ or name).strip().splitlines()[0]
    return build(
        Signature(
            name=name.replace("-", "_"),
            summary=summary,
            call="paddlepress_components.apply:apply_technique",
            inputs=TECHNIQUE_INPUTS,
            outputs=TECHNIQUE_OUTPUTS,
            fields=chosen,
            settings={"seed": SEED, "device": DEVICE},
            constants={"technique": name},
            image=chosen.image,
            traits=Traits(accelerator=True),
        )
    )


def build(signature: Signature) -> Any:
    """The Kubeflow component of a signature, with its `traits`.

    Raises:
        UsageError: a field has a type or name that Kubeflow can't carry.
    """
    source = source_of(signature)
    # Kubeflow reads a component's source back through inspect.getsource, which asks linecache.
    filename = f"<paddlepress component {signature.name}>"
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"dsl": dsl, "Optional": typing.Optional}
    # Our own text, made from types, never from data. Kubeflow wants the annotations themselves, not strings.
    exec(compile(source, filename, "exec", dont_inherit=True), namespace)
    component = dsl.component(
        namespace[signature.name],
        base_image=signature.image or image(),
        install_kfp_package=False,
        packages_to_install=[],
    )
    marked = {
        name: mark
        for name, info in (signature.fields.model_fields.items() if signature.fields else ())
        for mark in info.metadata
        if isinstance(mark, Place)
    }
    component.traits = replace(signature.traits, places={**marked, **signature.traits.places})
    return component


def source_of(signature: Signature) -> str:
    """The Python source of a component's function."""
    fields = _parameters(signature)
    settings = {name: (kind.__name__, default) for name, (kind, default, _) in signature.settings.items()}
    required = [f"{n}: {kind}" for n, (kind, default) in fields.items() if default is PydanticUndefined]
    optional = [
        f"{name}: {kind} = {default!r}"
        for name, (kind, default) in {**fields, **settings}.items()
        if default is not PydanticUndefined
    ]
    artifacts = [
        *(f"{name}: dsl.Input[dsl.{kind}]" for name, (kind, _) in signature.inputs.items()),
        *(f"{name}: dsl.Output[dsl.{kind}]" for name, (kind, _) in signature.outputs.items()),
    ]
    module, function = signature.call.split(":")
    passed = [f"{name}={value!r}" for name, value in signature.constants.items()]
    passed += [f"{name}={name}" for name in (*signature.inputs, *signature.outputs, *signature.settings)]
    if signature.fields is not None:
        passed.append(f"fields={{{', '.join(f'{name!r}: {name}' for name in fields)}}}")
    lines = [
        f"def {signature.name}(",
        *(f"    {parameter}," for parameter in (*artifacts, *required, *optional)),
        "):",
        f'    """{_docstring(signature)}"""',
        f"    from {module} import {function}",
        "",
        f"    {function}(",
        *(f"        {argument}," for argument in passed),
        "    )",
    ]
    return "\n".join(lines) + "\n"


def _parameters(signature: Signature) -> dict[str, tuple[str, Any]]:
    taken = {*signature.inputs, *signature.outputs, *signature.settings}
    found: dict[str, tuple[str, Any]] = {}
    for name, info in signature.fields.model_fields.items() if signature.fields else ():
        if name in taken or keyword.iskeyword(name):
            raise UsageError(f"{signature.name}: a field can't be called {name!r}, a component uses that name itself")
        default = info.get_default(call_default_factory=True)
        if default is not PydanticUndefined:
            default = _plain(default)
        kind = _kfp_type(signature.name, name, info.annotation)
        if kind.startswith("Optional") and default is not None:
            raise UsageError(
                f"{signature.name}: the field {name!r} may be None, so its default must be None and not {default!r}: "
                "Kubeflow can't pass None in place of a default"
            )
        found[name] = (kind, default)
    return found


def _kfp_type(component: str, name: str, annotation: Any) -> str:
    """The type that Kubeflow knows for a field's: it has no Literal and no tuple."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kfp_type(component, name, arguments[0])
    if annotation in (int, float, str, bool):
        return str(annotation.__name__)
    if origin is Literal and len({type(value) for value in arguments}) == 1:
        return _kfp_type(component, name, type(arguments[0]))
    if annotation in (list, tuple, set, frozenset) or origin in (list, tuple, set, frozenset):
        return "list"
    if annotation is dict or origin is dict:
        return "dict"
    if origin in (Union, types.UnionType) and type(None) in arguments:
        inner = [argument for argument in arguments if argument is not type(None)]
        if len(inner) == 1:
            known = _kfp_type(component, name, inner[0])
            # Kubeflow's local runner casts every integer, and None is none; the field takes 3.0 for 3.
            return f"Optional[{'float' if known == 'int' else known}]"
    if origin in (Union, types.UnionType) and {_kfp_type(component, name, one) for one in arguments} == {"int", "str"}:
        return "str"  # a number or a word, such as auto: the field reads numbers from text
    raise UsageError(
        f"{component}: the field {name!r} has type {annotation}, which a Kubeflow component can't carry. "
        "Valid: int, float, str, bool, Literal of one of them, list, dict, and Optional of these"
    )


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


def _docstring(signature: Signature) -> str:
    described = {name: text for name, (_, text) in signature.inputs.items()}
    described |= {name: text for name, (_, text) in signature.outputs.items()}
    if signature.fields is not None:
        described |= {row["field"]: row["description"] for row in describe_fields(signature.fields)}
    described |= {name: text for name, (_, _, text) in signature.settings.items()}
    rows = [f"        {name}: {' '.join(text.split())}" for name, text in described.items()]
    text = "\n".join([signature.summary, "", "    Args:", *rows, "    "])
    return text.replace("\\", "\\\\").replace('"""', "'''")
