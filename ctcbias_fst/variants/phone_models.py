"""What writes words in the tokens of a model, where these are phones."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from ctcbias_fst.cache import load_or_build
from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.files import sha256_of
from ctcbias_fst.text.lexicon_tokenizer import LexiconTokenizer
from ctcbias_fst.text.phone_tokens import PhoneTokens
from ctcbias_fst.text.token_lexicon import TokenLexicon, Tokens
from ctcbias_fst.text.token_lists import checked_tokens, read_tokens
from ctcbias_fst.text.token_marks import SEPARATORS, WordBoundary, look_like_phones
from ctcbias_fst.text.tokens import Tokenizer, tokenizer_of
from ctcbias_fst.text.vocabulary import Vocabulary
from ctcbias_fst.variants.shipped import load_pronouncer, sounds_digests

ENGLISH = "english"
"""The lexicon that comes with the package, of English."""

NO_LEXICON = "none"
"""Phones are what is wanted, not words."""

WORDS_REMEDY = (
    "pass the lexicon of its language (lexicon=, --lexicon): a file with a word and its phones in "
    f"each line, or {ENGLISH} for the one in the package; {NO_LEXICON} if phones are wanted"
)

NO_WORDS = (
    "streams write no words through a lexicon yet: transcribe whole recordings (ctcbias "
    "transcribe), or, of a model without a lexicon of its own, stream the phones (lexicon='none', "
    "--lexicon none)"
)

_WAYS = 2
"""In which a pronunciation of that lexicon is written, where a model tells more phones apart."""

_VERSION = 5
"""To be raised when the same words are written in other tokens."""

_Way = tuple[str, Tokens, float]

_VOWELS = frozenset("aeiouy")

_ALPHABET = 24
"""So many of the letters a to z a model has whose tokens are letters."""

_PAGE = "docs/own-model.md#words-from-phones"

_NEXT = 0.7
"""Nats for each further pronunciation of a word there."""


def phone_tokenizer(
    tokens: Any, lexicon: Any, *, language: str | None = None, **options: Any
) -> LexiconTokenizer:
    """What writes names, and words, in the phones of a model.

    Names that the lexicon does not have are pronounced as English, if the model has all of its
    phones, in ARPAbet or IPA.

    Args:
        tokens: a path, or the tokens: see :meth:`Vocabulary.from_file` and `from_tokens`.
        lexicon: ``english`` for the one that comes with the package, or see
            :meth:`TokenLexicon.read`.
        language: which vocabulary of a file for several languages.
        options: ``blank``, ``boundary``, ``separator`` and ``columns`` of
            `Vocabulary.from_tokens`.

    Raises:
        ModelError: the tokens cannot be read, are letters or pieces of words, or are not phones of
            English where that is asked for.
        InputError: the lexicon cannot be read, or is of other phones.
    """
    where = os.fspath(tokens) if isinstance(tokens, (str, os.PathLike)) else "the model"
    return _in_phones(_vocabulary(tokens, language, options), lexicon, where)


def tokenizer_for(
    tokens: Any, tokenizer: Any, lexicon: Any, *, language: str | None, **options: Any
) -> Tokenizer:
    """What writes names in the tokens of a model, which are phones if there is a lexicon.

    Args:
        tokens, tokenizer, language, options: of :func:`ctcbias_fst.text.tokens.tokenizer_of`.
        lexicon: see `phone_tokenizer`; ``none``, if phones are wanted, is the same as None.

    Raises:
        ModelError: tokens or lexicon cannot be read, or do not belong together.
    """
    if lexicon is None or (isinstance(lexicon, str) and lexicon == NO_LEXICON):
        return tokenizer_of(tokens, tokenizer, language=language, **options)
    if tokenizer is not None:
        raise ModelError("a lexicon says how words are written, not a tokenizer: pass either")
    return phone_tokenizer(tokens, lexicon, language=language, **options)


def with_lexicon(tokenizer: Tokenizer, lexicon: Any, model: str = "the model") -> Tokenizer:
    """What writes words with a model: as it is, or through a lexicon where its tokens are phones.

    Args:
        tokenizer: of the model.
        lexicon: as `phone_tokenizer` takes it; None if none was passed, ``none`` for phones
            instead of words.
        model: what it is, for messages.

    Raises:
        ModelError: the tokens are phones and no lexicon was passed, or it was though they are none.
        InputError: the lexicon cannot be read, or is of other phones.
    """
    vocabulary, own = tokenizer.vocabulary, isinstance(tokenizer, LexiconTokenizer)
    if lexicon is None:
        if has_phones(vocabulary) and not own:
            raise ModelError(f"{model}: its tokens are phones: {WORDS_REMEDY} ({_PAGE})")
        return tokenizer
    if isinstance(lexicon, str) and lexicon == NO_LEXICON:
        if own:
            raise ModelError(
                f"{model}: has a lexicon of its own and writes words, not phones: leave out "
                f"lexicon={NO_LEXICON} (--lexicon {NO_LEXICON})"
            )
        return tokenizer
    if isinstance(tokenizer, LexiconTokenizer):
        known = _read(lexicon, vocabulary, tokenizer.phone_tokens)
        return tokenizer.with_lexicon(known)
    return _in_phones(vocabulary, lexicon, model)


def why_no_streams(tokenizer: Tokenizer, lexicon: Any = NO_LEXICON) -> str | None:
    """Why a model cannot be streamed: a lexicon writes its words, or would; None if it can.

    Args:
        tokenizer: of the model, with its lexicon.
        lexicon: that was passed; None if none was, so that phones are not what is wanted.
    """
    wanted = lexicon is None and has_phones(tokenizer.vocabulary)
    return NO_WORDS if wanted or isinstance(tokenizer, LexiconTokenizer) else None


def has_phones(vocabulary: Vocabulary) -> bool:
    """Whether tokens look like phones; those without a mark between words with the special ones, as
    a model of Hugging Face is looked at."""
    alone = vocabulary.boundary is WordBoundary.NONE and not vocabulary.joins_letters
    return vocabulary.has_phones or (alone and look_like_phones(vocabulary.tokens))


def _letters(vocabulary: Vocabulary) -> str | None:
    """What the tokens are, if they are sure to be no phones."""
    if vocabulary.boundary in (WordBoundary.PREFIX, WordBoundary.CONTINUATION):
        return "pieces of words"
    letters = {text.lower() for text in vocabulary.surfaces if len(text) == 1}
    alone = has_phones(vocabulary) or len(letters & set(ascii_lowercase)) < _ALPHABET
    return None if alone else "letters"


def _in_phones(vocabulary: Vocabulary, lexicon: Any, model: str) -> LexiconTokenizer:
    """What writes names and words in the phones of a vocabulary; see `with_lexicon`."""
    written = _letters(vocabulary)
    if written:
        raise ModelError(
            f"{model}: its tokens are {written}, which write words without a lexicon; leave it out "
            f"({_PAGE})"
        )
    try:
        phones = PhoneTokens(vocabulary)
    except ModelError:
        if isinstance(lexicon, str) and lexicon == ENGLISH:
            raise
        phones = None
    guess = None if phones is None else EnglishPronouncer(phones)
    return LexiconTokenizer(vocabulary, _read(lexicon, vocabulary, phones), guess, phones)


def _read(lexicon: Any, vocabulary: Vocabulary, phones: PhoneTokens | None) -> TokenLexicon:
    """The lexicon that comes with the package, or one of the user's."""
    if not isinstance(lexicon, str) or lexicon != ENGLISH:
        return TokenLexicon.read(lexicon, vocabulary)
    assert phones is not None
    if phones.lacking:
        warn_caller(
            f"the model has no token for {', '.join(phones.lacking)}: words of the English lexicon "
            "with these are not written"
        )
    return english_lexicon(vocabulary, phones)


