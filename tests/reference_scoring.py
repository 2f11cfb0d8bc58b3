"""What scoring computes, from the definitions and without regard to time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence


def alignments(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> Iterator[tuple[tuple[str | None, str | None], ...]]:
    """Every way to align two sequences of words."""
    if not reference and not hypothesis:
        yield ()
    if reference and hypothesis:
        for rest in alignments(reference[1:], hypothesis[1:]):
            yield ((reference[0], hypothesis[0]), *rest)
    if reference:
        for rest in alignments(reference[1:], hypothesis):
            yield ((reference[0], None), *rest)
    if hypothesis:
        for rest in alignments(reference, hypothesis[1:]):
            yield ((None, hypothesis[0]), *rest)


def errors(alignment: Sequence[tuple[str | None, str | None]]) -> int:
    """Pairs whose sides differ."""
    return sum(reference != hypothesis for reference, hypothesis in alignment)


def best_alignments(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> list[tuple[tuple[str | None, str | None], ...]]:
    """All alignments with the fewest errors."""
    found = list(alignments(reference, hypothesis))
    fewest = min(map(errors, found))
    return [alignment for alignment in found if errors(alignment) == fewest]


def occurrences(
    words: Sequence[str], names: set[str], possessive: bool
) -> list[tuple[int, int, str]]:
    """Leftmost-longest matches without overlaps: of all matches the first, the longest, and on."""
    matches = []
    for start in range(len(words)):
        for end in range(start + 1, len(words) + 1):
            phrase = " ".join(words[start:end])
            if phrase in names:
                matches.append((start, end, phrase))
            elif possessive and phrase.endswith("'s") and phrase[:-2] in names:
                matches.append((start, end, phrase[:-2]))
    taken: list[tuple[int, int, str]] = []
    for start, end, name in sorted(matches, key=lambda match: (match[0], -match[1])):
        if not taken or start >= taken[-1][1]:
            taken.append((start, end, name))
    return taken


def entity_counts(
    reference: Sequence[str], hypothesis: Sequence[str], names: set[str], possessive: bool
) -> tuple[int, int, int]:
    """Hits, misses, false alarms: each name counted on both sides."""
    said = Counter(name for _, _, name in occurrences(reference, names, possessive))
    written = Counter(name for _, _, name in occurrences(hypothesis, names, possessive))
    hits = sum(min(said[name], written[name]) for name in names)
    return hits, sum(said.values()) - hits, sum(written.values()) - hits


def split_errors(
    alignment: Sequence[tuple[str | None, str | None]], names: set[str]
) -> tuple[int, int]:
    """Errors on words of the list and on others, for lists of single words (Le et al. 2021)."""
    biased = sum(
        reference != hypothesis and (hypothesis if reference is None else reference) in names
        for reference, hypothesis in alignment
    )
    return biased, errors(alignment) - biased
