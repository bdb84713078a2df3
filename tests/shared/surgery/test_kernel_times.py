"""What layers are estimated to cost on ONNX Runtime."""

from __future__ import annotations

import pytest

from paddlepress.surgery.kernel_times import PROCESSORS, Processor, Work, load


def conv(channels: int, side: int = 14, **others: int) -> Work:
    return Work(channels, channels, (3, 3), side * side, **others)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_every_family_of_processors_has_a_table(processor: Processor) -> None:
    """Its name is the file's, and each kind of layer costs time, more the more there is to compute."""
    kernels = load(processor)
    assert kernels.processor == processor
    for kind in ({}, {"groups": 64}, {"dense": True}, {"transposed": True}):
        small, large = (Work(64, 64, (1, 1), side * side, **kind) for side in (7, 28))
        assert 0 < kernels.nanoseconds(small) < kernels.nanoseconds(large)


@pytest.mark.parametrize("processor", PROCESSORS)
def test_channels_that_fill_no_block_cost_what_the_block_does(processor: Processor) -> None:
    """A multiple of 4 is filled up to whole blocks; any other number falls out of the fast kernels."""
    kernels = load(processor)
    block = kernels.block
    full = kernels.nanoseconds(conv(4 * block))
    assert kernels.nanoseconds(conv(4 * block - 4)) == full
    assert kernels.nanoseconds(conv(4 * block - 1)) > 1.2 * full
    assert kernels.nanoseconds(conv(3 * block)) < full


def test_a_depthwise_convolution_costs_less_than_a_full_one() -> None:
    """One input channel for each output is less work; so are groups of whole blocks."""
    kernels = load("avx512")
    grouped, full = kernels.nanoseconds(conv(64, groups=4)), kernels.nanoseconds(conv(64))
    assert kernels.nanoseconds(conv(64, groups=64)) < grouped < full
    assert conv(64, groups=4).macs == conv(64).macs // 4


@pytest.mark.parametrize(("units", "multiple"), [(6, 1), (15, 1), (16, 8), (31, 8), (32, 16), (960, 16)])
def test_layers_keep_whole_blocks_if_they_have_several(units: int, multiple: int) -> None:
    """Multiples of 16 with AVX-512 where there are 32 or more; below a block any number costs the same."""
    assert load("avx512").multiple(units) == multiple
