"""How names with digits, symbols and initials are said; common words are not taken for them."""

from __future__ import annotations

import string
import time
from random import Random
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.text import spoken_entities
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.encoded_entities import encode_entities
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.normalise import normalise
from ctcbias_fst.text.spoken_entities import add_spoken_forms
from ctcbias_fst.text.spoken_forms import needs_spoken_forms
from ctcbias_fst.text.spoken_forms import said as ways_of
from ctcbias_fst.text.tokens import FewestPiecesTokenizer
from ctcbias_fst.text.vocabulary import Vocabulary

LETTERS = FewestPiecesTokenizer(Vocabulary.from_tokens(["<pad>", "|", *string.ascii_lowercase]))
ALSO_DIGITS = FewestPiecesTokenizer(
    Vocabulary.from_tokens(["<pad>", "|", *string.ascii_lowercase, *string.digits])
)


class SpokenForm(NamedTuple):
    """One way to say a name, and how much less likely it is than the first (natural log)."""

    text: str
    cost: float


def spoken_forms(name: str, capitals: bool = False) -> list[SpokenForm]:
    """How a name may be said, the likeliest first."""
    return [SpokenForm(*form) for form in ways_of(name, capitals).forms]


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("COVID-19", ["covid nineteen", "covid one nine"]),
        ("3M", ["three m"]),
        ("B12", ["b twelve", "b one two"]),
        ("iPhone 15", ["iphone fifteen", "i phone fifteen"]),
        ("50 Cent", ["fifty cent"]),
        ("AT&T", ["a t and t", "at and t"]),
        ("AT&amp;T", ["a t and t"]),
        ("C++", ["c plus plus"]),
        ("C#", ["c sharp"]),
        (".NET", ["dot net"]),
        ("R&D", ["r and d"]),
        ("M&M's", ["m and m's"]),
        ("24/7", ["twenty four seven", "two four seven"]),
        ("Mr.", ["mister", "mr"]),
        ("Prof. Li", ["professor li"]),
        ("St. John's", ["saint john's"]),
        ("2024", ["twenty twenty four", "two thousand twenty four", "two zero two four"]),
        ("747", ["seven forty seven", "seven hundred forty seven", "seven four seven"]),
        ("007", ["double oh seven", "zero zero seven", "oh oh seven"]),
        ("101", ["one oh one", "one hundred one"]),
        ("1,000", ["one thousand"]),
        ("2.0", ["two point zero", "two point oh"]),
        ("$5", ["five dollars"]),
        ("50%", ["fifty percent"]),
        ("21st Century", ["twenty first century"]),
        ("#1", ["number one"]),
        ("H1N1", ["h one n one"]),
        ("MP3", ["m p three"]),
        ("GPT-4", ["g p t four", "gpt four"]),
        ("Node.js", ["node dot j s", "node j s", "node js"]),
        ("Amazon.com", ["amazon dot com"]),
        ("U.S.", ["u s"]),
        ("Disney+", ["disney plus"]),
        ("IBM", ["ibm", "i b m"]),
        ("FBI", ["f b i"]),
        ("BMW", ["b m w"]),
        ("ChatGPT", ["chatgpt", "chat g p t"]),
        ("PhD", ["p h d"]),
        ("macOS", ["mac o s"]),
        ("eBay", ["ebay", "e bay"]),
        ("Henry VIII", ["henry the eighth", "henry eight"]),
        ("Ke$ha", ["kesha"]),
        ("A$AP Rocky", ["asap rocky"]),
        ('Toys "R" Us', ["toys r us"]),
        ("at&t", ["a t and t", "at and t"]),
        ("salt & pepper", ["salt and pepper"]),
        ("2001: A Space Odyssey", ["two thousand one a space odyssey"]),
        ("737 MAX", ["seven thirty seven max", "seven hundred and thirty seven max"]),
        ("No. 5", ["number five"]),
        ("20€", ["twenty euros"]),
        ("Ph.D.", ["p h d"]),
        ("ASP.NET", ["asp dot net", "a s p dot net"]),
        ("J.K. Rowling", ["j k rowling"]),
        ("SUVs", ["s u v's", "suvs"]),
        ("AC/DC", ["a c d c", "ac d c"]),
        ("R2-D2", ["r two d two"]),
        ("S&P 500", ["s and p five hundred"]),
        ("iOS 17.4", ["i o s seventeen point four"]),
        ("Covid19", ["covid nineteen"]),
        ("10cc", ["ten c c"]),
        ("OpenAI", ["open a i", "openai"]),
        ("MySQL", ["my s q l"]),
        ("№ 5", ["number five"]),
        ("E=mc2", ["e equals m c two"]),
        ("Dr. Ouagadougou, MD", ["doctor ouagadougou", "ouagadougou"]),
        ("Tobias Wexelbaum, PhD", ["tobias wexelbaum"]),
        ("Tobias Wexelbaum, M.D., Ph.D.", ["tobias wexelbaum"]),
        ("Prof. Dr. Hans Meyerbeer", ["hans meyerbeer"]),
        ("DR. MEYERBEER", ["meyerbeer"]),
        ("Wexelbaum Jr.", ["wexelbaum junior", "wexelbaum"]),
        ("Moderna, Inc.", ["moderna incorporated", "moderna"]),
        ("Moderna Inc", ["moderna"]),
        ("Zebulon GmbH", ["zebulon"]),
        ("Acme Widgets Co., Ltd.", ["acme widgets"]),
    ],
)
def test_what_is_said(name: str, forms: list[str]) -> None:
    assert needs_spoken_forms(name)
    said = {form.text: form.cost for form in spoken_forms(name)}
    assert [form for form in forms if form not in said] == []
    assert min(said.values()) == 0


