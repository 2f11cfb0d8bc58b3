from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ctcbias_fst.pronunciation.pronounce import Pronunciation
from ctcbias_fst.pronunciation.pronunciation_table import PronunciationTable
from ctcbias_fst.shortlist.phone_confusions import CLASSES, phone_classes, phone_distances
from ctcbias_fst.shortlist.phone_index import PhoneIndex, ShortlistConfig
from ctcbias_fst.text.phones import PHONES

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no CUDA"))]  # fmt: skip
WORDS = {
    "metformin": "M EH T F AO R M IH N",
    "ibuprofen": "AY B Y UW P R OW F AH N",
    "patient": "P EY SH AH N T",
    "amy": "EY M IY",
    "strasbourg": "S T R AE S B ER G",
    "the": "DH AH",
    "lisbon": "L IH Z B AH N",
}


def speech(phones: str, sure: float = 0.97, blanks: int = 2) -> torch.Tensor:
    """Log-probs ``(frame, 40)`` of phones said clearly, with blanks between."""
    rows = []
    for phone in phones.split():
        row = np.full(40, (1.0 - sure) / 39)
        row[1 + PHONES.index(phone)] = sure
        rows.append(row)
        blank = np.full(40, 0.01 / 39)
        blank[0] = 0.99
        rows += [blank] * blanks
    return torch.tensor(np.array(rows), dtype=torch.float32).log()


def pronounced(names: Sequence[Sequence[Sequence[str]]]) -> PronunciationTable:
    """Names by their pronunciations."""
    several = [[Pronunciation.of(row) for row in rows] for rows in names]
    return PronunciationTable.of(several)


def index(names: dict[str, str], device: str = "cpu", **config: float) -> PhoneIndex:
    spoken = [[p.split() for p in several.split(" | ") if p] for several in names.values()]
    return PhoneIndex.build(pronounced(spoken), ShortlistConfig(**config), device)  # type: ignore[arg-type]


def shortlist(names: dict[str, str], said: str, most: int = 300) -> list[str]:
    found = index(names).shortlist(speech(said), most)
    return [list(names)[i] for i in found.tolist()]


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_said_comes_first(device: str) -> None:
    names = list(WORDS)
    built = index(WORDS, device)
    for position, name in enumerate(names):
        said = speech(f"W IY S AO {WORDS[name]} HH IH R").to(device)
        assert built.shortlist(said, 300).tolist()[0] == position


def test_a_name_that_was_heard_wrongly_comes_first() -> None:
    # a vowel, a voicing, a phone lost
    assert shortlist(WORDS, "G IH V M IH T V ER M IH N")[0] == "metformin"
    assert shortlist(WORDS, "AY B Y P R AH F AH N")[0] == "ibuprofen"


def test_every_pronunciation_counts() -> None:
    names = {**WORDS, "either": "IY DH ER | AY DH ER"}
    assert shortlist(names, "AY DH ER")[0] == "either"
    assert shortlist(names, "IY DH ER")[0] == "either"
    assert shortlist(names, "AY DH ER").count("either") == 1


def test_only_the_likeliest_pronunciations_are_indexed() -> None:
    names = {"either": "IY DH ER | AY DH ER"}
    assert len(index(names, pronunciations=1).owner) == 1


def test_size_bounds_the_shortlist() -> None:
    assert len(shortlist(WORDS, WORDS["amy"], most=3)) == 3


def test_names_without_a_sound_are_always_on_it() -> None:
    names = {**WORDS, "mute": ""}
    assert shortlist(names, WORDS["lisbon"])[:2] == ["mute", "lisbon"]
    silence = torch.full((5, 40), -20.0)
    silence[:, 0] = 0.0
    assert index(names).shortlist(silence, 300).tolist() == [len(WORDS)]
    assert index({"mute": ""}).shortlist(speech("M IY"), 300).tolist() == [0]


def test_silence_has_no_names() -> None:
    assert len(index(WORDS).shortlist(torch.zeros(0, 40), 300)) == 0


def test_order_of_the_list_does_not_matter() -> None:
    said = "DH AH P EY SH AH N T T UH K M EH T F AO R M IH N"
    backwards = dict(reversed(WORDS.items()))
    assert set(shortlist(WORDS, said, most=2)) == set(shortlist(backwards, said, most=2))


def test_several_utterances_together_are_as_each_by_itself() -> None:
    built = index({**WORDS, "mute": ""}, n_by_phone=4)
    silence = torch.full((5, 40), -20.0)
    silence[:, 0] = 0.0
    said = [speech(f"{phones} DH AH") for phones in WORDS.values()] * 6
    several = [silence, *said, silence]
    assert sum(len(built.slots(one)) for one in several) > 250
    together = built.candidates_of(several, 4)
    for one, (names, costs) in zip(several, together):
        alone, its = built.candidates(one, 4)
        assert names.tolist() == alone.tolist()
        assert costs.tolist() == pytest.approx(its.tolist(), abs=1e-4)


