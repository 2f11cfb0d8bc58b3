r"""Adaptive subword boosting: what may be taken at which frame, and what it scores there.

For log-probs :math:`l(t, v)` with the blank in column 0, let :math:`m(t)` be the best
log-prob of frame t, blank included, and :math:`g(t, v) = m(t) - l(t, v)` the gap. Then

- a frame is *surely blank* if blank is more probable there than ``blank_threshold``;
  nothing but blank may be taken at it;
- token v is a *boosted candidate* at t if it is among the ``top_k`` best tokens besides
  blank and :math:`g \le` ``max_gap``. As a later subword of an entity of weight w (here at
  most 1.5) it scores

  .. math::

     l(t, v) + \min(0.97\, g(t, v), \min(1, w \alpha)\, g(t, v) + w \varphi n(v), \gamma)

  at the frame where it is emitted, with the letters n(v) that it writes
  (:func:`ctcbias_fst.graph.token_letters.token_letters`); where it is no candidate it cannot be
  emitted as such. That is adaptive boosting (Dingliwal et
  al. 2022, section 3.2): the boost grows with the gap. As :math:`\alpha \le 1`, no token scores
  more for fitting less;
- v is an *entry candidate* likewise, by the ``first_*`` settings, and scores
  :math:`l(t, v) + \alpha_1 g(t, v)` as the first subword of an entity;
- inside an entity, a further frame of a token scores
  :math:`l(t, v) + \alpha_r g(t, v)` where v is a boosted candidate (``repeat_alpha``), and a
  blank before the last token :math:`l(t, 0) + \alpha_b g(t, 0)` (``blank_alpha``); neither may
  be taken more than ``max_wait`` below :math:`m(t)` (``max_wait_letter`` where a token of one
  letter is the best);
- a complete entity is paid its :func:`reward` with its last token.

- v is *plausible* at t if it is among the ``token_top_k`` best tokens besides blank and at
  most ``token_beam`` below the best column, or an entry or boosted candidate. It scores
  :math:`l(t, v)` as a plain token, and at further frames of a token. What is not plausible
  cannot be taken.

No column of an entity is above the best one of its frame. So one that is begun is never ahead of
the best reading that goes on plainly, and no search drops a plain reading for what an entity may
become; what a reward can turn must lie within the beam, which it does as long as ``max_reward`` is
below ``search_beam``.

To k2 these are extra columns of the log-probs (:class:`ctcbias_fst.graph.labels.LabelTable`);
its search stays as it is.
"""

from __future__ import annotations

import math

import torch

from ctcbias_fst.arrays import is_one, sum_of_probabilities
from ctcbias_fst.errors import LogProbsError
from ctcbias_fst.graph.candidates import Candidates
from ctcbias_fst.graph.labels import BOOSTED, ENTRY, INSIDE, PLAIN, REPEAT, LabelTable
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.search_config import BoostConfig, SearchConfig
from ctcbias_fst.text.vocabulary import Vocabulary

_MAX_OF_GAP = 0.97
"""Of what a token lacks at most so much is given back: of two names that sound alike the one that
fits better scores more."""

_MAX_BOOST = 1.5
"""A greater weight pays a complete entity more, but gives its tokens no more back: what fits badly
must cost something, or a heavy entity takes the place of words that sound like nothing of it."""

_TIES = 4
"""Half-precision log-probs often have equal tokens where a frame's best k end: so many more
are looked at."""


def check_log_probs(log_probs: LogProbs, vocabulary: Vocabulary) -> None:
    """Refuse what no search can use. k2 itself would return an empty lattice, or crash.

    A token of probability 0 (-inf) is fine, as long as its frame has another.

    Args:
        log_probs: of a batch; those without a list of names, if there are any, are looked at, too.
        vocabulary: what they should be of.

    Raises:
        LogProbsError: another vocabulary, NaN, +inf, a frame without any probability, or one whose
            probabilities do not sum to 1; the message names the utterance and the frame.
    """
    if log_probs.vocabulary.digest != vocabulary.digest:
        raise LogProbsError(
            "the log-probs are of another vocabulary than the decoder's: "
            f"{log_probs.vocabulary.size} and {vocabulary.size} tokens"
        )
    for kind, values in (("", log_probs.log_probs), ("unbiased ", log_probs.unbiased)):
        if values is not None:
            _check_values(values, log_probs, kind)