@pytest.mark.parametrize(
    ("name", "form"),
    [
        (".NET", "net"),
        ("C++", "c"),
        ("AT&T", "at t"),
        ("P!nk", "pink"),
        ("Who?", "who"),
        ("@home", "home"),
        ("@home", "at home"),
        ("1st", "first"),
        ("WeWork", "we work"),
        ("iPhone", "i phone"),
        ("YouTube", "you tube"),
        ("McDonald", "mc donald"),
        ("Dr.", "doctor"),
        ("Dr. Smith", "smith"),
        ("Dr. Will May", "will may"),
        ("Apple Inc.", "apple"),
        ("MS Excel", "excel"),
        ("Ma Rainey", "rainey"),
        ("Boston, MA", "boston"),
    ],
)
def test_what_is_not_looked_for(name: str, form: str) -> None:
    assert form not in [said.text for said in spoken_forms(name)]
    assert form not in [
        text for e in check_entities(listed(name), LETTERS) for text, _ in e.spellings
    ]


def listed(*names: str) -> EntityList:
    return entities_from_names(names)


@pytest.mark.parametrize("name", ["Metformin", "Lydia Culverhouse", "José", "O'Neill", "日本"])
def test_most_names_are_said_as_they_are_written(name: str) -> None:
    assert not needs_spoken_forms(name)
    assert check_entities(listed("x", name), ALSO_DIGITS).entities[0].spoken == ()


@pytest.mark.parametrize("unit", ["½", "a/", "1-", "'n", "->", "AA ", "<@", "°"])
def test_long_names_take_no_time(unit: str) -> None:
    begin = time.process_time()
    check_entities(listed((unit * 500)[:290], (unit * 500)[:990]), LETTERS)
    assert time.process_time() - begin < 2


def test_other_scripts_have_no_rules() -> None:
    assert spoken_forms("Нокия 3") == []


@given(st.text(alphabet="aBC9 0.,&+#/'-$%!é中", max_size=12))
def test_forms_are_in_normal_form_and_have_no_digits(text: str) -> None:
    forms = spoken_forms(text)
    assert len(forms) <= 8
    assert len({form.text for form in forms}) == len(forms)
    assert [form.cost for form in forms] == sorted(form.cost for form in forms)
    for form in forms:
        assert form.cost >= 0
        assert form.text == normalise(form.text) != ""
        assert not any(c.isdigit() for c in form.text)


