"""Tables: formats, columns and splits, and clear words for what is no table of numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from s3_server import S3Server

from paddlepress.core.errors import DataError
from paddlepress.core.progress import Silent
from paddlepress.core.storage import push
from paddlepress.data.sources.table import Table
from paddlepress.data.store import load, prepare
from paddlepress.spec.tensors import NamedArrays
from paddlepress.tasks import Classification, Regression


def wine() -> pd.DataFrame:
    """scikit-learn's wines: 178 wines of three cultivars, 13 measurements each."""
    from sklearn.datasets import load_wine

    found = load_wine(as_frame=True)
    frame: pd.DataFrame = found.frame.rename(columns={"target": "cultivar"})
    return frame.assign(cultivar=frame["cultivar"].map(dict(enumerate(found.target_names))))


WRITERS = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t"),
    "parquet": lambda frame, path: frame.to_parquet(path),
    "jsonl": lambda frame, path: frame.to_json(path, orient="records", lines=True),
}


def test_every_format_gives_the_same(tmp_path: Path) -> None:
    """The same table as csv, tsv, parquet or jsonl is the same data set, with the classes by name."""
    digests = set()
    for kind, write in WRITERS.items():
        write(wine(), tmp_path / f"wine.{kind}")
        source = Table(path=str(tmp_path / f"wine.{kind}"), target=("cultivar",))
        digests.add(prepare(source, tmp_path / "d", tmp_path / "t")["digest"])
    assert len(digests) == 1
    stored = load(tmp_path / "d")
    assert isinstance(stored.task, Classification) and stored.task.classes == ("class_0", "class_1", "class_2")
    assert stored.inputs[0].shape == (13,) and stored.split("train").inputs.dtype == np.float32