def _vocabulary(tokens: Any, language: str | None, options: dict[str, Any]) -> Vocabulary:
    """The model's; where nothing stands between words, each token is by itself."""
    where = ""
    if isinstance(tokens, (str, os.PathLike)):
        tokens, where = read_tokens(Path(tokens), language), f"{tokens}: "
    tokens = checked_tokens(tokens)
    unmarked = options.get("separator") is None and not set(SEPARATORS) & set(tokens)
    if options.get("boundary") is None and unmarked:
        options = {**options, "boundary": WordBoundary.NONE}
    try:
        return Vocabulary.from_tokens(tokens, **options)
    except ModelError as fault:
        raise ModelError(f"{where}{fault}") from None


def lexicon_with_english(
    own: Path, name: str, vocabulary: Vocabulary, phones: PhoneTokens
) -> TokenLexicon:
    """A lexicon of a model of English, with the words of the package's besides.

    Args:
        own: its file; see :meth:`TokenLexicon.read`.
        name: of both together, for messages: where the file lies says nothing.
        vocabulary: of the model.
        phones: what writes phones in its tokens.
    """

    def make() -> TokenLexicon:
        lexicon = TokenLexicon.read(own, vocabulary).with_ways(english_ways(phones))
        return TokenLexicon.of(_written_out(lexicon.entries()), name)

    content = [name, sha256_of(own), vocabulary.digest, *sounds_digests(), _VERSION]
    return load_or_build("lexicon", content, make, TokenLexicon.arrays, TokenLexicon.from_arrays)


def english_lexicon(vocabulary: Vocabulary, phones: PhoneTokens) -> TokenLexicon:
    """The lexicon that comes with the package, in a model's tokens."""

    def make() -> TokenLexicon:
        return TokenLexicon.of(_written_out(english_ways(phones)), "the English lexicon")

    content = [vocabulary.digest, *sounds_digests(), _VERSION]
    return load_or_build("lexicon", content, make, TokenLexicon.arrays, TokenLexicon.from_arrays)


def english_ways(phones: PhoneTokens) -> Iterator[tuple[str, Tokens, float]]:
    """The words of the lexicon that comes with the package, in a model's tokens."""
    lexicon = load_pronouncer().lexicon
    for word in lexicon:
        for rank, said in enumerate(lexicon.pronunciations(word)):
            for tokens, cost in phones.write(said, _WAYS):
                yield word, tokens, cost + _NEXT * rank


def _written_out(ways: Iterable[_Way]) -> list[_Way]:
    """Without abbreviations that sound like words: what is spoken is *mister*, and not ``mr``."""
    several = list(ways)
    words = {tokens for word, tokens, _ in several if _VOWELS & set(word.lower())}
    return [way for way in several if _VOWELS & set(way[0].lower()) or way[1] not in words]


class EnglishPronouncer:
    """Pronounces words that no lexicon has, by the G2P that comes with the package.

    Args:
        phones: what writes them in a model's tokens.
    """

    def __init__(self, phones: PhoneTokens) -> None:
        self._phones = phones

    def __call__(self, word: str) -> list[tuple[Tokens, float]]:
        """The pronunciations of a word, the likeliest first."""
        (found,) = load_pronouncer().pronounce_all([word])
        ways = [
            (tokens, one.cost + cost)
            for one in found
            for tokens, cost in self._phones.write(one.text.split(), _WAYS)
        ]
        return sorted(ways, key=lambda way: way[1])
