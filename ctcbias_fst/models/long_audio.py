"""Utterances of any length through an encoder: short ones in batches, long ones piece by piece.

What is longer than a sentence is read twice: as a whole, in windows that overlap, to see where
nothing is said, and then in pieces, of which each is scored as if it were alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.models.even import louder, raised_where_spoken, raises
from ctcbias_fst.models.features import FRAME_SECONDS
from ctcbias_fst.models.pieces import Piece, PiecesConfig, pieces_of
from ctcbias_fst.pauses import find_pauses
from ctcbias_fst.text.vocabulary import Vocabulary

Names = TypeVar("Names")

LAG_SECONDS = 0.24
"""By how much later than they sound the embedded model writes tokens, and about its phones:
measured against times that festival gives, for three voices together (docs/transcribing.md). Models
that are trained otherwise may differ: ``decode.times.lag``."""

WINDOW = 3200
_CONTEXT = 400
"""Input frames: pauses of longer audio, and pieces in which there are none, are looked for in
windows of 32 s, of which 4 s at inner ends only give context to the rest."""

_BATCH = 12000
"""Input frames of pieces that are encoded at once, padding included."""


class Scores(NamedTuple):
    """Log-probs ``(utterance, frame, token)``, or of one utterance: of subwords with the list of
    names and without, and of phones."""

    biased: Tensor
    plain: Tensor
    phones: Tensor

    def frames(self, utterance: int, begin: int, end: int) -> Scores:
        """Some frames of one utterance."""
        return Scores(*(one[utterance, begin:end] for one in self))


class LongAudio(Generic[Names]):
    """Scores utterances of any length.

    Args:
        run: scores features ``(utterance, frame, mel)``, which are not normalised, of so many
            frames each, with the names of each; gives the scores and how many frames they have.
        vocabulary: of the subwords.
        subsampling: frames of the features for one of the scores.
        config: what is long, and how long a piece may be.
    """

    def __init__(
        self,
        run: Callable[[Tensor, Tensor, Sequence[Names | None]], tuple[Scores, Tensor]],
        vocabulary: Vocabulary,
        subsampling: int,
        config: PiecesConfig = PiecesConfig(),  # noqa: B008  (frozen)
    ) -> None:
        self._run, self._vocabulary, self._rate = run, vocabulary, subsampling
        self._longest = config.longest()

    def scores(
        self, features: Tensor, lengths: Tensor, names: Sequence[Names | None]
    ) -> tuple[Scores, Tensor]:
        """Score a batch, quiet speech in long utterances raised before.

        Args:
            features: log-mel ``(utterance, frame, mel)``.
            lengths: ``(utterance,)`` frames of each.
            names: of each.

        Returns:
            the scores, padded, and their lengths, int64 on the CPU.
        """
        if features.shape[1] <= WINDOW and not self.is_long(features.shape[1]):
            return self._run(features, lengths, names)
        parts = self._in_pieces([row[:n] for row, n in zip(features, lengths.tolist())], names)
        padded = Scores(*(pad_sequence(list(one), batch_first=True) for one in zip(*parts)))
        return padded, torch.tensor([len(part.phones) for part in parts], dtype=torch.int64)

    def pieces(self, subwords: Tensor, phones: Tensor) -> list[Piece]:
        """Where long audio is cut, from log-probs ``(frame, token)`` of the whole."""
        pauses = find_pauses(subwords, self._vocabulary, phones)
        return pieces_of(pauses, len(subwords), FRAME_SECONDS * self._rate, self._longest)

    def is_long(self, frames: int) -> bool:
        """Whether so many frames of features are scored in pieces."""
        return frames * FRAME_SECONDS > self._longest

    def _in_pieces(
        self,
        rows: Sequence[Tensor],
        names: Sequence[Names | None],
    ) -> list[Scores]:
        """Score utterances ``(frame, mel)``, long ones piece by piece.

        What is in no piece, the middle of long pauses, is scored as in the whole.
        """
        rate = self._rate
        long = [i for i, row in enumerate(rows) if self.is_long(len(row))]
        evened, read = self.evened([rows[i] for i in long])
        raised, whole = dict(zip(long, evened)), dict(zip(long, read))
        rows = [raised.get(i, row) for i, row in enumerate(rows)]
        places: list[tuple[int, int]] = []
        todo: list[tuple[Names | None, Tensor]] = []
        for index, row in enumerate(rows):
            spans = [Piece(0, (len(row) + rate - 1) // rate)]
            if index in whole:
                plain, phones = whole[index].plain, whole[index].phones
                spans = self.pieces(plain, phones)
                if names[index] is None and spans == [Piece(0, len(plain))]:
                    continue  # it has just been scored so
            for piece in spans:
                places.append((index, piece.begin))
                todo.append((names[index], row[piece.begin * rate : piece.end * rate]))
        for (index, begin), found in zip(places, self.wholes(todo)):
            if index not in whole:
                whole[index] = found
                continue
            for values, part in zip(whole[index], found):
                values[begin : begin + len(part)] = part
        return [whole[index] for index in range(len(rows))]

    def evened(self, rows: Sequence[Tensor]) -> tuple[list[Tensor], list[Scores]]:
        """Long utterances ``(frame, mel)`` with quiet speech raised, and their scores as wholes."""
        gains = [raises(row) for row in rows]
        evened = [louder(row, gain) for row, gain in zip(rows, gains)]
        read = self.wholes([(None, row) for row in evened])
        doubtful = []
        for i, gain in enumerate(gains):
            kept = raised_where_spoken(gain, read[i].phones, self._rate)
            if not torch.equal(kept, gain):
                evened[i] = louder(rows[i], kept)
                doubtful.append(i)
        again = self.wholes([(None, evened[i]) for i in doubtful])
        for i, scores in zip(doubtful, again):
            read[i] = scores
        return evened, read

    def wholes(self, todo: Sequence[tuple[Names | None, Tensor]]) -> list[Scores]:
        """Score features ``(frame, mel)``, similar lengths together."""
        done: dict[int, Scores] = {}
        order = sorted(range(len(todo)), key=lambda i: -len(todo[i][1]))
        at = 0
        while at < len(order):
            longest = len(todo[order[at]][1])
            if longest > WINDOW:
                names, features = todo[order[at]]
                done[order[at]] = self._in_windows(features, names)
                at += 1
                continue
            batch = order[at : at + max(1, _BATCH // max(1, longest))]
            at += len(batch)
            lengths = torch.tensor([len(todo[i][1]) for i in batch])
            features = pad_sequence([todo[i][1] for i in batch], batch_first=True)
            scores, counts = self._run(features, lengths, [todo[i][0] for i in batch])
            for place, (i, count) in enumerate(zip(batch, counts.tolist())):
                done[i] = scores.frames(place, 0, count)
        return [done[i] for i in range(len(todo))]

    def _in_windows(self, features: Tensor, names: Names | None) -> Scores:
        """Score one long utterance ``(frame, mel)`` window by window."""
        rate = self._rate
        step = WINDOW - 2 * _CONTEXT
        pieces = []
        for begin in range(0, max(1, len(features) - 2 * _CONTEXT), step):
            window = features[begin : begin + WINDOW]
            length = torch.tensor([len(window)])
            scores, _ = self._run(window[None], length, [names])
            first = 0 if begin == 0 else _CONTEXT // rate
            last = scores.phones.shape[1]
            if begin + WINDOW < len(features):
                last = (WINDOW - _CONTEXT) // rate
            pieces.append(scores.frames(0, first, last))
        return Scores(*map(torch.cat, zip(*pieces)))
