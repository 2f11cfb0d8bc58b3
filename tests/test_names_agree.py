"""Spelling, scoring, comparing, rescoring and training find the same names in the same words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from strategies import encoded

from ctcbias_fst.graph.entity_tree import build_tree
from ctcbias_fst.pronunciation.pronunciation_table import Pronunciation
from ctcbias_fst.records import Hypothesis, Transcript, Word
from ctcbias_fst.rescore.word_pronunciations import EntityPronunciations
from ctcbias_fst.scoring.comparison import compare_files
from ctcbias_fst.scoring.score import score_transcripts
from ctcbias_fst.search.spelling import spell_names
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.training.biasing_lists import ListMaker

Finder = Callable[[list[str], EntityList, Path], int]
VOCABULARY = Vocabulary.from_tokens(["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz'我们在北京"])


def spelt(words: list[str], names: EntityList, _: Path) -> int:
    heard = tuple(Word(word, float(i), i + 0.5, 1.0) for i, word in enumerate(words))
    best = Hypothesis(heard, 0.0, ())
    graph = build_tree(encoded([]), names.entities, VOCABULARY)
    found = spell_names(Transcript("u", best, (best,)), graph).best
    spelling = " ".join(name.display for name in names)
    return found.text.count(spelling) if any(word.entity for word in found.words) else 0


def scored(words: list[str], names: EntityList, _: Path) -> int:
    text = {"u": " ".join(words)}
    (found,) = score_transcripts(text, text, names)
    return found.score.entities.hits


def compared(words: list[str], names: EntityList, folder: Path) -> int:
    (folder / "text").write_text(f"u {' '.join(words)}\n", encoding="utf-8")
    (folder / "names").write_text("\n".join(name.display for name in names), encoding="utf-8")
    (found,) = compare_files(*[folder / "text"] * 3, folder / "names").utterances
    marks = [word.kind == "name" for word in found.reference]
    return sum(mark and not before for before, mark in zip([False, *marks], marks))


class _Nothing:
    """Sounds of names and of no words."""

    def word(self, word: str) -> tuple[Pronunciation, ...]:
        return ()

    def entity(self, entity: Entity) -> tuple[Pronunciation, ...]:
        return (Pronunciation((1,), 0.0),)


def heard(words: list[str], names: EntityList, _: Path) -> int:
    return sum(bool(own) for _, own in EntityPronunciations(names, _Nothing()).read(words))  # type: ignore[arg-type]


def trained(words: list[str], names: EntityList, _: Path) -> int:
    texts = [normalise(" ".join(words)), *(entity.name for entity in names)]
    maker = ListMaker(
        FewestPiecesTokenizer(VOCABULARY), [], count=(1, 1), empty=0.0, ordinary=0.0, seed=0
    )
    drawn = maker.draw(texts, [[], *([entity.name] for entity in names)])
    return len(drawn.spoken[0])


ALL: list[Finder] = [spelt, scored, compared, heard, trained]


@pytest.mark.parametrize("finder", ALL)
@pytest.mark.parametrize(
    ("text", "name", "count"),
    [
        ("call anna now", "Anna", 1),
        ("annabel and joanna", "Anna", 0),
        ("anna's book and anna", "Anna", 2),
        ("call Anna, or Anna.", "Anna", 2),
        ("ask O’Brien", "O'Brien", 1),
        ("the dogs' home", "Dogs", 1),
        ("drink coca-cola now", "Coca-Cola", 1),
        ("drink Coca Cola", "Coca-Cola", 1),
        ("new york or new york", "New York", 2),
        ("sa\u0303o paulo", "São Paulo", 1),
    ],
)
def test_a_name(finder: Finder, text: str, name: str, count: int, tmp_path: Path) -> None:
    if finder is trained and not name.isascii():
        pytest.skip("its vocabulary has no such letters")
    assert finder(text.split(), entities_from_names([name]), tmp_path) == count


@pytest.mark.parametrize("finder", [spelt, scored, compared, heard])
def test_a_name_in_a_script_without_spaces(finder: Finder, tmp_path: Path) -> None:
    names = entities_from_names(["北京"])
    # What was recognised comes in letters, a reference in one piece.
    words = list("我们在北京") if finder in (spelt, heard) else ["我们在北京"]
    assert finder(words, names, tmp_path) == 1


@pytest.mark.parametrize("finder", [scored, trained])
def test_the_longest_name(finder: Finder, tmp_path: Path) -> None:
    names = entities_from_names(["York", "New York", "York Times"])
    assert finder("in new york times and york".split(), names, tmp_path) == 2
