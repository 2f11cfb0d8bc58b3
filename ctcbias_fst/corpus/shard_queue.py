"""Shards that wait for workers, some of which die."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from ctcbias_fst.corpus.shards import Shard
from ctcbias_fst.errors import ConfigError

DEATHS = 3
"""So many workers may die of one shard, or before they can begin."""


class ShardQueue:
    """Shards in their order; one that a worker died of comes first, until it is given up.

    Its length is how many wait.

    Args:
        shards: which are to be decoded.
        report: told about names without effect, each once, and shards that workers died of.
    """

    def __init__(self, shards: Iterable[Shard], report: Callable[[str], None]) -> None:
        self._waiting, self._report = deque(shards), report
        self._deaths: Counter[int | None] = Counter()
        self._given_up: list[Shard] = []
        self._told: set[str] = set()

    def __len__(self) -> int:
        return len(self._waiting)

    def next(self) -> Shard:
        """Take the first."""
        return self._waiting.popleft()

    def hear(self, lines: Sequence[str]) -> None:
        """A worker is ready, and tells of names without effect."""
        self._deaths[None] = 0
        for line in lines:
            if line not in self._told:
                self._told.add(line)
                self._report(line)

    def lost(self, shard: Shard | None, how: str) -> bool:
        """A worker has died: put back its shard, if it had one.

        Returns:
            Whether the same may be tried again.
        """
        number = None if shard is None else shard.number
        self._deaths[number] += 1
        again = self._deaths[number] < DEATHS
        if shard is not None:
            (self._waiting.appendleft if again else self._given_up.append)(shard)
            what = "it is decoded again" if again else "it is left out for now"
            self._report(f"a worker died ({how}) at {shard}: {what}")
        return again

    def check_none_given_up(self) -> None:
        """Tell of shards that workers died of again and again, when all others are done.

        Raises:
            ConfigError: there are such.
        """
        if self._given_up:
            raise ConfigError(
                f"{self._given_up[0]}: {DEATHS} workers died of it (shards of which that is so: "
                f"{len(self._given_up)}); all others are done. Where memory is short, pass fewer "
                "--jobs or a smaller --batch-seconds: the same command then tries them again"
            )
