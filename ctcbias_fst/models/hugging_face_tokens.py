"""The tokens of a model of Hugging Face, as its tokenizer and its output layer have them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ctcbias_fst.errors import ModelError, warn_caller
from ctcbias_fst.models.hugging_face_files import NO_CODE, quiet, read_object, unread
from ctcbias_fst.text.text_files import and_more, first_few, quoted
from ctcbias_fst.text.token_marks import (
    BYTE_LEVEL,
    PREFIX,
    SEPARATORS,
    UnknownBoundaryError,
    WordBoundary,
    boundary_of_model,
    is_byte_level,
    is_special,
    unnamed_column,
)
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer, Tokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

_SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
_MISSING_SHARE = 8
"""One column in so many may lack a token, or two: more are missing of another model's."""

_SIZES = (8, 16, 32, 64, 128)
"""Of which numbers of columns may be multiples, for speed."""


class PieceTokenizer(FewestPiecesTokenizer):
    """The tokenizer of a ``tokenizer.json``: names are cut as the model was trained to write them.

    What it would write with tokens that the model lacks, or that do not give the text back, is cut
    into as few pieces as possible.

    Args:
        vocabulary: of the model.
        backend: the ``tokenizers.Tokenizer``.
    """

    cuts_by = "its own tokenizer"

    def __init__(self, vocabulary: Vocabulary, backend: Any) -> None:
        super().__init__(vocabulary)
        self._backend = backend

    def _search(self, word: str, n: int) -> list[tuple[tuple[int, ...], float]]:
        fewest = super()._search(word, n)
        ids = self._own(word)
        size, special = self.vocabulary.size, self.vocabulary.special
        if not ids or any(i >= size or special[i] for i in ids):
            return fewest
        if [one[2] for one in self.vocabulary.word_spans(ids)] != [word]:
            return fewest
        others = [(one, max(0.0, count - len(ids))) for one, count in fewest if one != ids]
        return [(ids, 0.0), *others][:n]

    def _own(self, word: str) -> tuple[int, ...]:
        """As the tokenizer cuts a word that stands behind another; nothing if it has no mark."""
        known = self.vocabulary
        for text in (word, f" {word}"):
            ids = tuple(self._backend.encode(text, add_special_tokens=False).ids)
            if known.boundary is not WordBoundary.PREFIX:
                return ids
            if ids and ids[0] < known.size and known.tokens[ids[0]].startswith(PREFIX):
                return ids
        return ()


def languages_of(folder: Path) -> tuple[str, ...]:
    """The languages that a folder has vocabularies for; none if it has a single one."""
    content = read_object(folder / "vocab.json")
    nested = bool(content) and all(isinstance(one, Mapping) for one in content.values())
    return tuple(content) if nested else ()


def default_language(folder: Path) -> str | None:
    """The language that a model of several is for if none is named: its weights are those of it."""
    language = read_object(folder / "tokenizer_config.json").get("target_lang")
    return language if isinstance(language, str) else None


def language_in(folder: Path, language: str | None) -> str | None:
    """The language to use: what was said, or the model's own choice; None if it is of one.

    Raises:
        ModelError: there is no such language, or it must be said.
    """
    known = languages_of(folder)
    if not known:
        if language is not None:
            raise ModelError(
                f"{folder}: language={quoted(language)} has no effect: the model is of one language"
            )
        return None
    if language is None:
        language = default_language(folder)
    if language in known:
        return language
    shown = first_few(sorted(known), 10)
    if language is None:
        raise ModelError(
            f"{folder}: has {len(known)} languages: say which with language (--language): {shown}"
        )
    near = difflib.get_close_matches(str(language), known, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}?" if near else f"there are {shown}"
    raise ModelError(f"{folder}: has no language {quoted(language)}; {meant}")


def tokenizer_in(
    folder: Path, columns: int, pad: int | None, language: str | None = None
) -> tuple[Tokenizer, bool]:
    """What the columns of a model's output are, and what cuts names into them.

    Args:
        folder: of the model.
        columns: of its output layer.
        pad: the token that its configuration calls padding: the blank.
        language: one of :func:`languages_of`.

    Returns:
        the tokenizer, and whether both agree on the blank.

    Raises:
        ModelError: there is no tokenizer, or it is another model's.
    """
    with quiet():
        loaded = _loaded(folder, language)
        tokens = {i: token for token, i in loaded.get_vocab().items()}
        special = set(loaded.all_special_tokens)
        padding, unknown = loaded.pad_token_id, loaded.unk_token_id
        usual = getattr(loaded, "word_delimiter_token", None)
    # transformers 5 does not always take what the file says of it.
    separator = read_object(folder / "tokenizer_config.json").get("word_delimiter_token", usual)
    named = _in_columns(folder, tokens, columns, special | set(SEPARATORS))
    blank = padding if padding is not None and 0 <= padding < columns else pad
    if blank is None or not 0 <= blank < columns:
        raise ModelError(
            f"{folder}: neither tokenizer nor config.json says which of {columns} columns is the "
            "blank (pad_token); put the files of the model's own tokenizer there"
        )
    if pad is not None and pad != blank and 0 <= pad < columns:
        warn_caller(
            f"{folder}: the blank is column {blank} ({quoted(named[blank])}) by its tokenizer "
            f"(pad_token), which is taken, and column {pad} ({quoted(named[pad])}) by its "
            "config.json (pad_token_id): if texts are wrong, correct the tokenizer"
        )
    known = {blank} if unknown is None or not 0 <= unknown < columns else {blank, unknown}
    separator = separator if isinstance(separator, str) and separator in named else None
    # Special tokens by their role may look as if they wrote something: __BOS__.
    named = [
        f"<{one}>"
        if one in special and i not in known and one != separator and not is_special(one)
        else one
        for i, one in enumerate(named)
    ]
    named = _without_byte_level(named, folder)
    remedy = 'name the separator in tokenizer_config.json, "word_delimiter_token": "..."'
    try:
        boundary = WordBoundary.SEPARATOR if separator else boundary_of_model(named)
    except UnknownBoundaryError:
        raise ModelError(f"{folder}: {UnknownBoundaryError(remedy)}") from None
    except ModelError as error:
        raise ModelError(f"{folder}: {error}") from None
    vocabulary = Vocabulary(
        tuple(named),
        blank,
        boundary,
        next(iter(known - {blank}), None),
        separator if boundary is WordBoundary.SEPARATOR else None,
    )
    agreed = pad is None or pad == blank or pad >= columns
    return _cutter(folder, vocabulary, loaded), agreed