def test_a_regression_of_chosen_columns(tmp_path: Path) -> None:
    """A task may be stated: the targets have the columns' names, and only the columns named are learned from."""
    wine().to_csv(tmp_path / "wine.csv", index=False)
    fields: Any = {"target": ["hue", "proline"], "inputs": ["alcohol", "ash"], "task": "regression"}
    prepare(Table(path=str(tmp_path / "wine.csv"), **fields), tmp_path / "d", tmp_path / "t")
    stored = load(tmp_path / "d")
    assert isinstance(stored.task, Regression) and stored.task.targets == ("hue", "proline")
    train = stored.split("train")
    assert train.inputs.shape[1:] == (2,) and train.labels.dtype == np.float32
    np.testing.assert_allclose(stored.task.mean, train.labels.mean(axis=0), rtol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"test_limit": 3},
            r"\[hue\]: nothing can be scored on the test split: there are 3 examples. Valid: 4 or more",
        ),
        ({"validation": 0.01}, r"nothing can be scored on the validation split: there are 1 examples"),
        ({"target": "kind", "split": "part"}, r"on the test split: all targets are the same. Valid: targets that vary"),
    ],
)
def test_what_cannot_be_scored_is_told_before_anything_is_trained(
    fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """A split that R squared has no meaning on is refused where it is made."""
    frame = wine().drop(columns="cultivar")
    frame["kind"], frame["part"] = (
        [1.0, 0.0, 0.0, 0.0] * 44 + [1.0] * 2,
        ["train", "test", "train", "val"] * 44 + ["val"] * 2,
    )
    frame.to_csv(tmp_path / "wine.csv", index=False)
    given: Any = {
        "path": str(tmp_path / "wine.csv"),
        "target": "hue",
        "inputs": ["ash"],
        "task": "regression",
        **fields,
    }
    with pytest.raises(DataError, match=message):
        prepare(Table(**given), tmp_path / "d", tmp_path / "t")


def test_a_column_of_splits(tmp_path: Path) -> None:
    """A column may say what each example is for."""
    frame = wine().assign(part=["train", "Val", "testing", "train", "Training"] * 35 + ["train"] * 3)
    frame.to_csv(tmp_path / "wine.csv", index=False)
    source = Table(path=str(tmp_path / "wine.csv"), target=("cultivar",), split="part")
    raw = source.read(tmp_path, Silent())
    assert raw.validation is not None and raw.test is not None
    assert [len(part) for part in (raw.train, raw.validation, raw.test)] == [108, 35, 35]
    assert raw.train.inputs.shape[1] == 13


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        (lambda f: f, {"target": "cultivr"}, r"has no column 'cultivr'. Did you mean 'cultivar'\? It has: alcohol, "),
        (lambda f: f, {"target": "cultivar", "inputs": ["ash", "size"]}, r"has no column 'size'"),
        (lambda f: f, {"target": "ash"}, r"the column 'cultivar' is no column of numbers: row 0 holds 'class_0'"),
        (lambda f: f.assign(ash=None), {"target": "cultivar"}, r"'ash' of row 0 is missing \(178 such rows\)"),
        (lambda f: f.assign(cultivar=None), {"target": "cultivar"}, r"the target of row 0 is missing"),
        (lambda f: f, {"target": "ash", "inputs": ["hue"]}, r"\[ash\]: the labels are float64 of shape"),
        (
            lambda f: f,
            {"target": "ash", "inputs": ["hue"], "split": "cultivar"},
            r"'cultivar' of row 0 is 'class_0'. Va",
        ),
        (lambda f: f[["cultivar"]], {"target": "cultivar"}, r"has no column to learn from beside cultivar"),
        (lambda f: f[:0], {"target": "cultivar"}, r"holds no examples"),
        (lambda f: f.assign(hue=np.inf), {"target": "cultivar"}, r"'hue' of row 0 is inf \(178 such rows\)"),
        (
            lambda f: f.assign(hue=1e300),
            {"target": "cultivar"},
            r"'hue' of row 0 is 1e\+300 .* Valid: a number in each, up to 3.4e38",
        ),
        (
            lambda f: f.assign(hue=10**40),
            {"target": "cultivar"},
            r"'hue' is no column of numbers: row 0 holds '?10000000",
        ),
        (lambda f: f.assign(**{"": f.index}), {"target": "cultivar"}, r"column 15 has no name, like row numbers"),
    ],
)
def test_what_is_wrong_with_a_table(change: Any, fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    """A column that is not there, text, missing or infinite values are named with row and value."""
    change(wine()).to_csv(tmp_path / "wine.csv", index=False)
    with pytest.raises(DataError, match=message) as caught:
        prepare(Table(path=str(tmp_path / "wine.csv"), **fields), tmp_path / "d", tmp_path / "t")
    assert "wine.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.xlsx", b"x", r"x.xlsx: .xlsx is no table's. Valid: .csv, .tsv, .parquet, .jsonl"),
        ("x.csv", b"", r"x.csv can't be read as csv"),
        ("x.csv", b'a,b\n1,2\n"3,4,5', r"x.csv can't be read as csv"),
        ("x.csv", b"\xff\xfe\x00", r"x.csv can't be read as csv"),
        ("x.parquet", b"PAR1", r"x.parquet can't be read as parquet"),
        ("x.jsonl", b"{", r"x.jsonl can't be read as jsonl"),
    ],
)
def test_files_that_are_no_tables(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    """A file of another kind, empty or damaged is refused by name, in one line."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        Table(path=str(tmp_path / name), target=("b",)).read(tmp_path, Silent())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pd.Timestamp("2026-01-01"), r"'hue' is no column of numbers: row 0 holds Timestamp\('2026-01-01 00:00:00'\)"),
        ("1.5", r"'hue' is no column of numbers: row 0 holds '1.5'"),
        ([[1, 2]] * 178, r"'hue' is no column of numbers: row 0 holds array\(\[1, 2\]\)"),
        (pd.Categorical(["a", "b"] * 89), r"'hue' is no column of numbers: row 0 holds 'a'"),
        (pd.array([1, None] * 89, dtype="Int64"), r"'hue' of row 1 is missing \(89 such rows\)"),
    ],
    ids=["date", "text", "list", "categories", "missing"],
)
def test_columns_of_other_types(column: Any, message: str, tmp_path: Path) -> None:
    """Whatever else a Parquet file can hold is refused with a value, by its row's number, whatever the rows' names."""
    frame = wine().assign(hue=column)
    frame.set_index("row " + frame.index.astype(str)).to_parquet(tmp_path / "wine.parquet")
    with pytest.raises(DataError, match=message) as caught:
        Table(path=str(tmp_path / "wine.parquet"), target=("cultivar",)).read(tmp_path, Silent())
    assert "\n" not in str(caught.value)


def test_columns_called_by_numbers_and_targets_of_other_types(tmp_path: Path) -> None:
    """Columns may be called by numbers; true and false are 1 and 0 beside numbers; lists are no classes."""
    frame = wine().assign(red=[True, False] * 89, old=[0, 1] * 89, pair=[[1, 2]] * 178)
    frame.columns = pd.Index(range(len(frame.columns)))
    frame.to_parquet(tmp_path / "wine.parquet")
    fields: Any = {"path": str(tmp_path / "wine.parquet"), "inputs": ["3"]}
    raw = Table(target=("14", "15"), task={"kind": "multi-label"}, **fields).read(tmp_path, Silent())
    assert raw.train.stored[0] == np.float32(frame[3][0]) and raw.train.targets[:2].tolist() == [[1, 0], [0, 1]]
    with pytest.raises(DataError, match=r"wine.parquet\[16\]: every label is \[1 2\]"):
        prepare(Table(target=("16",), **fields), tmp_path / "d", tmp_path / "t")


def test_no_column_is_taken_for_dates(tmp_path: Path) -> None:
    """Numbers of a column whose name sounds like a date stay numbers, in JSON Lines too."""
    wine().rename(columns={"hue": "modified", "ash": "timestamp"}).to_json(
        tmp_path / "wine.jsonl", orient="records", lines=True
    )
    raw = Table(path=str(tmp_path / "wine.jsonl"), target=("cultivar",)).read(tmp_path, Silent())
    assert raw.train.stored.shape == (178, 13)


def photos(folder: Path, count: int = 60) -> pd.DataFrame:
    """scikit-learn's digits as files, with a number and a text of each beside it."""
    from PIL import Image
    from sklearn.datasets import load_digits

    found = load_digits()
    (folder / "photos").mkdir()
    for place in range(count):
        Image.fromarray((found.images[place] * 15).astype(np.uint8)).save(folder / "photos" / f"{place}.png")
    return pd.DataFrame(
        {
            "photo": [f"photos/{place}.png" for place in range(count)],
            "a note": [["NA", "even, I think", "odd: an odd one"][place % 3] for place in range(count)],
            "ink": found.images[:count].mean((1, 2)),
            "digit": found.target[:count],
        }
    )


MIXED: dict[str, Any] = {
    "target": "digit",
    "inputs": ["ink"],
    "text": ["a note"],
    "images": ["photo"],
    "size": 16,
    "color": "grayscale",
}


@pytest.mark.parametrize("kind", list(WRITERS))
def test_images_texts_and_numbers_are_an_input_each(kind: str, tmp_path: Path) -> None:
    """They are called by their columns, numbers together `features`, and lie on disk in the form that they have."""
    frame = photos(tmp_path)
    WRITERS[kind](frame, tmp_path / f"t.{kind}")
    prepare(Table(path=str(tmp_path / f"t.{kind}"), vocabulary=5, **MIXED), tmp_path / "d", tmp_path / "t")
    stored = load(tmp_path / "d")
    assert {spec.name: (spec.dtype, spec.shape, spec.vocabulary) for spec in stored.inputs} == {
        "photo": ("float32", (1, 16, 16), None),
        "a_note": ("int64", (5,), 7),
        "features": ("float32", (1,), None),
    }
    train = stored.split("train")
    assert isinstance(train.inputs, NamedArrays) and len(train.inputs) == len(train)
    assert {name: array[:1].dtype for name, array in train.inputs.arrays.items()} == {
        "photo": np.uint8,
        "a_note": object,
        "features": np.float32,
    }
    assert "NA" in train.inputs.arrays["a_note"][:]
    seen = stored.through(stored.statistics).split("train").take(5)
    assert {name: array.shape for name, array in seen.inputs.arrays.items()} == {  # type: ignore[attr-defined]
        "photo": (5, 1, 16, 16),
        "a_note": (5, 5),
        "features": (5, 1),
    }


def test_one_text_is_an_input_like_any_other(tmp_path: Path) -> None:
    """Without others it is the input, and columns that are not named are not learned from."""
    photos(tmp_path).to_csv(tmp_path / "t.csv", index=False)
    source = Table(path=str(tmp_path / "t.csv"), target=("digit",), text=("a note",), unit="characters", length=9)
    prepare(source, tmp_path / "d", tmp_path / "t")
    stored = load(tmp_path / "d")
    assert [(spec.name, spec.shape) for spec in stored.inputs] == [("input", (9,))]
    assert stored.statistics.text() == "text as 9 of 14 characters"
    assert not isinstance(stored.split("train").inputs, NamedArrays)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", "b"], r"'note' of row 0 is \['a', 'b'\] \(40 such rows\). Valid: text"),
        ({"a": 1}, r"'note' of row 0 is \{'a': 1\} \(40 such rows\). Valid: text"),
        (None, r"'note' of row 0 is missing"),
        (" \n ", r"all texts of the training examples are blank"),
    ],
)
def test_what_is_no_text(value: Any, message: str, tmp_path: Path) -> None:
    """Lists and mappings of JSON are none, and tables of blanks teach nothing."""
    rows = [{"note": value, "kind": place % 2} for place in range(40)]
    (tmp_path / "t.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    with pytest.raises(DataError, match=message):
        prepare(Table(path=str(tmp_path / "t.jsonl"), target="kind", text="note"), tmp_path / "d", tmp_path / "t")
    assert not (tmp_path / "d").exists()


def test_an_image_that_is_left_out_is_left_out_of_all(tmp_path: Path) -> None:
    """With on_error: skip, text, numbers and label of an image that can't be read go with it."""
    frame = photos(tmp_path)
    (tmp_path / "photos" / "7.png").write_bytes(b"none")
    frame.to_csv(tmp_path / "t.csv", index=False)
    raw = Table(path=str(tmp_path / "t.csv"), on_error="skip", **MIXED).read(tmp_path, Silent())
    assert len(raw.train) == 59
    kept = frame.drop(index=7)
    assert raw.train.targets.tolist() == kept["digit"].tolist()
    assert raw.train.values("a_note").tolist() == kept["a note"].tolist()
    np.testing.assert_allclose(raw.train.values("features")[:, 0], kept["ink"], rtol=1e-6)


@pytest.mark.parametrize(
    ("change", "fields", "message"),
    [
        (lambda f: f.assign(photo="../t.csv"), {}, r"'photo' of row 0 is '../t.csv', which lies outside of"),
        (lambda f: f.assign(photo=None), {}, r"'photo' of row 0 is nan. Valid: an image's path in each"),
        (lambda f: f.assign(photo="photos/x.png"), {}, r"x.png does not exist; "),
        (
            lambda f: f.rename(columns={"a note": "a-note"}),
            {"text": ["a note"]},
            r"has no column 'a note'. Did you mean",
        ),
        (lambda f: f.assign(ink="much"), {}, r"'ink' is no column of numbers: row 0 holds 'much'"),
        (
            lambda f: f.assign(features=f["a note"]),
            {"text": ["features"]},
            r"inputs photo, features, features have the same name",
        ),
    ],
)
def test_what_is_wrong_with_a_table_of_several_kinds(
    change: Any, fields: dict[str, Any], message: str, tmp_path: Path
) -> None:
    """Paths that lead elsewhere or nowhere are named with row and value."""
    change(photos(tmp_path)).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(DataError, match=message) as caught:
        prepare(Table(path=str(tmp_path / "t.csv"), **{**MIXED, **fields}), tmp_path / "d", tmp_path / "t")
    assert "\n" not in str(caught.value)


@pytest.mark.services
def test_a_table_and_its_images_from_s3(s3: S3Server, tmp_path: Path) -> None:
    """The table is one object, and the images are those below a prefix; the data are those of a local table."""
    frame = photos(tmp_path)
    frame.to_csv(tmp_path / "t.csv", index=False)
    push(tmp_path / "t.csv", f"s3://{s3.bucket}/mixed/t.csv")
    push(tmp_path / "photos", f"s3://{s3.bucket}/mixed/photos/")
    fields = {**MIXED, "path": f"s3://{s3.bucket}/mixed/t.csv", "image_root": f"s3://{s3.bucket}/mixed"}
    fetched = prepare(Table(**fields), tmp_path / "d", tmp_path / "t")
    local = prepare(Table(**MIXED, path=str(tmp_path / "t.csv")), tmp_path / "d", tmp_path / "t")
    assert fetched["digest"] == local["digest"]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"size": None}, "'size' is missing: 'images' are brought to one height and width"),
        ({"text": ["photo"]}, "the column 'photo' is named in both 'text' and 'images'"),
        ({"images": ["digit"]}, "the column 'digit' is both an input and the target"),
        ({"images": [], "size": None, "color": "rgb", "resize": "pad"}, "'resize' is 'pad', which does nothing"),
        ({"path": "s3://bucket/t.csv"}, "'image_root' is missing"),
    ],
)
def test_fields_that_do_not_fit_each_other(fields: dict[str, Any], message: str) -> None:
    """They are refused before anything is read."""
    with pytest.raises(ValidationError, match=message):
        Table(**{"path": "t.csv", **MIXED, **fields})
