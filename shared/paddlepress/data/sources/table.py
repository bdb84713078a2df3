"""Tables of numbers, texts and images: CSV, TSV, Parquet or JSON Lines, read by pandas."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from paddlepress.core.errors import DataError, in_one_line, shown
from paddlepress.core.fields import Place, When
from paddlepress.core.progress import Progress
from paddlepress.core.storage import is_s3
from paddlepress.data import places
from paddlepress.data.images import Color, Form, OnError, Resize, Size
from paddlepress.data.source import Digest, Located
from paddlepress.data.split_names import SPLIT_OF
from paddlepress.data.tokens import Tokens
from paddlepress.spec.preprocessing.tokens import UNIT, Unit

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from paddlepress.data.raw import Examples, Raw

FORMATS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
FEATURES = "features"
"""What numbers are called where there are other inputs beside them."""

_NAMELESS = re.compile(r"Unnamed: [0-9]+")
"""Names that pandas gives to columns without one."""


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Columns = Annotated[tuple[str, ...], BeforeValidator(_one_or_more)]


class Table(Located):
    """A table: csv, tsv, parquet or jsonl, whose columns are inputs, targets, or not used."""

    source: Literal["table"] = Field(default="table", description="where the data come from")
    path: Annotated[str, Place()] = Field(
        min_length=1,
        description="a .csv, .tsv, .parquet or .jsonl file, a local path or an s3:// location",
    )
    target: Columns = Field(min_length=1, description="the column, or the columns, that are to be learned")
    inputs: Columns = Field(
        default=(),
        description="the columns of numbers that are learned from, together one input, `features`; empty takes all "
        "others, or none where text or images are named",
    )
    text: Columns = Field(default=(), description="the columns of texts that are learned from, an input each")
    unit: Annotated[Unit, When("text", ...)] = Field(default="words", description=UNIT)
    vocabulary: Annotated[int, When("text", ...)] = Field(
        default=10_000,
        ge=1,
        le=10**6,
        description="tokens that a network knows: the most frequent ones of the training texts",
    )
    length: Annotated[int | None, When("text", ...)] = Field(
        default=None,
        ge=1,
        le=2**16,
        description="tokens of a text that a network takes, the rest is cut off; null takes as many as 95% of the "
        "training texts have, up to 512",
    )
    images: Columns = Field(default=(), description="the columns of image files' paths, an input each")
    image_root: Annotated[str, Place(), When("images", ...)] = Field(
        default="",
        description="the folder that images' paths start from, a local path or an s3:// location; empty takes the "
        "table's own",
    )
    size: Annotated[Size | None, When("images", ...)] = Field(
        default=None, description="height and width that images are brought to, in pixels, or one number for both"
    )
    resize: Annotated[Resize, When("images", ...)] = "stretch"
    color: Annotated[Color, When("images", ...)] = "rgb"
    on_error: Annotated[OnError, When("images", ...)] = "fail"
    split: str = Field(
        default="", description="the column that says which examples are train, validation and test; empty divides them"
    )
    sha256: Digest = ""

    @model_validator(mode="after")
    def _columns_of_one_use(self) -> Table:
        for name in (*self.inputs, *self.text, *self.images):
            if name in self.target or name == self.split:
                use = "split" if name == self.split else "target"
                raise ValueError(f"the column {name!r} is both an input and the {use}")
        if self.split and self.split in self.target:
            raise ValueError(f"the column {self.split!r} is both the target and the split")
        named = {"inputs": self.inputs, "text": self.text, "images": self.images}
        for what, names in (*named.items(), ("target", self.target)):
            if len(set(names)) != len(names):
                raise ValueError(f"'{what}' names a column more than once")
        for what, other in combinations(named, 2):
            if both := set(named[what]) & set(named[other]):
                raise ValueError(f"the column {min(both)!r} is named in both '{what}' and '{other}'")
        if self.images and self.size is None:
            raise ValueError("'size' is missing: 'images' are brought to one height and width")
        if self.images and not self.image_root and is_s3(self.path):
            raise ValueError("'image_root' is missing: the table is fetched from S3 without what lies beside it")
        return self

    def shape(self) -> tuple[int, ...] | None:
        """Of the only input, where that is images."""
        only = len(self.images) == 1 and not self.inputs and not self.text
        return self._form.shape if only and self.size is not None else None

    @property
    def _form(self) -> Form:
        height, width = self.size or (1, 1)
        return Form((height, width), self.resize, self.color, self.on_error)

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the table.

        Raises:
            DataError: it can't be read, lacks a column, or an input is no number.
        """
        from paddlepress.data.raw import Raw

        path = self.local_path(into, progress)
        places.check_digest(path, self.sha256, "'sha256'")
        frame = _frame(path, self.text)
        frame.columns = frame.columns.map(str)
        root = self._root(path, into, progress)
        for name in (*self.target, *self.inputs, *self.text, *self.images, *filter(None, (self.split,))):
            _check_present(path, name, list(frame.columns))
        if frame.empty:
            raise DataError(f"{path} holds no examples. Valid: at least one")
        others = [name for name in frame.columns if name not in (*self.target, self.split)]
        inputs = self.inputs or (() if self.text or self.images else others)
        if not self.inputs and (nameless := [name for name in inputs if _NAMELESS.fullmatch(name)]):
            raise DataError(
                f"{path}: column {int(nameless[0].split()[-1]) + 1} has no name, like row numbers that were written "
                "along. Valid: a name for each column; 'inputs' names the columns to learn from"
            )
        if not (*inputs, *self.text, *self.images):
            raise DataError(f"{path} has no column to learn from beside {', '.join(self.target)}")
        parts = {
            name: self._part(part, inputs, path, root, (into, progress))
            for name, part in (_divided(frame, self.split, path) if self.split else {"train": frame}).items()
        }
        if "train" not in parts:
            raise DataError(f"{path}: no example's {self.split!r} is train")
        return Raw(
            "table",
            parts["train"],
            parts.get("validation"),
            parts.get("test"),
            columns=self.target,
            tokens=Tokens(self.unit, self.vocabulary, self.length),
        )

    def _root(self, path: Path, into: Path, progress: Progress) -> Path:
        """The folder that paths of images start from."""
        if not self.image_root:
            return path.parent
        slash = "/" if is_s3(self.image_root) and not self.image_root.endswith("/") else ""
        return places.local(self.image_root + slash, into / "images", progress)

    def _part(
        self, frame: pd.DataFrame, inputs: Sequence[str], path: Path, root: Path, scratch: tuple[Path, Progress]
    ) -> Examples:
        import numpy as np

        from paddlepress.data.raw import Examples

        found: list[tuple[str, Any]] = []
        for name in self.images:
            files = [_image(root, path, name, row, value) for row, value in frame[name].items()]
            pixels, kept = self._form.decoded(files, f"{path}[{name}]", *scratch)
            if len(kept) < len(frame):  # what is left out of one is left out of all
                frame = frame.iloc[kept]
                found = [(column, array[kept]) for column, array in found]
            found.append((name, pixels))
        found += [(name, _texts(frame[name], name, path)) for name in self.text]
        if inputs:
            found.append((FEATURES, np.stack([_numbers(frame[name], name, path) for name in inputs], axis=1)))
        missing = np.flatnonzero(frame[list(self.target)].isna().any(axis=1))
        if len(missing):
            raise DataError(
                f"{path}: the target of row {int(frame.index[missing[0]])} is missing ({len(missing)} such rows)"
            )
        parts = [_targets(frame[name]) for name in self.target]
        targets = parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
        arrays = found[0][1] if len(found) == 1 else _named(found, path)
        return Examples.of(arrays, targets, str(path), f"{path}[{', '.join(self.target)}]")


