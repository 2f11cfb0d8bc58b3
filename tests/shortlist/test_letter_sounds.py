"""What names sound like by their letters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.shortlist import letter_sounds as module
from ctcbias_fst.shortlist.letter_sounds import letter_sounds
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity


def phones(name: str, *spoken: str) -> str:
    entity = Entity(name, name, spoken=tuple((text, 0.0) for text in spoken))
    (found,) = letter_sounds([entity]).pronunciations(0)
    assert found.cost == 0
    return found.text


def test_rules() -> None:
    assert phones("philip knight") == "F IH L IH P N IH T"
    assert phones("scheherazade") == "SH EH HH EH R AE Z AE D"
    assert phones("cindy box") == "S IH N D IY B AA K S"
    assert phones("josé núñez") == "JH AA S N AH N EH Z"
    assert phones("hall") == phones("hal")


def test_a_name_with_digits_is_read_as_it_is_said() -> None:
    assert phones("covid 19", "covid nineteen") == phones("covid nineteen")


def test_what_has_no_letter_has_a_phone() -> None:
    assert phones("北京") == "AH"
    assert phones("北京 bar") == phones("bar")


@given(st.lists(st.text(min_size=1, max_size=60), max_size=8))
def test_each_name_sounds_as_it_does_alone(texts: list[str]) -> None:
    entities = entities_from_names(texts).entities
    together = letter_sounds(entities)
    PronunciationTable.from_arrays(together.arrays())
    assert len(together) == len(entities)
    assert np.array_equal(np.diff(together.names), np.ones(len(entities)))
    for place, entity in enumerate(entities):
        assert together.pronunciations(place) == letter_sounds([entity]).pronunciations(0)
        assert together.pronunciations(place)[0].phones


def test_long_lists_are_respelled_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    entities = entities_from_names([f"name {'abcdefgh'[i]}" for i in range(8)]).entities
    whole, respelled, lengths = letter_sounds(entities).arrays(), module._respelled, []

    def seen(block: tuple[Entity, ...]) -> str:
        lengths.append(len(block))
        return respelled(block)

    monkeypatch.setattr(module, "_BLOCK", 3)
    monkeypatch.setattr(module, "_respelled", seen)
    found = letter_sounds(entities).arrays()
    assert lengths == [3, 3, 2]
    assert whole.keys() == found.keys()
    assert all(np.array_equal(whole[key], found[key]) for key in whole)
