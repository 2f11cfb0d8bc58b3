"""Cutting at pauses, and putting the pieces together again."""

from __future__ import annotations

import math
import tracemalloc
from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.pauses import Pause
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, Word
from ctcbias_fst.search.segments import (
    Segment,
    _cut,
    _surest_blank,
    cut_at_pauses,
    join_segments,
)
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("<blk>", "\u2581a", "b"), 0, WordBoundary.PREFIX, None)


def batch(lengths: list[int]) -> LogProbs:
    torch.manual_seed(0)
    values = torch.randn(len(lengths), max(lengths), 3).log_softmax(-1)
    return LogProbs(
        log_probs=values,
        lengths=torch.tensor(lengths),
        frame_seconds=0.04,
        ids=tuple(f"u{i}" for i in range(len(lengths))),
        vocabulary=VOCABULARY,
        phones=values[:, :, :2],
    )


def test_short_utterances_stay_as_they_are() -> None:
    whole = batch([20, 0, 50])
    cut, segments = cut_at_pauses(whole, longest_seconds=2.0)
    assert cut is whole
    assert [(s.utterance, s.begin, s.end) for s in segments] == [(0, 0, 20), (1, 0, 0), (2, 0, 50)]


def test_long_ones_are_cut_where_the_blank_is_sure() -> None:
    whole = batch([20, 90])
    loud = whole.log_probs.clone()
    loud[1, :, 0] = -5.0
    loud[1, ::2, 1] = 0.0
    loud[1, 1::2, 2] = 0.0
    loud[1, 30:40, :] = -5.0
    loud[1, 30:40, 0] = -0.01
    cut, segments = cut_at_pauses(replace(whole, log_probs=loud), longest_seconds=2.0)
    spans = [(s.utterance, s.begin, s.end) for s in segments]
    assert spans[:2] == [(0, 0, 20), (1, 0, 35)]
    assert [begin for _, begin, _ in spans[2:]] == [end for _, _, end in spans[1:-1]]
    assert spans[-1][2] == 90
    assert cut.lengths.tolist() == [end - begin for _, begin, end in spans]
    for row, (utterance, begin, end) in enumerate(spans):
        assert torch.equal(cut.log_probs[row, : end - begin], loud[utterance, begin:end])
        assert cut.phones is not None
        assert cut.phones.log_probs.shape[:2] == cut.log_probs.shape[:2]
        assert cut.ids[row] == f"u{utterance}"


@pytest.mark.parametrize("longest", [0.04, 0.1, 0.5, 1.0])
def test_every_frame_is_in_one_segment(longest: float) -> None:
    whole = batch([70, 33])
    _, segments = cut_at_pauses(whole, longest_seconds=longest)
    most = max(2, round(longest / 0.04))
    assert all(0 < s.end - s.begin <= 2 * most for s in segments)
    frames = [(s.utterance, at) for s in segments for at in range(s.begin, s.end)]
    assert frames == [(i, at) for i, n in enumerate((70, 33)) for at in range(n)]
    for utterance in (0, 1):
        best = whole.log_probs[utterance].argmax(-1).tolist()
        for cut in [s for s in segments if s.utterance == utterance][:-1]:
            # The first of the next segment that writes something begins a word, if it was not said.
            rest = best[cut.end : int(whole.lengths[utterance])]
            first = next((token for token in rest if token), 1)
            inside = "no word ends" in (cut.warning or "")
            assert inside or (first == 1 and not (rest[0] == best[cut.end - 1] == 1))


rates = st.sampled_from([0.01, 0.02, 0.03, 0.04, 0.06, 0.08])