def _check_values(values: torch.Tensor, log_probs: LogProbs, kind: str) -> None:
    """Refuse values (N, T, V) of a batch; ``kind`` says which, for the message."""
    total = values.new_ones(values.shape[:2])
    for i, length in enumerate(log_probs.lengths.tolist()):  # all at once would need their copy
        total[i, :length] = sum_of_probabilities(values[i, :length])
    # Frames with NaN, with +inf, and of -inf alone are among these.
    row, frame = (~is_one(total)).nonzero(as_tuple=True)
    if not len(row):
        return
    rows = values[row, frame]
    # NaN and +inf fail the first comparison, a frame of -inf the second.
    broken = (~((rows < torch.inf).all(-1) & (rows.amax(-1) > -torch.inf))).nonzero().flatten()
    first = int(broken[0]) if len(broken) else 0
    where = f"utterance {log_probs.ids[int(row[first])]}, frame {int(frame[first])}"
    if not len(broken):
        raise LogProbsError(
            f"{where}: these are no natural {kind}log-probs, their exponentials sum to "
            f"{float(total[row[0], frame[0]]):.3g} instead of 1: take the log-softmax of logits, "
            "and the logarithm of probabilities"
        )
    found = rows[first]
    what = "NaN" if bool(found.isnan().any()) else "+inf" if bool(found.max() > 0) else "only -inf"
    raise LogProbsError(
        f"{where}: the {kind}log-probs have {what} ({len(broken)} such frames in this batch); "
        "check the audio and the model that made them"
    )


def blank_frames(log_probs: torch.Tensor, lengths: torch.Tensor, threshold: float) -> torch.Tensor:
    """Which frames are surely blank: bool (N, T). Frames after the end are not.

    Args:
        log_probs: float32 (N, T, V), blank in column 0.
        lengths: int64 (N,) on the same device.
        threshold: a probability; 1 or more for none.
    """
    inside = torch.arange(log_probs.shape[1], device=log_probs.device) < lengths[:, None]
    if threshold >= 1:
        return torch.zeros_like(inside)
    return (log_probs[:, :, 0] > math.log(threshold)) & inside


def find_candidates(
    log_probs: torch.Tensor, open_frames: torch.Tensor, config: SearchConfig
) -> Candidates:
    """Find every token that may be taken, by utterance and frame.

    Args:
        log_probs: float32 (N, T, V), blank in column 0.
        open_frames: bool (N, T): where anything but blank may be taken.
        config: the search's settings.
    """
    boost = config.boost
    utterance, frame = open_frames.nonzero(as_tuple=True)
    rows = log_probs[utterance, frame]
    most = max(config.token_top_k, boost.top_k, boost.first_top_k) + _TIES + 1
    score, token = rows[:, 1:].topk(min(most, rows.shape[1] - 1), dim=-1)

    def among(k: int) -> torch.Tensor:
        """Whether fewer than k tokens are better: equal ones are in or out together, out if
        they are many."""
        last = score[:, min(k, score.shape[1]) - 1].unsqueeze(-1)
        kept: torch.Tensor = score >= last
        if k + _TIES < score.shape[1]:
            many = score[:, k + _TIES].unsqueeze(-1) >= last
            kept &= (score > last) | ~many
        return kept

    best = torch.maximum(score[:, :1], rows[:, :1])
    gap = best - score
    boosted = among(boost.top_k) & (gap <= boost.max_gap)
    entry = among(boost.first_top_k) & (gap <= boost.first_max_gap)
    plausible = among(config.token_top_k) & (score >= best - config.token_beam)
    row, place = ((plausible | boosted | entry) & (score > -torch.inf)).nonzero(as_tuple=True)
    return Candidates(
        utterance=utterance[row],
        frame=frame[row],
        token=token[row, place] + 1,
        score=score[row, place],
        gap=gap[row, place],
        entry=entry[row, place],
        boosted=boosted[row, place],
        shape=(log_probs.shape[0], log_probs.shape[1], log_probs.shape[2]),
    )


def score_columns(
    blank: torch.Tensor,
    candidates: Candidates,
    columns: LabelTable,
    letters: torch.Tensor,
    config: SearchConfig,
) -> torch.Tensor:
    """The log-probs that the search reads: float32 (N, T, number of columns).

    Args:
        blank: float32 (N, T), the log-probs of blank.
        candidates: at the same frames.
        columns: what the graph's labels stand for.
        letters: float32 (V,), what each token writes.
        config: the search's settings.
    """
    boost = config.boost
    size, frames, vocabulary = candidates.shape
    scores = blank.new_full((size, frames, len(columns)), -torch.inf)
    scores[:, :, 0] = blank
    for kind, weight, _, _ in columns.blocks:
        of_token = columns.lookup(kind, weight, vocabulary)
        column = of_token[candidates.token]
        taken = column >= 0
        value = candidates.score
        if kind == ENTRY:
            taken &= candidates.entry
            value = value + boost.first_alpha * candidates.gap
        elif kind == BOOSTED:
            taken &= candidates.boosted
            share = min(weight, _MAX_BOOST)
            gain = min(1.0, share * boost.alpha) * candidates.gap
            gain += share * boost.free * letters[candidates.token]
            gain = gain.clamp(max=boost.max_gain)
            value = value + torch.minimum(gain, _MAX_OF_GAP * candidates.gap)
        elif kind == REPEAT:
            better, limit = _better(blank, candidates, letters, boost)
            behind = better[candidates.utterance, candidates.frame] - value
            taken &= behind <= limit[candidates.utterance, candidates.frame]
            value = value + candidates.boosted * boost.repeat_alpha * candidates.gap
            scores[:, :, int(of_token[0])] = _waiting(blank, better, limit, boost)
        else:
            assert kind in (PLAIN, INSIDE)  # the latter is no token's
        at = (candidates.utterance[taken], candidates.frame[taken], column[taken])
        scores[at] = value[taken]
    return scores