def test_names_are_found_as_they_are_said() -> None:
    names = check_entities(listed("COVID-19", "AT&T", "IBM", "Who?", "IT", "C#", "C++"), LETTERS)
    assert [(e.name, e.display) for e in names] == [
        ("covid nineteen", "COVID-19"),
        ("a t and t", "AT&T"),
        ("ibm", "IBM"),
        ("i t", "IT"),
        ("c sharp", "C#"),
        ("c plus plus", "C++"),
    ]
    spoken = {e.display: [text for text, _ in e.spoken] for e in names}
    assert spoken["IBM"] == ["i b m"]
    assert spoken["AT&T"] == ["at and t"]
    assert "covid one nine" in spoken["COVID-19"]
    assert names.report() == [
        "<list>: 'IT' is looked for as 'i t' only: 'it' is a common word",
        "<list>: 'COVID-19' is looked for as it is said: 'covid nineteen'",
        "<list>, line 4: 'Who?' has no effect: '?' is not heard, and without it 'who' is a common "
        "word; list it as it is said, and give what is to be shown as its 'display'",
    ]


def test_the_remedy_works() -> None:
    names = check_entities(
        entities_from_names([{"name": "the band who", "display": "Who?"}]), LETTERS
    )
    assert [(e.name, e.display) for e in names] == [("the band who", "Who?")]


def test_a_vocabulary_with_digits_writes_them() -> None:
    (name,) = check_entities(listed("COVID-19"), ALSO_DIGITS)
    assert name.name == "covid 19"
    assert name.spoken[0] == ("covid nineteen", 0.0)


def test_less_likely_forms_cost_more() -> None:
    names = check_entities(listed("B12"), LETTERS)
    encoded = encode_entities(names, LETTERS)
    assert encoded.cost.tolist() == pytest.approx([0, 0.693147], abs=1e-5)


def test_a_form_that_is_a_name_of_its_own_stays_that_name() -> None:
    names = check_entities(listed("B twelve", "B12"), LETTERS)
    assert [e.name for e in names] == ["b twelve", "b one two"]


def test_a_list_in_capitals_has_no_initials() -> None:
    names = check_entities(listed("ANNA", "US", "METFORMIN"), LETTERS)
    assert [(e.name, e.spoken) for e in names] == [("anna", ()), ("us", ()), ("metformin", ())]


def test_a_symbol_without_a_rule_is_told() -> None:
    names = check_entities(listed("I \u2764 NYC", "x"), LETTERS)
    assert names.entities[0].name == "i nyc"
    assert "is not heard: it is looked for as 'i nyc'" in names.report()[0]


def test_what_cannot_be_said_by_rule_is_reported_with_the_remedy() -> None:
    names = check_entities(listed("Нокия 3", "x"), LETTERS)
    assert "'display'" in names.report()[0]


def test_no_forms_by_rule_if_not_wanted() -> None:
    names = listed("Imiglucerase", "IBM", "B12", "IT", "P!nk", "1st")
    checked = check_entities(names, LETTERS, spoken_forms=False)
    assert [(e.name, e.display, e.spoken) for e in checked] == [
        ("imiglucerase", "Imiglucerase", ()),
        ("ibm", "IBM", ()),
    ]
    assert [reject.text for reject in checked.rejected] == ["B12", "IT", "P!nk", "1st"]
    assert all("give what is to be shown as its 'display'" in r.reason for r in checked.rejected)
    assert checked.notes == ()


def test_an_entry_with_forms_of_its_own_gets_no_others() -> None:
    rows = [
        {"name": "B12", "sounds_like": ["bee twelve"]},
        {"name": "IT", "sounds_like": ["eye tee"]},
        {"name": "IBM", "sounds_like": ["big blue"]},
        {"name": "dix huit", "display": "18"},
    ]
    names = check_entities(entities_from_names(rows), LETTERS)
    assert [(e.display, [text for text, _ in e.spellings]) for e in names] == [
        ("B12", ["bee twelve"]),
        ("IT", ["eye tee"]),
        ("IBM", ["ibm", "big blue"]),
        ("18", ["dix huit"]),
    ]
    told = names.report()
    assert "'IT' is looked for as 'eye tee' only: 'it' is a common word" in told[0]
    assert "it is looked for as 'bee twelve'" in told[1]