@given(
    st.lists(st.integers(0, 150), min_size=1, max_size=3),
    rates,
    rates,
    st.floats(-0.5, 0.5),
    st.sampled_from([0.0, 0.24, -0.1]),
)
def test_phones_are_cut_where_tokens_are(
    lengths: list[int], frame: float, own: float, longer: float, later: float
) -> None:
    """Whatever rates and lags: no phone frame is lost, repeated, or far from its time."""
    torch.manual_seed(sum(lengths))
    values = torch.randn(len(lengths), max(lengths), 3).log_softmax(-1)
    counts = [max(0, round((n * frame + longer) / own)) for n in lengths]
    numbers = torch.arange(len(lengths) * max(counts)).reshape(len(lengths), max(counts), 1)
    phones = PhoneLogProbs(numbers.float(), torch.tensor(counts), own, 0.1 + later)
    ids = tuple(f"u{i}" for i in range(len(lengths)))
    whole = LogProbs(values, torch.tensor(lengths), frame, ids, VOCABULARY, phones, 0.1)
    cut, segments = cut_at_pauses(whole, longest_seconds=1.0)
    assert cut.phones is not None and cut.phones.frame_seconds == own
    pieces: dict[int, list[float]] = {i: [] for i in range(len(lengths))}
    for row, one in enumerate(segments):
        length, count = int(cut.phones.lengths[row]), counts[one.utterance]
        at = len(pieces[one.utterance]) * own
        # As much later as phones are written later, but for the beginning and the end.
        expected = min(max(one.begin * frame + later, 0.0), count * own) if one.begin else 0.0
        assert at == pytest.approx(expected, abs=own / 2 + 1e-6)
        pieces[one.utterance] += cut.phones.log_probs[row, :length, 0].tolist()
    for i, count in enumerate(counts):
        assert pieces[i] == numbers[i, :count, 0].tolist()


def test_phones_of_the_same_frames_are_cut_as_the_tokens_are() -> None:
    whole = batch([90, 20])
    cut, segments = cut_at_pauses(whole, longest_seconds=0.7)
    assert cut.phones is not None and whole.phones is not None and len(segments) > 4
    assert torch.equal(cut.phones.lengths, cut.lengths)
    for row, one in enumerate(segments):
        own = whole.phones.log_probs[one.utterance, one.begin : one.end]
        assert torch.equal(cut.phones.log_probs[row, : len(own)], own)


def _simple_cut(
    pauses: list[Pause], begin: int, most: int, length: int
) -> tuple[int | None, str | None]:
    """Looks at all pauses."""
    half = begin + most // 2
    for first, last in ((half, begin + most), (begin + 1, half), (begin + most, begin + 2 * most)):
        left = [pause for pause in pauses if pause.begin > begin or first == half]
        inside = [pause.within(first, min(last, length - 1)) for pause in left]
        usable = [pause for pause in inside if pause is not None]
        if usable:
            best = max(usable, key=lambda pause: pause.length)
            return best.middle, None if best.length else "no pause is between the words"
    return None, "no pause is, and no word ends"


@given(
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 9)), max_size=30),
    st.integers(0, 60),
    st.integers(2, 40),
)
def test_a_cut_looks_at_the_pauses_near_it_only(
    spoken: list[tuple[int, int]], begin: int, most: int
) -> None:
    pauses: list[Pause] = []
    for said, silent in spoken:
        start = said + (pauses[-1].end if pauses else -1)
        pauses.append(Pause(start, start + silent))
    length = begin + most + 1 + (pauses[-1].end if pauses else 0) // 2
    assert _cut(pauses, begin, most, length) == _simple_cut(pauses, begin, most, length)


class _Counted(list[Pause]):
    """Counts the pauses that somebody looks at."""

    seen = 0

    def __getitem__(self, index: Any) -> Any:
        found = super().__getitem__(index)
        self.seen += len(found) if isinstance(index, slice) else 1
        return found


def test_eight_hours_are_cut_soon() -> None:
    """Every cut once looked at all pauses: 30,000 of these took 50 s."""
    pauses = _Counted(Pause(at, at + at % 4) for at in range(10, 30_000 * 24, 24))
    length, begin, cuts = 30_000 * 24, 0, 0
    while length - begin > 750:
        end, _ = _cut(pauses, begin, 750, length)
        assert end is not None
        begin, cuts = end, cuts + 1
    assert cuts > 900
    assert pauses.seen < 100 * cuts


