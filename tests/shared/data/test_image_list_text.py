"""Lists of lines of text, as PaddleOCR keeps them: what is read, what is skipped, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from paddlepress.core.errors import DataError
from paddlepress.core.progress import Silent
from paddlepress.data.source import source_of
from paddlepress.data.store import load, prepare
from paddlepress.tasks import TextRecognition

LINES = {"train": ["ab", "b a", "ca", "cc"] * 5, "val": ["ab", "c"], "test": ["bc", "aa"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Blank images of lines, lists of them and a dictionary."""
    for split, texts in LINES.items():
        (tmp_path / split).mkdir()
        for number in range(len(texts)):
            Image.new("L", (16, 8), 200).save(tmp_path / split / f"{number}.png")
        lines = [f"{split}/{number}.png\t{text}" for number, text in enumerate(texts)]
        (tmp_path / f"{split}_list.txt").write_text("\n".join(lines) + "\n")
    (tmp_path / "dict.txt").write_text("c\nb\na\n")
    return tmp_path


def read(folder: Path, progress: Any = None, **fields: Any) -> Any:
    """The data set as it is stored, of images with six steps."""
    stated = {"source": "image-list", "path": str(folder), "size": [8, 24], "labels": "text", "calibration": 4}
    source = source_of({**stated, "task": "text-recognition", **fields})
    prepare(source, folder / "d", folder / "t", progress or Silent())
    return load(folder / "d")


def told(stored: Any, split: str = "train") -> list[str]:
    task = stored.task
    return ["".join(task.characters[label - 1] for label in row if label > 0) for row in stored.split(split).labels]


def test_characters_are_those_of_the_training_texts(folder: Path) -> None:
    """Without a dictionary, sorted; a step stands for four columns; spaces inside of a text stay."""
    stored = read(folder)
    assert stored.task == TextRecognition(characters=" abc", steps=6)
    assert told(stored) == LINES["train"] and told(stored, "validation") == LINES["val"]
    assert stored.split("train").labels.shape == (20, 6)


def test_a_dictionary_says_the_order(folder: Path) -> None:
    """One character a line, with a space behind if that is wanted; a line may be a space of any kind."""
    stored = read(folder, dictionary="dict.txt", use_space=True)
    assert stored.task.characters == "cba " and told(stored) == LINES["train"]
    (folder / "dict.txt").write_bytes("\ufeffc\r\n \r\nb\r\n\u3000\r\n\u2028\r\na\r\n".encode())
    stored = read(folder, dictionary="dict.txt", use_space=True)
    assert stored.task.characters == "c b\u3000\u2028a " and told(stored) == LINES["train"]


def test_what_the_task_states_is_kept(folder: Path) -> None:
    """Characters and steps may stand in the recipe."""
    stored = read(folder, task={"kind": "text-recognition", "characters": "abc xyz", "steps": 12})
    assert stored.task == TextRecognition(characters="abc xyz", steps=12) and told(stored) == LINES["train"]


@pytest.mark.parametrize(
    ("split", "line", "fields", "message"),
    [
        (
            "train",
            "train/1.png\tabd",
            {"dictionary": "dict.txt", "use_space": True},
            r"train_list.txt, line 21: the text 'abd' has 'd', which is none of the characters. "
            r"Valid: texts of the characters 'cba ' of dict.txt, in at most 6 steps; on_error: skip leaves such lines",
        ),
        (
            "train",
            "train/1.png\tb a",
            {"dictionary": "dict.txt"},
            r"line 2: the text 'b a' has ' '.*; and 3 more. Valid",
        ),
        ("val", "val/1.png\tabd", {}, r"val_list.txt, line 3: the text 'abd' has 'd', .* of the training texts, in at"),
        ("test", "test/1.png\tA", {}, r"test_list.txt, line 3: the text 'A' has 'A', which is none of the"),
        (
            "train",
            "train/1.png\tabcabca",
            {},
            r"line 21: the text 'abcabca' takes 7 steps for its 7 characters, and the",
        ),
        (
            "train",
            "train/1.png\tcccc",
            {},
            r"line 21: .* takes 7 steps for its 4 characters, 3 of them like the one bef",
        ),
        ("train", "train/1.png\t", {}, r"line 21: the text '' is empty. Valid: texts of"),
        ("train", "train/1.png abc", {}, r"line 21: 'train/1.png abc' has 0 tabs. Valid: a path, a tab, and the text"),
        ("train", "train/1.png\ta\t0.9", {}, r"line 21: 'train/1.png a 0.9' has 2 tabs. Valid: a path, a tab"),
        ("train", "../one.png\tab", {}, r"line 21: '../one.png' lies outside of"),
        ("train", "train/1.png\ta\0", {}, r"line 21: .* holds a null character. Valid: a path, a tab"),
        ("train", "train/99.png\tab", {}, r"train/99.png does not exist"),
    ],
)
def test_what_is_wrong_with_a_line(split: str, line: str, fields: dict[str, Any], message: str, folder: Path) -> None:
    """List, line, text and character are named, both numbers where a text is too long, and what is valid."""
    with (folder / f"{split}_list.txt").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(DataError, match=message) as caught:
        read(folder, **fields)
    assert "\n" not in str(caught.value) and not (folder / "d").exists()


