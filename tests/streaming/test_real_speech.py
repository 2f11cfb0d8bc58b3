"""The laws of streams with the embedded model's log-probs, all parts, and its phones."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import pytest
import torch

from ctcbias_fst.audio.audio import to_recording
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import LogProbs, Word
from ctcbias_fst.streaming.stream import Stream
from ctcbias_fst.streaming.updates import Update

CLIPS = sorted((DEFAULT.parent / "clips").glob("*.flac"))
NAMES = DEFAULT.parent / "clips" / "names.txt"


@pytest.fixture(scope="module")
def heard(recognizer: Recognizer) -> list[LogProbs]:
    """What the model hears in each clip, without a list."""
    return [recognizer.log_probs([to_recording(clip, 16000)]) for clip in CLIPS]


@pytest.fixture(scope="module")
def decoder(recognizer: Recognizer) -> Decoder:
    return recognizer.decoder


def chunk(one: LogProbs, begin: int, end: int) -> LogProbs:
    """Some frames; phones have the same."""
    assert one.phones is not None
    end = min(end, int(one.lengths[0]))
    span = [(0, min(begin, end), end)]
    return one.slices(span, one.phones.slices(span))


def fed(stream: Stream, one: LogProbs, size: int) -> list[Update]:
    updates = [
        stream.accept(chunk(one, at, at + size)) for at in range(0, int(one.lengths[0]), size)
    ]
    return [*updates, stream.finish()]


def test_whatever_chunks_and_whoever_is_beside(decoder: Decoder, heard: list[LogProbs]) -> None:
    names = decoder.compile(NAMES)
    alone = [fed(decoder.stream(names), one, 16)[-1].committed for one in heard]
    for size in (8, 5, 10**6):
        assert [fed(decoder.stream(names), one, size)[-1].committed for one in heard] == alone
    streams = [decoder.stream(names, name=clip.stem) for clip in CLIPS]
    for at in range(0, max(int(one.lengths[0]) for one in heard), 16):
        decoder.accept_all(streams, [chunk(one, at, at + 16) for one in heard])
    assert [update.committed for update in decoder.finish_all(streams)] == alone


def test_names_are_found_as_offline(decoder: Decoder, heard: list[LogProbs]) -> None:
    names = decoder.compile(NAMES)
    count = total = 0
    alike: list[tuple[Word, Word]] = []
    for one in heard:
        (offline,) = decoder.decode_batch(one, [names])
        updates = fed(decoder.stream(names), one, 16)
        found = [word.word for update in updates for word in update.words if word.entity]
        assert found == [word.word for word in offline.best.words if word.entity]
        count += len(found)
        said = [word for update in updates for word in update.words]
        alike += _same_words(said, offline.best.words)
        total += len(said)
    for word, other in alike:
        assert word.start == pytest.approx(other.start, abs=0.05), word
        assert word.end == pytest.approx(other.end, abs=0.05), word
    assert len(alike) > 0.8 * total
    assert count >= 4


def _same_words(said: Sequence[Word], others: Sequence[Word]) -> list[tuple[Word, Word]]:
    """Words of both that stand between the same words."""
    ends = ["", *(word.word for word in said), ""], ["", *(word.word for word in others), ""]
    blocks = SequenceMatcher(None, *ends, autojunk=False).get_matching_blocks()
    inside = [(i + at, j + at) for i, j, size in blocks for at in range(size - 2)]
    return [(said[i], others[j]) for i, j in inside]


def test_a_long_list_has_a_tree_for_the_first_pass(
    decoder: Decoder, heard: list[LogProbs], tmp_path: Path
) -> None:
    """Its shortlists are made of pieces; what is shown before has all names."""
    many = [f"{one} {two}ington" for one in ("Al", "Bo", "Cy", "Di") for two in range(200)]
    listed = NAMES.read_text(encoding="utf-8").splitlines()
    names = decoder.compile([*listed, *many], warn=False)
    assert names.shortlists is not None
    offline = decoder.decode_batch(_joined(heard), [names] * len(heard))
    count = shown = 0
    for one, transcript in zip(heard, offline):
        updates = fed(decoder.stream(names), one, 16)
        found = [word.word for update in updates for word in update.words if word.entity]
        assert found == [word.word for word in transcript.best.words if word.entity]
        count += len(found)
        tentative = {word.word for update in updates for word in update.tentative_words}
        shown += len(tentative & {*found})
    assert count >= 4
    assert shown >= 1


def _joined(several: list[LogProbs]) -> LogProbs:
    rows = [one.log_probs[0] for one in several]
    phones = [one.phones.log_probs[0] for one in several if one.phones is not None]
    padded = torch.nn.utils.rnn.pad_sequence
    lengths = torch.tensor([len(row) for row in rows])
    return LogProbs(
        padded(rows, batch_first=True),
        lengths,
        several[0].frame_seconds,
        tuple(str(at) for at in range(len(rows))),
        several[0].vocabulary,
        PhoneLogProbs(padded(phones, batch_first=True), lengths, several[0].frame_seconds),
    )
