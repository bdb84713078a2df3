"""When oneDNN's kernels are used, and when not."""

from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import paddle
import pytest
from paddle import _C_ops

from paddlepress.core import compute
from paddlepress.onednn import functions, install, library

NAMES = ("conv2d", "depthwise_conv2d", "pool2d")


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Paddle's own operations, in a process that has not looked at oneDNN yet."""
    install.uninstall()
    monkeypatch.setattr(install, "_usable", None)
    return {name: getattr(_C_ops, name) for name in NAMES}


def test_operations_are_replaced_once_and_given_back(plain: dict[str, Any]) -> None:
    """A second call changes nothing; afterwards Paddle has what it had."""
    assert install.install() and install.install()
    assert all(getattr(_C_ops, name) is not plain[name] for name in NAMES)
    install.uninstall()
    assert {name: getattr(_C_ops, name) for name in NAMES} == plain


def test_the_switch_leaves_paddle_alone(plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """`PADDLEPRESS_CPU_TUNING=0` means Paddle's own operations."""
    monkeypatch.setenv(compute.SWITCH, "0")
    assert not compute.use_fast_kernels()
    assert {name: getattr(_C_ops, name) for name in NAMES} == plain
    monkeypatch.setenv(compute.SWITCH, "1")
    assert compute.use_fast_kernels()


def test_a_wheel_without_the_library(plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Paddle's own operations stay."""

    def absent() -> library.Library:
        return library.Library(tmp_path / "libdnnl.so.3")

    monkeypatch.setattr(install, "library", absent)
    assert not install.install()
    assert {name: getattr(_C_ops, name) for name in NAMES} == plain


def test_another_major_version(plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A library whose interface may be another one is not called."""
    path = Path(paddle.__file__).parent / "libs" / "libdnnl.so.3"
    monkeypatch.setattr(library, "MAJOR", 4)
    with pytest.raises(library.OneDNNError, match=r"is oneDNN 3\.\d+ .*usable are 4\.x"):
        library.Library(path)
    monkeypatch.setattr(install, "library", lambda: library.Library(path))
    assert not install.install()
    assert {name: getattr(_C_ops, name) for name in NAMES} == plain


@pytest.mark.parametrize("method", ["forward", "image_gradient", "kernel_gradient"])
def test_kernels_that_compute_something_else(
    method: str, plain: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values or gradients that are not Paddle's are noticed before anything is computed with them."""

    def wrong(self: Any, *addresses: int) -> None:
        right(self, *addresses)
        ctypes.c_float.from_address(addresses[-1]).value += 1.0

    right = getattr(functions.Convolution, method)
    monkeypatch.setattr(functions.Convolution, method, wrong)
    with pytest.warns(RuntimeWarning, match="conv2d differs from Paddle's"):
        assert not install.install()
    assert {name: getattr(_C_ops, name) for name in NAMES} == plain


def test_small_operations_are_left_to_paddle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A single small image is not worth the call; a batch of it is."""
    monkeypatch.undo()
    calls: list[int] = []
    for kind in (functions.Convolution, functions.MaxPooling):
        make = kind.__init__

        def noted(self: Any, image: Any, *rest: Any, make: Any = make) -> None:
            calls.append(image[0])
            make(self, image, *rest)

        monkeypatch.setattr(kind, "__init__", noted)
    for kept in (functions.convolutions, functions.poolings):
        monkeypatch.setattr(kept, "_kept", type(kept._kept)())
    for images in (1, 64):
        image = paddle.ones([images, 8, 9, 9])
        paddle.nn.functional.max_pool2d(image, 2)
        paddle.nn.functional.conv2d(image, paddle.ones([8, 8, 3, 3]))
    assert calls == [64, 64]


def test_the_self_test_leaves_the_generator_alone(plain: dict[str, Any]) -> None:
    """A seeded training draws the same numbers whether or not it was the first."""
    paddle.seed(3)
    expected = paddle.randn([4]).numpy()
    paddle.seed(3)
    assert install.install()
    assert (paddle.randn([4]).numpy() == expected).all()


def test_a_model_is_built_with_the_kernels() -> None:
    """A process that builds a model computes with oneDNN, and does not import Paddle before that."""
    code = """
import sys
from paddlepress.core import compute
compute.prepare()
from paddlepress.network.model import Model
from paddlepress.spec.origin import ArchitectureRef
from paddlepress.spec.signature import TensorSpec
from paddlepress.tasks import Classification
assert "paddle" not in sys.modules
inputs, task = (TensorSpec(name="image", shape=(1, 28, 28)),), Classification(classes=("a", "b"))
Model.build(ArchitectureRef(name="lenet"), inputs, task)
from paddle import _C_ops
print(_C_ops.conv2d.__module__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "paddlepress.onednn.install"
