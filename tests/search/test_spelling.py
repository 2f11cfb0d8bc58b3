"""Names that were read as ordinary words are written as the list spells them."""

from __future__ import annotations

import pytest
from reference import Path
from strategies import VOCABULARIES, encoded

from ctcbias_fst.graph.entity_tree import BoostGraph, build_tree
from ctcbias_fst.records import Hypothesis, Transcript, Word
from ctcbias_fst.search.spelling import spell_names, words_of_name
from ctcbias_fst.text.entity import Entity


def _graph(*entities: Entity) -> BoostGraph:
    paths = [Path((1 + i % 4, 1 + i // 4), i) for i in range(len(entities))]
    return build_tree(encoded(paths), entities, VOCABULARIES[0])


NAMES = _graph(
    Entity("keisha", "KeIsha"),
    Entity("keisha smith", "KeIsha Smith"),
    Entity("saint john", "St John"),
    Entity("mac donald", "MacDonald"),
    Entity("ten", "10 4"),
)


def _transcript(text: str, *texts: str, entity: str = "") -> Transcript:
    nbest = tuple(
        Hypothesis(
            tuple(
                Word(word, float(i), i + 0.5, 0.9 - i / 10, word == entity)
                for i, word in enumerate(one.split())
            ),
            -1.0,
            (),
        )
        for one in (text, *texts)
    )
    return Transcript("u", nbest[0], nbest)


@pytest.mark.parametrize(
    ("read", "written"),
    [
        ("and keisha said", "and KeIsha said"),
        ("keisha smith and keisha smithson", "KeIsha Smith and KeIsha smithson"),
        ("keisha's house", "KeIsha's house"),
        ("KEISHA SMITH'S house", "KeIsha Smith'S house"),
        ("in saint john", "in St John"),
        ("nothing of it", "nothing of it"),
        ("", ""),
    ],
)
def test_texts(read: str, written: str) -> None:
    assert spell_names(_transcript(read), NAMES).best.text == written


@pytest.mark.parametrize(
    ("read", "words"),
    [
        ("我爱北京和上海", "我爱 *北京 和 *上海"),
        ("买iphone手机吧", "*买iPhone手机 吧"),
        ("“北京”、上海。", "*“北京”、 *上海 。"),
        ("iphone，手机", "*iPhone，手机"),
        ("“北京”", "*“北京”"),
        ("coca-cola’s", "*Coca-Cola’s"),
    ],
)
def test_names_within_words(read: str, words: str) -> None:
    listed = [Entity("北京", "北京"), Entity("上海", "上海"), Entity("iphone 手机", "iPhone手机")]
    listed += [Entity("iphone", "iPhone"), Entity("coca cola", "Coca-Cola")]
    found = spell_names(_transcript(read), _graph(*listed)).best
    assert " ".join("*" * word.entity + word.word for word in found.words) == words
    assert found.words[0].start == 0.0
    assert found.words[-1].end == 0.5
    assert found.text.lower() == read


def test_words_of_a_name_keep_their_times() -> None:
    before = _transcript("call keisha smith")
    after = spell_names(before, NAMES)
    assert [w.entity for w in after.best.words] == [False, True, True]
    for old, new in zip(before.best.words, after.best.words):
        assert (old.start, old.end, old.confidence) == (new.start, new.end, new.confidence)


def test_another_number_of_words_shares_the_time() -> None:
    (word,) = spell_names(_transcript("mac donald"), NAMES).best.words
    assert (word.word, word.start, word.end, word.confidence) == ("MacDonald", 0.0, 1.5, 0.8)
    first, second = spell_names(_transcript("ten"), NAMES).best.words
    assert (first.word, second.word) == ("10", "4")
    assert first.start < first.end == second.start < second.end == 0.5


def test_what_came_out_of_the_list_stays() -> None:
    transcript = _transcript("keisha", entity="keisha")
    assert spell_names(transcript, NAMES) == transcript


def test_every_hypothesis() -> None:
    found = spell_names(_transcript("keisha", "a keisha"), NAMES)
    assert [one.text for one in found.nbest] == ["KeIsha", "a KeIsha"]
    assert found.best == found.nbest[0]


def test_no_list() -> None:
    transcript = _transcript("keisha")
    assert spell_names(transcript, None) is transcript
    assert spell_names(transcript, _graph()) == transcript


@pytest.mark.parametrize("heard", [1, 2, 3])
def test_only_the_first_word_of_a_name_is_glued_to_what_is_before_it(heard: int) -> None:
    words = [Word("a", at, at + 1.0, 0.5, glued=not at) for at in range(heard)]
    assert [word.glued for word in words_of_name(["Keisha", "Smith"], words)] == [True, False]
