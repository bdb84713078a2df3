from __future__ import annotations

import pytest
from paddle import nn

from paddlepress.core.errors import UsageError
from paddlepress.network.layer_kinds import output_axis, weighted_layers


def network() -> nn.Layer:
    return nn.Sequential(nn.Conv2D(1, 2, 3), nn.BatchNorm2D(2), nn.Conv2DTranspose(2, 4, 3), nn.Linear(3, 5))


def test_only_convolutions_and_dense_layers_count() -> None:
    """Norms are not among the weighted layers; excluded patterns are left out."""
    assert list(weighted_layers(network())) == ["0", "2", "3"]
    assert list(weighted_layers(network(), ["[02]"])) == ["3"]


def test_a_pattern_that_matches_nothing_names_the_layers() -> None:
    """A typo in exclude is an error that lists what there is."""
    with pytest.raises(UsageError, match=r"'conv9' matches no layer\. Layers: 0, 2, 3"):
        weighted_layers(network(), ["conv9"])


def test_the_output_axis_has_the_size_of_the_outputs() -> None:
    """Along the output axis a weight is as long as the layer has outputs."""
    sizes = [layer.weight.shape[output_axis(layer)] for layer in weighted_layers(network()).values()]
    assert sizes == [2, 4, 5]
