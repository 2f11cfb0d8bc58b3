"""Names in phones: as the lexicon says, else as they are likely to be pronounced."""

from __future__ import annotations

import pytest

from ctcbias_fst.errors import ModelError
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.encoded_entities import encode_entities
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.phone_symbols import IPA, ipa_forms, phones_of_symbol
from ctcbias_fst.text.phone_tokens import PhoneTokens
from ctcbias_fst.text.phones import PHONES
from ctcbias_fst.text.token_lexicon import TokenLexicon, Ways
from ctcbias_fst.text.vocabulary import Vocabulary

MODEL = Vocabulary.from_tokens(["<blk>", *PHONES], boundary="none")
LEXICON = TokenLexicon.of(
    [("anna", (3, 21, 3), 0.0), ("anna", (1, 21, 3), 0.7), ("bay", (7, 13), 0.0)], "<test>"
)


def _spell(word: str) -> Ways:
    """One phone for each x."""
    return [((38,) * len(word), 0.0), ((37,) * len(word), 1.0)] if set(word) == {"x"} else []


def _tokenizer(pronounce: bool = True) -> LexiconTokenizer:
    return LexiconTokenizer(MODEL, LEXICON, _spell if pronounce else None, PhoneTokens(MODEL))


def test_words_are_combined_the_cheapest_first() -> None:
    found = _tokenizer().encode_nbest(["Anna xx"], 3)[0]
    assert found == [
        ([3, 21, 3, 38, 38], 0.0),
        ([1, 21, 3, 38, 38], pytest.approx(0.7)),
        ([3, 21, 3, 37, 37], 1.0),
    ]
    assert _tokenizer().encode("bay anna") == [7, 13, 3, 21, 3]
    with pytest.raises(ValueError, match="at least 1"):
        _tokenizer().encode_nbest(["bay"], 0)


def test_what_cannot_be_pronounced_is_told() -> None:
    tokenizer = _tokenizer()
    assert tokenizer.encode("bay zoo") == []
    assert tokenizer.uncovered("bay zox") == "zo"
    assert tokenizer.uncovered("bay anna") == ""
    assert not tokenizer.covers("xyz")
    entities = entities_from_names(["Anna Bay", "Zzyzx", "XX"])
    checked = check_entities(entities, tokenizer)
    assert [entity.name for entity in checked] == ["anna bay", "xx"]
    (rejected,) = checked.rejected
    assert rejected.text == "Zzyzx"
    assert "cannot write" in rejected.reason


def test_pronunciations_of_the_list_take_the_place_of_the_spelling() -> None:
    """In ARPAbet, whatever the model's own tokens are."""
    ipa = Vocabulary.from_tokens(
        ["<blk>", *(IPA[p].split(",")[0] for p in PHONES), "ʌ"], boundary="none"
    )
    tokenizer = LexiconTokenizer(ipa, LEXICON, None, PhoneTokens(ipa))
    entities = entities_from_names([{"name": "Qwxy", "pronunciations": ["K AH T"]}])
    checked = check_entities(entities, tokenizer)
    rows = encode_entities(checked, tokenizer, 4)
    index = ipa.index
    assert [rows.row(i) for i in range(len(rows))] == [
        [index["k"], index["ə"], index["t"]],
        [index["k"], index["ʌ"], index["t"]],
    ]


def test_phones_of_models_with_stress_and_in_small_letters() -> None:
    tokens = [f"{p}{s}" for p in PHONES for s in (["0", "1", "2"] if p[0] in "AEIOU" else [""])]
    stressed = Vocabulary.from_tokens(["<blk>", *tokens], boundary="none")
    ways = PhoneTokens(stressed).write(["K", "AE", "T"])
    assert [[stressed.tokens[t] for t in tokens] for tokens, _ in ways] == [
        ["K", "AE1", "T"],
        ["K", "AE0", "T"],
        ["K", "AE2", "T"],
    ]
    small = Vocabulary.from_tokens(["<blk>", *map(str.lower, PHONES)], boundary="none")
    assert PhoneTokens(small).write(["K", "AE", "T"]) == [((20, 2, 31), 0.0)]


