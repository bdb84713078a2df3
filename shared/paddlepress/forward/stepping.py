"""Forward passes that stop before each of some layers.

Work that goes layer by layer, each layer seeing what those before it became, then costs one pass over the data and not
one for every layer: what a pass has computed so far stays where it is while the layer it stopped at is worked on. (The
same is done on a traced graph by the sequential pipelines of post-training quantizers, such as GPTQ's.) Here the
network's own code is stopped, wherever it calls the layer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from greenlet import GreenletExit, getcurrent, greenlet

from paddlepress.core.errors import DataError
from paddlepress.forward.layer_hooks import before
from paddlepress.forward.outputs import tensors_of

if TYPE_CHECKING:
    import paddle

    from paddlepress.spec.tensors import Inputs

    Stop = tuple[str, paddle.Tensor]


def stepping(
    network: paddle.nn.Layer, layers: Mapping[str, paddle.nn.Layer], inputs: Inputs, batch_size: int = 128
) -> Iterator[tuple[str, list[paddle.Tensor]]]:
    """Run a network over data, and stop before each run of some of its layers.

    What is changed of a layer, or of what comes after it, while the passes are stopped counts when they go on. Hooks of
    layers may not be added or removed meanwhile.

    Args:
        network: runs in evaluation mode and without gradients; in between gradients are as they were.
        layers: where to stop, by name.
        inputs: as the network takes them, [n, *shape].
        batch_size: how many go through the network at once. What all batches have computed is in memory together.

    Yields:
        The layer's name, and what it is about to receive: its first input after its own hooks, one tensor a batch.

    Raises:
        DataError: the order in which layers run depends on the data.
    """
    import paddle

    caller = getcurrent()
    with_gradients = paddle.is_grad_enabled()

    def stopping(name: str) -> Callable[[Any, Any], None]:
        def stop(layer: Any, given: Any) -> None:
            with paddle.set_grad_enabled(with_gradients):
                caller.switch((name, given[0]))

        return stop

    def run(batch: Any) -> None:
        with paddle.no_grad():
            network(*tensors_of(batch))

    was_training = network.training
    network.eval()
    hooks = [before(layer, stopping(name)) for name, layer in layers.items()]
    passes = [greenlet(run) for _ in range(0, len(inputs), batch_size)]
    batches = [inputs[start : start + batch_size] for start in range(0, len(inputs), batch_size)]
    try:
        stops = [each.switch(batch) for each, batch in zip(passes, batches, strict=True)]
        while any(stop is not None for stop in stops):
            names = {stop[0] if stop is not None else "" for stop in stops}
            if len(names) != 1:
                told = " and others ".join(sorted(names))
                raise DataError(f"some examples run {told} next: such layers can't be taken in turn")
            yield names.pop(), [stop[1] for stop in stops]
            stops.clear()
            stops += [each.switch() for each in passes]
    finally:
        for each in passes:
            if each:  # begun, and not at its end
                each.throw(GreenletExit)
        for hook in hooks:
            hook.remove()
        if was_training:
            network.train()
