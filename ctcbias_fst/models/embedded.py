"""From samples to log-probs with a trained model, long audio piece by piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.devices import checked_device
from ctcbias_fst.errors import AudioError
from ctcbias_fst.models.even import louder, raised_where_spoken, raises
from ctcbias_fst.models.features import FRAME_SECONDS, LogMel
from ctcbias_fst.models.listed import ListedNames, keys_of_batch
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.package import Package, load_package
from ctcbias_fst.models.pieces import LONGEST_SECONDS, Piece, pieces_of
from ctcbias_fst.pauses import find_pauses
from ctcbias_fst.phone_log_probs import PhoneLogProbs
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.phones import PHONES

LAG_SECONDS = 0.24
"""By how much later than they sound the embedded model writes tokens: measured against times that
festival gives, for three voices together (docs/transcribing.md). Models that are trained otherwise
may differ: ``decode.times.lag``."""

_WINDOW = 3200
_CONTEXT = 400
"""Input frames: pauses of longer audio, and pieces in which there are none, are looked for in
windows of 32 s, of which 4 s at inner ends only give context to the rest."""

_BATCH = 12000
"""Input frames of pieces that are encoded at once, padding included."""


@dataclass(frozen=True)
class Attended:
    """Where the adapter looked.

    Attributes:
        log_mel: ``(frame of 10 ms, mel)``.
        plain, biased: the log-probs of one recording without and with the adapter.
        names: ``(name,)`` int64: positions in the list of those that were attended to.
        weights: ``(frame, name)``: the attention on each name, all its subwords together.
        none: ``(frame,)``: the attention on no-bias; with ``weights`` it sums to one.
    """

    log_mel: Tensor
    plain: LogProbs
    biased: LogProbs
    names: Tensor
    weights: Tensor
    none: Tensor


class _Scores(NamedTuple):
    """Log-probs ``(utterance, frame, token)``, or of one utterance: of subwords with the list of
    names and without, and of phones."""

    biased: Tensor
    plain: Tensor
    phones: Tensor

    def frames(self, utterance: int, begin: int, end: int) -> _Scores:
        return _Scores(*(one[utterance, begin:end] for one in self))


class AcousticModel:
    """A model package on a device, ready to score speech; a
    :class:`ctcbias_fst.models.plug.SpeechModel`."""

    family = "ctcbias_fst"
    blank_known = True

    def __init__(self, package: Package, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.model = package.model.to(self.device)
        self.adapter = package.adapter
        self.tokenizer = package.tokenizer
        self.lm = package.lm
        """The language model's file, if it has one."""
        self.config = package.model.config
        self.sampling_rate = self.config.sampling_rate
        self.frame_seconds = FRAME_SECONDS * self.config.encoder.subsampling
        self.hears_phones = self.config.phones == PHONES
        self.attends = self.adapter is not None
        self._extract = LogMel(self.config.encoder.mels, self.sampling_rate).to(self.device)

    @classmethod
    def load(cls, path: Path | None = None, device: torch.device | str = "cpu") -> AcousticModel:
        """Load a model directory (default: the model inside the package).

        Raises:
            ModelError: see :func:`ctcbias_fst.models.package.load_package`.
            ConfigError: there is no such device.
        """
        return cls(load_package(path, checked_device(device)), device)

    @torch.inference_mode()
    def listed(self, entities: EncodedEntities, most: int) -> ListedNames | None:
        """Read a list of names once for the adapter; ``None`` without an adapter or names.

        Args:
            most: an utterance attends to so many spellings of names at most.
        """
        if self.adapter is None or not len(entities):
            return None
        return ListedNames(self.adapter, entities, most)

    @torch.inference_mode()
    def log_probs(
        self,
        recordings: Sequence[Recording],
        names: Sequence[ListedNames | None] = (),
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
    ) -> LogProbs:
        """Score a batch of recordings.

        Args:
            recordings: at the model's rate (as :func:`read_audio` gives them); similar
                durations waste the least padding.
            names: for the adapter, as :meth:`listed` gives them: one list per recording, or
                none at all. Long audio is given its names window by window.
            config: how far the adapter is trusted; ``config.names`` acts in :meth:`listed`.

        Returns:
            subword and phone log-probs on the model's device.
        """
        waves = [torch.from_numpy(np.asarray(r.samples)).to(self.device) for r in recordings]
        features, lengths = self._extract(waves)
        lists = list(names) or [None] * len(recordings)
        if config.scale == 0.0:
            lists = [None] * len(recordings)
        if features.shape[1] * FRAME_SECONDS <= LONGEST_SECONDS:
            scores, lengths = self._run(features, lengths, lists, config)
        else:
            rows = [row[:n] for row, n in zip(features, lengths.tolist())]
            parts = self._run_pieces(rows, lists, config)
            scores = _Scores(*(pad_sequence(list(one), batch_first=True) for one in zip(*parts)))
            lengths = torch.tensor([len(part.phones) for part in parts], dtype=torch.int64)
        biased = any(one is not None for one in lists)
        ids = tuple(one.id for one in recordings)
        return self._records(scores, lengths, ids, biased=biased)

    @torch.inference_mode()
    def attend(
        self,
        recording: Recording,
        names: ListedNames,
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
    ) -> Attended:
        """Score one recording and tell which names the adapter heard in it, and when.

        Raises:
            AudioError: it is longer than one window of the model.
        """
        seconds = _WINDOW * FRAME_SECONDS
        features, lengths = self._extract([torch.from_numpy(recording.samples).to(self.device)])
        if features.shape[1] > _WINDOW:
            raise AudioError(
                f"{recording.id}: {recording.seconds:.1f} s are too long for a picture: choose "
                f"at most {seconds:.0f} s"
            )
        picture = features[0]
        long = features.shape[1] * FRAME_SECONDS > LONGEST_SECONDS
        if long:
            (row,), (whole,) = self._evened([picture], config)
            features = row[None]
        else:
            (whole,) = self._run_all([(None, picture)], config)
        plain, phones = whole.plain.clone(), whole.phones.clone()
        frames = len(plain)
        lengths = torch.tensor([frames])
        spans = self._pieces(plain, phones) if long else [Piece(0, frames)]
        biased, none = plain.clone(), plain.new_ones(frames)
        looked: dict[int, Tensor] = {}
        rate = self.config.encoder.subsampling
        for span in spans:
            part = features[:, span.begin * rate : span.end * rate]
            output = self.model(
                self.model.normalise(part, torch.tensor([part.shape[1]])),
                torch.tensor([part.shape[1]]),
            )
            (keys,) = names.keys(output)
            adapted = names.adapter(output, keys, None, config.scale, config.coverage_margin)
            where = slice(span.begin, span.begin + int(output.lengths))
            plain[where] = output.log_probs[0]
            phones[where] = output.phone_log_probs[0]
            biased[where] = self.model.token_log_probs(adapted.states)[0]
            none[where] = adapted.attention[0, :, 0]
            for column, entity in enumerate(keys.entity.tolist(), start=1):
                weights = looked.setdefault(entity, plain.new_zeros(frames))
                weights[where] += adapted.attention[0, :, column]
        scores = _Scores(biased[None], plain[None], phones[None])
        listed = sorted(looked)
        weights = torch.stack([looked[e] for e in listed], 1) if listed else none[:, None][:, :0]
        return Attended(
            picture,
            self._records(scores, lengths, (recording.id,), biased=False),
            self._records(scores, lengths, (recording.id,), biased=True),
            torch.tensor(listed, dtype=torch.int64, device=self.device),
            weights,
            none,
        )

    def _records(
        self, scores: _Scores, lengths: Tensor, ids: tuple[str, ...], *, biased: bool
    ) -> LogProbs:
        return LogProbs(
            log_probs=scores.biased if biased else scores.plain,
            lengths=lengths,
            frame_seconds=self.frame_seconds,
            ids=ids,
            vocabulary=self.tokenizer.vocabulary,
            phones=PhoneLogProbs(scores.phones, lengths, self.frame_seconds),
            lag=LAG_SECONDS,
            unbiased=scores.plain if biased else None,
        )

    def _pieces(self, subwords: Tensor, phones: Tensor) -> list[Piece]:
        """Where long audio is cut, from log-probs ``(frame, token)`` of the whole."""
        pauses = find_pauses(subwords, self.tokenizer.vocabulary, phones)
        return pieces_of(pauses, len(subwords), self.frame_seconds)

    def _run(
        self,
        features: Tensor,
        lengths: Tensor,
        names: Sequence[ListedNames | None],
        config: AttentionConfig,
    ) -> tuple[_Scores, Tensor]:
        output = self.model(self.model.normalise(features, lengths), lengths)
        biased = plain = output.log_probs
        attended = keys_of_batch(names, output)
        if attended is not None and self.adapter is not None:
            adapted = self.adapter(output, *attended, config.scale, config.coverage_margin)
            biased = self.model.token_log_probs(adapted.states)
        return _Scores(biased, plain, output.phone_log_probs), output.lengths

    def _run_pieces(
        self,
        rows: Sequence[Tensor],
        names: Sequence[ListedNames | None],
        config: AttentionConfig,
    ) -> list[_Scores]:
        """Score utterances ``(frame, mel)`` of any length, long ones piece by piece.

        Quiet speech in long ones is raised before. What is in no piece, the middle of long pauses,
        is scored as in the whole.
        """
        rate = self.config.encoder.subsampling
        long = [i for i, row in enumerate(rows) if len(row) * FRAME_SECONDS > LONGEST_SECONDS]
        evened, read = self._evened([rows[i] for i in long], config)
        raised, whole = dict(zip(long, evened)), dict(zip(long, read))
        rows = [raised.get(i, row) for i, row in enumerate(rows)]
        places: list[tuple[int, int]] = []
        todo: list[tuple[ListedNames | None, Tensor]] = []
        for index, row in enumerate(rows):
            spans = [Piece(0, (len(row) + rate - 1) // rate)]
            if index in whole:
                plain, phones = whole[index].plain, whole[index].phones
                spans = self._pieces(plain, phones)
                if names[index] is None and spans == [Piece(0, len(plain))]:
                    continue  # it has just been scored so
            for piece in spans:
                places.append((index, piece.begin))
                todo.append((names[index], row[piece.begin * rate : piece.end * rate]))
        for (index, begin), found in zip(places, self._run_all(todo, config)):
            if index not in whole:
                whole[index] = found
                continue
            for values, part in zip(whole[index], found):
                values[begin : begin + len(part)] = part
        return [whole[index] for index in range(len(rows))]

    def _evened(
        self, rows: Sequence[Tensor], config: AttentionConfig
    ) -> tuple[list[Tensor], list[_Scores]]:
        """Long utterances ``(frame, mel)`` with quiet speech raised, and their scores as wholes."""
        gains = [raises(row) for row in rows]
        evened = [louder(row, gain) for row, gain in zip(rows, gains)]
        read = self._run_all([(None, row) for row in evened], config)
        doubtful = []
        for i, gain in enumerate(gains):
            kept = raised_where_spoken(gain, read[i].phones, self.config.encoder.subsampling)
            if not torch.equal(kept, gain):
                evened[i] = louder(rows[i], kept)
                doubtful.append(i)
        again = self._run_all([(None, evened[i]) for i in doubtful], config)
        for i, scores in zip(doubtful, again):
            read[i] = scores
        return evened, read

    def _run_all(
        self, todo: Sequence[tuple[ListedNames | None, Tensor]], config: AttentionConfig
    ) -> list[_Scores]:
        """Score features ``(frame, mel)``, similar lengths together."""
        done: dict[int, _Scores] = {}
        order = sorted(range(len(todo)), key=lambda i: -len(todo[i][1]))
        at = 0
        while at < len(order):
            longest = len(todo[order[at]][1])
            if longest > _WINDOW:
                names, features = todo[order[at]]
                done[order[at]] = self._run_long(features, names, config)
                at += 1
                continue
            batch = order[at : at + max(1, _BATCH // max(1, longest))]
            at += len(batch)
            lengths = torch.tensor([len(todo[i][1]) for i in batch])
            features = pad_sequence([todo[i][1] for i in batch], batch_first=True)
            scores, counts = self._run(features, lengths, [todo[i][0] for i in batch], config)
            for place, (i, count) in enumerate(zip(batch, counts.tolist())):
                done[i] = scores.frames(place, 0, count)
        return [done[i] for i in range(len(todo))]

    def _run_long(
        self, features: Tensor, names: ListedNames | None, config: AttentionConfig
    ) -> _Scores:
        """Score one long utterance ``(frame, mel)`` window by window."""
        rate = self.config.encoder.subsampling
        step = _WINDOW - 2 * _CONTEXT
        pieces = []
        for begin in range(0, max(1, len(features) - 2 * _CONTEXT), step):
            window = features[begin : begin + _WINDOW]
            length = torch.tensor([len(window)])
            scores, _ = self._run(window[None], length, [names], config)
            first = 0 if begin == 0 else _CONTEXT // rate
            last = scores.phones.shape[1]
            if begin + _WINDOW < len(features):
                last = (_WINDOW - _CONTEXT) // rate
            pieces.append(scores.frames(0, first, last))
        return _Scores(*map(torch.cat, zip(*pieces)))
