"""Which part acts on which model: the README's table, what a model is said to be, and what acts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctcbias_fst import Decoder, Recognizer
from ctcbias_fst.errors import ConfigError, ModelError
from ctcbias_fst.model_info import model_info
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.scored import tapped
from ctcbias_fst.ngram.ngram_lm import save_lm
from ctcbias_fst.ngram.train import train_lm
from ctcbias_fst.training.adapt import base_of
from ctcbias_fst.training.training_config import AdaptConfig

ROOT = Path(__file__).resolve().parent.parent
LETTERS = ["<pad>", "|", *"abcdefghijklmnopqrstuvwxyz'"]
CYRILLIC = ["<pad>", "|", *"абвгдежзийклмнопрстуфхцчшщъыьэюя"]
IPA = ["<pad>", *"ptkbdgmnszʃʒθðŋɹlwjhfvɪeɛæɑɔʊuəʌɚ", "i", "tʃ", "dʒ", "aɪ", "aʊ", "eɪ", "oʊ", "ɔɪ"]
ARPABET = ["<blk>", *"AA AE AH AO AW AY B CH D EH ER EY F G HH IY K L M N OW P S SH T".split()]
NO_LATIN = "needs tokens of the letters a to z"


def said(name: str, pronunciation: str) -> dict[str, Any]:
    return {"name": name, "pronunciations": [pronunciation]}


@pytest.mark.parametrize(
    ("tokens", "names", "reason"),
    [
        (LETTERS, ["keisha", "metformin"], None),
        (["<pad>", "|", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"], ["keisha", "metformin"], None),
        ([*LETTERS, *"äöüß"], ["müller"], None),
        (["<blk>", *"▁ m ke i sha in".split(), *(f"<0x{i:02X}>" for i in range(256))],
         ["keisha"], None),
        (CYRILLIC, ["ксения", "метформин"], NO_LATIN),
        (["<blank>", *"我们在北京背景东南西上海"], ["北京", "上海"], NO_LATIN),
        (IPA, [said("Keisha", "k eɪ ʃ ə"), said("Tim", "t ɪ m")], "needs tokens that are letters"),
        (ARPABET, [said("Keisha", "K EY SH AH")], "needs tokens that are letters"),
    ],
)  # fmt: skip
def test_spelling_variants_act_where_it_is_said(
    tokens: list[str], names: list[Any], reason: str | None
) -> None:
    """There are more ways to write a name with them, or there are not, and a reason is given."""
    phones = tokens in (IPA, ARPABET)
    options: dict[str, Any] = {"boundary": "none"} if phones else {}

    def decoder(parts: str) -> Decoder:
        settings = {"parts": parts}
        return Decoder.from_tokens(tokens, frame_seconds=0.04, settings=settings, **options)

    with_variants = decoder("all")
    paths = [one.compile(names).graph for one in (decoder("boost"), with_variants)]
    without, found = (0 if one is None else one.num_paths for one in paths)
    assert with_variants.parts["g2g"] == reason
    assert (found > without) == (reason is None)
    assert found >= without >= len(names)


def test_phones_without_a_lexicon_are_no_words() -> None:
    """So that nothing looks for how they sound."""
    tokens = Decoder.from_tokens(IPA, boundary="none", frame_seconds=0.02).tokenizer
    decoder = Decoder(tokens, frame_seconds=0.02, phones=True)
    for part in ("rescore", "lookup"):
        assert decoder.parts[part] == "needs words: tokens are phones, and there is no lexicon"
    assert decoder.rescorer is None
    assert Decoder.from_tokens(LETTERS, frame_seconds=0.02).parts["rescore"] == (
        "needs log-probs of phones"
    )


def silence(tokens: list[str]) -> Callable[[np.ndarray], np.ndarray]:
    row = np.log(np.full(len(tokens), 0.01 / (len(tokens) - 1), dtype=np.float32))
    row[0] = np.log(0.99)
    return lambda samples: np.tile(row, (len(samples) // 320, 1))


def recognizer(tokens: list[str], **options: Any) -> Recognizer:
    """One of a function that hears nothing."""
    lexicon = options.pop("lexicon", None)
    more = {} if lexicon is None else {"lexicon": lexicon, "boundary": "none"}
    model = function_model(silence(tokens), tokens, frame_seconds=0.02, **more)
    return Recognizer(model, **options)


Model = Recognizer | Decoder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, list[tuple[set[str], Model]]]:
    """Of each column of the table, models, and which of its conditions they meet."""
    lm = tmp_path_factory.mktemp("lm") / "lm.safetensors"
    save_lm(lm, train_lm([["their", "house"]] * 50))
    settings: dict[str, Any] = {"shortlist.shorten_above": 1}
    modelled = {**settings, "lm": str(lm)}
    letters = Decoder.from_tokens(LETTERS, frame_seconds=0.02, settings=settings)
    with_phones = Decoder(letters.tokenizer, letters.config, frame_seconds=0.02, phones=True)
    az, english = "letters a to z", "English, by a second ear"
    return {
        "embedded": [(set(), Recognizer.from_pretrained(settings=settings))],
        "Hugging Face, ONNX, a function": [
            ({az, english}, recognizer(LETTERS, settings=settings)),
            ({az, english, "`--lm`"}, recognizer(LETTERS, settings=modelled)),
            ({az}, recognizer(LETTERS, settings=settings, phones=None)),
            (set(), recognizer(CYRILLIC, settings=settings)),
        ],
        "saved log-probs": [
            ({az}, letters),
            ({az, "with phones"}, with_phones),
            ({az, "`--lm`"}, Decoder.from_tokens(LETTERS, frame_seconds=0.02, settings=modelled)),
            (set(), Decoder.from_tokens(CYRILLIC, frame_seconds=0.02, settings=settings)),
        ],
        "phone models with a lexicon": [
            ({english}, recognizer(IPA, lexicon="english", settings=settings)),
            (
                {english, "`--lm`; hama has one"},
                recognizer(IPA, lexicon="english", settings=modelled),
            ),
            (set(), recognizer(IPA, lexicon={"tim": "t ɪ m", "kate": "k eɪ t"}, settings=settings)),
        ],
    }


PARTS_OF = {
    "boosting FST, per-name weights": ("boost",),
    "spelling variants (G2G)": ("g2g",),
    "n-gram LM, BOOST class": ("lm", "boost-class"),
    "phonetic rescoring, lookup": ("rescore", "lookup"),
    "contextual adapter": ("adapter",),
}


def acts(row: str, model: Model) -> bool:
    """Whether what a row is about acts."""
    decoder = model.decoder if isinstance(model, Recognizer) else model
    if row == "streams":
        try:
            model.stream()
        except ConfigError:
            return False
        return True
    if row == "shortlists by sound":
        names = ["tim", "kate"] if "t" in decoder.vocabulary.index else ["тим", "катя"]
        return model.compile(names, warn=False).shortlists is not None
    found = {decoder.parts[part] is None for part in PARTS_OF[row]}
    assert len(found) == 1
    return found.pop()


def cells() -> dict[str, dict[str, str]]:
    """Of each row of the README's table what it says of each column, without links."""
    text = (ROOT / "README.md").read_text(encoding="utf-8").split("## Which part acts")[1]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    columns = lines[0]
    rows = lines[2 : [line[0].startswith("[streams]") for line in lines].index(True) + 1]
    return {
        plain(name): dict(zip(columns, map(plain, said_of), strict=True)) for name, *said_of in rows
    }


