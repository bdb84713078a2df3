"""Text recognition: texts that are read and refused, its loss and scores, and a network that goes all the way."""

from __future__ import annotations

import re
from itertools import groupby, product
from pathlib import Path

import numpy as np
import pytest
from drawn_lines import CHARACTERS, drawn, texts
from hypothesis import given, settings
from hypothesis import strategies as st

import paddlepress as pp
from paddlepress.core import compute
from paddlepress.core.errors import DataError, TechniqueRefused, UsageError
from paddlepress.core.progress import Silent
from paddlepress.data.store import load, save
from paddlepress.deployment.predictor import Predictor
from paddlepress.evaluation.evaluate import exported
from paddlepress.tasks import TextRecognition

compute.prepare()
import paddle  # noqa: E402

TASK = TextRecognition(characters="abc", steps=6)


def logits(*paths: list[int], places: int = 4) -> np.ndarray:
    """What a network gives that is sure of these paths."""
    return 9 * np.eye(places, dtype=np.float32)[np.array(paths)]


def distance(one: str, other: str) -> int:
    """The Levenshtein distance, by its definition."""
    if not one or not other:
        return len(one) + len(other)
    changed = distance(one[1:], other[1:]) + (one[0] != other[0])
    return min(changed, distance(one[1:], other) + 1, distance(one, other[1:]) + 1)


@settings(max_examples=30)
@given(path=st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_the_best_path_is_the_papers(path: list[int]) -> None:
    """Equal neighbours are one character, blanks none; a blank parts two that are alike."""
    told = TASK.decode(logits(path))
    assert told["text"].tolist() == ["".join("-abc"[place] for place, _ in groupby(path) if place)]
    sure = np.exp(9) / (np.exp(9) + 3)
    assert told["score"][0] == pytest.approx(sure if any(path) else 0, abs=1e-6)


@settings(max_examples=15)
@given(lines=st.lists(st.tuples(*[st.text("abc", min_size=1, max_size=3)] * 2), min_size=1, max_size=5))
def test_the_scores_are_by_their_definitions(lines: list[tuple[str, str]]) -> None:
    """Line accuracy counts whole lines; edit similarity is 1 - distance / length of the longer text, as PP-OCR's."""
    paths = [[place for each in told for place in (TASK.characters.index(each) + 1, 0)] for told, _ in lines]
    outputs = logits(*[path + [0] * (6 - len(path)) for path in paths])
    targets = TASK.read(np.array([there for _, there in lines]), "y")
    score = TASK.score(outputs, targets)
    assert score.value == pytest.approx(100 * np.mean([told == there for told, there in lines]))
    assert score.low <= score.value <= score.high
    similar = [1 - distance(*line) / max(map(len, line)) for line in lines]
    assert TASK.further(outputs, targets) == {"edit_similarity": pytest.approx(100 * np.mean(similar))}


def test_the_loss_is_the_papers() -> None:
    """CTC's loss is -log of the sum over all paths of the text, the mean over lines; padding changes nothing."""
    task = TextRecognition(characters="ab", steps=4)
    outputs = np.random.default_rng(0).normal(size=(3, 4, 3)).astype(np.float32)
    told = ["ab", "aa", "b"]
    by_path = task.probabilities(outputs).astype(np.float64)
    losses = []
    for line, text in zip(by_path, told, strict=True):
        paths = [
            path for path in product(range(3), repeat=4) if "".join("-ab"[p] for p, _ in groupby(path) if p) == text
        ]
        losses.append(-np.log(sum(np.prod([line[step, place] for step, place in enumerate(path)]) for path in paths)))
    tensor = paddle.to_tensor(outputs, stop_gradient=False)
    loss = task.loss(tensor, paddle.to_tensor(task.read(np.array(told), "y")))
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-4)
    loss.backward()
    assert (tensor.grad.abs().sum(axis=[1, 2]) > 0).all()