@pytest.mark.parametrize("name", ["IT", "US", "AM", "WHO", "ALL", "IT Crowd", "US Open"])
def test_no_common_word_becomes_an_acronym(name: str) -> None:
    (found,) = check_entities(listed("metformin", name), LETTERS).entities[1:]
    first, *rest = name.lower().split()
    assert (found.name, found.spoken, found.display) == (" ".join([*first, *rest]), (), name)


def test_names_that_take_the_place_of_words_are_told() -> None:
    names = check_entities(listed("May", "CAT", "York", "may day"), LETTERS)
    assert names.report()[0] == (
        "<list>: 'may' is a common word, which is shown as 'May' wherever it is heard (1 more are "
        "common words)"
    )
    assert check_entities(listed("York", "Apple"), LETTERS).report() == []


@pytest.mark.parametrize("name", ["A", "I", "O"])
def test_words_of_one_letter_are_told(name: str) -> None:
    (line,) = check_entities(listed(name, "metformin"), LETTERS).report()
    assert f"{name.lower()!r} is a common word, which is shown as {name!r}" in line


def test_names_without_titles_are_told_and_belong_to_one_name() -> None:
    names = check_entities(listed("Dr. Meyerbeer", "Wexelbaum, MD", "Anna Wexelbaum Jr."), LETTERS)
    (line,) = names.report()
    assert "'Dr. Meyerbeer' is also looked for without its titles, as 'meyerbeer'" in line
    assert "and 2 more" in line
    two = check_entities(listed("Dr. Meyerbeer", "Prof. Meyerbeer"), LETTERS)
    assert all("meyerbeer" not in dict(entity.spellings) for entity in two)
    assert two.report() == []


def test_a_name_with_one_number_is_said_as_by_the_general_rules() -> None:
    for name in ("Boeing 747", "Windows 2.0", "Channel $5", "Formula 1st", "Version V8-turbo"):
        apart = spoken_forms(f"Formula & {name}")
        assert [form.text.removeprefix("formula and ") for form in apart] == [
            form.text for form in spoken_forms(name)
        ]


ORDINARY = ["Imiglucerase", "Windows", "people", "Peter", "Quentin"]
ODD = [
    "COVID-19",
    "&",
    "Co.",
    "No.",
    "64",
    "2.0",
    "IBM",
    "Node.js",
    "C++",
    "$5",
    "-",
    "AT&T",
    "XIV",
]
ODD += ["'n'", "+", "mg", "1,000", "24/7", "O'Neill", "iPhone", "St.", "x", "ABC-12", "#1"]


@given(
    st.lists(st.sampled_from(ORDINARY), max_size=2),
    st.lists(st.sampled_from(ODD), min_size=1, max_size=3),
    st.lists(st.sampled_from(ORDINARY), max_size=2),
    st.booleans(),
)
def test_what_is_kept_of_other_names_changes_nothing(
    before: list[str], odd: list[str], behind: list[str], capitals: bool
) -> None:
    name = " ".join([*before, *odd, *behind])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctcbias_fst.text.spoken_forms._beside_ordinary_words", lambda *_: [])
        slowly = spoken_forms(name, capitals)
    quickly = spoken_forms(name, capitals)
    # Of equally likely forms of a number others may be left out.
    assert [form.cost for form in quickly] == [form.cost for form in slowly]
    if len(odd) > 1 or len(slowly) < 8:
        assert set(quickly) == set(slowly)


def test_long_lists_are_searched_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["anna", "berta", "carla", "dora", "emil", "route 66"]
    whole, searched = add_spoken_forms(entities_from_names(names)), []

    def seen(text: str) -> bool:
        searched.append(text.count("\n"))
        return needs_spoken_forms(text)

    monkeypatch.setattr(spoken_entities, "_BLOCK", 2)
    monkeypatch.setattr(spoken_entities, "needs_spoken_forms", seen)
    assert add_spoken_forms(entities_from_names(names)) == whole
    assert whole.entities[-1].spoken and max(searched) == 3, "two names and two displays"


