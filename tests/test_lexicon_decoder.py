"""Models whose tokens are phones, through the public decoder: words, names, a language model."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcbias_fst import Decoder
from ctcbias_fst.errors import ConfigError, CtcbiasWarning, EntityListError, InputError, ModelError
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import TrainLmConfig, train_lm
from ctcbias_fst.settings import changed
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.token_lexicon import TokenLexicon

TOKENS = ["<blk>", *PHONES, "<wb>"]
WORDS = {
    "the": "DH AH",
    "sees": "S IY Z",
    "seize": "S IY Z",
    "bay": "B EY",
    "a": ["AH", "EY"],
    "in": "IH N",
    "anna": "AE N AH",
}


def _spoken(text: str, sure: float = 0.9) -> np.ndarray:
    """Log-probs of phones, ``|`` the token between words; each for two frames, a blank between."""
    labels = [0]
    for phone in text.replace("|", "<wb>").split():
        labels += [TOKENS.index(phone)] * 2 + [0]
    values = np.full((len(labels), len(TOKENS)), (1 - sure) / (len(TOKENS) - 1), dtype=np.float32)
    values[np.arange(len(labels)), labels] = sure
    return np.log(values)


def _decoder(**options: Any) -> Decoder:
    return Decoder.from_tokens(TOKENS, **{"lexicon": WORDS, "frame_seconds": 0.02, **options})


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return _decoder()


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lm") / "lm.safetensors"
    texts = ["anna sees the bay", "seize the bay", "the bay in a bay", "anna sees anna"]
    # Names that occur once teach the model where unknown words stand.
    texts = texts * 20 + [f"name{number} sees the bay" for number in range(20)]
    save_lm(path, train_lm(map(str.split, texts), TrainLmConfig(order=2)))
    return path


def english_lexicon_of(tokens: Sequence[str]) -> TokenLexicon:
    tokenizer = Decoder.from_tokens(tokens, lexicon="english", frame_seconds=0.02).tokenizer
    assert isinstance(tokenizer, LexiconTokenizer)
    return tokenizer.lexicon


SENTENCE = "AE N AH | S IY Z | DH AH | B EY"


def test_words(decoder: Decoder) -> None:
    (found,) = decoder.decode(_spoken(SENTENCE), nbest=3)
    assert found.best.text in ("anna sees the bay", "anna seize the bay")
    assert {one.text for one in found.nbest[:2]} == {"anna sees the bay", "anna seize the bay"}
    assert [word.entity for word in found.best.words] == [False] * 4
    starts = [word.start for word in found.best.words]
    assert starts == sorted(starts)
    frames = len(_spoken(SENTENCE))
    assert found.best.shares["acoustic"] == pytest.approx(frames * np.log(0.9), abs=1e-3)


def test_words_that_run_together(decoder: Decoder) -> None:
    (found,) = decoder.decode(_spoken("AE N AH DH AH B EY"))
    assert found.best.text == "anna the bay"


@pytest.mark.parametrize("silence", ["sil", "SIL", "<sil>", "sp", "pau", "spn"])
@pytest.mark.parametrize("between", [[], ["<wb>"]])
def test_silence_is_no_phone(silence: str, between: list[str]) -> None:
    """Of whatever name, beside a token between words or without: before, between and in words."""
    tokens = ["<blk>", *PHONES, *between, silence]
    decoder = Decoder.from_tokens(
        tokens, lexicon={"cat": "K AE T", "sat": "S AE T", "mat": "M AE T"}, frame_seconds=0.02
    )
    for spoken, text in (
        ("sil K AE T sil S AE T sil", "cat sat"),
        ("sil sil M AE sil T S AE T", "mat sat"),
        ("sil", ""),
    ):
        heard = [tokens.index(silence if one == "sil" else one) for one in spoken.split()]
        values = np.full((2 * len(heard), len(tokens)), 0.1 / (len(tokens) - 1), dtype=np.float32)
        values[np.arange(2 * len(heard)), np.repeat(heard, 2)] = 0.9
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            (found,) = decoder.decode(np.log(values))
        assert found.best.text == text


def test_a_language_model_tells_words_that_sound_alike_apart(lm: Path) -> None:
    decoder = _decoder(lm=lm)
    (found,) = decoder.decode(_spoken(SENTENCE))
    assert found.best.text == "anna sees the bay"
    assert found.best.lm != 0
    (found,) = decoder.decode(_spoken("S IY Z | DH AH | B EY"))
    assert found.best.text == "seize the bay"


def test_names_the_lexicon_lacks_are_pronounced_as_english(decoder: Decoder) -> None:
    """And those of words that it has as these."""
    spoken = _spoken("K IY SH AH | S IY Z | AE N AH | B EY")
    (found,) = decoder.decode(spoken, entities=["Keisha", "Anna Bay"])
    assert found.best.text in ("Keisha sees Anna Bay", "Keisha seize Anna Bay")
    named = [word.word for word in found.best.words if word.entity]
    assert named == ["Keisha", "Anna", "Bay"]
    first, second = found.best.mentions
    assert (first.mention.entity.name, second.mention.entity.name) == ("keisha", "anna bay")
    assert first.mention.found_by == "boost"
    assert first.end <= second.start


def test_names_that_nobody_says_change_nothing(decoder: Decoder) -> None:
    (plain,) = decoder.decode(_spoken(SENTENCE))
    (named,) = decoder.decode(_spoken(SENTENCE), entities=["Metformin", "Bridlewood", "Zhukov"])
    assert named.best == plain.best


def test_names_in_a_language_model_are_a_class(lm: Path) -> None:
    decoder = _decoder(lm=lm)
    (found,) = decoder.decode(_spoken("K IY SH AH | S IY Z | DH AH | B EY"), entities=["Keisha"])
    assert found.best.text == "Keisha sees the bay"


def test_own_pronunciations_of_names(decoder: Decoder) -> None:
    entities = [{"name": "Qxw", "pronunciations": ["B AA B AH"]}]
    (found,) = decoder.decode(_spoken("B AA B AH | IH N | DH AH | B EY"), entities=entities)
    assert found.best.text == "Qxw in the bay"


def test_a_list_for_each_utterance(decoder: Decoder) -> None:
    spoken = _spoken("K IY SH AH | S IY Z | DH AH | B EY")
    some = decoder.compile(["Keisha"])
    found = decoder.decode([spoken, spoken, spoken], entities=[some, None, ["Bay"]])
    assert [one.best.text.startswith("Keisha") for one in found] == [True, False, False]
    assert [one.best.text.endswith("Bay") for one in found] == [False, False, True]


def test_long_lists_are_searched_as_a_whole(decoder: Decoder) -> None:
    """One graph serves all utterances; a shortlist for each would need one of each."""
    config = changed({}, {"shortlist.shorten_above": 2})
    heard = Decoder(decoder.tokenizer, config, frame_seconds=0.02, phones=True)
    names = heard.compile(["Keisha", "Tobias", "Anna Bay"])
    assert names.shortlists is None
    assert names.graph is not None
    assert names.pronunciations is not None


def test_what_is_cached_is_what_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTCBIAS_CACHE", str(tmp_path / "cache"))
    made, kept = (_decoder(lexicon="english").tokenizer for _ in range(2))
    assert isinstance(made, LexiconTokenizer)
    assert isinstance(kept, LexiconTokenizer)
    (file,) = (tmp_path / "cache").glob("lexicon-*")
    assert made.lexicon.words == kept.lexicon.words
    for word in ("the", "patient", "read"):
        assert made.lexicon.ways(word) == kept.lexicon.ways(word) != ()
    file.write_bytes(b"damaged")
    again = _decoder(lexicon="english").tokenizer
    assert isinstance(again, LexiconTokenizer)
    assert again.lexicon.words == made.lexicon.words


def test_the_english_lexicon() -> None:
    decoder = _decoder(lexicon="english")
    (found,) = decoder.decode(_spoken("DH AH | P EY SH AH N T | HH AE Z | AE Z M AH"))
    assert found.best.text.split()[:3] == ["the", "patient", "has"]
    assert "asthma" in {
        one.words[-1].word
        for one in decoder.decode(_spoken("AE Z M AH"), nbest=5)[0].nbest
        if one.words
    }


def test_words_are_written_and_not_abbreviations() -> None:
    lexicon = english_lexicon_of(TOKENS)
    for said, short in (("mister", "mr"), ("doctor", "dr"), ("junior", "jr")):
        assert lexicon.ways(said)
        assert not set(lexicon.ways(said)) & set(lexicon.ways(short))
    assert lexicon.ways("tv")  # nothing else sounds so


def test_copies_decode_alike(decoder: Decoder) -> None:
    spoken = _spoken(SENTENCE)
    for other in (copy.copy(decoder), pickle.loads(pickle.dumps(decoder))):
        assert other.decode(spoken) == decoder.decode(spoken)


def test_log_probs_that_say_nothing_have_no_words(decoder: Decoder) -> None:
    flat = np.full((50, len(TOKENS)), -np.log(len(TOKENS)), dtype=np.float32)
    (found,) = decoder.decode(flat, entities=["Keisha"])
    assert found.best.text == ""


def test_flat_scores_do_not_take_all_memory() -> None:
    decoder = Decoder.from_tokens(TOKENS, lexicon="english", frame_seconds=0.02)
    noise = np.random.default_rng(0).normal(0.0, 0.05, (80, len(TOKENS))).astype(np.float32)
    noise -= np.log(np.exp(noise).sum(axis=1, keepdims=True))
    spoken = _spoken(SENTENCE)
    values = np.concatenate([spoken, noise, spoken])
    lattices: list[int] = []
    decoder.search.listener = lambda _, lattice, *__: lattices.append(len(lattice.frame))
    alone, flat = decoder.decode([spoken, values], entities=["Keisha"])
    assert alone.warning is None
    assert flat.warning == "the model's scores are flat in places: few tokens were tried there"
    assert lattices[0] < 400_000
    (expected,) = decoder.decode(spoken, entities=["Keisha"])
    assert alone == replace(expected, id=alone.id)


def test_a_few_flat_frames_are_searched_as_ever(decoder: Decoder) -> None:
    spoken = _spoken(SENTENCE)
    flat = np.full((4, len(TOKENS)), -np.log(len(TOKENS)), dtype=np.float32)
    (found,) = decoder.decode(np.concatenate([spoken, flat, spoken]))
    assert found.warning is None


def test_tokens_that_look_like_phones_are_no_reason_to_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _decoder()


def test_tokens_without_one_between_words() -> None:
    tokens = [token for token in TOKENS if token != "<wb>"]
    decoder = Decoder.from_tokens(tokens, lexicon=WORDS, frame_seconds=0.02)
    log_probs = _spoken("AE N AH DH AH B EY")[:, :-1]
    log_probs -= np.log(np.exp(log_probs).sum(axis=1, keepdims=True))
    assert decoder.decode(log_probs)[0].best.text == "anna the bay"
    assert isinstance(decoder.tokenizer, LexiconTokenizer)


def test_files(tmp_path: Path) -> None:
    lexicon, tokens = tmp_path / "lexicon.txt", tmp_path / "tokens.txt"
    lexicon.write_text("bay B EY\nthe DH AH0\n")
    tokens.write_text("".join(f"{token} {i}\n" for i, token in enumerate(TOKENS)))
    decoder = Decoder.from_tokens(tokens, lexicon=lexicon, frame_seconds=0.02)
    assert decoder.decode(_spoken("DH AH | B EY"))[0].best.text == "the bay"


def _faults() -> Sequence[tuple[dict[str, Any], type[Exception], str]]:
    return [
        ({"lexicon": "missing.txt"}, InputError, "missing.txt"),
        ({"lexicon": ["bay"]}, InputError, "must be the path of a lexicon"),
        ({"lexicon": {"bay": "b_ e_"}}, InputError, "lexicon of another model"),
        ({"tokenizer": "bpe.model"}, ModelError, "pass either"),
        ({"settings": {"decode.separator_cost": -1}}, ConfigError, "separator_cost"),
    ]


@pytest.mark.parametrize(("options", "error", "message"), _faults())
def test_what_is_handed_in_by_mistake(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        _decoder(**options)


def test_english_tells_of_phones_that_the_model_lacks() -> None:
    with pytest.warns(CtcbiasWarning, match="no token for ZH: words"):
        decoder = Decoder.from_tokens(
            [token for token in TOKENS if token != "ZH"], lexicon="english", frame_seconds=0.02
        )
    assert isinstance(decoder.tokenizer, LexiconTokenizer)
    assert decoder.tokenizer.lexicon.ways("measure") == ()
    assert decoder.tokenizer.lexicon.ways("the")


def test_english_needs_the_phones_of_english() -> None:
    with pytest.raises(ModelError, match="of English"):
        Decoder.from_tokens(["<blk>", "a", "k"], lexicon="english", frame_seconds=0.02)
    # Another language has its lexicon, and names of words that are in it.
    decoder = Decoder.from_tokens(["<blk>", "a", "k"], lexicon={"ka": "k a"}, frame_seconds=0.02)
    with pytest.raises(EntityListError, match="cannot write"):
        decoder.compile(["Keisha"], warn=False)
    assert len(decoder.compile(["Ka Ka"])) == 1


def test_spelling_variants_do_not_act(decoder: Decoder) -> None:
    """They are letters; a name is pronounced instead."""
    assert (decoder.parts["boost"], decoder.parts["g2g"]) == (None, "needs tokens that are letters")
    assert "spelling variants" not in decoder.compile(["Keisha"]).serves
    with pytest.warns(CtcbiasWarning, match=r"effect: g2g \(needs tokens that are letters\)"):
        _decoder(settings={"parts": "boost,g2g"})


def test_decoders_of_one_tokenizer_have_prices_of_their_own() -> None:
    """Though they share the search of words, and what one compiled; as calibrating has it."""
    decoder = _decoder()
    names = decoder.compile(["Keisha"])
    spoken = _spoken("K IY SH AH | S IY Z | DH AH | B EY")
    paid = {}
    for bonus in (1.0, 3.0, 1.0, 3.0):
        config = changed({}, {"decode.boost.bonus": bonus})
        other = Decoder(decoder.tokenizer, config, frame_seconds=0.02)
        assert other.search.lexicon is decoder.search.lexicon
        (found,) = other.decode(spoken, entities=names)
        assert found.best.text.startswith("Keisha")
        assert paid.setdefault(bonus, found.best.boost) == found.best.boost
    assert paid[3.0] - paid[1.0] == pytest.approx(2.0, abs=1e-4)