def _named(found: list[tuple[str, Any]], path: Path) -> dict[str, Any]:
    """Inputs by names that files and graphs may have: letters, digits and _."""
    named = {re.sub(r"[^A-Za-z0-9_]+", "_", name): array for name, array in found}
    if len(named) < len(found):
        told = ", ".join(name for name, _ in found)
        raise DataError(
            f"{path}: the inputs {told} have the same name, but for signs that are no letters or digits; numbers "
            f"together are called {FEATURES!r}. Valid: distinct names"
        )
    return named


def _image(root: Path, path: Path, name: str, row: Any, value: Any) -> Path:
    """The image that a row of a table names."""
    named = str(value)
    if not isinstance(value, str) or not named or "\0" in named:
        raise DataError(f"{path}: {name!r} of row {int(row)} is {shown(value, 40)}. Valid: an image's path in each")
    if not (root / named).resolve().is_relative_to(root.resolve()):
        raise DataError(
            f"{path}: {name!r} of row {int(row)} is {in_one_line(named, 80)!r}, which lies outside of {root}"
        )
    return root / named


def _texts(column: pd.Series[Any], name: str, path: Path) -> NDArray[Any]:
    """A column of inputs as texts."""
    import numpy as np

    missing = column.isna().to_numpy()
    if missing.any():
        row, count = int(column.index[missing][0]), int(missing.sum())
        raise DataError(
            f"{path}: {name!r} of row {row} is missing ({count} such rows). Valid: text in each, or an empty one"
        )
    odd = column.map(lambda value: isinstance(value, list | dict))
    if odd.any():
        row, count = int(column.index[odd][0]), int(odd.sum())
        raise DataError(f"{path}: {name!r} of row {row} is {shown(column[row], 40)} ({count} such rows). Valid: text")
    return np.array([str(value) for value in column], object)


