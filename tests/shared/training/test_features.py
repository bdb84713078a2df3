from __future__ import annotations

import numpy as np
import paddle
import pytest
from paddle import nn

from paddlepress.core.errors import UnknownName
from paddlepress.testing import digits, trained
from paddlepress.training.features import Capture, Feature, embedding, features, named, stages


def found() -> list[Feature]:
    return features(trained().network, digits().split("train").inputs[:2])


def test_features_are_what_layers_give_in_their_order() -> None:
    """Each layer's output without the batch; the network's own outputs are none."""
    assert [(feature.layer, feature.shape) for feature in found()] == [
        ("conv1", (32, 8, 8)),
        ("conv2", (64, 4, 4)),
        ("fc1", (128,)),
    ]


def test_places_and_channels() -> None:
    """Maps have channels first, sequences and vectors last."""
    image, sequence, vector = Feature("a", (8, 4, 5)), Feature("b", (7, 16)), Feature("c", (32,))
    assert (image.channels, image.places, image.is_map) == (8, (4, 5), True)
    assert (sequence.channels, sequence.places, sequence.is_map) == (16, (7,), False)
    assert (vector.channels, vector.places, vector.is_map) == (32, (), False)
    assert not Feature("pooled", (512, 1, 1)).is_map


def test_stages_are_the_last_maps_of_each_size() -> None:
    """Of several maps of one size the last counts, and the last feature of all is the embedding."""
    chain = [Feature("a", (8, 4, 4)), Feature("b", (9, 4, 4)), Feature("c", (9, 2, 2)), Feature("d", (9,))]
    assert [feature.layer for feature in stages(chain).values()] == ["b", "c"]
    assert embedding(chain) == chain[-1]
    assert embedding([]) is None


def test_an_unknown_layer_lists_those_with_features() -> None:
    """The message names the field, the closest layer and the valid ones."""
    with pytest.raises(UnknownName, match=r"student_layer: unknown layer 'conv3'.*Valid: conv1, conv2, fc1"):
        named(found(), "conv3", "student_layer")
    with pytest.raises(UnknownName, match=r"'conv3'"):
        Capture(trained().network, ["conv3"])


def test_captured_outputs_are_the_layers_own_and_no_hook_stays() -> None:
    """Inside the block the latest outputs are at hand; afterwards the network is as it was."""
    network, inputs = trained().network, paddle.to_tensor(digits().split("train").inputs[:3])
    with Capture(network, ["conv1", "fc1"]) as captured:
        network(inputs)
        np.testing.assert_array_equal(captured.outputs["conv1"].numpy(), network.conv1(inputs).numpy())
        assert captured.outputs["fc1"].shape == [3, 128]
    assert not captured.outputs
    assert not any(layer._forward_post_hooks for layer in network.sublayers(include_self=True))


def test_what_is_captured_in_training_only_is_left_alone_in_evaluation() -> None:
    """Validation between two epochs keeps no features of whole batches."""
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    with Capture(network, ["0"], training=True) as captured:
        network.eval()
        network(paddle.ones([5, 4]))
        assert not captured.outputs
        network.train()
        network(paddle.ones([5, 4]))
        assert captured.outputs["0"].shape == [5, 3]


class _Odd(nn.Layer):
    """A shared activation, a recurrent layer with states, and pooled maps."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 6)
        self.act = nn.ReLU()
        self.rnn = nn.LSTM(6, 5)
        self.head = nn.Linear(5, 2)

    def forward(self, x: paddle.Tensor) -> paddle.Tensor:
        steps, _ = self.rnn(self.act(self.body(x)))
        return self.head(self.act(steps[:, -1]))


def test_any_network_has_features() -> None:
    """Layers used twice count where they were used last; outputs that are no tensor are passed over."""
    shapes = {feature.layer: feature.shape for feature in features(_Odd(), np.ones((3, 7, 4), np.float32))}
    assert shapes == {"body": (7, 6), "act": (5,)}
    assert list(shapes) == ["body", "act"]
