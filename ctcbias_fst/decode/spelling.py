"""Names that were read as ordinary words get the spelling that the list asks for.

A name's boost may be less than its price (``bonus`` below 0), although the model is sure of it; it
is then read as ordinary words. What is written should not depend on that.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import replace

from ctcbias_fst.fst.boost import BoostGraph
from ctcbias_fst.records import Hypothesis, Transcript, Word
from ctcbias_fst.text.entities import Entity

__all__ = ["spell_names"]

_POSSESSIVE = "'s"
_EDGES = re.compile(r"([^\w']*)(.*?)([^\w']*)", re.DOTALL)


def spell_names(transcript: Transcript, graph: BoostGraph | None) -> Transcript:
    """Write ordinary words that are a name of the list as the list does, the longest name first.

    Times, confidences and scores stay; the words count as a name's. A possessive 's is kept.
    """
    if graph is None:
        return transcript
    nbest = tuple([_spell(hypothesis, graph) for hypothesis in transcript.nbest])
    if nbest and all(map(operator.is_, nbest, transcript.nbest)):
        return transcript
    best = nbest[0] if nbest else _spell(transcript.best, graph)
    return replace(transcript, best=best, nbest=nbest)


def _spell(hypothesis: Hypothesis, graph: BoostGraph) -> Hypothesis:
    names, longest = graph.by_words
    words: list[Word] = []
    changed = False
    at = 0
    while at < len(hypothesis.words):
        first = _bare(hypothesis.words[at].word)[1].lower()
        most = longest.get(first, 0)
        if first.endswith(_POSSESSIVE):
            most = max(most, longest.get(first[: -len(_POSSESSIVE)], 0))
        for count in range(min(most, len(hypothesis.words) - at), 0, -1):
            found = _named(hypothesis.words[at : at + count], names)
            if found:
                changed = True
                break
        else:
            count, found = 1, hypothesis.words[at : at + 1]
        words.extend(found)
        at += count
    return replace(hypothesis, words=tuple(words)) if changed else hypothesis


def _named(
    words: tuple[Word, ...], names: Mapping[tuple[str, ...], Entity]
) -> tuple[Word, ...] | None:
    """The words of the name that these are, or None."""
    if any(word.entity for word in words):
        return None
    opening, _, _ = _bare(words[0].word)
    _, _, closing = _bare(words[-1].word)
    spoken = tuple(_inner(words, i).lower() for i in range(len(words)))
    ending = ""
    if spoken not in names and spoken[-1].endswith(_POSSESSIVE):
        ending = _bare(words[-1].word)[1][-len(_POSSESSIVE) :]
        spoken = (*spoken[:-1], spoken[-1][: -len(_POSSESSIVE)])
    entity = names.get(spoken)
    if entity is None:
        return None
    display = (opening + entity.display + ending + closing).split()
    if len(display) == len(words):
        return tuple(replace(word, word=text, entity=True) for word, text in zip(words, display))
    # Another number of words: they share the time by their letters.
    start, span = words[0].start, words[-1].end - words[0].start
    letters = sum(map(len, display))
    sure = min(word.confidence for word in words)
    clear = sum(word.log_prob for word in words) / len(words)
    shared = []
    done = 0
    for text in display:
        begin, done = done, done + len(text)
        shared.append(
            Word(
                text,
                round(start + span * begin / letters, 6),
                round(start + span * done / letters, 6),
                sure,
                entity=True,
                log_prob=clear,
            )
        )
    return tuple(shared)


def _bare(word: str) -> tuple[str, str, str]:
    """The punctuation before a word, the word, and the punctuation after it."""
    found = _EDGES.fullmatch(word)
    assert found is not None
    return found[1], found[2], found[3]


def _inner(words: tuple[Word, ...], place: int) -> str:
    """A word without what may stand before the first word of a name, and after its last one."""
    opening, word, closing = _bare(words[place].word)
    return (opening if place else "") + word + (closing if place < len(words) - 1 else "")
