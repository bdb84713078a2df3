"""The models of `paddle.vision.models`, as `vision/NAME`."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from paddlepress.core import compute
from paddlepress.core.errors import DataError

if TYPE_CHECKING:
    import paddle

    from paddlepress.spec.signature import TensorSpec
    from paddlepress.tasks import Task


@cache
def names() -> tuple[str, ...]:
    """The functions of `paddle.vision.models` that build a network: `resnet18`, `mobilenet_v2`, ..."""
    compute.prepare()
    import paddle.vision.models as models

    return tuple(name for name in models.__all__ if name.islower() and callable(getattr(models, name)))


def architecture(name: str) -> partial[paddle.nn.Layer]:
    """The architecture `vision/NAME`."""
    return partial(_build, name)


def _build(name: str, inputs: tuple[TensorSpec, ...], task: Task, **arguments: Any) -> paddle.nn.Layer:
    import paddle.vision.models as models

    shapes = [spec.shape for spec in inputs]
    if len(shapes) != 1 or len(shapes[0]) != 3 or shapes[0][0] != 3:
        raise DataError(f"the data have inputs of shape {shapes}; vision/{name} takes one image [3, height, width]")
    if arguments.pop("pretrained", False):
        raise ValueError("pretrained weights would be downloaded; import a local file with import-model instead")
    if name == "googlenet":
        from paddlepress.network.architectures.googlenet import MainGoogLeNet

        return MainGoogLeNet(num_classes=task.out_features, **arguments)
    return getattr(models, name)(pretrained=False, num_classes=task.out_features, **arguments)
