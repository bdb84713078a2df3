"""The technique `prune-weights`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from paddlepress.core.errors import TechniqueRefused
from paddlepress.core.fields import When
from paddlepress.techniques import Context, Family, Technique
from paddlepress.training.recovery import Recovery

if TYPE_CHECKING:
    from paddlepress.network.model import Model
    from paddlepress_components.pruning.patterns import Choice, Masks
    from paddlepress_components.pruning.weight_scores import Scores

_TWO_OF_FOUR = 0.5
_SPARSITY = 0.9


class PruneWeights(Technique, Recovery):
    """Set the weights that are needed least to zero, where they stay through all later training.

    Only weights of convolutions and dense layers are pruned, and `sparsity` is the share of zeros among
    those that are not excluded; biases and norms are never touched. The artifact stores the zeros as a
    coded mask, so it is smaller on disk; a dense runtime is no faster for it. The patterns `2:4` and `block`
    are those that sparse kernels exist for; along a row of theirs run an output's weights, kernel position by
    kernel position, with the input channels of each together.

    `movement` is for weights that have far to go, as when a model learns other data than it was trained on, or
    at a learning rate several times the usual one: of a network at rest, weights without influence score
    higher than important ones that hardly move, and `magnitude` chooses better.

    `rewinding` looks for a lottery ticket: it trains the network from fresh weights that follow the seed for
    `recovery_epochs`, and in each of `rounds` prunes the same share of what is left, puts the rest back to
    what it was after `rewind_epochs` of that first training, and trains again, a whole training with its
    warm-up. Of the incoming model only the structure and the zeros are used, for a model's early weights are
    stored nowhere. It costs `rounds + 1` trainings.

    Magnitude pruning after Han et al., "Learning both Weights and Connections for Efficient Neural
    Networks", NeurIPS 2015; the gradual schedule after Zhu and Gupta, "To prune, or not to prune", 2017;
    `gradient` after Lee et al., "SNIP", ICLR 2019; `movement` after Sanh, Wolf and Rush, "Movement Pruning",
    NeurIPS 2020; `2:4` after Mishra et al., "Accelerating Sparse Deep Neural Networks", 2021; `block` after Gray,
    Radford and Kingma, "GPU Kernels for Block-Sparse Weights", 2017; `rewinding` after Frankle and Carbin, "The
    Lottery Ticket Hypothesis", ICLR 2019, with late rewinding by Frankle et al., "Linear Mode Connectivity and
    the Lottery Ticket Hypothesis", ICML 2020, and Renda, Frankle and Carbin, "Comparing Rewinding and
    Fine-tuning in Neural Network Pruning", ICLR 2020.
    """

    family: ClassVar[Family] = "pruning"
    paper: ClassVar[str] = (
        "Han et al., NeurIPS 2015, arXiv:1506.02626; Zhu and Gupta, 2017, arXiv:1710.01878; Lee et al., ICLR 2019, "
        "arXiv:1810.02340; Sanh et al., NeurIPS 2020, arXiv:2005.07683; Mishra et al., 2021, arXiv:2104.08378; "
        "Frankle and Carbin, ICLR 2019, arXiv:1803.03635; Renda et al., ICLR 2020, arXiv:2003.02389"
    )

    sparsity: Annotated[float | None, When("threshold", None)] = Field(
        default=None,
        gt=0,
        lt=1,
        description=f"share of the weights to set to zero; by default {_SPARSITY}, and with pattern 2:4 half of them",
    )
    threshold: float | None = Field(
        default=None,
        gt=0,
        description="takes the place of sparsity and scope: set weights of a smaller magnitude than this to zero",
    )
    scope: Annotated[Literal["global", "layer"], When("threshold", None)] = Field(
        default="global", description="global compares weights across layers; layer prunes the same share of each"
    )
    criterion: Literal["magnitude", "gradient", "movement"] = Field(
        default="magnitude",
        description="magnitude: the smallest go; gradient: those with the smallest |weight * gradient|; "
        "movement: those that training moves towards zero (with schedule gradual)",
    )
    pattern: Literal["unstructured", "2:4", "block"] = Field(
        default="unstructured",
        description="unstructured: any weights; 2:4: two of each four in a row; block: whole blocks of block_size",
    )
    block_size: Annotated[list[int], When("pattern", "block")] = Field(
        default=[4, 4],
        min_length=2,
        max_length=2,
        description="pattern block: outputs, and weights of each in a row",
    )
    schedule: Literal["one-shot", "gradual", "rewinding"] = Field(
        default="one-shot",
        description="one-shot prunes, then recovers; gradual prunes more and more while it recovers (cubic schedule); "
        "rewinding trains anew and goes back to early weights after each round of pruning",
    )
    gradient_batches: Annotated[int, When("criterion", "gradient")] = Field(
        default=20, ge=1, le=10_000, description="training batches of 64 that criterion gradient looks at"
    )
    rounds: Annotated[int, When("schedule", "rewinding")] = Field(
        default=3, ge=1, le=100, description="schedule rewinding: how often it prunes"
    )
    rewind_epochs: Annotated[float, When("schedule", "rewinding")] = Field(
        default=0.1,
        ge=0,
        le=10_000,
        description="schedule rewinding: the epoch that weights go back to; 0: the start",
    )
    exclude: list[str] = Field(default=[], description="layers to leave alone: names or patterns such as fc*")

    @model_validator(mode="after")
    def _check(self) -> PruneWeights:
        if self.schedule != "one-shot" and self.recovery_epochs == 0:
            raise ValueError(
                f"schedule {self.schedule!r} prunes during training: 'recovery_epochs' must be at least 1, not 0"
            )
        if self.pattern == "2:4" and self._share != _TWO_OF_FOUR:
            raise ValueError(f"pattern '2:4' leaves two of four weights: 'sparsity' must be 0.5, not {self._share:g}")
        if self.criterion == "movement" and self.schedule != "gradual":
            raise ValueError(
                "criterion 'movement' watches weights while they train: "
                f"'schedule' must be 'gradual', not {self.schedule!r}"
            )
        if min(self.block_size) < 1 or max(self.block_size) > 4096:
            raise ValueError(f"'block_size' must be two numbers from 1 to 4096, not {self.block_size}")
        if self.schedule == "rewinding" and self.rewind_epochs >= self.recovery_epochs:
            raise ValueError(
                f"'rewind_epochs' must be less than recovery_epochs, which is {self.recovery_epochs}, "
                f"not {self.rewind_epochs:g}"
            )
        plain = (self.criterion, self.pattern) == ("magnitude", "unstructured") and self.schedule != "rewinding"
        if self.threshold is not None and not plain:
            raise ValueError(
                "a threshold is of magnitudes today: it needs criterion 'magnitude', pattern 'unstructured' and "
                "schedule 'one-shot' or 'gradual'"
            )
        return self

    def apply(self, model: Model, context: Context) -> Model:
        from paddlepress.network.edits import Mask
        from paddlepress.training.masks import Masks, values
        from paddlepress_components.pruning import magnitude
        from paddlepress_components.pruning.gradual import GradualPruning, MovementPruning

        choice = self._choice(model)
        names = tuple(choice.axes)
        model = model.with_edits(Mask(parameters=names))
        if self.schedule == "rewinding":
            model = self._rewound(model, context, choice)
        elif self.criterion == "movement":
            movement = MovementPruning(model.network, names, choice)
            model = self.recover(model, context, movement)
            self._check_alive(movement.settle())
        else:
            keep = choice.keep(self._scores(model, context, names))
            self._check_effect(model, keep)
            self._check_alive(keep)
            if self.schedule == "gradual":
                gradual = GradualPruning(model.network, names, choice, self.criterion)
                model = self.recover(model, context, gradual)
                self._check_alive({name: values(model.network, name) != 0 for name in names})
            else:
                Masks(model.network, keep).enforce()
                model = self.recover(model, context)
        context.log("sparsity", magnitude.sparsity({name: values(model.network, name) for name in names}), 0)
        return model

    def _choice(self, model: Model) -> Choice:
        """What is to be pruned of a model."""
        from paddlepress.network.layer_kinds import output_axis, weighted_layers
        from paddlepress.training.masks import values
        from paddlepress_components.pruning import magnitude
        from paddlepress_components.pruning.patterns import Choice, zero_blocks

        layers = weighted_layers(model.network, self.exclude)
        axes = {f"{name}.weight": output_axis(layer) for name, layer in layers.items()}
        if not axes:
            raise TechniqueRefused("there is no convolution or dense layer to prune")
        self._check_free(model, axes)
        weights = {name: values(model.network, name) for name in axes}
        last, scope, block = self._share, self.scope, (self.block_size[0], self.block_size[1])
        first = magnitude.sparsity(weights)
        if self.pattern == "block":
            first = zero_blocks(weights, axes, block)
        elif self.pattern == "2:4":
            first = 0.0
        if self.threshold is not None:
            # The smallest weights of all layers together, as many as lie below it, are the weights below it.
            last, scope = magnitude.share_below(weights, self.threshold), "global"
        if last <= first:
            raise TechniqueRefused(f"{self._asked} prunes nothing: {first:.4g} of the weights are zero already")
        return Choice(self.pattern, scope, axes, block, first, last)

    def _scores(self, model: Model, context: Context, names: tuple[str, ...]) -> Scores:
        from paddlepress_components.pruning import weight_scores

        if self.criterion == "magnitude":
            return weight_scores.by_magnitude(model.network, names)
        return weight_scores.by_gradient(model, names, context.train, batches=self.gradient_batches, seed=context.seed)

    def _rewound(self, model: Model, context: Context, choice: Choice) -> Model:
        from paddlepress_components.pruning.rewinding import share_of_round, train_and_rewind

        def prune(trained: Model, number: int) -> Masks:
            share = share_of_round(number, self.rounds, choice.first, choice.last)
            keep = choice.keep(self._scores(trained, context, tuple(choice.axes)), share)
            self._check_alive(keep)
            return keep

        return train_and_rewind(
            model, context, self.rounds, self.recovery_epochs, self.rewind_epochs, prune, self.recover
        )

    @property
    def _share(self) -> float:
        """Of the weights, to set to zero."""
        if self.sparsity is not None:
            return self.sparsity
        return _TWO_OF_FOUR if self.pattern == "2:4" else _SPARSITY

    @property
    def _asked(self) -> str:
        return f"sparsity {self._share:.4g}" if self.threshold is None else f"threshold {self.threshold:g}"

    def _check_free(self, model: Model, names: dict[str, int]) -> None:
        """Refuse weights that can't be zero, or that can't be trained anew."""
        shared = model.shared()
        for name, what in model.on_a_grid().items():
            if self.schedule == "rewinding":
                raise TechniqueRefused(
                    f"{name} is {what}, which training from fresh weights would lose: prune before, "
                    "or with another schedule"
                )
            if name in names and name in shared:
                raise TechniqueRefused(
                    f"{name} is {what}, and its codebook has no room for zeros: prune before, or exclude it"
                )

    def _check_effect(self, model: Model, keep: Masks) -> None:
        from paddlepress.training.masks import values

        weights = {name: values(model.network, name) for name in keep}
        if not any((weights[name][~mask] != 0).any() for name, mask in keep.items()):
            from paddlepress_components.pruning import magnitude

            zeros = magnitude.sparsity(weights)
            raise TechniqueRefused(f"{self._asked} prunes nothing: {zeros:.4g} of the weights are zero already")

    def _check_alive(self, keep: Masks) -> None:
        for name, mask in keep.items():
            if not mask.any():
                other = ", or use scope 'layer'" if self.scope == "global" and self.threshold is None else ""
                remedy = f"lower it, or exclude the layer{other}"
                raise TechniqueRefused(f"{name} would lose all its weights at {self._asked}: {remedy}")