def test_the_divergence_is_0_where_outputs_agree() -> None:
    """And grows with the distance from the teacher, at any temperature."""
    one, other = paddle.randn([2, 6, 4]), paddle.randn([2, 6, 4])
    for temperature in (1.0, 4.0):
        assert abs(float(TASK.divergence(one, one, temperature))) < 1e-5
        far, near = (float(TASK.divergence(x, other, temperature)) for x in (one, 0.1 * one + 0.9 * other))
        assert far > near > 0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            np.array(["ab", "axb"]),
            "y: text 1, 'axb', has 'x', which is none of the characters. Valid: texts of the char",
        ),
        (np.array(["ab", ""]), "y: text 1, '', is empty"),
        (
            np.array(["aabc", "abcabca", "cccc"]),
            "y: text 1, 'abcabca', takes 7 steps for its 7 characters, and the net",
        ),
        (
            np.array(["cccc"]),
            "takes 7 steps for its 4 characters, 3 of them like the one before, and the network has 6",
        ),
        (np.array(["x", "y"]), "(2 such texts). Valid: texts of the characters 'abc', in at most 6 steps"),
        (np.zeros(2), "y: the targets are float64 of shape [2]. Valid: texts of shape [n]"),
        (np.array([["a", "b"]]), "y: the targets are <U1 of shape [1, 2]"),
        (np.array(["a", 3], dtype=object), "y: target 1 is 3, which is no text"),
        (
            np.array([1, 2]),
            "y: the targets are int64 of shape [2]. Valid: texts of shape [n], or labels of shape [n, 6]",
        ),
        (
            np.array([[1, 2, -1, 3, -1, -1]]),
            "y: line 0 has label 3 at place 3. Valid: 1..3, at least one, and -1 behind",
        ),
        (np.array([[4, 2, -1, -1, -1, -1]]), "y: line 0 has label 4 at place 0"),
        (np.array([[-1] * 6]), "y: line 0 has label -1 at place 0"),
        (np.array([[1] * 6]), "y: line 0 takes 11 steps. Valid: at most 6"),
    ],
)
def test_texts_that_do_not_fit(values: np.ndarray, message: str) -> None:
    """What can't be learned is refused, with the text, the reason and what is valid."""
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        TASK.read(values, "y")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"characters": ""}, "'characters'.*at least 1 character"),
        ({"characters": "a\ud800"}, "'characters' is .* must be a valid string"),
        ({"steps": 0}, "'steps' is 0: must be >= 1"),
    ],
)
def test_fields_that_are_none(fields: dict[str, object], message: str) -> None:
    """A task needs characters that can be written, and a step."""
    with pytest.raises(UsageError, match=message):
        TextRecognition.stating({"characters": "abc", "steps": 6, **fields})


def test_a_space_that_is_named_twice() -> None:
    """As in PP-OCR's dictionaries: its last place is learned, and both are told as a space."""
    task = TextRecognition(characters="a b ", steps=5)
    targets = task.read(np.array(["a b"]), "y")
    assert targets.tolist() == [[1, 4, 3, -1, -1]]
    for space in (2, 4):
        outputs = logits([1, space, 3, 0, 0], places=5)
        assert task.score(outputs, targets).value == task.further(outputs, targets)["edit_similarity"] == 100


def test_groups_guess_and_agreement() -> None:
    """Lines are grouped by length and by the characters in them; guessing is the most frequent text."""
    task = TextRecognition(characters="abc", steps=12)
    told = ["ab", "ab", "b", "abcab"]
    targets = task.read(np.array(told), "y")
    groups = {name: mask.tolist() for name, mask in task.groups(targets).items()}
    assert groups == {
        "1 to 4 characters": [True, True, True, False],
        "5 to 8 characters": [False, False, False, True],
        "'a'": [True, True, False, True],
        "'b'": [True, True, True, True],
        "'c'": [False, False, False, True],
    }
    assert task.guess(targets).value == 50
    right = logits([1, 2] + [0] * 10, [1, 0, 2] + [0] * 9)
    assert task.agreement(right, logits([1, 0, 0, 2] + [0] * 8, [2, 1] + [0] * 10)) == 50
    with pytest.raises(DataError, match="as many predictions as lines, and at least one; got 2 and 4"):
        task.score(right, targets)


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (TextRecognition(characters="abd", steps=6), "has another character 2: 'd', not 'c'"),
        (TextRecognition(characters="ab", steps=6), "tells 2 characters apart, not 3"),
        (TextRecognition(characters="abc", steps=7), "has 7 steps, not 6"),
        (TextRecognition(characters="abc", steps=6), ""),
    ],
)
def test_networks_of_other_characters_or_steps(other: TextRecognition, reason: str) -> None:
    """Such a one can't be a teacher, and is told why."""
    assert TASK.mismatch(other) == reason


@pytest.fixture(scope="module")
def data() -> pp.Data:
    """Lines of two or three digits."""
    told = texts(600, 3)
    return pp.from_arrays(drawn(told, (16, 40)), told, task=TextRecognition(characters=CHARACTERS, steps=10))


def test_labels_are_stored_as_they_are_read(data: pp.Data, tmp_path: Path) -> None:
    """Without a dictionary the characters are those that occur, sorted; a stored data set gives the same labels."""
    from paddlepress.data.prepared import prepared
    from paddlepress.data.raw import Examples, Raw

    told = texts(50, 3)
    raw = Raw("lines", Examples.of(drawn(told, (16, 40)), told, "x"))
    found = prepared(raw, {"kind": "text-recognition", "steps": 10}, pp.Sizes())
    assert found.task == data.learning.task
    save(tmp_path / "lines", found, found.learning)
    labels = load(tmp_path / "lines").split("train").labels
    assert labels.dtype == np.int32 and np.array_equal(labels, found.parts.train.targets)
    with pytest.raises(UsageError, match="task: 'steps' is missing"):
        prepared(raw, {"kind": "text-recognition"}, pp.Sizes())


