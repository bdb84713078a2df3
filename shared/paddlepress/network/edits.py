"""The structural edits that a model has been through, as data that can be replayed.

A model is rebuilt from its architecture by replaying its edits in order; its weights are loaded
afterwards. An edit therefore says which shape a network gets, not which numbers it holds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from paddlepress.core.errors import ArtifactError

if TYPE_CHECKING:
    import paddle

# Attributes in which attention layers of all sorts state how many heads they have.
HEAD_COUNTS = frozenset(
    {"num_heads", "n_heads", "nheads", "num_head", "n_head", "nhead", "heads", "head_num", "num_attention_heads"}
)
# What narrowing may change on a layer: an artifact can't set anything else.
NARROWABLE = HEAD_COUNTS | {
    "_in_channels",
    "_out_channels",
    "_groups",
    "_num_features",
    "_num_channels",
    "_num_groups",
    "_normalized_shape",
    "_embedding_dim",
    "_size",
    "in_features",
    "out_features",
    "input_size",
    "hidden_size",
}
Size = int | tuple[int, ...]


class _Edit(BaseModel, ABC):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @abstractmethod
    def replay(self, network: paddle.nn.Layer) -> None:
        """Make the edit on a freshly built network."""


class Narrow(_Edit):
    """Layers that lost channels or units together.

    Attributes:
        shapes: parameter name -> its shape afterwards.
        sizes: layer name -> the layer's own attributes afterwards (channels, features, groups, heads).
    """

    kind: Literal["narrow"] = "narrow"
    shapes: dict[str, tuple[int, ...]]
    sizes: dict[str, dict[str, Size]] = {}

    def replay(self, network: paddle.nn.Layer) -> None:
        shrink_parameters(network, self.shapes)
        refresh_recurrent(network, {name.rpartition(".")[0] for name in self.shapes})
        for name, sizes in self.sizes.items():
            layer = find(network, name)
            for attribute, value in sizes.items():
                set_size(layer, name, attribute, value)


class Factorize(_Edit):
    """A dense layer split into two of a lower rank.

    Attributes:
        layer: the layer's name; its factors become `LAYER.first` and `LAYER.second`.
        rank: the width between them.
    """

    kind: Literal["factorize"] = "factorize"
    layer: str
    rank: int = Field(ge=1)

    def replay(self, network: paddle.nn.Layer) -> None:
        from paddlepress.network.inserted_layers import LowRankLinear

        layer = find(network, self.layer)
        try:
            replace(network, self.layer, LowRankLinear.in_place_of(layer, self.rank))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"layer {self.layer!r} can't be factorized: {error}") from None


class FactorizeConv(_Edit):
    """A convolution split into a chain of cheaper ones.

    Attributes:
        layer: the layer's name; what it becomes are its sublayers, see `layers.LowRankConv2D`.
        method: how it is split.
        ranks: the channels between them.
    """

    kind: Literal["factorize-conv"] = "factorize-conv"
    layer: str
    method: Literal["channel-svd", "spatial", "tucker2", "cp"]
    ranks: tuple[int, ...]

    def replay(self, network: paddle.nn.Layer) -> None:
        from paddlepress.network.inserted_layers import LowRankConv2D

        layer = find(network, self.layer)
        try:
            replace(network, self.layer, LowRankConv2D(layer, self.method, self.ranks))
        except (TypeError, ValueError) as error:
            raise ArtifactError(f"layer {self.layer!r} can't be factorized: {error}") from None


class Mask(_Edit):
    """Parameters whose zeros stay zero in later training.

    The mask itself is the zeros of the stored weights.
    """

    kind: Literal["mask"] = "mask"
    parameters: tuple[str, ...]

    def replay(self, network: paddle.nn.Layer) -> None:
        for name in self.parameters:
            parameter(network, name)


class Quantize(_Edit):
    """A layer's weight on a grid, and its input too where that has a scale.

    Attributes:
        layer: the layer's name; the weight is `LAYER.weight`.
        bits: 16 (floats of `format`) or integers: 8 (-127..127, or -63..63 where `reduce_range`), 4 (-7..7),
            2 (-1, 0, 1) or 1 (-1 and 1; a pruned weight stays 0).
        format: which floats 16 bits are.
        axis: the weight's axis that has one scale per index; None for one scale.
        group: how many weights of one index of `axis` share a scale, see `codec.spread_scale`; None: all.
        input_scale, input_zero_point: of the layer's input as unsigned 8-bit integers; None leaves it float.
    """

    kind: Literal["quantize"] = "quantize"
    layer: str
    bits: Literal[16, 8, 4, 2, 1]
    format: Literal["float16", "bfloat16"] = "float16"
    axis: int | None = None
    group: int | None = Field(default=None, ge=1)
    reduce_range: bool = False
    input_scale: float | None = Field(default=None, gt=0)
    input_zero_point: int = Field(default=0, ge=0, le=255)

    @property
    def parameter(self) -> str:
        return f"{self.layer}.weight"

    def replay(self, network: paddle.nn.Layer) -> None:
        from paddlepress.network.inserted_layers import simulate_quantized_input

        parameter(network, self.parameter)
        if self.input_scale is not None:
            simulate_quantized_input(find(network, self.layer), self.input_scale, self.input_zero_point)


class QuantizeOutput(_Edit):
    """Values that layers give each other as unsigned 8-bit integers, for all who read them.

    So residual additions, pools and the convolutions before them run on integers.

    Attributes:
        layer: whose output is rounded; empty where no layer gives the values, but `reader` is the first to read them.
        scale, zero_point: of the grid.
        reader: a layer that reads them, by which the deployed graph finds them; empty where `layer` is a
            convolution or batch norm, by which it finds them as well.
        pooled: the reader reads the mean of them instead.
    """

    kind: Literal["quantize-output"] = "quantize-output"
    layer: str = ""
    scale: float = Field(gt=0)
    zero_point: int = Field(ge=0, le=255)
    reader: str = ""
    pooled: bool = False

    def replay(self, network: paddle.nn.Layer) -> None:
        from paddlepress.network.inserted_layers import simulate_quantized_output, simulate_quantized_values

        if self.layer:
            simulate_quantized_output(find(network, self.layer), self.scale, self.zero_point)
        elif self.reader:
            simulate_quantized_values(find(network, self.reader), self.scale, self.zero_point)
        else:
            raise ArtifactError("a quantize-output edit names no layer")


class Share(_Edit):
    """A layer's weight that takes few different values, which its weights share.

    The codebook itself is the set of values that the stored weight has.

    Attributes:
        layer: the layer's name; the weight is `LAYER.weight`.
        bits: of a place in the codebook, which has at most `2**bits` values; a pruned weight's zero is one.
    """

    kind: Literal["share"] = "share"
    layer: str
    bits: int = Field(ge=1, le=8)

    @property
    def parameter(self) -> str:
        return f"{self.layer}.weight"

    def replay(self, network: paddle.nn.Layer) -> None:
        parameter(network, self.parameter)


class FoldNorm(_Edit):
    """A batch normalization folded into the layer before it, see `surgery.folding`.

    Attributes:
        layer: the convolution or dense layer; it has a bias afterwards.
        norm: the norm's name, where an identity stands afterwards.
    """

    kind: Literal["fold-norm"] = "fold-norm"
    layer: str
    norm: str

    def replay(self, network: paddle.nn.Layer) -> None:
        from paddle import nn

        from paddlepress.network.layer_kinds import weighted_layers

        layer, norm = find(network, self.layer), find(network, self.norm)
        mean = norm._parameters.get("_mean", norm._buffers.get("_mean"))
        if mean is None or self.layer not in weighted_layers(network):
            raise ArtifactError(f"{self.norm!r} can't be folded into {self.layer!r}")
        if layer.bias is None:
            layer.bias = layer.create_parameter([int(mean.shape[0])], is_bias=True)
        replace(network, self.norm, nn.Identity())


class Remove(_Edit):
    """A layer taken out of the network: what it is given is what it gives.

    Attributes:
        layer: the layer's name, where a `Bypass` stands afterwards.
    """

    kind: Literal["remove"] = "remove"
    layer: str = Field(min_length=1)

    def replay(self, network: paddle.nn.Layer) -> None:
        from paddlepress.network.inserted_layers import Bypass

        layer = find(network, self.layer)
        replace_everywhere(network, layer, Bypass(layer))


Edit = Annotated[
    Narrow | Factorize | FactorizeConv | Mask | Quantize | QuantizeOutput | Share | FoldNorm | Remove,
    Field(discriminator="kind"),
]


def find(network: paddle.nn.Layer, name: str) -> paddle.nn.Layer:
    """The sublayer of a dotted name."""
    layer = network
    for part in name.split(".") if name else []:
        try:
            layer = layer._sub_layers[part]
        except KeyError:
            raise ArtifactError(f"the architecture has no layer {name!r}") from None
    return layer


def parameter(network: paddle.nn.Layer, name: str) -> paddle.Tensor:
    """The parameter of a dotted name."""
    owner, _, leaf = name.rpartition(".")
    found = find(network, owner)._parameters.get(leaf)
    if found is None:
        raise ArtifactError(f"the architecture has no parameter {name!r}")
    return found


def replace(network: paddle.nn.Layer, name: str, layer: paddle.nn.Layer) -> None:
    """Put another layer in the place of the one with a dotted name."""
    owner, _, leaf = name.rpartition(".")
    find(network, owner)._sub_layers[leaf] = layer


def replace_everywhere(network: paddle.nn.Layer, layer: paddle.nn.Layer, instead: paddle.nn.Layer) -> None:
    """Put another layer in every place where a network holds a layer."""
    for holder in network.sublayers(include_self=True):
        for leaf, held in holder._sub_layers.items():
            if held is layer:
                holder._sub_layers[leaf] = instead


def shrink_parameters(
    network: paddle.nn.Layer, shapes: Mapping[str, tuple[int, ...]], *, blank: bool = False
) -> dict[str, paddle.Tensor]:
    """Put smaller parameters in the place of others, in every layer that holds them.

    Args:
        network: the whole of it.
        shapes: parameter name -> its shape afterwards.
        blank: fill them with zeros, where their values are set right away; else they take the first of the
            old ones along each axis, so that what was freshly initialized still is.

    Returns:
        The new parameters by name.

    Raises:
        ArtifactError: no parameter of a name, or a shape that is not smaller.
    """
    from paddle.nn.initializer import Constant

    made: dict[str, paddle.Tensor] = {}
    instead: dict[int, paddle.Tensor] = {}
    for name, shape in shapes.items():
        old = parameter(network, name)
        if len(shape) != len(old.shape) or not all(0 < n <= size for n, size in zip(shape, old.shape, strict=True)):
            raise ArtifactError(f"a narrow edit can't make {name!r} of shape {tuple(old.shape)} one of {shape}")
        layer = find(network, name.rpartition(".")[0])
        new = layer.create_parameter(list(shape), dtype=old.dtype, default_initializer=Constant(0.0))
        if not blank:
            new.set_value(old.numpy()[tuple(slice(n) for n in shape)])
        new.stop_gradient = old.stop_gradient
        new.trainable = old.trainable
        made[name] = instead[id(old)] = new
    for holder in network.sublayers(include_self=True):
        for leaf, value in holder._parameters.items():
            if id(value) in instead:
                holder._parameters[leaf] = instead[id(value)]
    return made


def refresh_recurrent(network: paddle.nn.Layer, layers: Iterable[str]) -> None:
    """Have recurrent layers compute with the parameters that they hold now: they keep lists of them."""
    from paddle.nn.layer.rnn import RNNBase

    for name in layers:
        layer = find(network, name)
        if isinstance(layer, RNNBase):
            layer.flatten_parameters()


def set_size(layer: paddle.nn.Layer, name: str, attribute: str, value: Size) -> None:
    """Set what a layer says of its own size.

    Raises:
        ArtifactError: it has no such attribute, of a number or of several, or it is not one of a size.
    """
    before = vars(layer).get(attribute)
    fits = isinstance(before, list | tuple) if isinstance(value, tuple) else isinstance(before, int)
    if attribute not in NARROWABLE or not fits:
        raise ArtifactError(f"a narrow edit may not set {attribute!r} of layer {name!r}")
    setattr(layer, attribute, value if isinstance(value, int) else type(before)(value))
