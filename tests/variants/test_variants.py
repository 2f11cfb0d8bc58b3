"""Spelling variants: against brute force on a tiny table, their laws, and what is shipped."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.errors import InputError, ModelError
from ctcbias_fst.ngram.estimate import estimate
from ctcbias_fst.pronunciation import g2p_ngram as ngram
from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.g2p_files import to_fst
from ctcbias_fst.pronunciation.g2p_ngram import Ngram
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.variants.shipped import load_variants
from ctcbias_fst.variants.table import Row, read_table
from ctcbias_fst.variants.variants import (
    SpellingVariants,
    Variant,
    VariantsConfig,
    read_word_costs,
)
from tests.fst_costs import cheapest

TABLE = (
    Row("a", ("AE",), 0.4),
    Row("a", ("EY",), 1.5),
    Row("ai", ("EY",), 0.2),
    Row("c", ("K",), 0.5),
    Row("k", ("K",), 0.1),
    Row("ck", ("K",), 0.3),
    Row("x", ("K", "S"), 0.2),
    Row("t", ("T",), 0.1),
    Row("e", (), 0.7),
)
LETTERS = "aceikstx"
TEXT = "cat tack take ace kate tax case skit teak"
CONFIG = VariantsConfig(
    max_cost=60.0, beam=50.0, readings=1, table_cost=40.0, gap_cost=100.0, common_cost=0.0
)


def spelling_model() -> Ngram:
    number = {letter: ngram.FIRST_SYMBOL + i for i, letter in enumerate(LETTERS)}
    orders = estimate([[number[letter] for letter in word] for word in TEXT.split()], 3)
    return Ngram(tuple(orders), tuple(LETTERS))


def spellings(phones: Sequence[str], silent: bool = False) -> Iterator[tuple[str, float]]:
    """All spellings of phones by `TABLE`, a silent row only after one that sounds."""
    if not phones:
        yield "", 0.0
    for row in TABLE:
        if row.phones and tuple(phones[: len(row.phones)]) == row.phones:
            for rest, cost in spellings(phones[len(row.phones) :], silent=True):
                yield row.letters + rest, row.cost + cost
        elif not row.phones and silent:
            for rest, cost in spellings(phones, silent=False):
                yield row.letters + rest, row.cost + cost


@pytest.fixture(scope="module")
def tiny(tiny_g2p: G2P) -> SpellingVariants:
    lexicon = Lexicon({"tack": "T AE K", "kate": "K EY T", "tax": "T AE K S"})
    return SpellingVariants(Pronouncer(lexicon, tiny_g2p), TABLE, spelling_model(), {}, CONFIG)


@pytest.mark.parametrize(
    ("word", "phones"), [("tack", "T AE K"), ("kate", "K EY T"), ("tax", "T AE K S")]
)
def test_variants_are_the_best_of_all_spellings(
    tiny: SpellingVariants, word: str, phones: str
) -> None:
    graph = to_fst(*ngram.full_arcs(spelling_model()))
    number = {letter: ngram.FIRST_SYMBOL + i for i, letter in enumerate(LETTERS)}
    costs: dict[str, float] = {}
    for spelling, cost in spellings(phones.split()):
        model = cheapest(graph, [number[letter] for letter in spelling])
        total = cost + CONFIG.spelling_weight * model
        costs[spelling] = min(total, costs.get(spelling, total))
    least = min(costs.values())
    expected = {s: cost - least for s, cost in costs.items() if s != word}
    found = {v.spelling: v.cost for v in tiny.spelling_variants([word], 6)[0]}
    best = sorted(expected.values())[:6]
    assert sorted(found.values()) == pytest.approx(best, abs=2e-3)
    assert found == pytest.approx({s: expected[s] for s in found}, abs=2e-3)


def test_a_word_may_fall_in_two(tiny_g2p: G2P) -> None:
    lexicon = Lexicon({"takat": "T EY K AE T"})
    config = VariantsConfig(beam=20.0, max_cost=20.0, gap_cost=0.0, common_cost=0.0)
    variants = SpellingVariants(
        Pronouncer(lexicon, tiny_g2p), TABLE, spelling_model(), {}, config
    ).spelling_variants(["takat"], 10)[0]
    assert any(" " in variant.spelling for variant in variants)


@given(names=st.lists(st.text(alphabet="acekt", min_size=1, max_size=6), max_size=4))
def test_laws(tiny: SpellingVariants, names: list[str]) -> None:
    batch = tiny.spelling_variants(names, 5)
    assert batch == tiny.spelling_variants(names[::-1], 5)[::-1]
    for name, found in zip(names, batch):
        costs = [variant.cost for variant in found]
        assert name not in [variant.spelling for variant in found]
        assert len({variant.spelling for variant in found}) == len(found) <= 5
        assert all(cost >= 0.0 for cost in costs)
        assert costs == sorted(costs)
        assert tiny.spelling_variants([name], 2)[0] == found[:2]


def test_nothing_is_asked_for(tiny: SpellingVariants) -> None:
    assert tiny.spelling_variants(["tack"], 0) == [[]]
    assert tiny.spelling_variants([], 5) == []
    with pytest.raises(ValueError, match="n must not be negative"):
        tiny.spelling_variants(["tack"], -1)


def test_what_cannot_be_spelt_otherwise(tiny: SpellingVariants) -> None:
    assert tiny.spelling_variants(["bbc", "19", "zzz", "q"], 5) == [[], [], [], []]
    assert tiny.spelling_variants(["tack" * 25, "tack" * 26], 5)[1] == []
    assert tiny.spelling_variants(["tack" * 25], 5)[0]
    both = tiny.spelling_variants(["tack 19"], 3)[0]
    alone = tiny.spelling_variants(["tack"], 3)[0]
    assert [v.spelling for v in both] == [f"{v.spelling} 19" for v in alone]
    for empty in ("", " ", "-!"):
        with pytest.raises(InputError, match="the name is empty"):
            tiny.spelling_variants(["tack", empty], 5)


def test_what_is_spelt_so_in_two_ways_has_the_lesser_cost(
    tiny: SpellingVariants, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {
        "ab": [Variant("ab", 0.0), Variant("a", 1.0), Variant("a b", 3.0)],
        "c": [Variant("c", 0.0), Variant("b c", 1.0)],
    }
    monkeypatch.setattr(tiny, "_word", lambda word, n: words[word])
    costs = {variant.spelling: variant.cost for variant in tiny.spelling_variants(["ab c"])[0]}
    assert costs == {"a c": 1.0, "ab b c": 1.0, "a b c": 2.0, "a b b c": 4.0}


def test_common_words_cost_more(tiny_g2p: G2P) -> None:
    lexicon = Lexicon({"tack": "T AE K"})

    def costs(common: dict[str, float], max_cost: float = 20.0) -> dict[str, float]:
        variants = SpellingVariants(
            Pronouncer(lexicon, tiny_g2p),
            TABLE,
            spelling_model(),
            common,
            VariantsConfig(beam=20.0, max_cost=max_cost, common_cost=12.0, unknown_word_cost=12.0),
        )
        return {v.spelling: v.cost for v in variants.spelling_variants(["tack"], 60)[0]}

    without = costs({})
    spelling = min(without, key=lambda s: without[s])
    assert costs({spelling: 7.0})[spelling] == pytest.approx(without[spelling] + 5.0)
    assert costs({spelling: 13.0})[spelling] == without[spelling]
    assert spelling in costs({}, max_cost=4.0)
    assert spelling not in costs({spelling: 7.0}, max_cost=4.0)


@pytest.mark.parametrize("field", ["beam", "gap_cost", "max_cost"])
@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_weights_are_checked(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} must be a number"):
        VariantsConfig(**{field: value})


def test_a_spelling_model_of_something_else_is_refused(pronouncer: Pronouncer) -> None:
    model = spelling_model()
    for wrong in (
        Ngram(model.orders, tuple("ACEIKSTX")),
        Ngram(model.orders[:1], model.symbols),
    ):
        with pytest.raises(ModelError, match="spelling model"):
            SpellingVariants(pronouncer, TABLE, wrong, {})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a\tAH", "2 of the columns"),
        ("\tAH\t0.1", "letters must be a to z"),
        ("É\tAH\t0.1", "letters must be a to z"),
        ("a\tQQ\t0.1", "'QQ' is no phone"),
        ("a\t\t0.1", "'' is no phone"),
        ("a\tAH\tx", "at least 0, not 'x'"),
        ("a\tAH\t-1", "at least 0, not '-1'"),
        ("a\tAH\tnan", "at least 0"),
        ("b\tB\t0.5", "stand above"),
    ],
)
def test_a_damaged_table(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "table.tsv"
    path.write_text(f"# comment\nb\tB\t0.5\tmore\n\n{line}\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"table\.tsv, line 4: .*{message}"):
        read_table(path)


def test_table_files(tmp_path: Path) -> None:
    path = tmp_path / "table.tsv"
    path.write_text("# nothing\n")
    with pytest.raises(InputError, match="has no row"):
        read_table(path)
    path.write_text("x\tK S\t0.2\t12\tax\ne\t-\t1\n")
    assert read_table(path) == (Row("x", ("K", "S"), 0.2), Row("e", (), 1.0))


def test_word_costs(tmp_path: Path) -> None:
    path = tmp_path / "words.tsv"
    path.write_text("right\t7.5\n")
    assert read_word_costs(path) == {"right": 7.5}
    path.write_text("right\t7.5\nwrong\n")
    with pytest.raises(InputError, match="line 2"):
        read_word_costs(path)


def test_shipped_variants() -> None:
    """What is known of real names stays known when tables and weights are changed."""
    variants = load_variants()
    among = {
        "carthen": "karthen",
        "norville": "norvil",
        "begeman": "bigman",
        "fretz": "frets",
        "metformin": "metforman",
        "spesolimab": "specolimab",
    }
    found = dict(zip(among, variants.spelling_variants(list(among), 20)))
    missing = [n for n, s in among.items() if s not in {v.spelling for v in found[n]}]
    assert missing == []
    wright = {v.spelling: v.cost for v in variants.spelling_variants(["wright"], 50)[0]}
    assert wright.get("right", 99.0) > wright["reight"] + 2.0


def test_shipped_table_is_the_reviewed_one() -> None:
    root = Path(__file__).parents[2]
    shipped = root / "ctcbias_fst" / "pretrained" / "sounds" / "graphemes.tsv"
    assert shipped.read_bytes() == (root / "graphs" / "graphemes.tsv").read_bytes()
    rows = read_table(shipped)
    assert len(rows) > 150
    assert {row.letters for row in rows} >= set("abcdefghijklmnopqrstuvwxyz")
    for letters, group in itertools.groupby(rows, key=lambda row: row.letters):
        assert len({row.phones for row in group}) > 0, letters
