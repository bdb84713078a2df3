"""Tables of numbers: CSV, TSV, Parquet or JSON Lines, read by pandas."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from paddlepress.core.errors import DataError, in_one_line, shown
from paddlepress.core.fields import Place
from paddlepress.core.progress import Progress
from paddlepress.data import places
from paddlepress.data.source import Digest, Located

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    from paddlepress.data.raw import Examples, Raw

FORMATS = {".csv": "csv", ".tsv": "tsv", ".parquet": "parquet", ".jsonl": "jsonl", ".ndjson": "jsonl"}
SPLITS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
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
    inputs: Columns = Field(default=(), description="the columns that are learned from; empty takes all others")
    split: str = Field(
        default="", description="the column that says which examples are train, validation and test; empty divides them"
    )
    sha256: Digest = ""

    @model_validator(mode="after")
    def _columns_of_one_use(self) -> Table:
        for name in self.inputs:
            if name in self.target or name == self.split:
                use = "split" if name == self.split else "target"
                raise ValueError(f"the column {name!r} is both an input and the {use}")
        if self.split and self.split in self.target:
            raise ValueError(f"the column {self.split!r} is both the target and the split")
        for what, names in (("inputs", self.inputs), ("target", self.target)):
            if len(set(names)) != len(names):
                raise ValueError(f"'{what}' names a column more than once")
        return self

    def read(self, into: Path, progress: Progress) -> Raw:
        """Read the table.

        Raises:
            DataError: it can't be read, lacks a column, or an input is no number.
        """
        from paddlepress.data.raw import Raw

        path = self.local_path(into, progress)
        places.check_digest(path, self.sha256, "'sha256'")
        frame = _frame(path)
        frame.columns = frame.columns.map(str)
        for name in (*self.target, *self.inputs, *filter(None, (self.split,))):
            _check_present(path, name, list(frame.columns))
        if frame.empty:
            raise DataError(f"{path} holds no examples. Valid: at least one")
        inputs = self.inputs or [name for name in frame.columns if name not in (*self.target, self.split)]
        if not self.inputs and (nameless := [name for name in inputs if _NAMELESS.fullmatch(name)]):
            raise DataError(
                f"{path}: column {int(nameless[0].split()[-1]) + 1} has no name, like row numbers that were written "
                "along. Valid: a name for each column; 'inputs' names the columns to learn from"
            )
        if not inputs:
            raise DataError(f"{path} has no column to learn from beside {', '.join(self.target)}")
        parts = {
            name: self._part(part, inputs, path)
            for name, part in (_divided(frame, self.split, path) if self.split else {"train": frame}).items()
        }
        if "train" not in parts:
            raise DataError(f"{path}: no example's {self.split!r} is train")
        return Raw("table", parts["train"], parts.get("validation"), parts.get("test"), columns=self.target)

    def _part(self, frame: pd.DataFrame, inputs: Sequence[str], path: Path) -> Examples:
        import numpy as np

        from paddlepress.data.raw import Examples

        columns = [_numbers(frame[name], name, path) for name in inputs]
        missing = np.flatnonzero(frame[list(self.target)].isna().any(axis=1))
        if len(missing):
            raise DataError(
                f"{path}: the target of row {int(frame.index[missing[0]])} is missing ({len(missing)} such rows)"
            )
        parts = [_targets(frame[name]) for name in self.target]
        targets = parts[0] if len(parts) == 1 else np.stack(parts, axis=1)
        return Examples.of(np.stack(columns, axis=1), targets, str(path), f"{path}[{', '.join(self.target)}]")


def _frame(path: Path) -> pd.DataFrame:
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
        return pd.read_csv(path, sep="\t" if kind == "tsv" else ",")
    except Exception as error:  # each of pandas' readers fails in ways of its own
        raise DataError(f"{path} can't be read as {kind}: {in_one_line(error)}") from None


def _check_present(path: Path, name: str, columns: list[str]) -> None:
    if name not in columns:
        close = get_close_matches(name, columns, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(columns[:20]) + (f" and {len(columns) - 20} more" if len(columns) > 20 else "")
        raise DataError(f"{path} has no column {name!r}.{hint} It has: {shown}")


def _divided(frame: pd.DataFrame, column: str, path: Path) -> dict[str, pd.DataFrame]:
    said = frame[column].astype(str).str.lower().map(SPLITS)
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
