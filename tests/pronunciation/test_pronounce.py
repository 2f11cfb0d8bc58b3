"""Where pronunciations come from, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ctcbias_fst.errors import InputError
from ctcbias_fst.pronunciation.lexicon import Lexicon, possessive, read_lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.phones import PHONES


def phones(found: list[Pronunciation]) -> list[str]:
    return [p.text for p in found]


def test_the_lexicon_comes_first(pronouncer: Pronouncer) -> None:
    assert pronouncer.pronounce("ACE", "ace") == [Pronunciation.of(["EY", "S"], 0.0, "lexicon")]
    assert {p.source for p in pronouncer.pronounce("tack")} == {"g2p"}
    assert phones(pronouncer.pronounce("tack"))[0] == "T AE K"


def test_later_entries_of_the_lexicon_cost_more(pronouncer: Pronouncer) -> None:
    first, second = pronouncer.pronounce("one")
    assert (first.cost, second.cost) == (0.0, pytest.approx(0.693, abs=1e-3))
    assert second.text == "HH W AH N"


def test_words_letters_and_numbers_are_joined(pronouncer: Pronouncer) -> None:
    best = pronouncer.pronounce("tack j 19")[0]
    assert best == Pronunciation.of(
        "T AE K JH EY N AY N T IY N".split(), 0.0, "lexicon+letters+g2p"
    )


def test_possessives_and_apostrophes(pronouncer: Pronouncer) -> None:
    assert phones(pronouncer.pronounce("Jones's")) == ["JH OW N Z IH Z"]
    assert phones(pronouncer.pronounce("tack's"))[0] == "T AE K S"
    assert phones(pronouncer.pronounce("O\u2019Neill")) == ["OW N IY L"]
    assert phones(pronouncer.pronounce("ta'ck"))[0] == "T AE K"
    assert possessive(("K", "AE", "B")) == ("K", "AE", "B", "Z")


def test_accents_fall_back_to_plain_letters(pronouncer: Pronouncer) -> None:
    assert pronouncer.pronounce("tàck") == pronouncer.pronounce("tack")


def test_what_the_user_says_wins(pronouncer: Pronouncer) -> None:
    said = Entity("ace", "Ace", pronunciations=(("K", "AE", "T"), ("K", "EY")))
    alike = Entity("ace", "Ace", sounds_like=("tack",))
    own, spelled = pronouncer.pronounce_entities([said, alike])
    assert own == [
        Pronunciation.of(["K", "AE", "T"], 0.0, "user"),
        Pronunciation.of(["K", "EY"], 0.0, "user"),
    ]
    assert spelled[0] == Pronunciation.of(["T", "AE", "K"], 0.0, "sounds_like")
    (later,) = [p for p in spelled if p.source == "lexicon"]
    assert later.text == "EY S"
    assert later.cost == pytest.approx(0.693, abs=1e-3)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "no letter and no digit"),
        (" -!? ", "no letter and no digit"),
        ("Москва", "it has 'а в к м о с', which English does not write"),
        ("zack", "'z'"),
    ],
)
def test_names_without_a_pronunciation(pronouncer: Pronouncer, name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        pronouncer.pronounce(name)
    assert pronouncer.pronounce_all([name, "ace"])[0] == []
    assert pronouncer.pronounce_all([name, "ace"])[1] != []
    assert reason in pronouncer.why_not(name)
    assert pronouncer.why_not("ace") == ""


@given(names=st.lists(st.text(alphabet="acektx 12'", max_size=10), max_size=6))
@example(names=["kakk"])  # two readings whose costs differ by 0.0001
def test_laws(pronouncer_factory: object, names: list[str]) -> None:
    pronouncer = pronouncer_factory()  # type: ignore[operator]
    batch = pronouncer.pronounce_all(names)
    # A name's pronunciations do not depend on what else is in the list.
    backwards = pronouncer_factory().pronounce_all(names[::-1])[::-1]  # type: ignore[operator]
    assert batch == backwards
    for found in batch:
        costs = [p.cost for p in found]
        assert len(found) <= 5
        assert len(set(phones(found))) == len(found)
        assert all(set(p.text.split()) <= set(PHONES) for p in found)
        assert not costs or costs[0] == 0.0
        assert all(0.0 <= cost <= 4.001 for cost in costs)


@pytest.fixture(scope="module")
def pronouncer_factory(tiny_g2p: object) -> object:
    lexicon = Lexicon({"ace": "EY S", "one": "W AH N;HH W AH N", "two": "T UW", "twelve": "T W"})
    return lambda: Pronouncer(lexicon, tiny_g2p)  # type: ignore[arg-type]


def test_limits(tiny_g2p: object) -> None:
    with pytest.raises(ValueError, match="n must be positive"):
        Pronouncer(Lexicon({}), tiny_g2p, n=0)  # type: ignore[arg-type]
    few = Pronouncer(Lexicon({}), tiny_g2p, n=2, max_cost=50.0)  # type: ignore[arg-type]
    assert len(few.pronounce("tackace")) == 2


def test_lexicon_files(tmp_path: Path) -> None:
    path = tmp_path / "lexicon.tsv"
    path.write_text("# comment\na\tAH\na\tEY\nb'c\tB IY\n")
    lexicon = read_lexicon(path)
    assert lexicon.pronunciations("a") == (("AH",), ("EY",))
    assert list(lexicon) == ["a", "b'c"]
    assert lexicon.pronunciations("zzz") == ()
    assert "b'c" in lexicon
    assert "a's" in lexicon
    assert "zzz" not in lexicon
    added = tmp_path / "added.tsv"
    added.write_text("a\tAA\nzzz\tZ Z\n")
    both = read_lexicon(added, path)
    assert both.pronunciations("a") == (("AA",),)
    assert set(both) == {"a", "b'c", "zzz"}
    path.write_text("a\tAH\nb\tB QQ\n")
    with pytest.raises(InputError, match=r"lexicon\.tsv, line 2: 'QQ' is none of the phones"):
        read_lexicon(path)
    path.write_text("a\tAH\n\tB\n")
    with pytest.raises(InputError, match="line 2: no word"):
        read_lexicon(path)
    with pytest.raises(InputError, match="no such file"):
        read_lexicon(tmp_path / "none")