@pytest.mark.parametrize(
    ("arguments", "steps", "message"),
    [
        ({}, 13, "the task has 13 steps; for images 48 pixels wide this architecture gives 48, 24, 12, 6"),
        ({"width": 0}, 12, "width is 0; it must be a whole number from 1 to 4096"),
        ({"hidden": 2.5}, 12, r"hidden is 2\.5; it must be a whole number"),
    ],
)
def test_what_a_crnn_does_not_take(arguments: dict[str, float], steps: int, message: str) -> None:
    """Steps that it does not give, and odd arguments, are told with what is valid."""
    reference = pp.ArchitectureRef(name="crnn", arguments=arguments)
    inputs = (pp.TensorSpec(name="input", shape=(1, 16, 48)),)
    with pytest.raises(pp.PaddlepressError, match=message):
        pp.Model.build(reference, inputs, TextRecognition(characters="abc", steps=steps))
    with pytest.raises(pp.PaddlepressError, match=r"the task is 'classification'; .* is for 'text-recognition'"):
        pp.Model.build(pp.ArchitectureRef(name="crnn"), inputs, pp.Classification(classes=("a", "b")))


@pytest.mark.parametrize(("shape", "steps"), [((3, 1, 40), 40), ((1, 32, 100), 25), ((3, 48, 90), 11)])
def test_a_crnn_takes_lines_of_any_height(shape: tuple[int, int, int], steps: int) -> None:
    """In color or not, with a step for each, every second, fourth or eighth column."""
    task = TextRecognition(characters="abc", steps=steps)
    model = pp.Model.build(
        pp.ArchitectureRef(name="crnn", arguments={"width": 2, "hidden": 4, "layers": 2}),
        (pp.TensorSpec(name="input", shape=shape),),
        task,
    )
    assert model.predict(np.zeros((2, *shape), np.float32)).shape == (2, steps, 4)


def test_a_crnn_goes_all_the_way(data: pp.Data, tmp_path: Path) -> None:
    """Trained on drawn lines, pruned and on integers, it is smaller, and its deployable still tells their texts."""
    fields = {"epochs": 10, "batch_size": 12, "learning_rate": 0.006}
    base = pp.train("crnn", data, arguments={"width": 8, "hidden": 24}, progress=Silent(), **fields)
    recovery = {"recovery_epochs": 2, "recovery_batch_size": 12, "recovery_learning_rate": 0.003}
    small = pp.compress(base, "prune-filters", data, ratio=0.3, progress=Silent(), **recovery)
    small = pp.compress(small, "quantize-post-training", data, base=base, progress=Silent())
    found = pp.evaluate(small, base, data, latency_seconds=0.05, progress=Silent())
    assert found.primary == "line_accuracy" and found.metrics["ratio"] > 1.5
    assert found.metrics["line_accuracy"] > 60 and found.metrics["runtime_agreement"] > 95
    assert found.metrics["edit_similarity"] > found.metrics["line_accuracy"]
    assert {"1 to 4 characters", *map(repr, CHARACTERS)} == {group.name for group in found.per_class}

    pp.save(small, tmp_path / "small")
    exported(tmp_path / "small", tmp_path / "deployed", data.test)
    test = data.test.split("test")
    predictor = Predictor.load(tmp_path / "deployed")
    told = predictor.task.decode(predictor.predict(test.inputs))
    there = ["".join(CHARACTERS[label - 1] for label in row if label > 0) for row in test.labels]
    assert 100 * np.mean(told["text"] == there) == pytest.approx(found.metrics["line_accuracy"])
    assert ((told["score"] > 0) & (told["score"] <= 1)).all()


def test_steps_and_methods_that_make_no_sense(data: pp.Data) -> None:
    """Mirrored lines and heads without steps are refused with the reason."""
    fields = {"epochs": 1, "progress": Silent()}
    with pytest.raises(DataError, match=r"'flip' is refused by the task 'text-recognition'.*Valid: color, crop"):
        pp.train("crnn", data, arguments={"width": 2, "hidden": 4}, augmentation=["flip"], **fields)
    reference = pp.ArchitectureRef(name="crnn", arguments={"width": 2, "hidden": 4})
    statistics = data.learning.statistics
    model = pp.Model.build(reference, data.learning.inputs, data.learning.task, preprocessing=statistics)
    with pytest.raises(TechniqueRefused, match=r"'auxiliary-heads': .* task 'text-recognition' has 10 x 11"):
        pp.compress(model, "distill-self", data, method="auxiliary-heads", **fields)
