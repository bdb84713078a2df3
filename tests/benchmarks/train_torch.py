"""A few steps of training in PyTorch: `train_torch.py NETWORK STEPS` prints seconds a step, wall and CPU.

Runs in an environment of its own, which has PyTorch and nothing of paddlepress. The networks are those of
train_paddle.py, layer by layer.
"""

from __future__ import annotations

import os
import sys

import torch
import torch.nn.functional as F
from step_time import INPUTS, report
from torch import nn


def lenet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(3136, 512), nn.ReLU(), nn.Linear(512, 10)),
    )


class Residual(nn.Module):
    """A block of ResNet-18: two convolutions and a way past them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        first = (nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())
        self.body = nn.Sequential(*first, nn.Conv2d(after, after, 3, 1, 1, bias=False), nn.BatchNorm2d(after))
        shorter = (nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        self.past = nn.Sequential(*(shorter if stride != 1 or before != after else ()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.body(x) + self.past(x))


def resnet18() -> nn.Module:
    layers = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    before = 64
    for after, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Residual(before, after, stride), Residual(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def activated(before: int, after: int, size: int, stride: int, groups: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, size, stride, (size - 1) // 2, groups=groups, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU6()]


class Inverted(nn.Module):
    """A block of MobileNetV2: widened, filtered channel by channel, narrowed."""

    def __init__(self, before: int, after: int, stride: int, widening: int) -> None:
        super().__init__()
        wide = before * widening
        self.adds = stride == 1 and before == after
        widen = activated(before, wide, 1, 1, 1) if widening != 1 else []
        narrow = (nn.Conv2d(wide, after, 1, bias=False), nn.BatchNorm2d(after))
        self.body = nn.Sequential(*widen, *activated(wide, wide, 3, stride, wide), *narrow)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x) if self.adds else self.body(x)


def mobilenet_v2() -> nn.Module:
    layers, before = activated(3, 32, 3, 2, 1), 32
    for widening, after, blocks, stride in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for block in range(blocks):
            layers.append(Inverted(before, after, 1 if block else stride, widening))
            before = after
    layers += activated(320, 1280, 1, 1, 1)
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 10))


NETWORKS = {"lenet": lenet, "resnet18": resnet18, "mobilenet_v2": mobilenet_v2}


def main() -> None:
    name, steps = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    learns = NETWORKS[name]()
    learns.train()
    optimizer = torch.optim.SGD(learns.parameters(), 0.01, 0.9, nesterov=True)
    images, labels = torch.randn(INPUTS[name]), torch.randint(0, 10, INPUTS[name][:1])

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(learns(images), labels).backward()
        optimizer.step()

    report(step, steps)


if __name__ == "__main__":
    main()
