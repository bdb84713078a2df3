"""Texts in one array of bytes: the same again, row by row, and damage is noticed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddlepress.core.errors import DataError
from paddlepress.data.texts import Texts

TEXTS = st.lists(st.text(st.characters(exclude_categories=("Cs",)), max_size=20), min_size=1, max_size=12)


@given(texts=TEXTS, data=st.data())
def test_texts_come_back_as_they_were(texts: list[str], data: st.DataObject) -> None:
    """All of them, a slice, or the rows at some places in any order, of any signs and of none."""
    packed = Texts.of(texts, "here")
    again = Texts(packed.packed, len(texts), "there")
    rows = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=8))
    assert again[:].tolist() == list(again) == texts and len(again) == len(texts)
    assert again[1:3].tolist() == texts[1:3]
    assert again[np.array(rows, np.int64)].tolist() == [texts[row] for row in rows]


@given(flipped=st.integers(0, 8 * 24 - 1))
def test_damage_is_noticed_or_stays_within_the_texts(flipped: int) -> None:
    """Whatever is said of where texts end, nothing outside of them is read."""
    packed = Texts.of(["one", "two", "three"], "here").packed.copy()
    packed[flipped // 8] ^= 1 << flipped % 8
    try:
        found = Texts(packed, 3, "there")[:]
    except DataError as error:
        assert "there is damaged" in str(error)
    else:
        assert "".join(found) == "onetwothree"


@pytest.mark.parametrize("count", [2, 4, 2**40])
def test_another_count_is_refused(count: int) -> None:
    """A file that holds more or fewer texts than is said of it is damaged."""
    with pytest.raises(DataError, match="there is damaged"):
        Texts(Texts.of(["a", "b", "c"], "here").packed, count, "there")


def test_what_is_no_unicode_is_refused() -> None:
    """A lone surrogate can't be written."""
    with pytest.raises(DataError, match="here holds text that is no Unicode"):
        Texts.of(["a\ud800"], "here")
