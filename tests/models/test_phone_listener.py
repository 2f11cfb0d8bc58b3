"""Phones heard beside a model that hears none."""

from __future__ import annotations

import math
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import ctcbias_fst
from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording, read_audio
from ctcbias_fst.cli.phones import PhonesOptions
from ctcbias_fst.errors import ConfigError, CtcbiasWarning, LogProbsError, ModelError
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.embedded_phones import EmbeddedPhones
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.phone_listener import MappedPhones, phone_listener
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.text.phone_symbols import IPA, is_arpabet, phones_of_symbol
from ctcbias_fst.text.phones import PHONE_ID, PHONES

CLIPS = Path(ctcbias_fst.__file__).parent / "pretrained/clips"
Array = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def embedded() -> AcousticModel:
    return AcousticModel.load()


@pytest.fixture(scope="module")
def listener() -> EmbeddedPhones:
    return EmbeddedPhones.load()


@pytest.fixture(scope="module")
def clips() -> list[Recording]:
    return [read_audio(path, 16000) for path in sorted(CLIPS.glob("*.flac"))]


def best(phones: PhoneLogProbs, row: int = 0) -> list[int]:
    """The phones heard: repeats merged, blanks dropped."""
    ids = phones.log_probs[row, : int(phones.lengths[row])].argmax(-1).unique_consecutive()
    return [one for one in ids.tolist() if one]


def test_the_embedded_head_hears_what_the_whole_model_hears(
    embedded: AcousticModel, listener: EmbeddedPhones, clips: list[Recording]
) -> None:
    whole = embedded.log_probs(clips).phones
    assert whole is not None
    alone = listener.phone_log_probs(clips)
    assert alone.frame_seconds == whole.frame_seconds == pytest.approx(0.04)
    assert torch.equal(alone.lengths, whole.lengths)
    assert torch.equal(alone.log_probs, whole.log_probs)
    assert listener.sampling_rate == 16000


def test_long_audio_is_heard_in_pieces(
    embedded: AcousticModel, listener: EmbeddedPhones, clips: list[Recording]
) -> None:
    """Cut where the layers below hear nothing: all frames are there, the phones those of the
    whole model, but for a few."""
    joined = Recording("all", np.concatenate([one.samples for one in clips] * 3), 16000)
    whole = embedded.log_probs([joined]).phones
    assert whole is not None
    alone = listener.phone_log_probs([joined, clips[0]])
    assert alone.lengths[0] == whole.lengths[0] == round(joined.seconds / 0.04)
    heard, expected = best(alone), best(whole)
    assert len(expected) > 300
    assert edits(heard, expected) < 0.03 * len(expected)
    short = listener.phone_log_probs(clips[:1]).log_probs[0]
    torch.testing.assert_close(alone.log_probs[1, : len(short)], short, atol=1e-3, rtol=0)


def edits(one: Sequence[int], two: Sequence[int]) -> int:
    row = list(range(len(two) + 1))
    for i, left in enumerate(one, start=1):
        before, row[0] = row[0], i
        for j, right in enumerate(two, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (left != right))
    return row[-1]


def test_other_models_of_ours_listen(random_model: Path) -> None:
    own = phone_listener(random_model)
    assert isinstance(own, EmbeddedPhones)
    recording = Recording("a", np.zeros(16000, np.float32), 16000)
    whole = AcousticModel.load(random_model).log_probs([recording]).phones
    assert whole is not None
    torch.testing.assert_close(own.phone_log_probs([recording]).log_probs, whole.log_probs)


