"""The alignment of the script that Le et al. 2021 (arXiv 2104.02194) published with their lists.

An insertion or a deletion costs 3, a substitution 4 (the weights of NIST's sclite), so the
alignment may have more errors than need be: two gaps cost more than a substitution, but one match
can pay for them. What costs the same is a match or a substitution first, then an insertion, then a
deletion, seen from the end of the words.
"""

from __future__ import annotations

from collections.abc import Sequence

_GAP, _SUBSTITUTION = 3, 4


def align_published(
    reference: Sequence[str], hypothesis: Sequence[str]
) -> list[tuple[str | None, str | None]]:
    """Return the alignment as (reference, hypothesis) pairs; None where there is no such word."""
    costs = _costs(reference, hypothesis)
    pairs: list[tuple[str | None, str | None]] = []
    said, written = len(reference), len(hypothesis)
    while said or written:
        cost = costs[said][written]
        if said and written:
            word, other = reference[said - 1], hypothesis[written - 1]
            if cost == costs[said - 1][written - 1] + (_SUBSTITUTION if word != other else 0):
                pairs.append((word, other))
                said, written = said - 1, written - 1
                continue
        if written and cost == costs[said][written - 1] + _GAP:
            written -= 1
            pairs.append((None, hypothesis[written]))
        else:
            said -= 1
            pairs.append((reference[said], None))
    return pairs[::-1]


def _costs(reference: Sequence[str], hypothesis: Sequence[str]) -> list[list[int]]:
    """The least cost of aligning each beginning of the one with each beginning of the other."""
    costs = [[_GAP * column for column in range(len(hypothesis) + 1)]]
    for word in reference:
        above = costs[-1]
        row = [above[0] + _GAP]
        for column, other in enumerate(hypothesis):
            row.append(
                min(
                    above[column] + (_SUBSTITUTION if word != other else 0),
                    row[column] + _GAP,
                    above[column + 1] + _GAP,
                )
            )
        costs.append(row)
    return costs
