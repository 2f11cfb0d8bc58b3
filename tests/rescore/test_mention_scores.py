"""Phone scores of single names, against brute force."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from reference import collapse

from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_ngram import Ngram
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.records import Hypothesis, Mention, Transcript, Word
from ctcbias_fst.rescore.lookup import LookupConfig
from ctcbias_fst.rescore.rescorer import PhoneticRescorer
from ctcbias_fst.rescore.word_pronunciations import WordPronunciations
from ctcbias_fst.text.entities import entities_from_names
from tests.rescore.test_phonetic import WIDE, arrays, phone_batch
from tests.tiny_g2p import UNITS, tiny_model

# Phones 1 to 3 are AA, AE, AH.
LEXICON = {"ax": "AH", "at": "AE AA", "eight": "AE"}
NAMES = [
    {"name": "Ka", "pronunciations": ["AA AH", "AH"]},
    {"name": "New Kat", "pronunciations": ["AE"]},
]
SAID = {
    "ax": ["AH"],
    "at": ["AE AA"],
    "eight": ["AE"],
    "Ka": ["AA AH", "AH"],
    "New Kat": ["AE"],
}
PHONES = {"AA": 1, "AE": 2, "AH": 3}


def rescorer(lookup: LookupConfig | None = None) -> PhoneticRescorer:
    words = WordPronunciations(Pronouncer(Lexicon(LEXICON), G2P(Ngram(tuple(tiny_model()), UNITS))))
    return PhoneticRescorer(words, WIDE, lookup)


LISTED = entities_from_names(NAMES)
ENTITIES = {entity.display: entity for entity in LISTED}


def hypothesis(units: list[str], score: float = -1.0) -> Hypothesis:
    words: list[Word] = []
    for unit in units:
        entity = ENTITIES.get(unit)
        mentions = () if entity is None else (Mention.of(entity, "boost", unit, boost=1.0),)
        words += [
            Word(part, 0.0, 0.1, 0.9, entity is not None, mentions=mentions)
            for part in unit.split()
        ]
    return Hypothesis(tuple(words), score, ())


def brute_force(table: np.ndarray, units: list[str]) -> list[tuple[float, list[float]]]:
    """Of every alignment that differs: the whole score, and the share of each unit's frames."""
    best = table.max(axis=1)
    found = []
    for choice in itertools.product(*(SAID[unit] for unit in units)):
        spoken = [[PHONES[phone] for phone in said.split()] for said in choice]
        owner = [place for place, phones in enumerate(spoken) for _ in phones]
        for labels in itertools.product(range(4), repeat=len(table)):
            if collapse(labels) != tuple(itertools.chain.from_iterable(spoken)):
                continue
            frames: list[list[int]] = [[] for _ in units]
            number = -1
            for frame, label in enumerate(labels):
                number += label > 0 and (frame == 0 or label != labels[frame - 1])
                if label:
                    frames[owner[number]].append(frame)
            loss = np.array([table[t, label] for t, label in enumerate(labels)]) - best
            shares = [float(loss[own[0] : own[-1] + 1].sum()) for own in frames]
            # The list's pronunciations cost nothing.
            found.append((float(loss.sum()), shares))
    return sorted(found, reverse=True)


@given(
    short=arrays(max_frames=2),
    table=arrays(max_frames=5),
    units=st.lists(st.sampled_from(sorted(SAID)), min_size=1, max_size=3),
    other=st.lists(st.sampled_from(sorted(SAID)), min_size=1, max_size=2),
    looked_up=st.booleans(),
)
def test_every_name_has_the_score_of_its_own_frames(
    short: np.ndarray, table: np.ndarray, units: list[str], other: list[str], looked_up: bool
) -> None:
    """In the best hypothesis and in others, whether or not the lookup aligned them before, and
    beside a shorter utterance."""
    right = [brute_force(table, each) for each in (units, other)]
    assume(all(right) and all(len(r) < 2 or r[0][0] - r[1][0] > 1e-3 for r in right))
    config = LookupConfig(max_distance=0.0, min_phones=9) if looked_up else None
    rescoring = rescorer(config)
    nbest = (hypothesis(units), hypothesis(other, -1.5))
    assume(nbest[0].text != nbest[1].text)
    batch = phone_batch([short, table])
    names = rescoring.names(LISTED)
    first = hypothesis(["Ka"])
    said = [Transcript("utt0", first, (first,)), Transcript("utt1", nbest[0], nbest)]
    _, found = rescoring.apply(said, batch, [names, names], 2)
    assert found.best in found.nbest
    assert len(found.nbest) == 2
    for spoken, ((total, shares), *_) in zip((units, other), right):
        one = next(one for one in found.nbest if one.text == " ".join(spoken))
        assert one.phone == pytest.approx(total, abs=1e-4)
        expected = [share for unit, share in zip(spoken, shares) if unit in ENTITIES]
        scores = [span.mention.phone for span in one.mentions]
        assert scores == pytest.approx(expected, abs=1e-4)
        assert [span.mention.boost for span in one.mentions] == [1.0] * len(expected)


def test_a_name_that_was_looked_up_has_both_scores() -> None:
    """What the hypothesis gained by it, and how well it fits itself."""
    table = np.full((3, 40), -9.0, dtype=np.float32)
    table[[0, 1, 2], [1, 0, 3]] = -0.1
    table -= np.log(np.exp(table).sum(axis=1, keepdims=True))
    rescoring = rescorer(LookupConfig(max_distance=0.5, min_phones=1, margin=0.0))
    best = hypothesis(["at"])
    names = rescoring.names(LISTED)
    said = [Transcript("utt0", best, (best,))]
    (found,) = rescoring.apply(said, phone_batch([table]), [names])
    (span,) = found.best.mentions
    assert found.best.text == "Ka"
    assert span.mention.phone == pytest.approx(0.0, abs=1e-4)
    before = brute_force(table, ["at"])[0][0]
    assert span.mention.lookup == pytest.approx(-before, abs=1e-3)
    assert replace(span.mention, phone=None, lookup=None).heard == "at"
