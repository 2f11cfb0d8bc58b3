"""Sentences joined for training: several cuts, one after another, with pauses between them, and
silence before the first."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from lhotse.cut import Cut

from ctcbias_fst.training.training_config import JoinConfig


def join_cuts(cuts: Iterable[Cut], config: JoinConfig, generator: random.Random) -> list[Cut]:
    """Join a share of ``cuts``, each of which is in exactly one item of the result.

    What does not fit any more begins the next item, so that a few may stay alone.

    Args:
        cuts: with one supervision or more each.
        config: how many, how long, and how far apart.
        generator: decides everything; the same one gives the same items.
    """
    alone: list[Cut] = []
    chosen: list[Cut] = []
    for cut in cuts:
        (chosen if generator.random() < config.share else alone).append(cut)
    generator.shuffle(chosen)
    mixed = round(len(chosen) * (1.0 - config.same_voice))
    joined = _in_turn(chosen[:mixed], config, generator)
    voices: dict[str, list[Cut]] = defaultdict(list)
    for cut in chosen[mixed:]:
        voices[str(cut.supervisions[0].speaker)].append(cut)
    for own in voices.values():
        joined += _in_turn(own, config, generator)
    items = alone + joined
    if not config.lead_share:
        return items
    return [
        _led(item, generator.uniform(*config.lead))
        if generator.random() < config.lead_share
        else item
        for item in items
    ]


def _led(cut: Cut, seconds: float) -> Cut:
    """A cut with so much silence before it, or, below 0, without so much of its beginning."""
    if seconds >= 0:
        return cut.pad(duration=cut.duration + seconds, direction="left", preserve_id=True)
    return cut.truncate(offset=min(-seconds, cut.duration / 2), preserve_id=True)


def _in_turn(cuts: Sequence[Cut], config: JoinConfig, generator: random.Random) -> list[Cut]:
    """Cuts in the given order, as many in one as a number drawn for each and ``seconds`` allow."""
    items: list[Cut] = []
    places = 0
    for cut in cuts:
        pause = generator.uniform(*config.pause)
        if places and items[-1].duration + pause + cut.duration <= config.seconds:
            items[-1] = _appended(items[-1], cut, pause)
            places -= 1
        else:
            items.append(cut)
            places = generator.randint(1, config.most - 1)
    return items


def _appended(cut: Cut, other: Cut, pause: float) -> Cut:
    if other.sampling_rate != cut.sampling_rate:
        other = other.resample(cut.sampling_rate)
    longer = cut.pad(duration=cut.duration + pause, preserve_id=True)
    return longer.append(other, preserve_id="left")