def says(rows: list[int], size: int, vocabulary: Vocabulary) -> LogProbs:
    """Log-probs that say a token at each frame."""
    values = torch.full((1, len(rows), size), -6.0)
    values[0, torch.arange(len(rows)), torch.tensor(rows)] = 0.0
    return LogProbs(values.log_softmax(-1), torch.tensor([len(rows)]), 0.04, ("u",), vocabulary)


LETTERS = Vocabulary(("<blk>", "|", "a", "b"), 0, WordBoundary.SEPARATOR, None)


def test_a_pause_of_separators_is_one() -> None:
    # The blank is surest inside a word; the pause is all separator.
    rows = [2, 0, 3, 1, 1] * 8 + [2, 0, 0, 0, 3, 1] + [1] * 12 + [2, 0, 0, 0, 0, 0, 0, 3]
    _, segments = cut_at_pauses(says(rows, 4, LETTERS), longest_seconds=2.6)
    first = segments[0]
    assert set(rows[first.end - 5 : first.end + 5]) == {1}
    assert first.warning is None


def test_no_pause_in_the_second_half_is_no_reason_to_cut_a_word() -> None:
    word = [2, 0, 3, 0] * 20
    rows = [2, 3, 1, 1, *word, 1, 1, 2, 3]
    _, segments = cut_at_pauses(says(rows, 4, LETTERS), longest_seconds=2.0)
    assert [(s.begin, s.end) for s in segments] == [(0, 3), (3, 84), (84, 88)]
    assert [s.warning for s in segments] == [None] * 3
    _, segments = cut_at_pauses(says([2, 3, *word, *word], 4, LETTERS), longest_seconds=2.0)
    assert "no word ends" in str(segments[0].warning)


def test_words_without_a_pause_are_parted_and_it_is_said() -> None:
    rows = [1, 2, 2] * 40
    _, segments = cut_at_pauses(says(rows, 3, VOCABULARY), longest_seconds=2.0)
    assert all(rows[s.begin] == 1 for s in segments)
    assert all("no pause" in str(s.warning) for s in segments[:-1])
    best = Hypothesis((), 0.0, ())
    joined = join_segments([Transcript("u", best, (best,))] * len(segments), segments, 0.04)
    assert str(segments[0].warning) in str(joined[0].warning)


def test_n_best_of_the_whole() -> None:
    """The best combinations of the pieces' readings, as brute force has them; pieces in order."""
    random = Random(5)
    for pieces in (2, 3, 12):
        lists = []
        for _ in range(pieces):
            texts = random.sample(["", "a", "b", "a b", "b a", "c"], 3 if pieces == 12 else 4)
            scores = sorted((random.uniform(-5, 0) for _ in texts), reverse=True)
            lists.append(
                [
                    Hypothesis(
                        tuple(Word(w, 0.0, 0.04, 1.0) for w in text.split()), score, (), boost=1.0
                    )
                    for text, score in zip(texts, scores)
                ]
            )
        segments = [Segment(0, 10 * at, 10 * at + 10) for at in range(pieces)]
        transcripts = [Transcript("u", one[0], tuple(one)) for one in lists]
        (joined,) = join_segments(transcripts, segments, 0.04, nbest=7)
        if pieces < 12:
            best: dict[str, float] = {}
            for taken in product(*lists):
                text = " ".join(one.text for one in taken if one.text)
                best[text] = max(best.get(text, -math.inf), sum(one.score for one in taken))
            expected = sorted(best.items(), key=lambda item: -item[1])[:7]
            assert [h.text for h in joined.nbest] == [text for text, _ in expected]
            assert [h.score for h in joined.nbest] == pytest.approx([s for _, s in expected])
        assert len({h.text for h in joined.nbest}) == len(joined.nbest) == 7
        assert joined.best == joined.nbest[0]
        assert joined.best.text == " ".join(one[0].text for one in lists if one[0].text)
        for hypothesis in joined.nbest:
            starts = [word.start for word in hypothesis.words]
            assert starts == sorted(starts)
            assert hypothesis.boost == pieces