def plain(text: str) -> str:
    while "](" in text:
        before, _, rest = text.partition("[")
        shown, _, rest = rest.partition("](")
        text = before + shown + rest.partition(")")[2]
    return text


def test_the_table_of_the_readme(models: Mapping[str, list[tuple[set[str], Model]]]) -> None:
    """Each cell, on models that meet its condition and on others."""
    table = cells()
    assert set(table) == {*PARTS_OF, "shortlists by sound", "streams"}
    trained = table["contextual adapter"].pop("Hugging Face, ONNX, a function")
    assert trained == "Hugging Face and torch modules, trained by you"
    for row, columns in table.items():
        for column, cell in columns.items():
            conditions = {one for met, _ in models[column] for one in met}
            assert cell.startswith(("yes", "no")) or cell in conditions, (row, column)
            for met, model in models[column]:
                wanted = cell.startswith("yes") or cell in met
                assert acts(row, model) == wanted, (row, column, met)


def test_what_is_printed_agrees_with_the_table(tmp_path: Path) -> None:
    """Of a model in a folder, by `ctcbias model info`."""
    hugging_face = pytest.importorskip("tiny_hugging_face")
    of_onnx = pytest.importorskip("tiny_onnx")

    def saved(name: str, tokens: list[str], **options: Any) -> Path:
        vocabulary = {one: i for i, one in enumerate(tokens)}
        return Path(hugging_face.save(tmp_path / name, vocabulary=vocabulary, **options))

    def exported(name: str, tokens: list[str]) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        flat = np.full((100, len(tokens)), -np.log(len(tokens)), np.float32)
        of_onnx.make_known_model(folder, flat, tokens)
        return folder

    adapted = saved("adapted", LETTERS, num_hidden_layers=2)
    hugging_face.save_loud_adapter(adapted, adapted)
    trained = "Hugging Face and torch modules, trained by you"
    az, english = "letters a to z", "English, by a second ear"
    other, through = "Hugging Face, ONNX, a function", "phone models with a lexicon"
    spoken = {"word_delimiter_token": None}
    phones = saved("phones", IPA, tokenizer=spoken), exported("onnx-phones", IPA)
    table = cells()
    for column, path, options, met in [
        ("embedded", None, {}, set()),
        (other, saved("letters", LETTERS), {}, {az, english}),
        (other, adapted, {}, {az, english, trained}),
        (other, saved("cyrillic", CYRILLIC), {}, set()),
        (other, exported("onnx", LETTERS), {}, {az, english}),
        (other, exported("onnx-pieces", of_onnx.PIECES), {}, {az, english}),
        (other, exported("onnx-cyrillic", CYRILLIC), {}, set()),
        (through, phones[0], {"lexicon": "english"}, {english}),
        (through, phones[1], {"lexicon": "english"}, {english}),
        (through, phones[1], {"lexicon": {"tim": "t ɪ m"}}, set()),
    ]:
        found = model_info(path, **options)
        for row, parts in PARTS_OF.items():
            wanted = table[row][column] in ("yes", *met)
            told = {found.parts[part] is None for part in parts}
            assert told == {wanted}, (row, column, path)
        cell = table["streams"][column]
        streams = cell.startswith("yes")
        assert (found.streaming == "states") == cell.startswith("yes, with its states")
        assert (found.streaming is not None) == streams, (column, path)
        (line,) = (one for one in found.lines() if one.startswith("streams"))
        assert ("no words through a lexicon" in line) != streams


