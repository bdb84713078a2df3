"""A few steps of training in Paddle: `train_paddle.py NETWORK STEPS KERNELS` prints seconds a step, wall and CPU.

KERNELS is `onednn` or `paddle`, whose own operations are then left in place.
"""

from __future__ import annotations

import sys

from step_time import INPUTS, report

from paddlepress.core import compute

compute.prepare()

import numpy as np  # noqa: E402
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402

from paddlepress.network.model import Model  # noqa: E402
from paddlepress.onednn.install import install, uninstall  # noqa: E402
from paddlepress.spec.origin import ArchitectureRef  # noqa: E402
from paddlepress.spec.signature import TensorSpec  # noqa: E402
from paddlepress.tasks import Classification  # noqa: E402


def network(name: str) -> paddle.nn.Layer:
    if name == "lenet":
        inputs = (TensorSpec(name="image", shape=INPUTS[name][1:]),)
        return Model.build(ArchitectureRef(name=name), inputs, Classification(classes=tuple("0123456789"))).network
    made = getattr(paddle.vision.models, name)(num_classes=10)
    if name == "resnet18":  # its first convolution is made for larger images
        made.conv1 = paddle.nn.Conv2D(3, 64, 3, padding=1, bias_attr=False)
    return made


def main() -> None:
    name, steps, kernels = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    learns = network(name)
    learns.train()
    if kernels == "paddle":
        uninstall()
    elif not install():
        sys.exit("oneDNN can't be used here")
    optimizer = paddle.optimizer.Momentum(0.01, 0.9, parameters=learns.parameters(), use_nesterov=True)
    rng = np.random.default_rng(0)
    images = paddle.to_tensor(rng.standard_normal(INPUTS[name], dtype=np.float32))
    labels = paddle.to_tensor(rng.integers(0, 10, INPUTS[name][0]))

    def step() -> None:
        F.cross_entropy(learns(images), labels).backward()
        optimizer.step()
        optimizer.clear_grad(set_to_zero=False)

    report(step, steps)


if __name__ == "__main__":
    main()