def test_names_of_a_long_list_have_two_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctcbias_fst.text.spoken_entities._LONG_LIST", 1)
    names = check_entities(listed("metformin", "B747", "B748"), LETTERS)
    assert [len(e.spellings) for e in names] == [1, 2, 2]
    assert "2 names are said otherwise than they are written" in names.report()[0]


ALIKE = ["ChatGPT", "Chat GPT", "Louis XIV", "Louis 14", "USB-C", "USBC", "RnD", "R'n'D"]
ALIKE += ["R&D", "AT&T", "ATT", "IT", "Node.js", "NodeJS", "MP3", "MP 3", "24/7", "C++", "St. John"]


APOSTROPHE = FewestPiecesTokenizer(
    Vocabulary.from_tokens(["<pad>", "|", "'", *string.ascii_lowercase])
)


@given(st.lists(st.sampled_from(ALIKE), unique=True), st.randoms(use_true_random=False))
def test_forms_do_not_depend_on_the_order_of_the_list(names: list[str], random: Random) -> None:
    """Of names that may be said alike the likeliest gets a form, then the first of the list."""

    def forms(listed: list[str]) -> set[str]:
        found = check_entities(entities_from_names(listed), APOSTROPHE)
        return {form for e in found for form, _ in e.spellings}

    shuffled = list(names)
    random.shuffle(shuffled)
    assert forms(shuffled) == forms(names)


@pytest.mark.parametrize("names", [("A1", "A.1."), ("7/11", "7-Eleven"), ("MP3", "MP 3")])
def test_the_first_of_names_that_are_said_alike_wins(names: tuple[str, str]) -> None:
    for first, second in (names, names[::-1]):
        found = check_entities(listed(first, second), LETTERS)
        assert found.entities[0].display == first
        told = f"line 2: '{second}' has no effect: same as line 1 ('{first}') when spoken"
        assert len(found) == 2 or told in "".join(found.report())
        assert "cannot write" not in "".join(found.report())


@pytest.mark.parametrize("names", [("A1", "A.1."), ("7/11", "7-Eleven"), ("MP3", "MP 3")])
def test_names_that_are_said_alike_are_counted_as_their_list_is(names: tuple[str, str]) -> None:
    found = check_entities(entities_from_names(names, "list", "entry"), LETTERS)
    told = f"entry 2: {names[1]!r} has no effect: same as entry 1 ({names[0]!r}) when spoken"
    assert len(found) == 2 or told in "".join(found.report())
    assert "line" not in "".join(found.report())


def test_a_form_belongs_to_the_name_that_is_likeliest_said_so() -> None:
    for names in (["Louis 14", "Louis XIV"], ["Louis XIV", "Louis 14"]):
        by_display = {e.display: e for e in add_spoken_forms(entities_from_names(names))}
        for name in names:
            alone = dict(spoken_forms(name))
            for form, cost in by_display[name].spoken:
                other = dict(spoken_forms(names[1 - names.index(name)]))
                assert alone[form] == cost <= other.get(form, cost)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("Club 1905", "club nineteen oh five"),
        ("Club 1900", "club nineteen hundred"),
        ("Club 1984", "club nineteen eighty four"),
        ("the £1 shop", "the one pound shop"),
        ("the $2 shop", "the two dollars shop"),
    ],
)
def test_the_likeliest_way_to_say_numbers(name: str, first: str) -> None:
    assert spoken_forms(name)[0].text == first


@pytest.mark.parametrize("names", [["Route 66", "Route 6 6"], ["Route 6 6", "Route 66"]])
def test_what_two_names_may_be_said_as_is_the_likelier_one(names: list[str]) -> None:
    found = {one.display: one for one in add_spoken_forms(entities_from_names(names))}
    spoken = {display: {text for text, _ in one.spoken} for display, one in found.items()}
    assert "route six six" in spoken["Route 6 6"] | {found["Route 6 6"].name}
    assert "route six six" not in spoken["Route 66"]
    assert "route sixty six" in spoken["Route 66"]
