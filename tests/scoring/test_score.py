"""Counts add, rates come from sums, and every figure is that of its definition."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_scoring
from hypothesis import given
from hypothesis import strategies as st

from ctcbias_fst.errors import CtcbiasWarning, InputError, ManifestError
from ctcbias_fst.scoring.counts import EntityCounts, ErrorCounts, Score
from ctcbias_fst.scoring.score import (
    Interval,
    UtteranceScore,
    align,
    bootstrap,
    rates,
    score_transcripts,
    score_utterance,
    total,
)
from ctcbias_fst.text.entities import EntityList, entities_from_names
from ctcbias_fst.text.phrases import PhraseMatcher

WORDS = ["new", "york", "the", "smith", "york's", "a"]
short = st.lists(st.sampled_from(WORDS), max_size=5)
sentences = st.lists(st.sampled_from(WORDS), max_size=12)
name_sets = st.sets(
    st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join), max_size=5
)
counts = st.integers(0, 50)
error_counts = st.builds(ErrorCounts, counts, counts, counts, reference=counts)
entity_counts = st.builds(EntityCounts, counts, counts, counts)
scores = st.builds(
    Score, counts, counts, error_counts, error_counts, error_counts, error_counts, entity_counts
)


@given(short, short)
def test_alignment_has_the_fewest_errors(reference: list[str], hypothesis: list[str]) -> None:
    pairs = align(reference, hypothesis)
    assert tuple(pairs) in reference_scoring.best_alignments(reference, hypothesis)


@given(short, short, st.sets(st.sampled_from(WORDS)))
def test_split_of_errors_is_that_of_a_best_alignment(
    reference: list[str], hypothesis: list[str], names: set[str]
) -> None:
    score = score_utterance(reference, hypothesis, names)
    assert (score.biased.errors, score.unbiased.errors) in {
        reference_scoring.split_errors(alignment, names)
        for alignment in reference_scoring.best_alignments(reference, hypothesis)
    }
    assert score.biased.reference == sum(word in names for word in reference)


@given(sentences, name_sets, st.booleans())
def test_occurrences(words: list[str], names: set[str], possessive: bool) -> None:
    found = PhraseMatcher(names, possessive).occurrences(words)
    expected = reference_scoring.occurrences(words, names, possessive)
    assert [(o.start, o.end, o.name) for o in found] == expected


@given(sentences, sentences, name_sets, st.booleans())
def test_entity_counts(
    reference: list[str], hypothesis: list[str], names: set[str], possessive: bool
) -> None:
    found = score_utterance(reference, hypothesis, names, possessive).entities
    expected = reference_scoring.entity_counts(reference, hypothesis, names, possessive)
    assert (found.hits, found.misses, found.false_alarms) == expected


def test_longest_name_first() -> None:
    matcher = PhraseMatcher(["york", "new york", "new york times", "times square"])
    words = "the new york times square in york's new york".split()
    assert [o[:3] for o in matcher.occurrences(words)] == [
        (1, 4, "new york times"),
        (6, 7, "york"),
        (7, 9, "new york"),
    ]
    assert PhraseMatcher(["macy's", "macy"]).occurrences(["macy's"])[0].name == "macy's"


@given(sentences, name_sets)
def test_identical_text_has_no_error(words: list[str], names: set[str]) -> None:
    score = score_utterance(words, words, names)
    assert (score.words.errors, score.characters.errors, score.wrong) == (0, 0, 0)
    assert (score.entities.misses, score.entities.false_alarms) == (0, 0)
    assert score.words.reference == len(words)


@given(sentences, sentences, name_sets)
def test_what_holds_for_every_score(
    reference: list[str], hypothesis: list[str], names: set[str]
) -> None:
    score = score_utterance(reference, hypothesis, names)
    assert score.biased + score.unbiased == score.words
    assert score.words.reference == len(reference)
    assert score.words.insertions - score.words.deletions == len(hypothesis) - len(reference)
    assert score.characters.reference == len(" ".join(reference))
    assert (score.words.errors > 0) == (reference != hypothesis) == bool(score.wrong)
    unlisted = score_utterance(reference, hypothesis)
    assert unlisted.unbiased == unlisted.words == score.words
    assert unlisted.biased == ErrorCounts.zero()
    assert unlisted.entities == EntityCounts.zero()
    swapped = score_utterance(hypothesis, reference, names).entities
    assert (swapped.misses, swapped.false_alarms) == (
        score.entities.false_alarms,
        score.entities.misses,
    )


@given(sentences, sentences, name_sets)
def test_a_name_spoken_nowhere_changes_nothing(
    reference: list[str], hypothesis: list[str], names: set[str]
) -> None:
    more = names | {"metformin", "metformin york"}
    assert score_utterance(reference, hypothesis, more) == score_utterance(
        reference, hypothesis, names
    )


@given(scores, scores, scores)
def test_scores_add(a: Score, b: Score, c: Score) -> None:
    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert a + Score.zero() == a
    assert (a + b).words.errors == a.words.errors + b.words.errors
    assert (a + b).entities.hits == a.entities.hits + b.entities.hits


@given(scores)
def test_rates_of_a_score_are_those_of_its_counts(score: Score) -> None:
    found = rates(score)
    expected = {
        "WER": score.words.rate,
        "CER": score.characters.rate,
        "SER": score.wrong / score.utterances if score.utterances else math.nan,
        "B-WER": score.biased.rate,
        "U-WER": score.unbiased.rate,
        "precision": score.entities.precision,
        "recall": score.entities.recall,
        "F1": score.entities.f1,
    }
    assert list(found) == list(expected)
    np.testing.assert_array_equal(list(found.values()), list(expected.values()))


@given(entity_counts)
def test_f1_is_the_harmonic_mean(entities: EntityCounts) -> None:
    if entities.hits:
        mean = 2 / (1 / entities.precision + 1 / entities.recall)
        assert entities.f1 == pytest.approx(mean)
    else:
        assert not entities.f1 > 0


def test_rates_of_nothing_are_undefined() -> None:
    assert all(math.isnan(rate) for rate in rates(Score.zero()).values())
    assert math.isnan(ErrorCounts(0, 0, 3, reference=0).rate)


def test_a_worked_example() -> None:
    """The example of docs/scoring.md, counted by hand."""
    references = {
        "a": "Dr. Smith prescribed Metformin in New York",
        "b": "she takes metformin and ibuprofen",
        "c": "",
    }
    hypotheses = {
        "a": "doctor smith prescribed met foreman in new york",
        "b": "she takes metformin metformin and I be profane",
        "c": "um",
        "d": "not scored",
    }
    names = entities_from_names(["Metformin", "Ibuprofen", "New York", "Smith", "Leeds"])
    results = score_transcripts(references, hypotheses, names)
    score = total(results)
    assert score.words == ErrorCounts(3, 0, 5, reference=12)
    assert score.biased == ErrorCounts(2, 0, 1, reference=6)
    assert score.unbiased == ErrorCounts(1, 0, 4, reference=6)
    assert score.entities == EntityCounts(hits=3, misses=2, false_alarms=1)
    assert (score.utterances, score.wrong) == (3, 3)
    assert results[0].misses == ("metformin",)
    assert sorted(results[0].hits) == ["new york", "smith"]
    assert results[1].false_alarms == ("metformin",)
    assert results[2].pairs == ((None, "um"),)


@given(st.lists(st.text(min_size=1), max_size=6) | st.just(["\0"]), st.lists(st.text(), max_size=6))
def test_any_text_may_be_a_word(reference: list[str], hypothesis: list[str]) -> None:
    """NUL among them, which once stood for a word that is missing."""
    for words in (reference, hypothesis):
        assert align(words, words) == [(word, word) for word in words]
    pairs = align(reference, hypothesis)
    assert [r for r, _ in pairs if r is not None] == reference
    assert [h for _, h in pairs if h is not None] == hypothesis


@pytest.mark.parametrize("text", ["a\0b c", "b \0", "\0", "\0 \0"])
@pytest.mark.parametrize("normalise_text", [True, False])
def test_nul_in_texts(text: str, normalise_text: bool) -> None:
    (result,) = score_transcripts({"u": text}, {"u": text}, normalise_text=normalise_text)
    assert result.score.words.errors == result.score.characters.errors == 0


def test_possessives() -> None:
    reference, hypothesis = ["smith's", "hat"], ["smith", "hat"]
    loose = score_utterance(reference, hypothesis, ["smith"])
    assert loose.entities == EntityCounts(1, 0, 0)
    assert loose.biased.reference == 0
    strict = score_utterance(reference, hypothesis, ["smith"], possessive=False)
    assert strict.entities == EntityCounts(0, 0, 1)


def test_phones() -> None:
    references = {"a": "F R AH M | Y AO R K"}
    hypotheses = {"a": "F R AH | Y AO R K S"}
    (result,) = score_transcripts(references, hypotheses, normalise_text=False, ignore=["|"])
    assert result.score.words == ErrorCounts(0, 1, 1, reference=8)


def test_lists_per_utterance_and_words_to_be_biased() -> None:
    texts = {"a": "york", "b": "york"}
    lists = {"a": entities_from_names(["York"]), "b": EntityList()}
    score = total(score_transcripts(texts, {"a": "x", "b": "york"}, lists))
    assert score.entities == EntityCounts(0, 1, 0)
    assert score.biased == ErrorCounts(1, 0, 0, reference=1)
    other = total(score_transcripts(texts, texts, lists, bias_words=entities_from_names(["York"])))
    assert other.entities == EntityCounts(1, 0, 0)
    assert other.biased.reference == 2


def test_lists_in_every_form(tmp_path: Path) -> None:
    texts = {"a": "new york", "b": "york"}
    path = tmp_path / "names.txt"
    path.write_text("York\n", encoding="utf-8")
    expected = score_transcripts(texts, texts, entities_from_names(["York"]))
    assert total(expected).entities.hits == 2
    every: list[Any] = [["York"], ("York",), path, str(path), [{"name": "York"}]]
    for listed in every:
        assert score_transcripts(texts, texts, listed) == expected
        assert score_transcripts(texts, texts, bias_words=listed, entities=listed) == expected
        (one, none) = score_transcripts(texts, texts, {"a": listed, "b": None})
        assert (one, none.hits) == (expected[0], ())
    once = iter(["York"])
    (one, other) = score_transcripts(texts, texts, {"a": once, "b": once})
    assert one.hits == other.hits == ("york",)
    with pytest.warns(CtcbiasWarning, match="without names"):
        score_transcripts(texts, texts, once)
    with pytest.warns(CtcbiasWarning, match=r"<list>, line 2: '!' has no effect"):
        score_transcripts(texts, texts, ["York", "!"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("york", {"a": "york"}), "^references must be a mapping .* found 'york'"),
        (({"a": "york"}, ["york"]), "^hypotheses must be a mapping"),
        (({"a": "york"}, {"a": None}), r"^hypotheses .*best\.text\), found None"),
        (({"a": "york"}, {"a": "york"}, "York"), "a single name is a list, too"),
        (({"a": "york"}, {"a": "york"}, 3), "where a list of names is wanted"),
        (({"a": "york"}, {"a": "york"}, {"a": 3}), "where a list of names is wanted"),
        (({"a": "york"}, {"a": "york"}, {"b": ["York"]}), "'a' has no list of names"),
    ],
)
def test_what_cannot_be_scored_is_one_line(arguments: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as raised:
        score_transcripts(*arguments)
    assert "\n" not in str(raised.value)


def test_groups_are_carried() -> None:
    texts = {"a": "york", "b": "leeds"}
    results = score_transcripts(texts, texts, groups={"b": "y", "a": "x"})
    assert [(r.id, r.group) for r in results] == [("a", "x"), ("b", "y")]


def test_ids_must_match() -> None:
    texts = {"a": "york", "b": "leeds"}
    with pytest.raises(ManifestError, match="1 of 2 utterances have no hypothesis: b. Score"):
        score_transcripts(texts, {"a": "york"})
    with pytest.raises(ManifestError, match=r"the ids differ \(for example 'a' and 'x'\)"):
        score_transcripts(texts, {"x": "york"}, missing_as_deletions=True)
    score = total(score_transcripts(texts, {"a": "york"}, missing_as_deletions=True))
    assert score.words == ErrorCounts(0, 1, 0, reference=2)
    many = {str(i): "x" for i in range(9)}
    with pytest.raises(ManifestError, match="8 of 9 .*: 1, 2, 3, 4, 5, …"):
        score_transcripts(many, {"0": "x"})
    with pytest.raises(ManifestError, match="'b' has no list of names"):
        score_transcripts(texts, texts, {"a": EntityList()})
    with pytest.raises(ManifestError, match="'b' has no group"):
        score_transcripts(texts, texts, groups={"a": "x"})


def results_of(*pairs: tuple[str, str]) -> list[UtteranceScore]:
    names = entities_from_names(["york", "leeds"])
    return score_transcripts(
        {str(i): reference for i, (reference, _) in enumerate(pairs)},
        {str(i): hypothesis for i, (_, hypothesis) in enumerate(pairs)},
        names,
    )


def test_bootstrap_of_equal_utterances_is_a_point() -> None:
    results = results_of(*[("from york to hull", "from york to")] * 5)
    intervals = bootstrap(results, replications=50)
    assert intervals["WER"] == Interval(0.25, 0.25)
    assert intervals["recall"] == intervals["F1"] == Interval(1.0, 1.0)
    assert math.isnan(bootstrap(results_of(("hull", "hull")), 10)["F1"].low)


def test_bootstrap_is_seeded_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(3)
    draw = ["york", "leeds", "hull", "to"]
    texts = [" ".join(generator.choice(draw, 6)) for _ in range(80)]
    results = results_of(*zip(texts[:40], texts[40:]))
    first = bootstrap(results, replications=400, seed=1)
    assert first == bootstrap(results, replications=400, seed=1)
    assert first != bootstrap(results, replications=400, seed=2)
    assert list(first) == list(rates(Score.zero()))
    point = rates(total(results))
    for name, interval in first.items():
        assert interval.low <= point[name] <= interval.high
    narrow = bootstrap(results, replications=400, seed=1, level=0.5)
    assert first["WER"].low < narrow["WER"].low < narrow["WER"].high < first["WER"].high


def test_bootstrap_covers_the_true_rate() -> None:
    """Of 60 test sets drawn from one source, about 95% of the intervals hold its rate."""
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(60):
        wrong = generator.random((60, 5)) < 0.2
        results = results_of(
            *[("a a a a a", " ".join("b" if w else "a" for w in row)) for row in wrong]
        )
        interval = bootstrap(results, replications=200, seed=seed)["WER"]
        covered += interval.low <= 0.2 <= interval.high
    assert covered >= 51


@pytest.mark.parametrize("options", [{"replications": 0}, {"level": 0.0}, {"level": 1.0}], ids=str)
def test_bootstrap_of_bad_options(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="bootstrap needs"):
        bootstrap(results_of(("a", "a")), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="bootstrap needs"):
        bootstrap([])


@pytest.mark.parametrize(
    ("reference", "hypothesis", "counts"),
    [
        ("it is in the IT department", "it is in the IT department", (1, 0, 0)),
        ("it is in the IT department", "it is in the it department", (0, 1, 0)),
        ("It is in the department", "IT is in the department", (0, 0, 1)),
        ("It's here, says US staff.", "its here says us staff", (0, 1, 0)),
        ("Ask IT's head: who is it?", "ask IT's head who is it", (1, 0, 0)),
        ("AT&T's IT", "at and t's IT", (1, 0, 0)),
    ],
)
def test_initials_count_where_they_are_in_capitals(
    reference: str, hypothesis: str, counts: tuple[int, int, int]
) -> None:
    names = entities_from_names(["IT", "US", "Madrid"])
    (result,) = score_transcripts({"a": reference}, {"a": hypothesis}, names)
    found = result.score.entities
    assert (found.hits, found.misses, found.false_alarms) == counts


@pytest.mark.parametrize(
    ("reference", "hypothesis"),
    [("it is the it team", "it is the IT team"), ("IT IS THE IT TEAM", "it is the IT team")],
)
def test_without_capitals_initials_are_not_counted(reference: str, hypothesis: str) -> None:
    names = entities_from_names(["IT", "Madrid"])
    with pytest.warns(CtcbiasWarning, match="'IT' is not counted: only capitals tell it"):
        (result,) = score_transcripts({"a": reference}, {"a": hypothesis}, names)
    found = result.score.entities
    assert (found.hits, found.misses, found.false_alarms) == (0, 0, 0)