def test_lines_that_can_not_be_learned_can_be_skipped(folder: Path) -> None:
    """`on_error: skip` leaves them out with their images, and says of each list how many and which; but not all."""
    with (folder / "test_list.txt").open("a") as stream:
        stream.write("test/1.png\tabcabcabc\n")
    notes: list[str] = []

    class Told(Silent):
        def note(self, text: str) -> None:
            notes.append(text)

    stored = read(folder, Told(), dictionary="dict.txt", on_error="skip")
    assert told(stored) == ["ab", "ca", "cc"] * 5
    assert [note.split("train_list.txt: ")[-1] for note in notes if "train_list" in note] == [
        "5 of 20 lines are left out: line 2: the text 'b a' has ' ', which is none of the characters; "
        + "; ".join(f"line {number}: the text 'b a' has ' ', which is none of the characters" for number in (6, 10))
        + "; and 2 more"
    ]
    assert any("test_list.txt: 1 of 3 lines are left out: line 3" in note for note in notes)
    assert len(load(folder / "t").split("test")) == 2
    with pytest.raises(DataError, match=r"train_list.txt, line 1: the text 'ab' has 'a'.*; and 17 more"):
        read(folder, task={"kind": "text-recognition", "characters": "x"}, on_error="skip")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a\nbc\n", r"dict.txt, line 2: 'bc' has 2 characters. Valid: one in each line"),
        ("a\n\nb\n", r"dict.txt, line 2: '' has 0 characters"),
        ("", r"dict.txt, line 1: '' has 0 characters"),
        ("e\u0301\n", r"dict.txt, line 1: 'e\u0301' has 2 characters"),
        (b"\xff\n", r"dict.txt is no UTF-8 text: byte 0 is 0xff"),
        (None, r"has no file 'dict.txt'"),
    ],
)
def test_what_is_wrong_with_a_dictionary(content: str | bytes | None, message: str, folder: Path) -> None:
    """Its file and line are named."""
    place = folder / "dict.txt"
    if content is None:
        place.unlink()
    else:
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=message):
        read(folder, dictionary="dict.txt")


def test_texts_that_are_all_empty(folder: Path) -> None:
    """They have no characters."""
    (folder / "train_list.txt").write_text("train/0.png\t\n")
    with pytest.raises(DataError, match=r"train_list.txt: every text is empty. Valid: a path, a tab, and the text"):
        read(folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"task": {}}, "'labels' is text, but the task is 'classification'. Valid: 'task' is text-recognition"),
        ({"labels": "classes"}, "'labels' is classes, but the task is 'text-recognition'. Valid: 'labels' is text"),
        ({"labels": "masks"}, "'labels' is masks, but the task is 'text-recognition'"),
        (
            {"labels": "classes", "task": {}, "dictionary": "d"},
            "'dictionary' is 'd', but 'labels' is classes. Valid: t",
        ),
        (
            {"dictionary": "d", "task": {"kind": "text-recognition", "characters": "ab"}},
            "the characters are named twice, by 'dictionary' and in 'task'",
        ),
        ({"use_space": True}, "'use_space' is true, but there is no 'dictionary' that it adds to"),
        ({"classes": ["a", "b"]}, "'classes' are named, but the task 'text-recognition' has none"),
    ],
)
def test_fields_that_do_not_go_together(fields: dict[str, Any], message: str, folder: Path) -> None:
    """They are refused before anything is read."""
    with pytest.raises(ValidationError, match=message):
        read(folder, **fields)
    assert not (folder / "d").exists()


def test_lists_without_labels_of_text_are_as_before(folder: Path) -> None:
    """Numbers and names stay classes, though a line holds a tab."""
    for split in LINES:
        path = folder / f"{split}_list.txt"
        path.write_text("".join(f"{split}/{number}.png\t{number % 2}\n" for number in range(len(LINES[split]))))
    stored = read(folder, labels="classes", task={})
    assert np.array_equal(stored.split("train").labels, np.arange(20) % 2)
