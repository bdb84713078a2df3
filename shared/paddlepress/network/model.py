"""A model in memory: a Paddle network, and how it came to be."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from paddlepress.core.errors import ArtifactError, PaddlepressError, in_one_line
from paddlepress.forward.outputs import outputs_of
from paddlepress.network.edits import Edit, Mask, Quantize, QuantizeOutput, Share
from paddlepress.spec.lineage import LineageEntry
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.preprocessing import AnyPreprocessing
from paddlepress.spec.signature import TensorSpec
from paddlepress.spec.tensors import Array, Inputs, Quantized, joined, named, spread_scale
from paddlepress.tasks import Task

if TYPE_CHECKING:
    import paddle

    from paddlepress.network.parametrization import Parametrization


# One edit makes the network smaller, or a part of it a little larger; never does it make one of another order.
_EDIT_LEAST, _EDIT_SHARE = 2**20, 16


@dataclass(frozen=True)
class Model:
    """A network with everything that is needed to rebuild it.

    Attributes:
        network: the Paddle layer, in evaluation mode unless something trains it.
        architecture: what the network was built from.
        inputs: what it takes.
        task: what it is for.
        edits: the structural edits made since, in order.
        lineage: the techniques applied, in order.
        scales: for each quantized weight, its float32 scales.
        preprocessing: what becomes of stored inputs before the network takes them; None: unknown, and whoever uses
            the model gives it inputs as the network takes them.
        built: how many numbers the parameters of the architecture had before any edit.
        parametrizations: the weights that the architecture computes from other parameters before each pass, as under
            `paddle.nn.utils.weight_norm` and `spectral_norm`. The network has them as plain parameters from the start.
    """

    network: paddle.nn.Layer
    architecture: ArchitectureRef
    inputs: tuple[TensorSpec, ...]
    task: Task
    edits: tuple[Edit, ...] = ()
    lineage: tuple[LineageEntry, ...] = ()
    scales: dict[str, Array] = field(default_factory=dict)
    preprocessing: AnyPreprocessing | None = None
    parametrizations: tuple[Parametrization, ...] = ()
    built: int = 0

    @classmethod
    def build(
        cls,
        architecture: ArchitectureRef,
        inputs: tuple[TensorSpec, ...],
        task: Task,
        edits: Iterable[Edit] = (),
        lineage: Iterable[LineageEntry] = (),
        preprocessing: AnyPreprocessing | None = None,
        most: int | None = None,
    ) -> Model:
        """A model with fresh weights: build the architecture, replay the edits.

        Weight and spectral normalization of the architecture's layers are removed: the weights that they compute
        become plain parameters, so that training, surgery and files know these alone.

        Args:
            architecture, inputs, task, edits, lineage, preprocessing: as in the attributes.
            most: how many numbers the parameters of the architecture may have; None: any.

        Raises:
            UsageError: an unknown architecture, or arguments it does not take.
            ArtifactError: an edit that does not fit the architecture, preprocessing that does not fit the inputs, or
                too many parameters.
        """
        from paddlepress.core import compute
        from paddlepress.network import parametrization
        from paddlepress.network.architectures import build
        from paddlepress.network.architectures.parameter_count import counted

        misfit = preprocessing.misfit(inputs) if preprocessing is not None and inputs else ""
        if misfit:
            raise ArtifactError(f"the preprocessing does not fit: {misfit}")
        with counted(most) as count:
            network = build(architecture, inputs, task)
        compute.use_fast_kernels()
        removed = parametrization.remove(network)
        edits = tuple(edits)
        for edit in edits:
            with counted(max(_EDIT_LEAST, _EDIT_SHARE * count.numbers)):
                _replay(edit, network)
        network.eval()
        return cls(
            network,
            architecture,
            inputs,
            task,
            edits,
            tuple(lineage),
            preprocessing=preprocessing,
            parametrizations=removed,
            built=count.numbers,
        )

    def tensors(self) -> dict[str, paddle.Tensor]:
        """Every parameter and buffer by name; one that several layers hold has the first of its names only."""
        found: dict[int, tuple[str, paddle.Tensor]] = {}
        for name, tensor in self.network.state_dict().items():
            found.setdefault(id(tensor), (name, tensor))
        return dict(found.values())

    def state(self) -> dict[str, Array]:
        """`tensors` as NumPy arrays."""
        return {name: np.asarray(tensor.numpy()) for name, tensor in self.tensors().items()}

    def load_state(self, state: dict[str, Array]) -> None:
        """Set every parameter and buffer.

        Args:
            state: by name. In place of a weight it may hold the parameters that weight or spectral normalization
                compute it from, as a network saved by Paddle and an artifact of before version 4 do.

        Raises:
            ArtifactError: a tensor is missing, unknown, or of another shape or dtype.
        """
        from paddlepress.network import parametrization

        state = parametrization.plain(state, self.parametrizations)
        target = self.tensors()
        if misfit := _misfit({name: tensor.numpy() for name, tensor in target.items()}, state):
            raise ArtifactError(misfit)
        for name, tensor in target.items():
            tensor.set_value(state[name])

    def copy(self) -> Model:
        """An independent model with the same weights."""
        twin = Model.build(self.architecture, self.inputs, self.task, self.edits, self.lineage, self.preprocessing)
        twin.load_state(self.state())
        twin.scales.update({name: scale.copy() for name, scale in self.scales.items()})
        return twin

    def with_edits(self, *edits: Edit) -> Model:
        """This model with edits recorded that have already been made on its network."""
        return replace(self, edits=(*self.edits, *edits))

    def with_lineage(self, entry: LineageEntry) -> Model:
        """This model with one more step in its history."""
        return replace(self, lineage=(*self.lineage, entry))

    def digest(self) -> str:
        """SHA-256 of structure, inputs, preprocessing, task and weights: all but the history."""
        return digest_of(self.architecture, self.inputs, self.preprocessing, self.task, self.edits, self.state())

    def drop_negative_zeros(self) -> None:
        """Turn -0.0 into 0.0, which computes the same: sparse and quantized storage have one zero only."""
        for tensor in self.tensors().values():
            value = np.asarray(tensor.numpy())
            if np.issubdtype(value.dtype, np.floating) and np.any((value == 0) & np.signbit(value)):
                tensor.set_value(value + np.zeros((), value.dtype))

    def masked(self) -> tuple[str, ...]:
        """The parameters whose zeros are to stay zero."""
        names = {name for edit in self.edits if isinstance(edit, Mask) for name in edit.parameters}
        present = dict(self.network.named_parameters())
        return tuple(name for name in present if name in names)

    def quantized(self) -> dict[str, Quantize]:
        """The quantized weights by parameter name; the latest edit of each counts."""
        present = dict(self.network.named_parameters())
        return {edit.parameter: edit for edit in self.edits if isinstance(edit, Quantize) and edit.parameter in present}

    def quantized_outputs(self) -> tuple[QuantizeOutput, ...]:
        """What layers give each other rounded; the latest edit of each counts."""
        present = dict(self.network.named_sublayers())
        edits = [edit for edit in self.edits if isinstance(edit, QuantizeOutput)]
        latest = {(edit.layer, "" if edit.layer else edit.reader): edit for edit in edits}
        return tuple(edit for (layer, reader), edit in latest.items() if (layer or reader) in present)

    def shared(self) -> dict[str, Share]:
        """The weights that take their values from a codebook, by parameter name; the latest edit of each counts."""
        present = dict(self.network.named_parameters())
        return {edit.parameter: edit for edit in self.edits if isinstance(edit, Share) and edit.parameter in present}

    def on_a_grid(self) -> dict[str, str]:
        """The weights that are not free to take any value, by parameter name, with what they are instead."""
        shared = {name: f"shared already ({edit.bits} bits)" for name, edit in self.shared().items()}
        return shared | {name: f"quantized already ({edit.bits} bits)" for name, edit in self.quantized().items()}

    def codes(self, name: str) -> Quantized:
        """A quantized weight as integers with their scales.

        Raises:
            ArtifactError: the weight has left its grid, by training after quantization.
        """
        edit = self.quantized()[name]
        scale = self.scales[name]
        value = np.asarray(dict(self.network.named_parameters())[name].numpy())
        codes = np.rint(value / spread_scale(scale, edit.axis, value.shape, edit.group)).astype(np.int8)
        tensor = Quantized(codes=codes, scale=scale, axis=edit.axis, group=edit.group)
        if not np.array_equal(tensor.values(), value):
            raise ArtifactError(f"{name} is no longer on its {edit.bits}-bit grid; quantize again after training")
        return tensor

    def prepare(self, stored: Any) -> Any:
        """What the network takes for inputs [n, *shape] as data hold them: an array, or `NamedArrays` of several.

        Raises:
            DataError: inputs of several are missing, unknown, or not as many of each.
        """
        arrays = named(stored, tuple(spec.name for spec in self.inputs))
        own = self.preprocessing
        return joined(
            {
                spec.name: arrays[spec.name].astype(spec.dtype)
                if own is None
                else own.of(spec.name).apply(arrays[spec.name])
                for spec in self.inputs
            }
        )

    def predict(self, inputs: Inputs, batch_size: int = 500) -> Array:
        """The network's outputs for a batch of inputs, computed without gradients, in evaluation mode.

        Args:
            inputs: float32 [n, *shape], as the network takes them: after `preprocessing`. `NamedArrays` of several.
            batch_size: how many go through the network at once.

        Returns:
            float32 array [n, classes].
        """

        if len(inputs) == 0:
            return np.zeros((0, *self.task.outputs[0].shape), np.float32)
        return outputs_of(self.network, inputs, batch_size)


def _misfit(wanted: Mapping[str, Array], given: Mapping[str, Array]) -> str:
    """Why weights are not those of a network, in one line that names the first of each kind; empty if they are."""
    both = [name for name in wanted if name in given]
    shaped = [
        f"{name} has shape {given[name].shape}, the network needs {wanted[name].shape}"
        for name in both
        if given[name].shape != wanted[name].shape
    ]
    typed = [
        f"{name} has dtype {given[name].dtype}, the network needs {wanted[name].dtype}"
        for name in both
        if given[name].dtype != wanted[name].dtype
    ]
    missing = [name for name in wanted if name not in given]
    unknown = [name for name in given if name not in wanted]
    problems = [
        f"no weights for {_first(missing)}" if missing else "",
        f"weights for {_first(unknown)}, which the network does not have" if unknown else "",
        _first(shaped, "; "),
        _first(typed, "; "),
    ]
    return "; ".join(problem for problem in problems if problem)


def _first(names: list[str], between: str = ", ", most: int = 3) -> str:
    shown = between.join(in_one_line(name, 200) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _replay(edit: Edit, network: paddle.nn.Layer) -> None:
    try:
        edit.replay(network)
    except PaddlepressError:
        raise
    except Exception as error:  # whatever Paddle's layers raise when they are given what they are not made for
        raise ArtifactError(f"an edit {edit.kind!r} does not fit the network: {in_one_line(error)}") from error


def digest_of(
    architecture: ArchitectureRef,
    inputs: Iterable[TensorSpec],
    preprocessing: AnyPreprocessing | None,
    task: Task,
    edits: Iterable[Edit],
    state: Mapping[str, Array | Quantized],
) -> str:
    """The digest of a model, see `Model.digest`, from its parts; needs no Paddle.

    Args:
        architecture, inputs, preprocessing, task, edits: its structure.
        state: every parameter and buffer by name.
    """
    sha = hashlib.sha256()
    parts: dict[str, Iterable[BaseModel]] = {
        "architecture": [architecture],
        "inputs": inputs,
        "task": [task],
        "edits": edits,
    }
    if preprocessing is not None:
        parts["preprocessing"] = [preprocessing]
    structure = {key: [part.model_dump(mode="json") for part in found] for key, found in parts.items()}
    sha.update(json.dumps(structure, sort_keys=True).encode())
    for name in sorted(state):
        tensor = state[name]
        value = tensor.values() if isinstance(tensor, Quantized) else tensor
        sha.update(f"{name} {value.dtype} {value.shape}".encode())
        sha.update(np.ascontiguousarray(value).reshape(-1).data)
    return sha.hexdigest()