def test_neighbouring_frames_of_a_phone_make_one_slot() -> None:
    frames = speech("M IY", blanks=0).repeat_interleave(3, dim=0)
    frames[1, 1 + PHONES.index("N")] = float(np.log(0.02))
    slots = index(WORDS).slots(frames)
    assert slots.shape == (2, 40)
    assert slots[0, 1 + PHONES.index("N")] == pytest.approx(0.02)


phone_rows = st.lists(st.lists(st.integers(1, 39), min_size=1, max_size=5), min_size=1, max_size=6)


@settings(deadline=None, max_examples=40)
@given(phone_rows, st.integers(1, 6), st.integers(0, 1000))
def test_alignment_is_the_least_of_all_alignments(
    rows: list[list[int]], count: int, seed: int
) -> None:
    """Against a plain recursion over phones and slots; costs are of hundredths of a nat."""
    config = ShortlistConfig()
    built = PhoneIndex.build(pronounced([[[PHONES[p - 1] for p in row]] for row in rows]), config)
    draws = np.random.default_rng(seed).dirichlet(np.full(40, 0.2), size=count)
    slots = torch.tensor(draws, dtype=torch.float32)
    distances = phone_distances()
    heard = np.log(np.maximum(slots.numpy(), np.float32(1e-6)))
    worst = distances.max()
    gap = np.minimum(heard[:, 1:].max(axis=1, keepdims=True) - heard[:, 1:], worst)
    skip = np.clip(-heard[:, 0], 0.1, config.extra)

    def substitution(slot: int, phone: int) -> float:
        return float(min(worst, (gap[slot] + distances[1:, phone]).min()))

    def cost(row: list[int]) -> float:
        # best[s]: the row so far ends before slot s
        best = [0.0] * (count + 1)
        for phone in row:
            step = [best[s] + config.missing for s in range(count + 1)]
            for s in range(1, count + 1):
                step[s] = min(step[s], best[s - 1] + substitution(s - 1, phone))
            # at most one slot in a row is left out after a phone
            best = [
                min(step[s], step[s - 1] + skip[s - 1]) if s else step[s] for s in range(count + 1)
            ]
        return min(best)

    expected = [cost(row) for row in rows]
    others = slots.flip(0)[: count - 1]  # neighbours change nothing
    assert built._align([others, slots, others], None)[1].tolist() == pytest.approx(
        expected, abs=0.06
    )
    backwards = torch.arange(len(rows)).flip(0)
    assert built._align([slots], backwards)[0].tolist() == pytest.approx(expected[::-1], abs=0.06)


@settings(deadline=None, max_examples=40)
@given(phone_rows, st.lists(st.integers(1, 39), min_size=1, max_size=6))
def test_retrieval_counts_the_sequences_that_rows_share_with_the_slots(
    rows: list[list[int]], said: list[int]
) -> None:
    built = PhoneIndex.build(pronounced([[[PHONES[p - 1] for p in row]] for row in rows]))
    slots = torch.nn.functional.one_hot(torch.tensor(said), 40).float()
    pairs = built._postings[0]
    own = [set(itertools.pairwise(row)) for row in rows]
    heard = set(itertools.pairwise(said)) | set(zip(said, said[2:]))
    frequency = {pair: sum(pair in one for one in own) for pair in set(itertools.chain(*own))}

    def weight(found: set[tuple[int, int]]) -> float:
        return sum(float(np.log(len(rows) / frequency[pair])) for pair in found)

    assert pairs.found(slots).tolist() == pytest.approx(
        [weight(one & heard) for one in own], abs=1e-4
    )
    assert pairs.total.tolist() == pytest.approx([weight(one) for one in own], abs=1e-4)


def test_likeness_of_phones() -> None:
    classes, distances = phone_classes(), phone_distances()
    assert sorted(" ".join(CLASSES).split()) == sorted(PHONES)
    assert classes[0] == 0
    assert (classes[1:] > 0).all()
    assert np.array_equal(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    off = distances[~np.eye(40, dtype=bool)]
    assert off.min() > 0
    phone = {p: 1 + i for i, p in enumerate(PHONES)}
    assert distances[phone["AA"], phone["AO"]] < distances[phone["AA"], phone["IY"]]
    assert distances[phone["P"], phone["B"]] < distances[phone["P"], phone["S"]]


@pytest.mark.parametrize(
    ("field", "value"), [("n_by_phone", 0), ("slot_probability", 1.0), ("missing", -1.0)]
)
def test_impossible_settings_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        ShortlistConfig(**{field: value})  # type: ignore[arg-type]
