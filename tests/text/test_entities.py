"""Lists of names: every form, every reason for a reject, and their segmentations."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from unicodedata import category

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.errors import EntityListError
from ctcbias_fst.text.checked_entities import check_entities, report_too_long
from ctcbias_fst.text.encoded_entities import encode_entities
from ctcbias_fst.text.entities import EntityList, Rejected, entities_from_names, read_entities
from ctcbias_fst.text.entity import Entity
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.tokens import FewestPiecesTokenizer, SentencePieceTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

WEIGHTED = Entity(
    name="keisha",
    display="KeSha",
    weight=2.5,
    category="person",
    sounds_like=("kesha", "key sha"),
    pronunciations=(("K", "EH", "SH", "AH"), ("K", "IY", "SH", "AH")),
    line=2,
)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("semaglutide (Ozempic)", "semaglutide"),
        ("rivaroxaban [Xarelto]", "rivaroxaban"),
        ("[Xarelto] rivaroxaban", "rivaroxaban"),
        ("metformin (500 mg) [oral]", "metformin"),
        ("John Smith (deceased)", "John Smith"),
        ("東京（Tokyo）", "東京"),
        ("401(k)", None),
        ("IL-2(R)", None),
        ("+1 (555) 010-9999", None),
        ("(Imiglucerase)", None),
        ("Imiglucerase (", None),
        ("Imiglucerase (a (b))", None),
    ],
)
def test_what_is_in_brackets_may_be_left_out(tmp_path: Path, text: str, shown: str | None) -> None:
    names = read_entities(write(tmp_path / "names.txt", f"{text}\n"))
    assert names.entities[0].display == text
    assert [entity.display for entity in names.entities[1:]] == [shown] * (shown is not None)
    assert names.rejected == ()
    told = [note for note in names.notes if "without what is in brackets" in note]
    assert len(told) == (shown is not None) and all(repr(shown) in note for note in told)


def test_names_without_brackets_are_those_of_their_user_where_there_are() -> None:
    names = entities_from_names(
        [
            {"name": "semaglutide (Ozempic)", "weight": 2, "category": "drug"},
            {"name": "rivaroxaban (Xarelto)", "display": "Riva"},
            {"name": "metformin (oral)", "sounds_like": ["met foreman"]},
            "semaglutide",
        ]
    )
    assert [(e.name, e.display, e.weight, e.line) for e in names] == [
        ("semaglutide ozempic", "semaglutide (Ozempic)", 2, 1),
        ("rivaroxaban xarelto", "Riva", 1, 2),
        ("rivaroxaban", "Riva", 1, 2),
        ("metformin oral", "metformin (oral)", 1, 3),
        ("semaglutide", "semaglutide", 1, 4),
    ]


@pytest.mark.parametrize("text", ["Apple (company)", "(the) May", "Will May (band)"])
def test_common_words_beside_brackets_are_not_looked_for_alone(text: str) -> None:
    names = entities_from_names([text])
    assert [entity.display for entity in names] == [text]
    assert "only together with what is in brackets" in names.report()[0]


def test_a_model_of_phones_wants_pronunciations() -> None:
    tokens = ["<blk>", *"AA AE AH AY B D EH OW S T th tʰ".split()]
    phones = FewestPiecesTokenizer(Vocabulary.from_tokens(tokens, boundary=WordBoundary.NONE))
    tobias = {"name": "Tobias", "pronunciations": ["T OW B AY AH S"]}
    found = check_entities(
        entities_from_names([tobias, "Ouagadougou", "T OW B AY AH S", "th AA tʰ"]), phones
    )
    assert [entity.display for entity in found] == ["Tobias"]
    reasons = [reject.reason for reject in found.rejected]
    assert all("as its 'pronunciations', as in {\"name\"" in reason for reason in reasons)
    assert "whose tokens are phones" in reasons[0]
    assert "these are tokens of the model" in reasons[1]
    assert len(reasons) == 3


def test_plain_list(tmp_path: Path) -> None:
    path = write(
        tmp_path / "names.txt",
        "# drugs\nMetformin\n\n  New   York \nmetformin\n--\n500 mg\nJose\u0301\n",
    )
    names = read_entities(path)
    assert names.entities == (
        Entity("metformin", "Metformin", line=2),
        Entity("new york", "New York", line=4),
        Entity("500 mg", "500 mg", line=7),
        Entity("jos\u00e9", "Jos\u00e9", line=8),
    )
    assert names.rejected == (
        Rejected(5, "metformin", "same as line 2 ('Metformin')"),
        Rejected(6, "--", "empty after normalisation (no letter, no digit)"),
    )
    assert names.report() == [
        f"{path}, line 5: 'metformin' has no effect: same as line 2 ('Metformin')",
        f"{path}, line 6: '--' has no effect: empty after normalisation (no letter, no digit)",
    ]
    assert names.report(limit=1)[1:] == [f"{path}: 1 more have no effect"]


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_marks_and_line_ends_change_nothing(tmp_path: Path, mark: str, end: str) -> None:
    for name, lines in (
        ("plain", ["Metformin", "New York"]),
        ("table", ["name\tweight", "Metformin\t1", "New York\t1.0"]),
        ("jsonl", ['{"name": "Metformin"}', '{"name": "New York"}']),
    ):
        path = tmp_path / name
        path.write_bytes((mark + end.join(lines) + end).encode())
        names = read_entities(path)
        assert [(e.name, e.display, e.weight) for e in names] == [
            ("metformin", "Metformin", 1.0),
            ("new york", "New York", 1.0),
        ]


def test_columns(tmp_path: Path) -> None:
    path = write(
        tmp_path / "names.tsv",
        "Name\tdisplay\tweight\tcategory\tsounds_like\tpronunciations\n"
        "keisha\tKeSha\t2.5\tperson\tKesha; key-sha\tK EH1 SH AH0; k iy sh ah\n"
        "York\n",
    )
    assert read_entities(path).entities == (WEIGHTED, Entity("york", "York", line=3))


def test_an_empty_cell_is_not_the_next_one(tmp_path: Path) -> None:
    path = write(tmp_path / "names.tsv", "weight\tname\n\tYork\n2\t\n 3 \t Paris \n")
    names = read_entities(path)
    assert names.entities == (
        Entity("york", "York", line=2),
        Entity("paris", "Paris", weight=3.0, line=4),
    )
    assert [r.line for r in names.rejected] == [3]


def test_json_lines(tmp_path: Path) -> None:
    rows = [
        {"name": "York", "weight": None},
        {
            "name": "keisha",
            "display": "KeSha",
            "weight": 2.5,
            "category": "person",
            "sounds_like": ["Kesha", "key-sha"],
            "pronunciations": ["K EH1 SH AH0", ["K", "IY", "SH", "AH"]],
        },
    ]
    path = write(tmp_path / "names.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert read_entities(path).entities == (Entity("york", "York", line=1), WEIGHTED)
    assert entities_from_names([*rows, "KEISHA"]).entities == (
        Entity("york", "York", line=1),
        WEIGHTED,
    )


def test_a_header_alone_names_the_column(tmp_path: Path) -> None:
    assert [e.name for e in read_entities(write(tmp_path / "n.csv", "Name\nYork\n"))] == ["york"]


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "heavy", "1e999"])
def test_weights_without_effect(tmp_path: Path, weight: str) -> None:
    path = write(tmp_path / "names.tsv", f"name\tweight\nYork\t{weight}\nParis\t2\n")
    names = read_entities(path)
    assert [e.name for e in names] == ["paris"]
    factor = "a factor on what the name is worth, 1 where none is given"
    reason = f"its weight ({factor}) must be a positive number, not {weight!r}"
    assert names.rejected == (Rejected(2, "York", reason),)


def test_a_weight_that_is_no_number_in_json() -> None:
    names = entities_from_names([{"name": "a", "weight": w} for w in (True, [1], float("nan"))])
    assert len(names.rejected) == 3


def test_spellings_without_effect() -> None:
    names = entities_from_names([{"name": "York", "sounds_like": ["york", "jork", "Jork", "?"]}])
    assert names.entities[0].sounds_like == ("jork",)
    assert [(r.text, r.reason) for r in names.rejected] == [
        ("york", "'York' has this spelling already"),
        ("Jork", "'York' has this spelling already"),
        ("?", "empty after normalisation (no letter, no digit)"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("York\nParis\t2\n", "line 2: has a tab, but the list has no header"),
        ("York\tbig\n", "line 1: unknown column or key 'york'.*weight"),
        ("# x\nname\twieght\nYork\t2\n", "line 2: unknown column or key 'wieght'"),
        ("weight\tcategory\n2\tx\n", "line 1: 'name' is missing"),
        ("name\tname\nYork\t2\n", "line 1: a column occurs twice"),
        ("name\tweight\nYork\t2\tcity\n", "line 2: has 3 columns, the header has 2"),
        ('{"name": "York"}\n{"name": \n', "line 2: not valid JSON"),
        ('{"name": "York"}\nParis\n', "line 2: not valid JSON"),
        ('{"name": "York"}\n["Paris"]\n', "line 2: expected a JSON object"),
        ('{"name": "York"}\n{"weight": 2}\n', "line 2: 'name' is missing"),
        ('{"name": "York", "colour": "red"}\n', "line 1: unknown column or key 'colour'"),
        ('{"name": 5}\n', "line 1: 'name' must be a string, not 5"),
        ('{"name": "York", "category": 5}\n', "line 1: 'category' must be a string"),
        ('{"name": "York", "sounds_like": [5]}\n', "line 1: 'sounds_like' must be strings"),
        ('{"name": "York", "pronunciations": [["Y", 5]]}\n', "'pronunciations' must be strings"),
        ("--\n..\n", "none of its 2 entries can have an effect.*line 1: '--'"),
    ],
)
def test_malformed_lists(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path / "names", text)
    with pytest.raises(EntityListError, match=message) as caught:
        read_entities(path)
    assert str(path) in str(caught.value)


def test_unreadable_lists(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    with pytest.raises(EntityListError, match="no such file"):
        read_entities(path)
    with pytest.raises(EntityListError, match="is a directory"):
        read_entities(tmp_path)
    path.write_bytes("York\nJosé\n".encode("latin-1"))
    with pytest.raises(EntityListError, match="names.txt, line 2: not UTF-8"):
        read_entities(path)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "name\tweight\n"])
def test_a_file_without_names_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(EntityListError, match="names: there is no name in it. Write one per line"):
        read_entities(write(tmp_path / "names", text))


def test_a_list_in_memory_may_be_empty() -> None:
    names = entities_from_names([])
    assert (len(names), names.rejected) == (0, ())
    assert names.require_any() is names


def test_space_around_a_name_is_no_part_of_it() -> None:
    names = entities_from_names([" KeIsha ", " "])
    assert [entity.display for entity in names] == ["KeIsha"]
    assert [entry.text for entry in names.rejected] == [""]


@given(st.lists(st.text(alphabet=st.characters(categories=["L", "M", "N", "P", "Zs"]))))
def test_fast_path_equals_entry_by_entry(texts: list[str]) -> None:
    at_once = entities_from_names(texts)
    one_by_one = entities_from_names([{"name": text} for text in texts])
    assert at_once == one_by_one
    said = {normalise(t) for t in texts}
    assert len(at_once) == len([n for n in said if any(category(c)[0] in "LN" for c in n)])
    assert len({e.name for e in at_once}) == len(at_once) == len(texts) - len(at_once.rejected)


def test_check_reports_what_the_model_cannot_write(tokenizer: SentencePieceTokenizer) -> None:
    names = entities_from_names(
        ["York", "500 mg", "José", "jose", {"name": "Δx", "sounds_like": ["delta x", "дx"]}]
    )
    checked = check_entities(names, tokenizer)
    assert [(e.name, e.display, e.sounds_like) for e in checked] == [
        ("york", "York", ()),
        ("five hundred milligrams", "500 mg", ()),
        ("jose", "José", ()),
        ("delta x", "Δx", ()),
    ]
    assert checked.notes == ("'500 mg' is looked for as it is said: 'five hundred milligrams'",)
    assert checked.rejected == (
        Rejected(4, "jose", "same as line 3 ('José') on this model"),
        Rejected(5, "Δx", "the model's vocabulary cannot write 'δ'; it is looked for as 'delta x'"),
        Rejected(5, "дx", "the model's vocabulary cannot write 'д'"),
    )
    assert {e.name for e in names} == {"york", "500 mg", "josé", "jose", "δx"}


def test_check_keeps_everything_that_can_be_written(tokenizer: SentencePieceTokenizer) -> None:
    names = entities_from_names(["York", "New York", "?"])
    assert check_entities(names, tokenizer) == names


def test_check_against_the_length_of_the_audio() -> None:
    tokenizer = FewestPiecesTokenizer(Vocabulary.from_tokens(["<blk>", "|", "a", "b"]))
    names = entities_from_names(["aab", "ab", {"name": "abab", "sounds_like": ["ba"]}])
    # aab needs a, blank, a, b; abab is kept for its short spelling.
    assert [r.text for r in report_too_long(names, tokenizer, 3).rejected] == ["aab"]
    assert report_too_long(names, tokenizer, 4) == names
    told = report_too_long(names, tokenizer, 1)
    assert told.rejected[0] == Rejected(1, "aab", "needs at least 4 frames of audio, there are 1")
    assert [r.line for r in told.rejected] == [1, 2, 3]
    assert told.entities == names.entities
    assert report_too_long(EntityList(), tokenizer, 1) == EntityList()


def test_all_rejected_is_an_error_only_where_it_is_asked(tokenizer: SentencePieceTokenizer) -> None:
    checked = check_entities(entities_from_names(["日本", "本"]), tokenizer)
    assert len(checked) == 0
    with pytest.raises(EntityListError, match="none of its 2 entries.*'日', '本'"):
        checked.require_any()


names_strategy = st.lists(
    st.text(alphabet="abcdefghijklmnopqrstuvwxyz '", min_size=1, max_size=12), max_size=6
)


@given(texts=names_strategy, n=st.integers(1, 4))
def test_encoding_equals_the_tokenizer_name_by_name(
    tokenizer: SentencePieceTokenizer, texts: list[str], n: int
) -> None:
    names = entities_from_names([{"name": t, "sounds_like": [t + "y"]} for t in texts])
    encoded = encode_entities(names, tokenizer, nbest=n)
    expected = [
        (index, ids, cost)
        for index, entity in enumerate(names)
        for text in (entity.name, *entity.sounds_like)
        for ids, cost in tokenizer.encode_nbest([text], n)[0]
    ]
    assert len(encoded) == len(expected)
    assert [encoded.row(i) for i in range(len(encoded))] == [ids for _, ids, _ in expected]
    assert encoded.entity_index.tolist() == [index for index, _, _ in expected]
    np.testing.assert_allclose(encoded.cost, [cost for _, _, cost in expected], atol=1e-5)
    frames = [len(ids) + sum(a == b for a, b in itertools.pairwise(ids)) for _, ids, _ in expected]
    assert encoded.min_frames.tolist() == frames
    assert (encoded.values.dtype, encoded.row_splits.dtype) == (np.int32, np.int64)
    assert (encoded.entity_index.dtype, encoded.cost.dtype) == (np.int32, np.float32)


def test_encoding_in_chunks(
    tokenizer: SentencePieceTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = entities_from_names([f"{a}{b}" for a in "abcde" for b in ("york", "new", "the box")])
    whole = encode_entities(names, tokenizer, nbest=3)
    monkeypatch.setattr("ctcbias_fst.text.encoded_entities._CHUNK", 4)
    parts = encode_entities(names, tokenizer, nbest=3)
    for field in ("values", "row_splits", "entity_index", "cost"):
        np.testing.assert_array_equal(getattr(whole, field), getattr(parts, field))


def test_names_that_cannot_be_written_get_no_row(tokenizer: SentencePieceTokenizer) -> None:
    encoded = encode_entities(entities_from_names(["york", "日本", "new"]), tokenizer)
    assert encoded.entity_index.tolist() == [0, 2]
    assert encoded.row(1) == tokenizer.encode("new")


def test_nbest_must_be_positive(tokenizer: SentencePieceTokenizer) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        encode_entities(EntityList(), tokenizer, nbest=0)
    assert len(encode_entities(EntityList(), tokenizer)) == 0


def test_only_letters_that_are_not_there_are_folded() -> None:
    """The dot of a Turkish capital has no token; the breve of another letter has."""
    tokenizer = FewestPiecesTokenizer(Vocabulary.from_tokens(["<blk>", "|", *"aıiğşe"]))
    names = check_entities(entities_from_names(["İağ", "éğe"]), tokenizer)
    assert [entity.name for entity in names] == ["iağ", "eğe"]
    assert not names.rejected