def test_who_can_have_an_adapter(tmp_path: Path) -> None:
    hugging_face = pytest.importorskip("tiny_hugging_face")
    of_onnx = pytest.importorskip("tiny_onnx")
    letters = hugging_face.save(tmp_path / "letters", "unispeech-sat")
    phones = hugging_face.save(
        tmp_path / "phones",
        vocabulary={one: i for i, one in enumerate(IPA)},
        tokenizer={"word_delimiter_token": None},
    )
    file = tmp_path / "onnx"
    file.mkdir()
    of_onnx.make_known_model(
        file, np.full((100, len(LETTERS)), -np.log(len(LETTERS)), np.float32), LETTERS
    )
    assert str(model_info(letters).parts["adapter"]).endswith(": ctcbias adapt trains one")
    assert base_of(AdaptConfig(train=(), model=letters), "cpu").shape.tokens == 32
    for path, why in ((file, "an ONNX file does not give the states"), (phones, "its tokens are")):
        told = model_info(path).parts["adapter"]
        assert str(told).startswith(f"needs a model with an adapter: it can have none, as {why}")
        with pytest.raises(ModelError, match=f"{path}: no adapter can be trained for it: {why}"):
            base_of(AdaptConfig(train=(), model=path), "cpu")
    with pytest.raises(ModelError, match="here is none: adapt a model of Hugging Face or torch"):
        tapped(Recognizer.from_pretrained(file).model)
    with pytest.raises(ModelError, match="here is none: pass the module that the function calls"):
        tapped(recognizer(LETTERS).model)
    with pytest.raises(ModelError, match="ctcbias adapt trains that of a model of ours"):
        tapped(Recognizer.from_pretrained().model)