def _loaded(folder: Path, language: str | None) -> Any:
    from transformers import AutoTokenizer, Wav2Vec2CTCTokenizer  # noqa: PLC0415

    said = read_object(folder / "tokenizer_config.json")
    options: dict[str, Any] = {} if language is None else {"target_lang": language}
    if said.get("tokenizer_class") == "Wav2Vec2PhonemeCTCTokenizer":
        options["do_phonemize"] = False
    kind: Any = AutoTokenizer
    usual = said.get("tokenizer_class", "Wav2Vec2CTCTokenizer") == "Wav2Vec2CTCTokenizer"
    if usual and (folder / "vocab.json").is_file() and "auto_map" not in said:
        kind = Wav2Vec2CTCTokenizer
    try:
        return kind.from_pretrained(str(folder), **NO_CODE, **options)
    except Exception as error:  # whatever a damaged file makes the library raise
        raise unread(folder, "its tokenizer", error) from error


def _in_columns(
    folder: Path, tokens: Mapping[int, str], columns: int, special: set[str]
) -> list[str]:
    """A token for each column; those beyond the last are left out if they write nothing."""
    beyond = [one for i, one in sorted(tokens.items()) if i >= columns]
    lost = [one for one in beyond if one not in special and not is_special(one)]
    if lost:
        raise ModelError(
            f"{folder}: the tokenizer has {len(tokens)} tokens and the model {columns} columns, so "
            f"that {quoted(lost[0])}{and_more(lost)} has none: it is the tokenizer of another "
            "model"
        )
    lacking = [i for i in range(columns) if i not in tokens]
    if len(lacking) > _few(columns) and not _is_padding(lacking, columns):
        raise ModelError(
            f"{folder}: the tokenizer has {len(tokens) - len(beyond)} tokens and the model "
            f"{columns} columns: it is the tokenizer of another model"
        )
    if lacking:
        warn_caller(
            f"{folder}: the tokenizer has no tokens for columns {first_few(lacking, 5)}: they "
            "write nothing"
        )
    return [tokens.get(i, unnamed_column(i)) for i in range(columns)]


def _few(columns: int) -> int:
    """How many columns may lack a token, whatever they are."""
    return max(2, columns // _MISSING_SHARE)


def _is_padding(lacking: Sequence[int], columns: int) -> bool:
    """Whether columns without tokens are those that make a whole number of eights or more of them,
    which matrices of some sizes are faster with: behind all others, and less than half."""
    first = columns - len(lacking)
    size = next((one for one in _SIZES if columns % one == 0 and len(lacking) <= one), None)
    return size is not None and lacking[0] == first and len(lacking) < first


def check_padding(tokenizer: Tokenizer, scores: Tensor, folder: Path) -> None:
    """Refuse columns without tokens that are more than padding.

    Args:
        tokenizer: of `tokenizer_in`.
        scores: log-probs ``(frame, token)`` of noise.

    Raises:
        ModelError: one is the best in some frame.
    """
    unnamed = tokenizer.vocabulary.unnamed
    if len(unnamed) > _few(scores.shape[1]) and bool((scores.argmax(-1) >= unnamed[0]).any()):
        raise ModelError(
            f"{folder}: the tokenizer has {unnamed[0]} tokens and the model "
            f"{tokenizer.vocabulary.size} columns, of which those without tokens are the best ones "
            "in noise: it is the tokenizer of another model"
        )


def _without_byte_level(named: Sequence[str], folder: Path) -> list[str]:
    """Tokens of byte-level BPE with the mark of SentencePiece before words; others as they are."""
    if not is_byte_level(named):
        return list(named)
    foreign = [one for one in named if not one.replace(BYTE_LEVEL, "").isascii()]
    if foreign:
        warn_caller(
            f"{folder}: the tokens are bytes (byte-level BPE): only letters of ASCII are written "
            f"and found as they are, not {quoted(foreign[0])}{and_more(foreign)}"
        )
    return [one.replace(BYTE_LEVEL, PREFIX) for one in named]


def _cutter(folder: Path, vocabulary: Vocabulary, loaded: Any) -> Tokenizer:
    """What cuts names into tokens, as the model's own tokenizer does where that can be had."""
    if vocabulary.boundary not in (WordBoundary.PREFIX, WordBoundary.CONTINUATION):
        return FewestPiecesTokenizer(vocabulary)
    for name in _SENTENCEPIECE:
        if (folder / name).is_file():
            return SentencePieceTokenizer(folder / name, vocabulary)
    backend = getattr(loaded, "backend_tokenizer", None)
    if backend is None:
        return FewestPiecesTokenizer(vocabulary)
    return PieceTokenizer(vocabulary, backend)
