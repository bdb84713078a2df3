"""Recurrent layers lose hidden units with all of their gates; embeddings lose columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from surgical import Build, check, images

from paddlepress.artifact import store
from paddlepress.core import compute
from paddlepress.core.errors import TechniqueRefused
from paddlepress.network import edits
from paddlepress.surgery.graph import narrow_all, trace
from paddlepress.surgery.macs import macs

compute.prepare()
import paddle  # noqa: E402
import paddle.nn.functional as F  # noqa: E402
from paddle import nn  # noqa: E402

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.SimpleRNN}


class Reader(nn.Layer):
    """A dense layer at each step, recurrent layers, a classifier on the last step or on the last states."""

    def __init__(self, kind="lstm", hidden=8, layers=1, both=False, states=False, **options):
        super().__init__()
        self.embed = nn.Linear(6, 5)
        direction = "bidirect" if both else "forward"
        self.recurrent = KINDS[kind](5, hidden, num_layers=layers, direction=direction, **options)
        self.states, sides = states, 2 if both else 1
        self.classify = nn.Linear(hidden * (1 if states else sides), 10)

    def forward(self, x):
        outputs, last = self.recurrent(F.relu(self.embed(x)))
        if self.states:
            last = last[0] if isinstance(last, tuple) else last
            return self.classify(last[-1])
        return self.classify(outputs[:, -1])


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(sorted(KINDS)),
    hidden=st.integers(2, 9),
    layers=st.integers(1, 3),
    both=st.booleans(),
    states=st.booleans(),
)
def test_any_stack(kind: str, hidden: int, layers: int, both: bool, states: bool, build_shared: Build) -> None:
    """Whatever the cells, the layers and the directions, their cuts are right."""
    model = build_shared(lambda: Reader(kind, hidden, layers, both, states), (4, 6))
    graph = check(model)
    assert [(group.name, group.units, group.kind) for group in graph.groups] == [
        ("embed", 5, "neurons"),
        ("recurrent", hidden, "neurons"),
    ]


def test_sizes(build: Build, tmp_path: Path) -> None:
    """The layer and its cells know their new sizes, before and after saving; each weight is stored once."""
    model = narrow_all(build(lambda: Reader(layers=2), (4, 6)), {"embed": np.arange(3), "recurrent": np.arange(1, 6)})
    manifest = store.save(model, tmp_path / "model")
    assert sorted(name for name in manifest.tensors if name.startswith("recurrent")) == sorted(
        f"recurrent.{kind}_{side}_l{layer}" for kind in ("weight", "bias") for side in ("ih", "hh") for layer in (0, 1)
    )
    loaded = store.load(tmp_path / "model")
    for found in (model, loaded):
        recurrent = edits.find(found.network, "recurrent")
        assert (recurrent.input_size, recurrent.hidden_size) == (3, 5)
        cells = [edits.find(found.network, f"recurrent.{layer}.cell") for layer in (0, 1)]
        assert [(cell.input_size, cell.hidden_size) for cell in cells] == [(3, 5), (5, 5)]
        assert cells[0].weight_ih is recurrent.weight_ih_l0
        assert [weight.shape for weight in recurrent._all_weights[:2]] == [[20, 3], [20, 5]]
    assert np.array_equal(loaded.predict(images(model)), model.predict(images(model)))


def test_training_after_a_cut(build: Build) -> None:
    """A narrowed recurrent layer computes with the weights that an optimizer changes."""
    model = narrow_all(build(Reader, (4, 6)), {"recurrent": np.arange(4)})
    x = paddle.to_tensor(images(model))
    before = model.predict(images(model))
    model.network.train()
    optimizer = paddle.optimizer.SGD(0.5, parameters=model.network.parameters())
    model.network(x).square().sum().backward()
    assert all(parameter.grad.shape == parameter.shape for parameter in model.network.parameters())
    classifier = {id(parameter) for parameter in model.network.classify.parameters()}
    optimizer._parameter_list = [p for p in model.network.parameters() if id(p) not in classifier]
    optimizer.step()
    assert not np.allclose(model.predict(images(model)), before, atol=1e-4)


def test_macs(build: Build) -> None:
    """Each step multiplies with the weights of every layer and direction."""
    found = macs(build(lambda: Reader("gru", 8, 2, both=True), (4, 6)))
    per_step = 2 * (3 * 8 * 5 + 3 * 8 * 8) + 2 * (3 * 8 * 16 + 3 * 8 * 8)
    assert found == {"embed": 4 * 6 * 5, "recurrent": 4 * per_step, "classify": 16 * 10}


class Started(nn.Layer):
    """A recurrent layer that starts from states of the network's own."""

    def __init__(self, learned):
        super().__init__()
        self.learned, self.recurrent = learned, nn.GRU(6, 8)
        self.start, self.classify = self.create_parameter([1, 1, 8]), nn.Linear(8, 10)

    def forward(self, x):
        start = self.start.expand([1, x.shape[0], 8]) if self.learned else paddle.zeros([1, x.shape[0], 8])
        return self.classify(self.recurrent(x, start)[0][:, -1])


def test_initial_states(build: Build) -> None:
    """States that are stated by the code keep a recurrent layer whole."""
    for learned in (True, False):
        graph = check(build(lambda learned=learned: Started(learned), (4, 6)))
        assert not graph.groups
        assert "recurrent" in graph.fixed


class Looped(nn.Layer):
    """A cell in a loop of Paddle's."""

    def __init__(self, projected):
        super().__init__()
        self.recurrent = nn.LSTM(6, 8, proj_size=3) if projected else nn.RNN(nn.LSTMCell(6, 8))
        self.classify = nn.Linear(3 if projected else 8, 10)

    def forward(self, x):
        return self.classify(self.recurrent(x)[0][:, -1])


@pytest.mark.parametrize("projected", [True, False])
def test_cells_in_a_loop(projected: bool, build: Build) -> None:
    """What surgery does not follow offers no units, and is not counted as no work."""
    model = build(lambda: Looped(projected), (4, 6))
    assert not trace(model).groups
    with pytest.raises(TechniqueRefused, match=r"layer 'recurrent.* is computed in a while"):
        macs(model)


class Words(nn.Layer):
    """Numbers are looked up, with positions of their own, and read by an LSTM."""

    def __init__(self):
        super().__init__()
        self.words, self.places = nn.Embedding(20, 12), nn.Embedding(4, 12)
        self.norm, self.recurrent, self.classify = nn.LayerNorm(12), nn.LSTM(12, 6), nn.Linear(6, 10)

    def forward(self, x):
        numbers = (paddle.abs(x) * 5).astype("int64").clip(0, 19)
        x = self.norm(self.words(numbers) + self.places(paddle.arange(4)))
        return self.classify(self.recurrent(x)[0].max(1))


def test_embeddings(build: Build) -> None:
    """Columns of embeddings that are added go together; rows never do."""
    graph = check(build(Words, (4,)))
    columns, hidden = graph.groups
    assert (columns.name, columns.producers, columns.units) == ("words", ("words", "places"), 12)
    assert {(part.parameter, part.axis) for part in columns.slices} == {
        ("words.weight", 1),
        ("places.weight", 1),
        ("norm.weight", 0),
        ("norm.bias", 0),
        ("recurrent.weight_ih_l0", 1),
    }
    assert hidden.name == "recurrent"
    model = narrow_all(build(Words, (4,)), {"words": np.arange(7)})
    words = edits.find(model.network, "words")
    assert (words._embedding_dim, words._size) == (7, [20, 7])