def reward(letters: torch.Tensor, weight: torch.Tensor, boost: BoostConfig) -> torch.Tensor:
    """What a complete entity is paid at its last token, in nats.

    Args:
        letters: float32 (K,), what each entity's tokens write.
        weight: float32 (K,), of the entities.
        boost: the settings.
    """
    earned = weight * (boost.beta * letters + boost.bonus)
    return earned.clamp(min=boost.min_reward, max=boost.max_reward)


def last_reachable_frame(
    blank: torch.Tensor, candidates: Candidates, letters: torch.Tensor, config: SearchConfig
) -> torch.Tensor:
    """How long an entity can wait for its next token: int64 (N, T).

    While it waits it takes blank at every frame, and falls behind the best column of each. The
    search gives it up when it is ``search_beam`` behind the best path, whatever it scored
    before; so the entity cannot go on at a frame later than the result.

    Args:
        blank: float32 (N, T), the log-probs of blank.
        candidates: at the same frames.
        letters: float32 (V,), what each token writes.
        config: the search's settings.
    """
    better, limit = _better(blank, candidates, letters, config.boost)
    behind = (better - _waiting(blank, better, limit, config.boost)).double()
    # A frame at which no entity may wait costs more than the beam.
    waited = behind.clamp(max=2 * config.search_beam).cumsum(1)
    most = waited + config.search_beam
    # Blank may be taken at frames t + 1 to r - 1 if waited[r - 1] <= most[t].
    last = torch.searchsorted(waited, most, right=True)
    return last.clamp(max=blank.shape[1] - 1)


def plain_reading(
    blank: torch.Tensor, lengths: torch.Tensor, candidates: Candidates
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best plain reading: the best column of every frame.

    Whatever names there are, this reading is in the graph; a search whose best path scores less
    lost it.

    Args:
        blank: float32 (N, T), the log-probs of blank.
        lengths: int64 (N,), frames per utterance.
        candidates: at the same frames.

    Returns:
        its tokens, int64 (N, T), 0 for blank and after the end, and its scores, float64 (N,).
    """
    inside = torch.arange(blank.shape[1], device=blank.device) < lengths[:, None]
    best, token = _best(blank, candidates)
    score = torch.where(inside, torch.maximum(best, blank), torch.zeros_like(blank))
    return token * (inside & (best > blank)), score.double().sum(dim=1)


def _waiting(
    blank: torch.Tensor, better: torch.Tensor, limit: torch.Tensor, boost: BoostConfig
) -> torch.Tensor:
    """What blank scores inside an entity, (N, T); -inf where something else is too clear.

    ``better`` and ``limit`` are what :func:`_better` gives.
    """
    behind = better - blank
    value = torch.where(behind > 0, blank + boost.blank_alpha * behind, blank)
    return value.masked_fill(behind > limit, -torch.inf)


def _better(
    blank: torch.Tensor, candidates: Candidates, letters: torch.Tensor, boost: BoostConfig
) -> tuple[torch.Tensor, torch.Tensor]:
    """The best score of each frame, and by how much an entity may pass it over, (N, T) both."""
    best, token = _best(blank, candidates)
    limit = torch.where(letters[token] > 1, boost.max_wait, boost.max_wait_letter)
    return torch.maximum(best, blank), limit


def _best(blank: torch.Tensor, candidates: Candidates) -> tuple[torch.Tensor, torch.Tensor]:
    """The best plausible token of each frame, its score and its number, (N, T) both; -inf and
    blank where there is none.

    Candidates of a frame are together, the best one first.
    """
    best = torch.full_like(blank, -torch.inf)
    token = torch.zeros_like(blank, dtype=torch.int64)
    place = candidates.utterance * blank.shape[1] + candidates.frame
    first = torch.ones_like(candidates.entry)
    first[1:] = place[1:] != place[:-1]
    best.view(-1)[place[first]] = candidates.score[first]
    token.view(-1)[place[first]] = candidates.token[first]
    return best, token