def _frame(path: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """The table of a file.

    Args:
        path: the file.
        text: columns whose values are text, whatever they look like: `NA` is missing in others.
    """
    import pandas as pd

    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise DataError(f"{path}: {path.suffix or 'no suffix'} is no table's. Valid: {', '.join(FORMATS)}")
    try:
        if kind == "parquet":
            return pd.read_parquet(path).reset_index(drop=True)
        if kind == "jsonl":
            # Not pandas.read_json, which takes numbers for dates where a column's name sounds like one.
            with path.open(encoding="utf-8-sig") as stream:
                return pd.DataFrame.from_records([json.loads(line) for line in stream if line.strip()])
        separator = "\t" if kind == "tsv" else ","
        frame = pd.read_csv(path, sep=separator)
        if text:
            plain = pd.read_csv(
                path, sep=separator, usecols=lambda name: name in text, dtype=str, keep_default_na=False
            )
            frame = frame.assign(**{str(name): plain[name] for name in plain.columns})
        return frame
    except Exception as error:  # each of pandas' readers fails in ways of its own
        raise DataError(f"{path} can't be read as {kind}: {in_one_line(error)}") from None


def _check_present(path: Path, name: str, columns: list[str]) -> None:
    if name not in columns:
        close = get_close_matches(name, columns, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise DataError(f"{path} has no column {name!r}.{hint} It has: {shown}")


def _divided(frame: pd.DataFrame, column: str, path: Path) -> dict[str, pd.DataFrame]:
    said = frame[column].astype(str).str.lower().map(SPLIT_OF)
    if said.isna().any():
        row, bad = int(frame.index[said.isna()][0]), frame[column][said.isna()].iloc[0]
        raise DataError(f"{path}: {column!r} of row {row} is {in_one_line(bad, 40)!r}. Valid: train, validation, test")
    return {str(name): part for name, part in frame.groupby(said)}


def _targets(column: pd.Series[Any]) -> NDArray[Any]:
    """A column of targets as numbers, or as text where it holds anything else; true is 1."""
    import numpy as np

    if column.dtype.kind == "b":
        return column.to_numpy(np.int64)
    found = column.to_numpy()
    return found if found.dtype.kind in "iuf" else np.array([str(value) for value in found])


def _numbers(column: pd.Series[Any], name: str, path: Path) -> NDArray[np.float32]:
    """A column of inputs as numbers; true is 1."""
    import numpy as np
    import pandas as pd

    if column.dtype.kind not in "iufb":
        bad = column[pd.to_numeric(column, errors="coerce").isna()]
        row = int((bad if len(bad) else column).index[0])
        raise DataError(
            f"{path}: the column {name!r} is no column of numbers: row {row} holds {shown(column[row], 40)}. "
            "Valid: numbers; 'inputs' names the columns to learn from"
        )
    with np.errstate(over="ignore"):  # what does not fit turns infinite and is refused
        found = column.to_numpy(np.float32, na_value=np.nan)
    missing = column.isna().to_numpy()
    wrong = missing if missing.any() else ~np.isfinite(found)
    if wrong.any():
        row = int(column.index[wrong][0])
        value = "missing" if missing.any() else shown(column[row].item())
        raise DataError(
            f"{path}: {name!r} of row {row} is {value} ({int(wrong.sum())} such rows). "
            "Valid: a number in each, up to 3.4e38 either sign"
        )
    return found
