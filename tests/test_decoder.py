"""The public decoder: log-probs of any CTC model and a list of names to transcripts."""

from __future__ import annotations

import copy
import json
import os
import pickle
import random
import re
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ctcbias_fst.arrays import sum_of_probabilities
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.decoder_inputs import lists_for_utterances
from ctcbias_fst.errors import (
    ConfigError,
    CtcbiasError,
    CtcbiasWarning,
    EntityListError,
    GraphError,
    LanguageModelError,
    LogProbsError,
    ModelError,
)
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import train_lm
from ctcbias_fst.records import LogProbs
from ctcbias_fst.settings import PARTS, PipelineConfig, changed
from ctcbias_fst.shortlist.shortlists import ShortList
from ctcbias_fst.text.entities import entities_from_names
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.vocabulary import Vocabulary

TOKENS = ["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
FRAME = 0.02


def made(tokens: list[str] = TOKENS, **options: Any) -> Decoder:
    return Decoder.from_tokens(tokens, frame_seconds=FRAME, **options)


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return made()


def said(text: str, other: str = "", behind: float = 0.5) -> np.ndarray:
    """Log-probs of a model that writes a text, each letter of ``other`` a little behind."""
    columns = [TOKENS.index("|" if letter == " " else letter) for letter in text]
    second = [TOKENS.index("|" if letter == " " else letter) for letter in other or text]
    scores = np.full((2 * len(columns), len(TOKENS)), -12.0, dtype=np.float32)
    for at, (best, next_best) in enumerate(zip(columns, second)):
        scores[2 * at, next_best] = -behind
        scores[2 * at, best] = 0.0
        scores[2 * at + 1, 0] = 0.0
    return scores - np.log(np.exp(scores).sum(axis=-1, keepdims=True))


KISHA = said("tell kisha smith", "tell keshi smith")
HELLO = said("hello there")


def texts(found: list[Any]) -> list[str]:
    return [transcript.best.text for transcript in found]


def test_names_are_written(decoder: Decoder) -> None:
    listed = ["Kesha Smith"]
    array = said("tell kisha smith", "tell kesha smith")
    assert texts(decoder.decode(array)) == ["tell kisha smith"]
    (found,) = decoder.decode(array, entities=listed)
    assert found.best.text == "tell Kesha Smith"
    assert [word.entity for word in found.best.words] == [False, True, True]
    assert found.best.words[0].end < 10 * FRAME


def test_every_form_of_log_probs_is_the_same(decoder: Decoder) -> None:
    arrays = [KISHA, HELLO]
    expected = texts(decoder.decode(arrays))
    assert expected == ["tell kisha smith", "hello there"]
    longest = max(map(len, arrays))
    padded = np.zeros((2, longest, len(TOKENS)), np.float32)
    for row, array in zip(padded, arrays):
        row[: len(array)] = array
    lengths = [len(array) for array in arrays]
    ways: list[Callable[[], list[Any]]] = [
        lambda: decoder.decode(tuple(arrays)),
        lambda: decoder.decode([torch.from_numpy(array) for array in arrays]),
        lambda: decoder.decode([array.astype(np.float64) for array in arrays]),
        lambda: decoder.decode([array.astype(np.float16) for array in arrays]),
        lambda: decoder.decode(padded, lengths),
        lambda: decoder.decode(torch.from_numpy(padded), torch.tensor(lengths)),
        lambda: decoder.decode(torch.from_numpy(padded).bfloat16().float(), np.array(lengths)),
        lambda: decoder.decode(arrays[0]) + decoder.decode(arrays[1][None]),
        lambda: decoder.decode(padded[:1], lengths[0]) + decoder.decode(padded[1], [lengths[1]]),
        lambda: decoder.decode(arrays[0].tolist()) + decoder.decode(arrays[1]),
        lambda: decoder.decode(decoder.batch(arrays)),
    ]
    for way in ways:
        assert texts(way()) == expected
    assert [one.id for one in decoder.decode(arrays, ids=["a", "b"])] == ["a", "b"]
    assert [one.id for one in decoder.decode(arrays)] == ["1", "2"]
    nothing = padded[:0]
    for lengths in (None, [], (), np.array([]), torch.tensor([]), torch.zeros(0).long()):
        assert decoder.decode(nothing, lengths) == []
    assert decoder.decode([]) == []
    assert texts(decoder.decode(padded[:1], np.int64(len(arrays[0])))) == expected[:1]


def test_lists_of_names_in_every_form(decoder: Decoder, tmp_path: Path) -> None:
    arrays = [said("tell kisha smith", "tell kesha smith")] * 2
    names = tmp_path / "names.txt"
    names.write_text("Kesha Smith\n", encoding="utf-8")
    compiled = decoder.compile(["Kesha Smith"])
    assert len(compiled) == 1
    both, one = ["tell Kesha Smith"] * 2, ["tell Kesha Smith", "tell kisha smith"]
    for listed, expected in (
        (["Kesha Smith"], both),
        ([{"name": "Kesha Smith"}], both),
        (("Kesha Smith",), both),
        ((name for name in ["Kesha Smith"]), both),
        (names, both),
        (str(names), both),
        (compiled, both),
        (compiled.entities, both),
        ([compiled, None], one),
        ([["Kesha Smith"], None], one),
        ([names, None], one),
        ([compiled, ["Hugo"]], one),
        (None, ["tell kisha smith"] * 2),
        ([], ["tell kisha smith"] * 2),
    ):
        assert texts(decoder.decode(arrays, entities=listed)) == expected


def test_what_can_be_read_once_is_read_once(decoder: Decoder) -> None:
    """Of names or of lists, for all utterances or the same for several."""
    arrays = [said("tell kisha smith", "tell kesha smith")] * 3
    all_three, two = ["tell Kesha Smith"] * 3, ["tell Kesha Smith", "tell kisha smith"] * 2

    def names() -> Iterator[str]:
        return iter(["Kesha Smith"])

    shared = names()
    for listed, expected in (
        (names(), all_three),
        ([shared, None, shared], two[:3]),
        ((one for one in [names(), None, ["Kesha Smith"]]), two[:3]),
        (iter([None, None, None]), ["tell kisha smith"] * 3),
    ):
        assert texts(decoder.decode(arrays, entities=listed)) == expected
    for again in (shared, [shared, ["Kesha Smith"], None]):
        with pytest.warns(CtcbiasWarning, match="^a list_iterator without names .* pass a list"):
            decoder.decode(arrays, entities=again)
    with pytest.warns(CtcbiasWarning, match="without names"):
        decoder.compile(shared)


def test_names_of_files_among_names_are_told(
    decoder: Decoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lists").mkdir()
    for name in ("n1.txt", "lists/kisha"):
        Path(name).write_text("Kesha Smith\n", encoding="utf-8")
    for several in (["n1.txt", "n2.txt"], ["Tessa", "lists/kisha", {"name": "Bob"}]):
        told = decoder.compile(several, warn=False).entities.report()
        (line,) = [one for one in told if "file" in one]
        assert re.match(r"<list>: entry [12], '.*', is the name of a file, .* Path\(...\)", line)
    others = decoder.compile(["n2.txt", "AC/DC", "lists", "Bo/" * 300, "C.TXT"], warn=False)
    assert not any("file" in line for line in others.entities.report())
    with pytest.raises(EntityListError, match="Path of a file"):
        decoder.decode([HELLO] * 2, entities=[["Kesha"], "n1.txt"])


def test_utterances_have_the_names_of_their_own_lists(decoder: Decoder) -> None:
    arrays = [said("tell kisha smith", "tell kesha smith"), said("tell higo", "tell hugo")]
    lists = [["Anna Lee", "Kesha Smith"], ["Hugo", "Bertha May"]]
    assert texts(decoder.decode(arrays, entities=lists)) == ["tell Kesha Smith", "tell Hugo"]
    assert texts(decoder.decode(arrays, entities=lists[::-1])) == ["tell kisha smith", "tell higo"]


def listed(*entities: Any) -> Callable[[Decoder], Any]:
    """Decode utterances, as many as there are lists, or one if there are names."""
    return lambda decoder: decoder.decode(HELLO, entities=[*entities])


def settings(key: str, value: Any) -> Callable[[Decoder], Any]:
    """Make a decoder with a setting."""
    return lambda _: made(settings={key: value})


OTHER = np.zeros((4, len(TOKENS)), np.float32)
WRONG: dict[str, tuple[type[CtcbiasError], str, Callable[[Decoder], Any]]] = {
    "a string": (EntityListError, "a single name", lambda d: d.decode(HELLO, entities="Kesha")),
    "none among names": (EntityListError, "entry 2: None among names", listed("a", None)),
    "name among lists": (EntityListError, "entry 2: 'a' among lists", listed(None, "a")),
    "lists of other ids": (
        EntityListError,
        "^'1' has no list of names among those of '2': map it to one, or to None",
        lambda d: d.decode(HELLO, entities={"2": ["Kesha"]}),
    ),
    "many lists": (EntityListError, "2 lists of names for 1 utterances", listed(None, None)),
    "name and weight": (
        EntityListError,
        r"mappings, not pairs: \[{'name': 'Kisha', 'weight': 2}\]",
        listed(("Kisha", 2.0)),
    ),
    "a huge weight": (EntityListError, "not pairs", listed(("Kisha", 10**400))),
    "names and weights": (
        EntityListError,
        r"such as \[{'name': 'Kisha Smith', 'weight': 2.5}\]",
        lambda d: d.decode(HELLO, entities={"Kisha Smith": 2.5}),
    ),
    "an entity": (
        EntityListError,
        r"is one name, where a list of names is wanted: \[Entity\(.*\)\]",
        lambda d: d.decode(HELLO, entities=Entity("kesha", "Kesha")),
    ),
    "an entity to compile": (
        EntityListError,
        "is one name",
        lambda d: d.compile(Entity("kesha", "Kesha")),
    ),
    "an entity as a mapping": (
        EntityListError,
        r"is one name, where a list of names is wanted: \[{'name': 'Kesha', 'weight': 2}\]",
        lambda d: d.decode(HELLO, entities={"name": "Kesha", "weight": 2}),
    ),
    "an entity among lists": (
        EntityListError,
        "entry 2: Entity",
        listed(["a"], Entity("kesha", "Kesha")),
    ),
    "pairs to compile": (
        EntityListError,
        r"entry 1: \('a', 2\) is no name; give \[{'name': 'a', 'weight': 2}\]",
        lambda d: d.compile([("a", 2)]),
    ),
    "a file of log-probs": (
        LogProbsError,
        r"^'log-probs.npz' is no array of log-probs: load the file",
        lambda d: d.decode("log-probs.npz"),
    ),
    "a path": (LogProbsError, "load the file", lambda d: d.decode(Path("log-probs.npz"))),
    "files": (LogProbsError, "load the file", lambda d: d.decode(["a.npz", "b.npz"])),
    "a mapping": (LogProbsError, r"list\(it.values", lambda d: d.decode({"a": HELLO})),
    "a generator": (LogProbsError, "pass a list$", lambda d: d.decode(one for one in [HELLO])),
    "batches": (LogProbsError, "one LogProbs at", lambda d: d.decode([d.batch(HELLO)])),
    "objects": (
        LogProbsError,
        "^an array of objects is no .* pass a list of arrays",
        lambda d: d.decode(np.array([HELLO, None], dtype=object)),
    ),
    "settings of another place": (
        ConfigError,
        "did you mean decode.nbest or rescore.nbest\\?",
        lambda d: made(settings={"nbest": 3}),
    ),
    "no part": (ConfigError, "unknown part 'g2'", lambda d: made(settings={"parts": "boost,g2"})),
    "a config for settings": (
        ConfigError,
        r"Decoder\(tokenizer, config\) and Recognizer\(model, config\)",
        lambda d: made(settings=PipelineConfig()),
    ),
    "integers": (LogProbsError, "floating-point", lambda d: d.decode(OTHER.astype(np.int16))),
    "transposed": (LogProbsError, "columns", lambda d: d.decode(HELLO.T)),
    "a vector": (LogProbsError, "shape", lambda d: d.decode(HELLO[0])),
    "logits": (LogProbsError, "log-softmax", lambda d: d.decode(OTHER)),
    "probabilities": (LogProbsError, "log-softmax", lambda d: d.decode(np.exp(HELLO))),
    "no lengths": (LogProbsError, "need lengths", lambda d: d.decode(np.stack([HELLO] * 2))),
    "long lengths": (LogProbsError, "frames", lambda d: d.decode(HELLO[None], [99])),
    "lengths of a list": (LogProbsError, "leave them out", lambda d: d.decode([HELLO], [3])),
    "another rank": (LogProbsError, "array 1 of", lambda d: d.decode([HELLO, HELLO[None]])),
    "ids in one string": (LogProbsError, "list of strings", lambda d: d.decode(HELLO, ids="a")),
    "a number for ids": (LogProbsError, "list of strings", lambda d: d.decode(HELLO, ids=3)),
    "no lists": (
        EntityListError,
        "0 lists of names for 1 utterances",
        lambda d: d.decode_batch(d.batch(HELLO), []),
    ),
    **{
        f"{what} for compiled lists": (
            EntityListError,
            f"^names must be a list of what compile\\(\\) gave, or None, .*found {found}",
            lambda d, names=names: d.decode_batch(d.batch([HELLO] * 2), names),
        )
        for what, found, names in (
            ("one list", "<CompiledEntities", made().compile(["abba"])),
            ("none", "None", None),
            ("a number", "3", 3),
            ("text", "'ab'", "ab"),
            ("names", "'abba' in the place of list 2", [None, "abba"]),
            ("lists of names", r"\['abba'\] in the place of list 1", [["abba"], ["abba"]]),
            ("a mapping", "{1: None, 2: None}", {1: None, 2: None}),
        )
    },
    **{
        f"{type(tokens).__name__} for a tokenizer": (
            ModelError,
            r"^a decoder is made of a Tokenizer, found .*: Decoder.from_tokens\(tokens\) makes one "
            "of a list of tokens or the path of their file$",
            lambda d, tokens=tokens: Decoder(tokens),
        )
        for tokens in (TOKENS, "tokens.txt", None, 3, made(), made().vocabulary)
    },
    **{
        f"{path!r} for a language model": (
            ConfigError,
            "^lm must be the path of a language model's file, found",
            lambda d, path=path: Decoder.from_tokens(TOKENS, frame_seconds=FRAME, lm=path),
        )
        for path in (3, b"lm.arpa", "a\0b", ["lm.arpa"])
    },
    "a number for a decoder's language model": (
        ConfigError,
        "^lm must be the path",
        lambda d: Decoder(d.tokenizer, lm=3),  # type: ignore[arg-type]
    ),
    "a language model that is not there": (
        LanguageModelError,
        "^no.arpa: No such file",
        lambda d: Decoder(d.tokenizer, lm="no.arpa"),  # type: ignore[arg-type]
    ),
    "a number for a tokenizer's file": (
        ModelError,
        "^tokenizer 3: must be the path of a SentencePiece .model$",
        lambda d: made(tokenizer=3),
    ),
    "one length of two": (
        LogProbsError,
        "^1 lengths for 2 utterances: pass the frames of each$",
        lambda d: d.decode(np.stack([HELLO] * 2), torch.tensor(20)),
    ),
    "an empty key": (
        ConfigError,
        "^configuration: decode has an empty key$",
        settings("decode.", 3),
    ),
    "no key": (ConfigError, "^configuration: there is an empty key$", settings("", 3)),
    "a key without a middle": (
        ConfigError,
        "decode has an empty key",
        settings("decode..nbest", 3),
    ),
    "a number for a key": (ConfigError, "decode has the key 3", settings("decode", {3: 3})),
    "half of a number": (
        ConfigError,
        "decode.nbest must be int, found 3.0$",
        settings("decode.nbest", np.float32(3)),
    ),
    "an array for a number": (
        ConfigError,
        r"decode.nbest must be int, found array\(\[3\]\)$",
        settings("decode.nbest", np.array([3])),
    ),
    "a list without boosting": (
        GraphError,
        "without boosting and spelling variants: compile it with this one",
        lambda d: d.decode(HELLO, entities=made(settings={"parts": []}).compile(["abba"])),
    ),
    **{
        f"a list for {theirs} where there is {own}": (
            GraphError,
            f"^<list>: was compiled by a decoder with{what}: compile it with this one$",
            lambda d, own=own, theirs=theirs: made(settings={"parts": own}).decode(
                HELLO, entities=made(settings={"parts": theirs}).compile(["abba"])
            ),
        )
        for own, theirs, what in (
            ("boost,g2g", "boost", "out spelling variants"),
            ("boost", "boost,g2g", " spelling variants, which this one is without"),
            ("none", "boost", " boosting, which this one is without"),
            ("none", "all", " boosting and spelling variants, which this one is without"),
        )
    },
    "nothing but a blank": (
        ModelError,
        "a token besides the blank",
        lambda d: made(["<blk>"], boundary="none"),
    ),
    "rewards upside down": (
        ConfigError,
        "min_reward must be at most max_reward",
        lambda d: made(settings={"decode.boost": {"min_reward": 3, "max_reward": 1}}),
    ),
    "lengths of truth values": (
        LogProbsError,
        "lengths",
        lambda d: d.decode(np.stack([HELLO] * 2), torch.tensor([True, True])),
    ),
    "no seconds": (ConfigError, "seconds must be", lambda d: d.compile(["abba"], seconds=True)),
    "few ids": (LogProbsError, "1 ids for 2", lambda d: d.decode([HELLO] * 2, ids=["a"])),
    "another vocabulary": (LogProbsError, "columns", lambda d: d.decode(HELLO[:, :20])),
    "another model's": (GraphError, "model", listed(made(TOKENS[:-1]).compile(["abba"]))),
    "no device": (ConfigError, "cuda", lambda d: made(device="cuda:99")),
    "no boundary": (ModelError, "must be one of prefix", lambda d: made(boundary="spaces")),
    "no setting": (ConfigError, "decode.nbest", lambda d: made(settings={"decode.nbets": 2})),
    "nan": (ConfigError, "search_beam", lambda d: made(settings={"decode.search_beam": np.nan})),
    "absurd": (ConfigError, "nbest", lambda d: made(settings={"decode.nbest": 10**9})),
    **{
        f"frame of {value!r} s": (
            ConfigError,
            words,
            lambda d, value=value: Decoder.from_tokens(TOKENS, frame_seconds=value),
        )
        for words, values in (
            ("^frame_seconds must be one number", ("0.04", b"x", True, [0.04, 0.04])),
            (
                "^frame_seconds is .* a frame lasts 0.0001 to 10 s$",
                (0, np.nan, np.inf, -1, 1e-320, 11),
            ),
        )
        for value in values
    },
    "frame of a decoder": (
        ConfigError,
        "^frame_seconds",
        lambda d: Decoder(d.tokenizer, frame_seconds=0),
    ),
    "a billion hypotheses": (
        ConfigError,
        "nbest must be at most 10000",
        lambda d: d.decode(HELLO, nbest=10**9),
    ),
    "half a hypothesis": (ConfigError, "whole number", lambda d: d.decode(HELLO, nbest=1.5)),
    "a set of tokens": (
        ModelError,
        "order of the columns.*found a set",
        lambda d: made(set(TOKENS)),
    ),
    "a generator of tokens": (ModelError, "found a generator", lambda d: made(t for t in TOKENS)),
    "tokens in bytes": (ModelError, "order of the columns", lambda d: made(b"abc")),
    "no hypothesis": (ConfigError, "nbest must be", lambda d: d.decode(HELLO, nbest=0)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_one_clear_line(name: str, decoder: Decoder) -> None:
    kind, words, use = WRONG[name]
    with pytest.raises(kind, match=words) as raised:
        use(decoder)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300


def test_n_best(decoder: Decoder) -> None:
    array = said("tell kisha smith", "tell kesha smyth")
    (one,) = decoder.decode(array)
    (several,) = decoder.decode(array, nbest=4)
    assert len(one.nbest) == 1
    assert len({hypothesis.text for hypothesis in several.nbest}) == 4
    assert several.best == one.best
    scores = [hypothesis.score for hypothesis in several.nbest]
    assert scores == sorted(scores, reverse=True)
    of_settings = Decoder.from_tokens(
        TOKENS, frame_seconds=FRAME, settings={"decode": {"nbest": 4}}
    )
    assert of_settings.decode(array)[0].nbest == several.nbest
    assert decoder.decode(array, nbest=np.int64(4))[0].nbest == several.nbest
    assert of_settings.decode(array, nbest=2)[0].nbest == several.nbest[:2]


def test_tokens_with_their_columns() -> None:
    """As Hugging Face's ``get_vocab()`` returns them: in any order."""
    pairs = [(token, column) for column, token in enumerate(TOKENS)]
    random.Random(0).shuffle(pairs)
    for vocabulary in (dict(pairs), {token: np.int64(column) for token, column in pairs}):
        assert made(vocabulary).vocabulary.tokens == tuple(TOKENS)
    assert made(np.array(TOKENS)).vocabulary == made(tuple(TOKENS)).vocabulary
    for change, words in (
        ({"a": 3}, "'b' has 3 where 2 was expected"),
        ({"z": 99}, "has 28 where 27 was expected"),
        ({"a": 2.0}, "the id of 'a' must be a whole number, found 2.0"),
        ({"a": True}, "the id of 'a' must be a whole number, found True"),
        ({"a": "2"}, "the id of 'a' must be a whole number, found '2'"),
        ({3: 3}, "token must be a string, found 3"),
    ):
        with pytest.raises(ModelError, match=f"^[^\n]*{words}[^\n]*$"):
            made({**dict(pairs), **change})
    for blank in (True, 1.0):
        with pytest.raises(ModelError, match=f"blank must be a whole number, found {blank}"):
            made(TOKENS, blank=blank)


def test_tokens_of_hugging_face_that_are_no_columns(tmp_path: Path) -> None:
    bytewise = ["<pad>", "\u0120the", "\u0120c", "at", "|", "s"]
    known: list[dict[str, Any]] = [{"vocab": {"<pad>": 0, "a": 1}}, {"type": "BPE", "vocab": {}}]
    for number, model in enumerate(known):
        path = tmp_path / f"tokenizer{number}.json"
        path.write_text(json.dumps({"model": model, **({"version": "1"} if number else {})}))
        with pytest.raises(ModelError, match=r"tokenizer\.json of .*; give .*vocab\.json"):
            made(path)
    for tokens, words in (
        (
            {0: "<blk>", 1: "a"},
            r"wrong way round, found {0: '<blk>', 1: 'a'}: a mapping is",
        ),
        (bytewise, r"byte-level BPE.*token\.replace\('\u0120', '\u2581'\)"),
    ):
        with pytest.raises(ModelError, match=f"^[^\n]*{words}[^\n]*$"):
            made(tokens)
    as_told = [token.replace("\u0120", "\u2581") for token in bytewise]
    assert made(as_told).vocabulary.boundary.value == "prefix"
    with pytest.raises(ModelError, match=r"a file is read by Vocabulary\.from_file"):
        Vocabulary.from_tokens("tokens.txt")  # type: ignore[arg-type]


@pytest.mark.parametrize("ids", [[99], [-1], ["a"], [1.5]])
def test_ids_that_are_no_columns(ids: Any, decoder: Decoder) -> None:
    with pytest.raises(ModelError, match=r"^(id -?\d+ is outside|id must be a whole number)"):
        decoder.vocabulary.ids_to_words(ids)
    for good in (np.array([2, 3]), torch.tensor([2, 3]), (2, 3)):
        assert decoder.vocabulary.ids_to_words(good) == ["ab"]  # type: ignore[arg-type]


def test_a_copy_finds_the_same(tmp_path: Path, tokenizer_path: Path) -> None:
    path = tmp_path / "lm.safetensors"
    save_lm(path, train_lm([["tell", "kisha"]] * 50))
    array = said("tell kisha smith", "tell kesha smith")
    for decoder in (made(), made(lm=path, settings={"decode.nbest": 3})):
        names = decoder.compile(["Kesha Smith"])
        expected = decoder.decode([array, KISHA], entities=names)
        for copied, listed in (
            pickle.loads(pickle.dumps((decoder, names))),
            copy.deepcopy((decoder, names)),
        ):
            assert repr(copied) == repr(decoder)
            assert copied.decode([array, KISHA], entities=listed) == expected
            assert copied.decode([array, KISHA], entities=["Kesha Smith"]) == expected
    of_pieces = Decoder.from_tokens(tokenizer_path, frame_seconds=FRAME)
    assert pickle.loads(pickle.dumps(of_pieces)).vocabulary == of_pieces.vocabulary


PIECES = ["<pad>", "[UNK]", "o", "'", "brien", "call", "##s", "ob", "##rien"]
CASED = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
HEBREW = ["<pad>", "|", '"', "'", *"אבגדהוזחטיכלמנסעפצקרשת"]


@pytest.mark.parametrize(
    ("tokens", "path", "name", "expected"),
    [
        (PIECES, ["call", "o", "'", "brien"], "O'Brien", "call O'Brien"),
        (PIECES, ["call", "o", "brien"], "O'Brien", "call O'Brien"),
        (PIECES, ["call", "ob", "##rien"], "O’Brien", "call O’Brien"),
        ([*PIECES, "##'", "##brien"], ["call", "o", "'", "brien"], "O'Brien", "call O'Brien"),
        (CASED, "the|US", "US", "the US"),
        (CASED, "asked|WHO|now", "WHO", "asked WHO now"),
        (CASED, "the|us", "US", "the us"),
        (CASED, "the|Us", "US", "the Us"),
        (CASED, "the|U|S", "US", "the US"),
        (HEBREW, 'של|צה"ל', "צה״ל", "של צה״ל"),
        (HEBREW, "של|צהל", "צה״ל", "של צה״ל"),
        (HEBREW[:2] + HEBREW[3:], "של|צהל", "צה״ל", "של צה״ל"),
        (HEBREW, "של|ג'ו", "ג׳ו", "של ג׳ו"),
        ([*HEBREW, "״"], "של|צה״ל", 'צה"ל', 'של צה"ל'),
    ],
)
def test_names_as_vocabularies_write_them(
    tokens: list[str], path: list[str], name: str, expected: str
) -> None:
    decoder = made(tokens)
    columns = [tokens.index(token) for token in path]
    scores = np.full((2 * len(columns), len(tokens)), -12.0, np.float32)
    scores[range(0, len(scores), 2), columns] = 0.0
    scores[1::2, 0] = 0.0
    scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    (found,) = decoder.decode(scores, entities=decoder.compile([name], warn=False))
    assert found.best.text == expected
    assert any(word.entity for word in found.best.words) == (name in expected)


@pytest.mark.parametrize(
    ("listed", "expected"), [("김민수", "김민사가 왔다"), ("김민수가", "김민수가 왔다")]
)
def test_particles_are_not_split_off(listed: str, expected: str) -> None:
    tokens = ["<pad>", "|", *"김민수사가왔다"]
    columns = [tokens.index(token) for token in "김민사가|왔다"]
    scores = np.full((2 * len(columns), len(tokens)), -12.0, np.float32)
    scores[range(0, len(scores), 2), columns] = 0.0
    scores[4, tokens.index("수")] = -0.5
    scores[1::2, 0] = 0.0
    scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
    assert texts(made(tokens).decode(scores, entities=[listed])) == [expected]


def test_punctuation_may_follow_a_name() -> None:
    tokens = ["<blk>", "\u2581tell", "\u2581kisha", "\u2581kesha", "."]
    for path in ([1, 0, 2, 0, 4], [1, 2, 4]):
        scores = np.full((len(path), len(tokens)), -12.0, np.float32)
        scores[range(len(path)), path] = 0.0
        scores[path.index(2), 3] = -0.5
        scores -= np.log(np.exp(scores).sum(axis=-1, keepdims=True))
        (found,) = made(tokens).decode(scores, entities=["Kesha"])
        assert found.best.text == "tell Kesha."


def test_greek_names_without_accents_are_told() -> None:
    decoder = made(["<pad>", "|", *"αβγδεζηθικλμνξοπρστυφχψωςάέήίόύώ"])
    with pytest.warns(CtcbiasWarning, match=r"^<list>: 'ΟΔΥΣΣΕΑΣ' \(and 1 more\) has no accent"):
        decoder.compile(["ΟΔΥΣΣΕΑΣ", "Νικος", "Οδυσσέας Γη", "Ζευς"])


def test_a_language_model_of_words(tmp_path: Path) -> None:
    path = tmp_path / "lm.safetensors"
    save_lm(path, train_lm([["their", "house"]] * 50 + [["there", "is"]]))
    array = said("there house", "their house", behind=0.1)
    plain = made()
    modelled = made(lm=path)
    assert texts(plain.decode(array)) == ["there house"]
    (found,) = modelled.decode(array)
    assert found.best.text == "their house"
    assert found.best.lm != 0.0


def test_what_was_assumed_is_told(tmp_path: Path) -> None:
    with pytest.warns(CtcbiasWarning, match=r"0\.04 s is assumed"):
        assert Decoder.from_tokens(TOKENS).frame_seconds == 0.04
    path = tmp_path / "tokens.txt"
    path.write_text("".join(f"{token} {i}\n" for i, token in enumerate(TOKENS)), encoding="utf-8")
    of_file = Decoder.from_tokens(path, frame_seconds=FRAME)
    assert of_file.vocabulary.tokens == tuple(TOKENS)
    assert texts(of_file.decode(HELLO)) == ["hello there"]
    assert repr(of_file) == "<Decoder of 29 tokens, 0.02 s per frame, parts boost, g2g>"
    assert of_file.parts == {
        "adapter": "needs a model with an adapter",
        "boost": None,
        "g2g": None,
        "lm": "needs a language model",
        "boost-class": "needs a language model",
        "rescore": "needs log-probs of phones",
        "lookup": "needs log-probs of phones",
    }
    told = r"effect: g2g \(needs the part boost\), boost-class \(needs a language model\)$"
    with pytest.warns(CtcbiasWarning, match=told):
        few = made(settings={"parts": ["g2g", "boost-class"]}).parts
    assert {few["boost"], few["lm"]} == {"switched off"}
    assert few["g2g"] == "needs the part boost"
    with pytest.warns(CtcbiasWarning, match=told):
        assert made(settings={"parts": "g2g, boost-class"}).parts == few
    assert made(settings={"parts": "all"}).config.parts == PARTS
    assert made(settings={"parts": "none"}).config.parts == ()
    with pytest.warns(CtcbiasWarning, match="'東京'.*no effect"):
        compiled = of_file.compile(["東京", "Kesha"])
    assert repr(compiled) == "<CompiledEntities of '<list>': 1 names, 1 without effect>"


def test_long_log_probs_are_cut_at_pauses(decoder: Decoder) -> None:
    pause = said("a")[1:2].repeat(100, axis=0)
    array = np.concatenate([part for _ in range(20) for part in (said("hello there "), pause)])
    assert len(array) * FRAME > 30.0
    (found,) = decoder.decode(array, entities=["Kesha"])
    assert found.best.text == " ".join(["hello there"] * 20)
    assert found.best.words[-1].end <= len(array) * FRAME


def test_a_list_that_is_changed_in_place_is_another(decoder: Decoder) -> None:
    entry = {"name": "Kesha"}
    listed = [entry]
    arrays = [said("tell kisha", "tell kesha"), said("tell higo", "tell hugo")]
    assert texts(decoder.decode(arrays, entities=listed)) == ["tell Kesha", "tell higo"]
    entry["name"] = "Hugo"
    assert texts(decoder.decode(arrays, entities=listed)) == ["tell kisha", "tell Hugo"]
    for name, expected in (("Kesha", "tell Kesha"), ("Hugo", "tell Hugo")):
        read = entities_from_names([name])
        assert expected in texts(decoder.decode(arrays, entities=read))


def test_pieces_of_a_long_utterance_have_its_list(decoder: Decoder) -> None:
    pause = said("a")[1:2].repeat(1000, axis=0)
    spoken = said("tell kisha smith ", "tell kesha smith ")
    long = np.concatenate([spoken, pause, spoken, pause, spoken])
    found = decoder.decode([long, spoken], entities=[["Kesha Smith"], None])
    assert texts(found) == [" ".join(["tell Kesha Smith"] * 3), "tell kisha smith"]


class _Rescorer:
    """Notes what it is given."""

    def __init__(self) -> None:
        self.pronunciations: list[list[Any]] = []

    def apply(self, found: list[Any], _: LogProbs, pronunciations: list[Any], __: int) -> list[Any]:
        self.pronunciations.append(pronunciations)
        return found


def test_what_is_decoded_again_has_its_own_list() -> None:
    """An adapter changed the second utterance, and no name was written there."""
    decoder = Decoder(made().tokenizer, frame_seconds=FRAME, phones=True)
    names = decoder.lists([["Hugo"], ["Kesha Smith"]], 2)
    rescorer: Any = _Rescorer()
    decoder.rescorer = rescorer
    biased = decoder.batch([HELLO, said("tell kosho smath")])
    plain = decoder.batch([HELLO, said("tell kisha smith", "tell kesha smith")])
    phones = torch.full((*biased.log_probs.shape[:2], 40), 1 / 40).log()
    both_ways = replace(biased, unbiased=plain.log_probs, phones=phones)
    found = decoder.decode_batch(both_ways, names)
    assert texts(found) == ["hello there", "tell Kesha Smith"]
    both = [one.pronunciations for one in names if one is not None]
    assert rescorer.pronunciations == [both, both[1:]]


def test_a_graph_that_is_there_is_searched_whatever_is_short(decoder: Decoder) -> None:
    short: Any = SimpleNamespace(of=lambda _, which: [ShortList("short", "sounds")] * len(which))
    whole: Any = "whole"
    names = CompiledEntities(entities_from_names(["Kesha"]), None, shortlists=short)
    batch = decoder.batch([HELLO, HELLO, HELLO])
    found = lists_for_utterances(batch, [names, None, replace(names, graph=whole)])
    assert found == [("short", "sounds"), (None, None), ("whole", "sounds")]


def test_where_a_name_is_gone_the_adapter_has_no_say_any_more() -> None:
    decoder = made(settings={"adapter": {"margin": 0.0}})
    biased, plain = decoder.batch(said("tell kesha")), decoder.batch(said("tellzkisha"))
    names = decoder.lists(["Kesha"], 1)
    assert texts(decoder.decode_batch(biased, names)) == ["tell Kesha"]
    both = replace(biased, unbiased=plain.log_probs)
    assert texts(decoder.decode_batch(both, names)) == ["tellzkisha"]


def test_log_probs_are_looked_at_once(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where they are cut, and where an utterance is searched again."""
    looked: list[int] = []

    def counted(log_probs: torch.Tensor) -> torch.Tensor:
        looked.append(len(log_probs))
        return sum_of_probabilities(log_probs)

    monkeypatch.setattr("ctcbias_fst.search.boosting.sum_of_probabilities", counted)
    long = said("hello there " * 200)
    decoder.decode([long, KISHA], entities=["Kesha Smith"])
    assert sorted(looked) == [len(KISHA), len(long)]
    looked.clear()
    lost = "ctcbias_fst.search.lattice_decoder._lost"
    with monkeypatch.context() as patched:
        patched.setattr(lost, lambda lattice, _: torch.ones(lattice.size, dtype=torch.bool))
        (found,) = decoder.decode(KISHA, entities=["Kesha Smith"])
    assert found.warning == "the search was lost; this is a greedy reading"
    assert looked == [len(KISHA)]
    looked.clear()
    batch = decoder.batch(KISHA)
    decoder.search.decode(batch)
    assert looked == [len(KISHA)]


def test_the_frame_of_unbiased_log_probs_is_named(decoder: Decoder) -> None:
    """They are searched where no name is written, cut as the others are."""
    batch = decoder.batch(said("hello there " * 200))
    unbiased = batch.log_probs.clone()
    unbiased[0, 3000] = np.nan
    with pytest.raises(LogProbsError, match="utterance 1, frame 3000: the unbiased log-probs"):
        decoder.decode(replace(batch, unbiased=unbiased))


@pytest.mark.parametrize("fault", ["nan", "sum"])
def test_the_frame_of_a_long_utterance_is_named(decoder: Decoder, fault: str) -> None:
    array = said("hello there " * 200)
    assert len(array) * FRAME > 60.0
    array[3000] = np.nan if fault == "nan" else array[3000] - 1.0
    with pytest.raises(LogProbsError, match="utterance 1, frame 3000: "):
        decoder.decode(array)


def test_entities_are_names(decoder: Decoder) -> None:
    """What was read of a list may be filtered and handed in again, alone or among others."""
    names = entities_from_names(
        [
            {"name": "Kesha Smith", "category": "person", "weight": 2.0},
            {"name": "Tae", "sounds_like": ["there"], "pronunciations": ["T EY"]},
        ]
    )
    first, second = names
    assert decoder.compile([first, second]).entities.entities == names.entities
    for entities in ([first], [first, "Thera"], [[first]], [decoder.compile([first])]):
        (found,) = decoder.decode(KISHA, entities=entities)
        (mention,) = found.best.mentions
        assert found.best.text == "tell Kesha Smith"
        assert (mention.mention.entity.category, mention.mention.entity.weight) == ("person", 2.0)


def test_lists_in_use_are_compiled_once(decoder: Decoder, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of every call beside new ones, many in one call, and one that many threads want."""
    made_of: list[str] = []
    compile_list = decoder.compile

    def counted(entities: Any) -> Any:
        made_of.append(entities[0])
        return compile_list(entities)

    monkeypatch.setattr(decoder, "compile", counted)
    for letter in "abcdefghi":
        decoder.decode([HELLO] * 2, entities=[["always"], [f"other {letter}"]])
    assert made_of.count("always") == 1
    made_of.clear()
    lists = [[f"name {letter}"] for letter in "abcdefg"]
    for _ in range(3):
        decoder.decode([HELLO] * len(lists), entities=lists)
    assert sorted(made_of) == sorted(names[0] for names in lists)
    made_of.clear()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decoder.decode(HELLO, entities=["together"]), range(16)))
    assert made_of == ["together"]
    for _ in range(2):  # what cannot be compiled is tried again
        with pytest.raises(EntityListError):
            decoder.decode(HELLO, entities=["!!!"])
    assert made_of[1:] == ["!!!"] * 2


@pytest.mark.parametrize("parts", [["adapter"], ["lookup", "lm"]])
def test_names_that_are_read_are_written_without_boosting(parts: list[str]) -> None:
    tokens = [*TOKENS, *"0123456789"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CtcbiasWarning)
        decoder = made(tokens, settings={"parts": parts})
    array = said("tell kesha smith")
    wide = np.full((len(array), len(tokens)), -30.0, np.float32)
    wide[:, : len(TOKENS)] = array
    (found,) = decoder.decode(wide, entities=["Kesha Smith"])
    assert found.best.text == "tell Kesha Smith"
    (mention,) = found.best.mentions
    assert (mention.mention.found_by, mention.mention.boost) == ("text", 0.0)


@pytest.mark.parametrize(
    "tokens",
    [
        ["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
        ["<blk>", *"\u4f60\u597d\u4e16\u754c"],
        ["<blk>", "\u2581HE", "LLO", "\u2581", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"],
        ["[PAD]", "a", "##b", "##a", "b"],
    ],
)
def test_a_decoder_that_was_used_is_copied(tokens: list[str]) -> None:
    decoder = made(tokens)
    array = np.log(np.full((9, len(tokens)), 1 / len(tokens)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CtcbiasWarning)  # none of them can write all
        decoder.decode(array, entities=["h\u00e9llo", "\u4f60\u597d", "ab"])
    copied = pickle.loads(pickle.dumps(decoder))
    assert texts(copied.decode(array)) == texts(decoder.decode(array))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_process_forked_after_a_search_is_refused(decoder: Decoder) -> None:
    """k2 would wait there for threads that are not, for ever."""
    decoder.decode(HELLO)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            decoder.decode(HELLO)
        except ConfigError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as told:
        assert "spawn or forkserver" in told.read()


def test_a_list_that_changes_while_it_is_compiled(
    decoder: Decoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept is what was handed in; a thread whose compiling fails is no fault of others."""
    compile_list = decoder.compile
    entry = {"name": "Kesha Smith"}
    failed: list[str] = []

    def changing(entities: Any) -> Any:
        entry["name"] = "Ignaz"
        if not failed:
            failed.append("once")
            raise KeyboardInterrupt
        return compile_list(entities)

    monkeypatch.setattr(decoder, "compile", changing)
    with pytest.raises(KeyboardInterrupt):
        decoder.decode(KISHA, entities=[entry])
    (found,) = decoder.decode(KISHA, entities=[{"name": "Kesha Smith"}])
    assert found.best.text == "tell Kesha Smith"


def test_numbers_of_other_libraries(decoder: Decoder) -> None:
    expected = texts(decoder.decode(np.stack([HELLO] * 2), [20, 10]))
    for kind in (torch.int32, torch.uint8):
        found = decoder.decode(np.stack([HELLO] * 2), torch.tensor([20, 10], dtype=kind))
        assert texts(found) == expected
    for one in (20, np.int16(20), np.array(20), torch.tensor(20), torch.tensor(20).int()):
        assert texts(decoder.decode(HELLO, one)) == texts(decoder.decode(HELLO[:20]))
    assert len(decoder.compile(["abba"], seconds=np.float32(3)).entities) == 1
    low = np.where(HELLO < -11, np.finfo(np.float64).min, HELLO.astype(np.float64))
    assert texts(decoder.decode(low)) == texts(decoder.decode(HELLO))


def test_settings_of_other_libraries() -> None:
    usual = {
        "decode": {"nbest": 3, "boost": {"bonus": 0.5}, "times.widen": 1},
        "spoken_forms": False,
    }
    for whole, half, true in (
        (np.int64, np.float32, np.bool_),
        (np.array, np.array, np.array),
        (torch.tensor, torch.tensor, torch.tensor),
    ):
        own = {
            "decode.nbest": whole(3),
            "decode.boost.bonus": half(0.5),
            "decode": {"times.widen": whole(1)},
            "spoken_forms": true(False),
        }
        config = changed({}, own)
        assert config == changed({}, usual)
        assert type(config.decode.nbest) is int
        assert type(config.decode.boost.bonus) is type(config.decode.times.widen) is float
    assert changed({}, {"parts": [np.str_("boost")]}).parts == ("boost",)


def test_a_weight_is_refused_whatever_was_compiled_before(decoder: Decoder) -> None:
    """``True`` equals 1, and is no number."""
    for weight in (1, 1.0):
        decoder.decode(HELLO, entities=[{"name": "abba", "weight": weight}])
        decoder.decode(HELLO, entities=[Entity("abba", "Abba", weight)])
    for entry in ({"name": "abba", "weight": True}, Entity("abba", "Abba", True)):
        with pytest.raises(EntityListError, match="must be a positive number, not True"):
            decoder.decode(HELLO, entities=[entry])


def test_threads_that_change_lists(decoder: Decoder) -> None:
    """Each finds what it finds alone, variants of new words included."""
    lists = [[f"{letter}isha Smith", f"{letter}ordan {letter}ay"] for letter in "KMLTBNRDFGHP"]
    arrays = [
        said(f"tell {names[0].lower()}", f"tell {names[0].lower().replace('i', 'e')}")
        for names in lists
    ]

    def alone(at: int) -> str:
        return decoder.decode(arrays[at], entities=lists[at])[0].best.text

    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(alone, [*range(len(lists))] * 4))
    assert together == [alone(at) for at in range(len(lists))] * 4


def test_records_are_taken_as_they_are(decoder: Decoder) -> None:
    record = decoder.batch(HELLO)
    assert isinstance(record, LogProbs)
    assert decoder.batch(record) is record
    both = decoder.batch([HELLO, KISHA])
    assert both.select([0]).log_probs.shape[1] == len(HELLO) < both.log_probs.shape[1]
    with pytest.raises(LogProbsError, match="leave them out"):
        decoder.decode(record, [3])


def test_what_is_not_done_for_long_lists_is_told() -> None:
    limited = {"spellings.max_names": 1, "lookup.max_names": 1}
    variants = "<list>: 2 names get no spelling variants (spellings.max_names is 1)"
    lookup = "names are not looked up by their sound (lookup.max_names is 1)"
    for phones, above, expected in (
        (False, 500, [variants]),
        (True, 500, [variants, f"<list>: 2 {lookup}"]),
        (True, 1, [f"<list>: shortlists of 10 {lookup}"]),
    ):
        config = changed({}, {**limited, "shortlist.shorten_above": above})
        decoder = Decoder(made().tokenizer, config, frame_seconds=FRAME, phones=phones)
        with pytest.warns(CtcbiasWarning) as told:
            names = decoder.compile(["kisha", "tessa"])
        assert [str(one.message) for one in told] == expected
        assert decoder.compile(["kisha", "tessa"], warn=False).entities.report() == expected
        assert decoder.compile(names.entities, warn=False).entities.report() == expected
        decoder.compile(["kisha"])


def test_long_lists_are_cut_into_tokens_in_fewer_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcbias_fst.compiled._SEGMENTATIONS", 7)
    tokens = ["<blk>", "|", *"abcdefghijklmnopqrstuvwxyz", "an", "na"]
    decoder = made(tokens, settings={"segmentations": 4, "parts": ["boost"]})
    few = decoder.compile(["banana"]).graph
    with pytest.warns(CtcbiasWarning, match="3 names are cut into tokens in 2 ways at most, not"):
        several = decoder.compile(["banana", "ananas", "nanna"]).graph
    assert few is not None
    assert several is not None
    assert few.num_paths == 4
    assert several.num_paths == 3 * 2