def symbols(tokens: Sequence[str], rows: Sequence[dict[str, float]]) -> Any:
    """A function that hears the same in any audio: probabilities by token, a row every 100 ms."""
    table = np.zeros((len(rows), len(tokens)), np.float32)
    for row, probabilities in zip(table, rows):
        for token, probability in probabilities.items():
            row[tokens.index(token)] = probability

    def model(samples: Array) -> Array:
        with np.errstate(divide="ignore"):
            return np.log(np.resize(table, (len(samples) // 1600, len(tokens))))

    return model


IPA_TOKENS = ["<pad>", "|", *"pəʌʃsɪitkæhbdðfɡlmnŋɹθvwjzʒʊuɑɔɛ", "eɪ", "aɪ", "oʊ", "tʃ", "dʒ"]


def listen(listener: MappedPhones, seconds: float = 0.2) -> PhoneLogProbs:
    return listener.phone_log_probs(
        [Recording("a", np.zeros(round(16000 * seconds), np.float32), 16000)]
    )


def test_symbols_of_a_phone_are_added_and_boundaries_are_blank() -> None:
    rows = [{"ə": 0.25, "ʌ": 0.5, "t": 0.25}, {"<pad>": 0.5, "|": 0.25, "eɪ": 0.25}]
    found = phone_listener(symbols(IPA_TOKENS, rows), tokens=IPA_TOKENS, frame_seconds=0.1)
    assert isinstance(found, MappedPhones)
    heard = listen(found)
    assert heard.frame_seconds == pytest.approx(0.1)
    assert heard.lengths.tolist() == [2]
    assert heard.log_probs.shape == (1, 2, 40)
    first, second = heard.log_probs[0].exp()
    assert first[[PHONE_ID["AH"], PHONE_ID["T"], 0]].tolist() == pytest.approx([0.75, 0.25, 1e-9])
    assert second[[PHONE_ID["EY"], 0]].tolist() == pytest.approx([0.25, 0.75])
    assert bool((heard.log_probs > -25).all())  # no phone is impossible
    torch.testing.assert_close(heard.log_probs.exp().sum(-1), torch.ones(1, 2))


def test_symbols_of_two_phones_are_heard_one_after_the_other() -> None:
    tokens = [*IPA_TOKENS, "ɑːɹ"]
    rows = [{"ɑːɹ": 0.75, "t": 0.25}, {"<pad>": 1.0}]
    found = phone_listener(symbols(tokens, rows), tokens=tokens, frame_seconds=0.1)
    heard = listen(found)
    assert heard.frame_seconds == pytest.approx(0.05)
    assert heard.lengths.tolist() == [4]
    assert best(heard) == [PHONE_ID["AA"], PHONE_ID["R"]]
    halves = heard.log_probs[0].exp()
    assert halves[:2, PHONE_ID["T"]].tolist() == pytest.approx([0.25, 0.25])
    assert halves[2:, 0].tolist() == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize(
    "held,expected",
    [
        (1, ["K", "T"]),
        (2, ["K", "K", "T", "T"]),
        (3, ["K", "K", "K", "T", "T", "T"]),
        (4, ["K", "K", "K", "K", "T", "T", "T", "T"]),
    ],
)
def test_a_symbol_of_two_phones_that_is_held_is_each_of_them_once(
    held: int, expected: list[str]
) -> None:
    """Also beside another such symbol, twice with a blank between, and at the end of the batch."""
    tokens, table = [*IPA_TOKENS, "x", "y"], {"x": "K T", "y": "S S"}
    spoken = [*["x"] * held, "<pad>", *["x"] * held, *["y"] * held, "t", *["x"] * held]
    rows = [{one: 0.75, "ə": 0.25} for one in spoken]
    found = phone_listener(symbols(tokens, rows), tokens=tokens, table=table, frame_seconds=0.1)
    seconds = 0.1 * len(rows)
    heard = found.phone_log_probs(
        [Recording(str(n), np.zeros(round(16000 * n), np.float32), 16000) for n in (seconds, 0.1)]
    )
    best = [PHONES[i - 1] if i else "" for i in heard.log_probs[0].argmax(-1).tolist()]
    said = ["S"] * 2 * held
    assert best == [*expected, "", "", *expected, *said, "T", "T", *expected]
    assert [PHONES[i - 1] for i in heard.log_probs[1, :2].argmax(-1).tolist()] == ["K", "T"]
    whole = heard.log_probs[0].exp()
    torch.testing.assert_close(whole.sum(-1), torch.ones(2 * len(rows)))
    assert whole[:, PHONE_ID["AH"]].tolist() == pytest.approx([0.25] * len(whole))


def test_symbols_of_three_phones_are_refused() -> None:
    for tokens, table in (
        ([*IPA_TOKENS, "x"], {"x": "K S T"}),
        ([*IPA_TOKENS, "aɪɚz"], None),
    ):
        with pytest.raises(ModelError, match="stands for 3 phones, .*; a token may be two at most"):
            phone_listener(
                symbols(tokens, [{"t": 1.0}]), tokens=tokens, table=table, frame_seconds=0.1
            )


def test_a_table_says_what_symbols_are() -> None:
    tokens = ["<blank>", "1", "2", "3", *"pəʌsɪitkæhbdðfɡlmnŋɹθvwjzʒʊuɑɔɛ", "eɪ", "aɪ"]
    rows = [{"1": 0.5, "2": 0.25, "3": 0.25}]
    table = {"1": "SH", "2": "SH", "3": ""}
    found = phone_listener(symbols(tokens, rows), tokens=tokens, table=table, frame_seconds=0.1)
    heard = listen(found, 0.1).log_probs[0, 0].exp()
    assert heard[[PHONE_ID["SH"], 0]].tolist() == pytest.approx([0.75, 0.25])
    for wrong, message in (
        ({"1": "SH", "2": "XX"}, "'2': 'XX' is none of the 39 phones"),
        ({"4": "SH"}, "'4' is no token of the phone model"),
        ({"1": ["SH"]}, r"table: '1': \['SH'\]: map each symbol to a string of phones"),
        ({"1": None}, "table: '1': None: map each symbol to a string"),
        ("1 SH", "table must map symbols to phones, found '1 SH'"),
    ):
        with pytest.raises(ConfigError, match=message):
            phone_listener(symbols(tokens, rows), tokens=tokens, table=wrong, frame_seconds=0.1)


def test_what_is_no_phone_of_english_is_told() -> None:
    tokens = [*IPA_TOKENS, "ø", "ʂ"]
    with pytest.warns(CtcbiasWarning, match="^2 of 41 tokens of the phone model are no phones of "
                      "English and count as blank: 'ø', 'ʂ'; table="):  # fmt: skip
        found = phone_listener(symbols(tokens, [{"ø": 1.0}]), tokens=tokens, frame_seconds=0.1)
    assert listen(found).log_probs[0, 0, 0].exp() == pytest.approx(1.0)  # type: ignore[arg-type]
    letters = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
    with pytest.raises(
        ModelError, match="the tokens stand for 22 of the 39 phones of English, read"
    ):
        phone_listener(symbols(letters, [{"a": 1.0}]), tokens=letters, frame_seconds=0.1)
    with pytest.raises(ModelError, match="the tokens stand for 22 of the 39 phones"):
        phone_listener(
            symbols(letters, [{"a": 1.0}]), tokens=letters, table={"'": ""}, frame_seconds=0.1
        )


@pytest.mark.parametrize(
    "symbol,arpabet,phones",
    [
        ("AA1", True, "AA"), ("ah0", True, "AH"), ("axr", True, "ER"), ("en", True, "AH N"),
        ("SIL", True, None), ("XYZ", True, None), ("tʃ", False, "CH"), ("t͡ʃ", False, "CH"),
        ("ˈeɪ", False, "EY"), ("oʊ", False, "OW"), ("ɑːɹ", False, "AA R"), ("ɜː", False, "ER"),
        ("aɪɚ", False, "AY ER"), ("n̩", False, "N"), ("ø", False, None), ("ː", False, None),
    ],
)  # fmt: skip
def test_symbols(symbol: str, arpabet: bool, phones: str | None) -> None:
    expected = None if phones is None else tuple(phones.split())
    assert phones_of_symbol(symbol, arpabet=arpabet) == expected


def test_tables_have_our_phones() -> None:
    assert {phone for phones in IPA for phone in phones.split()} == set(PHONES)
    assert is_arpabet([f"{phone}1" for phone in PHONES]) and not is_arpabet(IPA.values())
    assert is_arpabet(["<blk>", *map(str.lower, PHONES)])


@pytest.fixture(scope="module")
def foreign(embedded: AcousticModel) -> Any:
    """A function with the embedded model's subwords, and no phones."""

    def model(samples: Array) -> Array:
        found = embedded.log_probs([Recording("a", samples, 16000)])
        return found.log_probs[0].numpy()

    return model


SETTINGS = {"parts": "boost,g2g,rescore,lookup"}
LISTED = ["Naproxen", "Kaiya Thorne", "Xarelto", "Metoprolol", "Siobhan Nguyen"]


def recognized(foreign: Any, embedded: AcousticModel, **options: Any) -> Recognizer:
    return Recognizer(
        foreign, tokens=embedded.tokenizer, frame_seconds=0.04, settings=SETTINGS, **options
    )


def test_a_model_without_phones_has_all_parts(
    foreign: Any, embedded: AcousticModel, clips: list[Recording]
) -> None:
    """The same transcripts as of the model that hears them itself."""
    own = Recognizer(embedded, settings=SETTINGS)
    beside = recognized(foreign, embedded)
    assert own.phones is None and isinstance(beside.phones, EmbeddedPhones)
    assert repr(beside).endswith(", phones by embedded>") and "phones by" not in repr(own)
    assert [beside.decoder.parts[part] for part in ("rescore", "lookup")] == [None, None]
    expected = own.transcribe(list(clips), entities=LISTED)
    found = beside.transcribe(list(clips), entities=LISTED)
    assert [one.best.text for one in found] == [one.best.text for one in expected]
    phones = [one.best.phone for one in found]
    assert phones == pytest.approx([one.best.phone for one in expected], abs=1e-3)
    assert beside.phone_seconds > 0 and own.phone_seconds == 0
    # What is handed to the decoder by the user has phones, too.
    decoded = beside.decoder.decode(beside.log_probs(clips), entities=LISTED)
    assert [one.best.text for one in decoded] == [one.best.text for one in found]


def test_a_phone_model_of_the_users(
    foreign: Any, embedded: AcousticModel, clips: list[Recording]
) -> None:
    """Its symbols in another order, another blank; its own rate; instead of a model's own ear."""
    order = list(reversed(range(40)))
    names = ["<blank>", *(f"{phone}0" for phone in PHONES)]
    tokens = [names[column] for column in order]

    def model(samples: Array) -> Array:
        found = embedded.log_probs([Recording("a", np.repeat(samples, 2), 16000)]).phones
        assert found is not None
        return found.log_probs[0].numpy()[:, order]

    heard = phone_listener(model, tokens=tokens, sampling_rate=8000, frame_seconds=0.04)
    (half,) = [Recording("a", clips[0].samples[::2].copy(), 8000)]
    expected = embedded.log_probs([Recording("a", np.repeat(half.samples, 2), 16000)]).phones
    assert expected is not None
    torch.testing.assert_close(
        heard.phone_log_probs([half]).log_probs, expected.log_probs.clamp(min=np.log(1e-9))
    )
    for recognizer in (
        recognized(foreign, embedded, phones=heard),
        Recognizer(embedded, settings=SETTINGS, phones=heard),
    ):
        assert recognizer.phones is heard
        found = recognizer.transcribe(clips[0], entities=LISTED)
        assert found.best.phone is not None
        assert recognizer.phone_seconds > 0


class Counting:
    """A listener that hears nothing, and counts how often it is asked."""

    family, sampling_rate, frame_seconds = "nothing", 16000, 0.02

    def __init__(self, longer: float = 1.0) -> None:
        self.calls, self.longer = 0, longer

    def phone_log_probs(self, recordings: Sequence[Recording]) -> PhoneLogProbs:
        self.calls += 1
        lengths = [round(one.seconds / 0.02 * self.longer) for one in recordings]
        phones = torch.full((len(lengths), max(lengths), 40), -9.0)
        phones[:, :, 0] = -0.005
        return PhoneLogProbs(phones, torch.tensor(lengths), 0.02)


def test_who_needs_no_phones_does_not_wait_for_them(
    foreign: Any, embedded: AcousticModel, clips: list[Recording]
) -> None:
    counting = Counting()
    recognizer = Recognizer(
        foreign,
        tokens=embedded.tokenizer,  # type: ignore[arg-type]
        frame_seconds=0.04,
        settings={"parts": "boost", "shortlist.shorten_above": 2},
        phones=counting,
    )
    recognizer.transcribe(clips[0], entities=LISTED[:2])
    assert counting.calls == 0
    recognizer.transcribe(clips[0], entities=LISTED)
    assert counting.calls == 1


def test_nobody_listens(foreign: Any, embedded: AcousticModel, clips: list[Recording]) -> None:
    with pytest.warns(CtcbiasWarning, match=r"parts without effect: .*lookup \(needs log-probs of"):
        recognizer = recognized(foreign, embedded, phones=None)
    assert recognizer.phones is None
    assert recognizer.decoder.parts["lookup"] == "needs log-probs of phones"
    assert recognizer.transcribe(clips[0]).best.phone is None
    own = Recognizer(embedded, settings=SETTINGS, phones=None)
    assert own.transcribe(clips[0]).best.phone is not None


def test_the_embedded_head_hears_english(
    monkeypatch: pytest.MonkeyPatch, foreign: Any, embedded: AcousticModel
) -> None:
    """Beside a model of another script or language nobody listens, unless it is asked for."""
    tokens = ["<blk>", "|", *"абвгдежзийклмнопрстуфхцчшщъыьэюя"]
    cyrillic = Recognizer(foreign, tokens=tokens, frame_seconds=0.04)
    assert cyrillic.phones is None
    assert cyrillic.decoder.parts["rescore"] == "needs log-probs of phones"
    counting = Counting()
    assert (
        Recognizer(foreign, tokens=tokens, frame_seconds=0.04, phones=counting).phones is counting
    )
    made = function_model(foreign, embedded.tokenizer, frame_seconds=0.04)
    monkeypatch.setattr("ctcbias_fst.recognizer.load_model", lambda *_, **__: made)
    languages = {None: True, "eng": True, "en-GB": True, "EN": True, "en_us": True, "auto": True}
    for language, listens in {**languages, "tur": False, "enb": False, "deu": False}.items():
        found = Recognizer.from_pretrained(CLIPS, language=language)
        assert (found.phones is not None) == listens
    assert Recognizer.from_pretrained(CLIPS, language="tur", phones=counting).phones is counting
    for asked in ("embedded", Path("embedded")):
        found = Recognizer.from_pretrained(CLIPS, language="deu", phones=asked)
        assert isinstance(found.phones, EmbeddedPhones)
        found = Recognizer(foreign, tokens=tokens, frame_seconds=0.04, phones=asked)
        assert isinstance(found.phones, EmbeddedPhones)
        assert PhonesOptions(phones=Path("embedded")).listener("deu") == Path("embedded")
    assert PhonesOptions().listener("deu") is None and PhonesOptions().listener("en") == "auto"
    assert Recognizer(embedded, phones=Path("embedded")).phones is None  # it hears them itself


def test_a_listener_to_other_audio_is_refused(
    foreign: Any, embedded: AcousticModel, clips: list[Recording]
) -> None:
    recognizer = recognized(foreign, embedded, phones=Counting(2.0))
    with pytest.raises(LogProbsError, match=f"utterance {clips[0].id}: its log-probs last"):
        recognizer.transcribe(clips[0])


def test_copies_listen_too(embedded: AcousticModel, clips: list[Recording]) -> None:
    recognizer = Recognizer(embedded, settings=SETTINGS, phones=Counting())
    assert isinstance(recognizer.phones, Counting)
    copy = pickle.loads(pickle.dumps(recognizer))
    assert isinstance(copy.phones, Counting)
    listener = pickle.loads(pickle.dumps(EmbeddedPhones.load()))
    expected = embedded.log_probs(clips[:1]).phones
    assert expected is not None
    assert torch.equal(listener.phone_log_probs(clips[:1]).log_probs, expected.log_probs)


@pytest.mark.parametrize(
    "phones,options,error,message",
    [
        ("embedded", {"table": {"a": "AA"}}, ConfigError, "no use with the embedded phone head"),
        (Counting(), {"tokens": ["a"]}, ConfigError, "no use with a phone listener: leave them"),
        ("nowhere/at/all", {}, ModelError, "nowhere/at/all: no such file or folder"),
        (3, {}, ModelError, "a int is no model"),
        (np.log, {}, ModelError, r"pass phone_listener\(function, tokens="),
        (np.log, {"lag": True}, ModelError, r"pass phone_listener\(function, tokens="),
        ("embedded", {"lag": 0.1}, ConfigError, "lag and such options are of no use"),
    ],
)
def test_what_is_no_listener(
    phones: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        phone_listener(phones, **options)


def test_a_function_that_listens_needs_its_tokens(foreign: Any, embedded: AcousticModel) -> None:
    with pytest.raises(ModelError, match=r"pass phone_listener\(function, tokens="):
        recognized(foreign, embedded, phones=lambda samples: samples)


def test_a_model_that_hears_phones_listens_with_them(
    foreign: Any, embedded: AcousticModel, clips: list[Recording]
) -> None:
    own = phone_listener(embedded)
    expected = embedded.log_probs(clips[:1]).phones
    assert expected is not None
    heard = own.phone_log_probs(clips[:1])
    assert torch.equal(heard.log_probs, expected.log_probs) and heard.lag == expected.lag
    assert recognized(foreign, embedded, phones=embedded).decoder.parts["lookup"] is None
    with pytest.raises(ConfigError, match="no use with a model that hears phones itself"):
        phone_listener(embedded, table={"a": "AA"})


def test_what_is_known_of_how_late_phones_are_written() -> None:
    model = symbols(IPA_TOKENS, [{"t": 1.0}])
    options = {"tokens": IPA_TOKENS, "frame_seconds": 0.1}
    for lag, expected in ((None, None), (0.25, 0.25), (np.float32(0.5), 0.5), (np.int64(0), 0.0)):
        heard = listen(phone_listener(model, lag=lag, **options))  # type: ignore[arg-type]
        assert heard.lag == expected
    for wrong in (True, "0.1", math.nan):
        with pytest.raises(ConfigError, match="lag must be a finite number of seconds, found"):
            phone_listener(model, lag=wrong, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("samples", [0, 1, 79, 80, 100, 400])
def test_hardly_any_audio(listener: EmbeddedPhones, samples: int) -> None:
    recording = Recording("a", np.full(samples, 0.1, np.float32), 16000)
    heard = listener.phone_log_probs([recording])
    assert heard.lengths.tolist() == [min(samples, 1)]
    assert bool(heard.log_probs[0, : min(samples, 1)].isfinite().all())


def test_nothing_at_all(listener: EmbeddedPhones) -> None:
    heard = listener.phone_log_probs([])
    assert heard.lengths.tolist() == [] and heard.log_probs.shape == (0, 0, 40)