def test_diphthongs_of_two_tokens() -> None:
    ipa = "a ɑ æ ə ɔ ʊ ɪ ɛ ɝ e o i u".split()
    others = [IPA[phone].split(",")[-1] for phone in PHONES if phone[0] not in "AEIOU"]
    tokens = dict.fromkeys([*ipa, *" ".join(others).split()])
    vocabulary = Vocabulary.from_tokens(["<blk>", *tokens], boundary="none")
    ((how, cost),) = PhoneTokens(vocabulary).write(["CH", "AY"])
    assert [vocabulary.tokens[token] for token in how] == ["t", "ʃ", "a", "ɪ"]
    assert cost == 0.0


def test_vowels_with_what_follows_them_in_one_token() -> None:
    """As espeak has them; and apart, which such a model may write as well."""
    ipa = [IPA[phone].split(",")[0] for phone in PHONES]
    vocabulary = Vocabulary.from_tokens(["<blk>", *ipa, "ɑːɹ", "ɔːɹ", "oːɹ", "əl"], boundary="none")
    phones = PhoneTokens(vocabulary)

    def written(said: str) -> list[tuple[str, float]]:
        ways = phones.write(said.split(), 3)
        return [(" ".join(vocabulary.tokens[i] for i in how), cost) for how, cost in ways]

    assert written("K AA R D") == [("k ɑːɹ d", 0.0), ("k ɑ ɹ d", 0.0)]
    assert written("AA R") == [("ɑːɹ", 0.0), ("ɑ ɹ", 0.0)]
    assert written("F AO R AH L") == [("f ɔːɹ əl", 0.0), ("f ɔ ɹ əl", 0.0), ("f ɔːɹ ə l", 0.0)]
    assert written("R AA B") == [("ɹ ɑ b", 0.0)]
    assert {index for index in phones.tokens if index > 39} == set(range(40, 44))


def test_symbols_are_written_as_they_are_read() -> None:
    """By one table: what is read as a phone writes it, where the model has nothing nearer."""
    for phone in PHONES:
        for form, symbols in zip(IPA[phone].split(","), ipa_forms(phone)):
            read = phones_of_symbol("".join(symbols), arpabet=False)
            assert (read == (phone,)) == (not form.startswith("~")), (phone, form)
    first = [ipa_forms(phone)[0][0] for phone in PHONES if phone not in ("CH", "JH", "ER")]
    vocabulary = Vocabulary.from_tokens(["<blk>", *first, "ʧ", "ʤ", "ɜ"], boundary="none")
    phones = PhoneTokens(vocabulary)
    assert phones.lacking == ()
    ((how, _),) = phones.write(["CH", "ER", "JH"])
    assert [vocabulary.tokens[token] for token in how] == ["ʧ", "ɜ", "ʤ"]


def test_ipa_is_not_read_as_arpabet() -> None:
    """*r* and *y* are other sounds there, which models of many languages have."""
    ipa = dict.fromkeys([*(IPA[p].split(",")[0] for p in PHONES), "r", "y"])
    vocabulary = Vocabulary.from_tokens(["<blk>", *ipa], boundary="none")
    ((how, _),) = PhoneTokens(vocabulary).write(["Y", "EH", "R"])
    assert [vocabulary.tokens[token] for token in how] == ["j", "ɛ", "ɹ"]


def test_a_model_may_lack_a_phone_or_two() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", *PHONES[:-2]], boundary="none")
    phones = PhoneTokens(vocabulary)
    assert phones.lacking == ("Z", "ZH")
    assert phones.write(["K", "AE", "Z"]) == []
    assert len(phones.write(["K", "AE", "T"])) == 1


def test_models_of_other_languages_are_told() -> None:
    vocabulary = Vocabulary.from_tokens(["<blk>", "a", "k"], boundary="none")
    with pytest.raises(ModelError, match="no token for the phones AH, AO, .* of English"):
        PhoneTokens(vocabulary)


def test_words_are_found_whatever_their_capitals() -> None:
    lexicon = TokenLexicon.of(
        [("anna", (3, 21, 3), 0.0), ("Bay", (7, 13), 0.0), ("US", (5, 6), 0.0), ("us", (4,), 0.0)],
        "<test>",
    )
    tokenizer = LexiconTokenizer(MODEL, lexicon)
    for text in ("bay Anna", "Bay anna", "BAY ANNA"):
        assert tokenizer.encode(text) == [7, 13, 3, 21, 3]
    assert tokenizer.uncovered("Bay bay") == ""
    assert [way for way, _ in tokenizer.encode_nbest(["Us"], 3)[0]] == [[4], [5, 6]]
