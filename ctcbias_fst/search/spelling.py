"""Names that were read as ordinary words get the spelling that the list asks for.

A name's boost may be less than its price (``bonus`` below 0), although the model is sure of it; it
is then read as ordinary words. What is written should not depend on that.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.records import Hypothesis, Mention, Transcript, Word, text_of
from ctcbias_fst.search.hypotheses import distinct
from ctcbias_fst.search.hypothesis_words import shared_by_letters
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.phrases import Occurrence, PhraseMatcher, matcher_of
from ctcbias_fst.text.scripts import is_unspaced


@dataclass(frozen=True)
class Spellings:
    """How the names of a list are written: all that :func:`spell_names` needs of it.

    Attributes:
        by_text: see :attr:`ctcbias_fst.graph.entity_tree.BoostGraph.by_text`.
    """

    by_text: Mapping[str, Entity]

    @cached_property
    def matcher(self) -> PhraseMatcher:
        """Finds the names in words."""
        return matcher_of(self.by_text)


def spell_names(transcript: Transcript, graph: BoostGraph | Spellings | None) -> Transcript:
    """Write ordinary words that are a name of the list as the list does, the longest name first.

    Times, confidences and scores stay; the words count as a name's. A possessive 's is kept.
    """
    if graph is None:
        return transcript
    nbest = tuple([_spell(hypothesis, graph) for hypothesis in transcript.nbest])
    if nbest and all(map(operator.is_, nbest, transcript.nbest)):
        return transcript
    best = nbest[0] if nbest else _spell(transcript.best, graph)
    return replace(transcript, best=best, nbest=distinct(nbest))


def words_of_name(
    shown: Sequence[str], heard: Sequence[Word], mentions: tuple[Mention, ...] = ()
) -> list[Word]:
    """The words of a name at the times of those in whose place they come.

    Another number of words shares the time by letters, and the least of the confidences.
    """
    if len(shown) == len(heard):
        words = [replace(old, word=new, entity=True) for old, new in zip(heard, shown)]
    else:
        times = shared_by_letters(shown, heard[0].start, heard[-1].end - heard[0].start)
        sure = min(word.confidence for word in heard)
        clear = sum(word.log_prob for word in heard) / len(heard)
        words = [
            Word(text, round(low, 6), round(high, 6), sure, True, clear)
            for text, (low, high) in zip(shown, times)
        ]
    return [
        replace(word, glued=heard[0].glued and not i, mentions=mentions)
        for i, word in enumerate(words)
    ]


def _spell(hypothesis: Hypothesis, graph: BoostGraph | Spellings) -> Hypothesis:
    words: list[Word] = []
    changed = False
    for named, group in groupby(hypothesis.words, key=operator.attrgetter("entity")):
        run = list(group)
        found = [] if named else graph.matcher.occurrences([word.word for word in run])
        changed |= bool(found)
        at = 0
        for several in _by_words(found):
            begin, end = several[0].start, several[-1].end
            words += run[at:begin]
            words += _respelt(run[begin:end], several, graph)
            at = end
        words += run[at:]
    return replace(hypothesis, words=tuple(words)) if changed else hypothesis


def _by_words(found: Sequence[Occurrence]) -> list[list[Occurrence]]:
    """Names of which each begins in the word in which the one before it ends belong together."""
    groups: list[list[Occurrence]] = []
    for occurrence in found:
        if groups and occurrence.start < groups[-1][-1].end:
            groups[-1].append(occurrence)
        else:
            groups.append([occurrence])
    return groups


def _respelt(
    heard: Sequence[Word], found: Sequence[Occurrence], graph: BoostGraph | Spellings
) -> list[Word]:
    """Words with names in them, as the list writes these, and what stands around them."""
    parts: list[tuple[str, tuple[Mention, ...]]] = [(found[0].before, ())]
    for one, following in zip(found, [*found[1:], None]):
        entity = graph.by_text[one.name]
        written = text_of(heard[one.start - found[0].start : one.end - found[0].start])
        written = written[len(one.before) : len(written) - len(one.after)]
        parts.append((entity.display, (Mention.of(entity, "text", written),)))
        between = one.after
        if following is not None:
            between = between[
                : len(following.before) - len(heard[one.end - 1 - found[0].start].word)
            ]
        parts.append((between, ()))
    shown: list[tuple[str, tuple[Mention, ...], bool]] = []  # with whether it is glued
    for text, mentions in parts:
        for i, word in enumerate(text.split()):
            glued = bool(shown) and not i
            if glued and not (is_unspaced(shown[-1][0][-1]) and is_unspaced(word)):
                before = shown[-1]
                shown[-1] = (before[0] + word, before[1] + mentions, before[2])
            else:
                shown.append((word, mentions, glued or (not shown and heard[0].glued)))
    words = words_of_name([text for text, _, _ in shown], heard)
    return [
        replace(word, entity=bool(mentions), glued=glued, mentions=mentions)
        for word, (_, mentions, glued) in zip(words, shown)
    ]