def test_what_lookup_made_the_best_stays_the_best() -> None:
    worse, better = Hypothesis((Word("a", 0, 1, 1.0),), -9.0, ()), Hypothesis((), -1.0, ())
    one = Transcript("u", worse, (worse, better))
    (joined,) = join_segments([one, one], [Segment(0, 0, 9), Segment(0, 9, 18)], 0.04, nbest=3)
    assert [h.text for h in joined.nbest] == ["a a", "a", ""]
    # What is behind it counts as being no better.
    others = tuple(
        Hypothesis((Word(w, 0, 1, 1.0),), -score, ()) for w, score in (("b", 2), ("c", 3))
    )
    two = Transcript("u", others[0], others)
    (joined,) = join_segments([one, two], [Segment(0, 0, 9), Segment(0, 9, 18)], 0.04, nbest=4)
    assert [h.text for h in joined.nbest] == ["a b", "b", "a c", "c"]


def test_times_shift_and_scores_add() -> None:
    cut, segments = cut_at_pauses(batch([90, 10]), longest_seconds=2.0)
    pieces = []
    for row in range(cut.size):
        best = Hypothesis((Word("a", 0.0, 0.04, 0.5),), -2.0, (1,), boost=0.5)
        pieces.append(Transcript(cut.ids[row], best, (best,), "lost" if row == 0 else None))
    joined = join_segments(pieces, segments, 0.04)
    assert [transcript.id for transcript in joined] == ["u0", "u1"]
    count = len(segments) - 1
    first = joined[0]
    assert [word.start for word in first.best.words] == [0.04 * s.begin for s in segments[:-1]]
    assert (first.best.score, first.best.boost) == (-2.0 * count, 0.5 * count)
    assert first.best.token_ids == (1,) * count
    assert first.warning == "lost"
    assert joined[1] == pieces[-1]


def test_a_dozen_utterances_stay_in_their_order() -> None:
    """Whatever their numbers look like as text; what was left out of a piece has its true time."""
    word = Word("a", 0.0, 0.04, 0.5)
    best = Hypothesis((word,), -1.0, (1,), phone=-2.0, phone_share=-0.4)
    segments = [Segment(at, *span) for at in range(12) for span in ((0, 50), (50, 75))]
    pieces = [
        Transcript(f"u{one.utterance}", best, (best,), left_out=(word,) if one.begin else ())
        for one in segments
    ]
    joined = join_segments(pieces, segments, 0.04)
    assert [one.id for one in joined] == [f"u{at}" for at in range(12)]
    assert [word.start for word in joined[0].left_out] == [2.0]
    assert (joined[0].best.phone, joined[0].best.phone_share) == (-4.0, -0.8)


def test_a_phone_score_is_of_the_whole_or_none() -> None:
    known = Hypothesis((), -1.0, (), phone=-2.0, phone_share=-0.4)
    several = [Transcript("u", one, (one,)) for one in (known, replace(known, phone=None))]
    (joined,) = join_segments(several, [Segment(0, 0, 9), Segment(0, 9, 18)], 0.04)
    assert joined.best.phone is None


def test_without_a_pause_the_cut_is_in_the_middle_of_what_is_surest() -> None:
    blank = torch.full((100,), -9.0)
    blank[70:80] = -1.0
    assert _surest_blank(blank, 10) == 75
    assert _surest_blank(torch.zeros(3), 10) == 2


def test_many_hypotheses_of_many_pieces_take_little() -> None:
    """The best combinations are found one after the other, not among all."""
    count = 2000
    several = tuple(
        Hypothesis((Word(f"w{i}", 0.0, 0.1, 1.0),), -0.01 * i, ()) for i in range(count)
    )
    pieces = [Transcript("a", several[0], several)] * 3
    segments = [Segment(0, 10 * i, 10 * (i + 1)) for i in range(3)]
    tracemalloc.start()
    (found,) = join_segments(pieces, segments, 0.1, count)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.nbest) == count
    scores = [one.score for one in found.nbest]
    assert scores == sorted(scores, reverse=True)
    # Sums of three numbers from 0 on, in order: 1 of 0, 3 of 1, 6 of 2, ...
    sums = [n for n in range(30) for _ in range((n + 1) * (n + 2) // 2)]
    assert scores == pytest.approx([-0.01 * n for n in sums[:count]])
    assert peak < 50e6
