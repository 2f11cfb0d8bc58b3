"""Phone tables and word boundaries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recipes.synthetic.phones import (
    ARPABET,
    from_festival,
    from_ipa,
    join_words,
    place_boundaries,
    split_ipa,
)

phone_lists = st.lists(st.sampled_from(ARPABET[:6]), max_size=6)


def test_there_are_39_phones() -> None:
    assert len(set(ARPABET)) == len(ARPABET) == 39


@pytest.mark.parametrize(
    ("ipa", "phones"),
    [
        ("pˈAʃənt", "P EY SH AH N T"),
        ("ðə", "DH AH"),
        ("vˈYs", "V OY S"),
        ("hˈWs", "HH AW S"),
        ("bˈɛTəɹ.", "B EH T ER"),
        ("nˈɜɹs", "N ER S"),
        ("fˈɜɹi", "F ER IY"),
        ("ˌɪɹɹˈɛləvənt", "IH R EH L AH V AH N T"),
        ("ʤˈʌʤ", "JH AH JH"),
        ("ʧˈɜɹʧ,", "CH ER CH"),
        ("θˈɪŋkɪŋ", "TH IH NG K IH NG"),
        ("vˈɪʒᵊn", "V IH ZH AH N"),
        ("hˌɑspᵻTᵊl", "HH AA S P IH T AH L"),
        ("jˈuθ", "Y UW TH"),
    ],
)
def test_from_ipa(ipa: str, phones: str) -> None:
    assert " ".join(from_ipa(ipa)) == phones


def test_unknown_symbols_are_refused() -> None:
    with pytest.raises(ValueError, match="ʘ"):
        from_ipa("aʘ")
    with pytest.raises(ValueError, match="qq"):
        from_festival(["qq"])


def test_from_festival() -> None:
    assert from_festival(["pau", "hh", "ax", "l", "ow", "pau"]) == ["HH", "AH", "L", "OW"]
    assert from_festival(["en", "axr", "dx"]) == ["AH", "N", "ER", "T"]


def test_split_ipa_drops_lone_punctuation() -> None:
    assert join_words(split_ipa("ðə — kˈæt!")) == "DH AH | K AE T"


def test_place_boundaries_follows_what_was_spoken() -> None:
    spoken = ["DH", "IY", "AE", "P", "AH", "L", "IH", "Z"]
    alone = [["DH", "AH"], ["AE", "P", "AH", "L"], ["IH", "Z"]]
    assert join_words(place_boundaries(spoken, alone)) == "DH IY | AE P AH L | IH Z"


@given(phone_lists, st.lists(phone_lists, min_size=1, max_size=4))
def test_boundaries_lose_no_phone(spoken: list[str], alone: list[list[str]]) -> None:
    words = place_boundaries(spoken, alone)
    assert len(words) == len(alone)
    assert [phone for word in words for phone in word] == spoken


@given(st.lists(phone_lists.filter(bool), min_size=1, max_size=4))
def test_words_spoken_as_they_sound_alone_are_cut_exactly(alone: list[list[str]]) -> None:
    spoken = [phone for word in alone for phone in word]
    assert place_boundaries(spoken, alone) == alone
