"""Text cut into tokens and looked up in a table."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from paddlepress.spec.preprocessing import Preprocessing, Tokenization, preprocessing_of
from paddlepress.spec.preprocessing.tokens import cut
from paddlepress.spec.signature import TensorSpec


@pytest.mark.parametrize(
    ("text", "unit", "tokens"),
    [
        ("The quick, brown FOX!", "words", ["the", "quick", ",", "brown", "fox", "!"]),
        ("  \n\t ", "words", []),
        ("\uff13 \uff43\uff41\uff46\u00e9s", "words", ["3", "caf\u00e9s"]),
        ("这本书真好。", "characters", ["这", "本", "书", "真", "好", "。"]),
        ("a b", "characters", ["a", "b"]),
    ],
)
def test_text_is_cut_into_tokens(text: str, unit: str, tokens: list[str]) -> None:
    """Case and width of signs do not count, nor do blanks; a sign is a token of its own."""
    assert cut(text, unit) == tokens


def test_tokens_become_their_places() -> None:
    """0 fills up, 1 is what is not in the table, the table begins at 2; what is too long is cut off."""
    table = Tokenization(vocabulary=("good", "bad"), length=3)
    found = table.apply(np.array(["Good BAD ugly good", "", "bad"], object))
    assert found.dtype == np.int64 and found.tolist() == [[2, 3, 1], [0, 0, 0], [3, 0, 0]]
    assert table.text() == "text as 3 of 4 words"


@given(texts=st.lists(st.text(), max_size=5), length=st.integers(1, 9), unit=st.sampled_from(["words", "characters"]))
def test_places_are_below_the_size_that_the_network_is_told(texts: list[str], length: int, unit: str) -> None:
    """Whatever the text, a network's table has a row for each number that it gets."""
    table = Tokenization(vocabulary=("a", "b", "c"), length=length, unit=unit)
    found, told = table.apply(np.array(texts, object)), table.taken(TensorSpec(name="x", shape=()))
    assert found.shape == (len(texts), *told.shape) and told.vocabulary == table.size == 5
    assert ((found >= 0) & (found < 5)).all()
    assert table.misfit((told,)) == ""


def test_it_says_what_it_does_not_fit() -> None:
    """Another length or table is told with both sides, and numbers in place of text."""
    table = Tokenization(vocabulary=("a",), length=4)
    other = TensorSpec(name="x", shape=(5,), dtype="int64", vocabulary=9)
    assert table.misfit((other,)) == ("it makes int64 [4] below 3 of a text, and the network takes int64 [5] below 9")
    assert table.unlike(Preprocessing(dtype="uint8"), "the data 'x'") == "takes text, and the data 'x' hold numbers"
    assert "hold text" in Preprocessing(dtype="uint8").unlike(table, "the data 'x'")


def test_a_table_is_told_from_numbers_by_its_vocabulary() -> None:
    """As it is written, it is read again; several inputs have mappings of their own."""
    table, numbers = Tokenization(vocabulary=("a", "b"), length=4, unit="characters"), Preprocessing(scale=255)
    assert preprocessing_of(table.model_dump(mode="json")) == table
    several = preprocessing_of({"title": table.model_dump(), "image": numbers.model_dump()})
    assert several.of("title") == table and several.of("image") == numbers
    assert preprocessing_of(several.model_dump(mode="json")) == several
    assert several.text() == "title: text as 4 of 4 characters; image: inputs / 255, mean 0, std 1"


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"vocabulary": ["a", "a"], "length": 4}, ("vocabulary",)),
        ({"vocabulary": ["a"], "length": 0}, ("length",)),
        ({"title": {"vocabulary": ["a"]}}, ("title", "length")),
        ({"image": {"scale": 0}}, ("image", "scale")),
    ],
)
def test_what_is_wrong_is_named_by_its_place(fields: dict[str, object], place: tuple[str, ...]) -> None:
    """A field of an input stands under the input's name."""
    with pytest.raises(ValidationError) as caught:
        preprocessing_of(fields)
    assert caught.value.errors()[0]["loc"] == place
