"""A model made of a `Scorer`: batches, long audio in pieces, and a look at what came out."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.audio.audio import Recording, Samples
from ctcbias_fst.errors import (
    AudioError,
    ConfigError,
    CtcbiasError,
    LogProbsError,
    MissingDependencyError,
    ModelError,
    cause_of,
    warn_caller,
)
from ctcbias_fst.models.adapted import AdaptedModel, load_adapter
from ctcbias_fst.models.attended import Attended, Glance, check_length, gathered
from ctcbias_fst.models.features import LogMel, framed
from ctcbias_fst.models.frame_length import wrong_frames
from ctcbias_fst.models.joined import Part, joined
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.models.plug import Scorer, SpeechModel, Steps, is_function, require_any
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.models.tapped import TappedModel
from ctcbias_fst.models.windows import Span, Window, finer_spans, spans_of, windows_of
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.tokens import Tokenizer

_BATCH_SECONDS = 120.0
"""Audio that is scored at once, padding included."""

_SLACK_SECONDS = 0.25
_SLACK_FRAMES = 3
"""By how much the frames of a window may differ from its audio, however long that is: convolutions
lose some at the ends, and padding adds some."""

_KINDS = (AudioError, LogProbsError, ModelError, CtcbiasError)
"""Of errors of a recording."""


class _Scores(NamedTuple):
    """Log-probs ``(frame, token)`` with the adapter, and without it; where it looked, if asked."""

    biased: Tensor
    plain: Tensor
    glance: Glance | None = None


class _Biasing(NamedTuple):
    """What the adapter is given: the list of each recording, or None, and how far it is trusted;
    and what fills with where it looks, if that is asked for."""

    lists: Sequence[ListedNames | None]
    config: AttentionConfig
    glances: list[Glance] | None = None


class ScoredModel:
    """A model of another family, as a recogniser needs it. It hears no phones.

    Args:
        scorer: what its family is like.
        blank_known: whether the model's own files say which column is the blank.
        adapted: the same with its adapter, if it has one.
        lag: seconds by which it writes tokens after their sounds, if that is known.
        steps: how it goes through streams, if it keeps states.
    """

    lm: Path | None = None
    hears_phones = False

    def __init__(
        self,
        scorer: Scorer,
        *,
        blank_known: bool = False,
        adapted: AdaptedModel | None = None,
        lag: float | None = None,
        steps: Steps | None = None,
    ) -> None:
        self.scorer, self.blank_known, self.adapted = scorer, blank_known, adapted
        self.lag, self.steps = lag, steps
        self.attends = adapted is not None
        self.family, self.device = scorer.family, scorer.device
        self.sampling_rate, self.frame_seconds = scorer.sampling_rate, scorer.frame_seconds
        self.tokenizer: Tokenizer = scorer.tokenizer

    def __repr__(self) -> str:
        return (
            f"<{self.family} at {self.sampling_rate} Hz, {self.tokenizer.vocabulary.size} tokens, "
            f"{self.frame_seconds:g} s per frame>"
        )

    def with_tokenizer(self, tokenizer: Tokenizer) -> ScoredModel:
        """The same model, whose columns are written by another tokenizer."""
        other = copy(self)
        other.tokenizer = tokenizer
        return other

    def listed(self, entities: EncodedEntities, most: int) -> ListedNames | None:
        """Read a list for the adapter; see :meth:`ctcbias_fst.models.plug.SpeechModel.listed`."""
        return None if self.adapted is None else self.adapted.listed(entities, most)

    def with_adapter(
        self, path: str | os.PathLike[str], module: nn.Module | None = None
    ) -> ScoredModel:
        """The same model with a contextual adapter.

        Args:
            path: its file, or the folder that it is in.
            module: the torch module that the model's function calls; of a model of Hugging Face
                it is known.

        Raises:
            ModelError: the adapter is missing, damaged or of another model, or the model is none of
                torch.
        """
        other = copy(self)
        other.adapted = load_adapter(Path(path), *_torch_of(self, module))
        other.attends = True
        return other

    def stream_steps(self, window: WindowConfig, config: AttentionConfig | None) -> Steps | None:
        """See :meth:`ctcbias_fst.models.plug.SpeechModel.stream_steps`."""
        del window, config
        return self.steps

    def log_probs(
        self,
        recordings: Sequence[Recording],
        names: Sequence[ListedNames | None] = (),
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
        pieces: PiecesConfig = PiecesConfig(),  # noqa: B008
    ) -> LogProbs:
        """Score recordings; see :meth:`ctcbias_fst.models.plug.SpeechModel.log_probs`."""
        require_any(recordings)
        lists = list(names) if self.adapted is not None and config.scale else []
        biased = any(one is not None for one in lists)
        return self._log_probs(recordings, _Biasing(lists, config) if biased else None, pieces)

    def attend(
        self,
        recording: Recording,
        names: ListedNames,
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
        pieces: PiecesConfig = PiecesConfig(),  # noqa: B008
    ) -> Attended:
        """Tell which names the adapter hears in a recording, and when; see
        :meth:`ctcbias_fst.models.embedded.AcousticModel.attend`."""
        check_length(recording)
        glances: list[Glance] = []
        found = self._log_probs([recording], _Biasing([names], config, glances), pieces)
        extract = LogMel(sampling_rate=self.sampling_rate).to(self.device)
        (picture,), _ = extract([framed(recording, self.device)])
        return gathered(glances, int(found.lengths[0]), picture, self.frame_seconds)

    def _log_probs(
        self, recordings: Sequence[Recording], biasing: _Biasing | None, pieces: PiecesConfig
    ) -> LogProbs:
        spans = [
            span
            for at, one in enumerate(recordings)
            for span in spans_of(at, one, self.scorer, pieces)
        ]
        parts: list[list[Part]] = [[] for _ in recordings]
        whole_at = [False] * len(recordings)
        for span, part in zip(spans, self._finer(recordings, spans, biasing, pieces)):
            parts[span.recording].append(part)
            samples = len(recordings[span.recording].samples)
            whole_at[span.recording] = not span.frame and span.end == samples
        joined_parts = [self._joined(*of_one) for of_one in zip(parts, recordings, whole_at)]
        whole, plain = ([kinds[at] for kinds in joined_parts] for at in (0, -1))
        return LogProbs(
            log_probs=pad_sequence(whole, batch_first=True),
            lengths=torch.tensor([len(one) for one in whole], dtype=torch.int64),
            frame_seconds=self.frame_seconds,
            ids=tuple(one.id for one in recordings),
            vocabulary=self.tokenizer.vocabulary,
            unbiased=pad_sequence(plain, batch_first=True) if biasing else None,
            lag=self.lag,
        )

    def _finer(
        self,
        recordings: Sequence[Recording],
        spans: Sequence[Span],
        biasing: _Biasing | None,
        pieces: PiecesConfig,
    ) -> list[Part]:
        """The scores of spans, those that are too long in pieces between what was read first."""
        parts = self._parts(recordings, spans, biasing)
        finer = [
            list(finer_spans(span, part.scores[-1], self.scorer, pieces))
            for span, part in zip(spans, parts)
        ]
        todo = [one for of_span in finer for one in of_span]
        again = iter(self._parts(recordings, todo, biasing))
        for at, of_span in enumerate(finer):
            if of_span:
                begin, scores = parts[at]
                own = [next(again) for _ in of_span]
                inside = [Part(part.begin - begin, part.scores) for part in own]
                found = joined(inside, len(scores[0]), self.tokenizer.vocabulary, scores)
                parts[at] = Part(begin, found)
        return parts

    def _parts(
        self, recordings: Sequence[Recording], spans: Sequence[Span], biasing: _Biasing | None
    ) -> list[Part]:
        """The scores of spans: with the adapter, if it acts, and without."""
        windows = [w for at, span in enumerate(spans) for w in windows_of(at, span, self.scorer)]
        rows: list[list[_Scores]] = [[] for _ in spans]
        for window, scores in zip(windows, self._scored(recordings, windows, biasing)):
            self._check_frames(recordings[window.recording].id, window, len(scores.plain))
            taken = slice(window.first - window.offset, self._last(window))
            rows[window.span].append(_Scores(scores.biased[taken], scores.plain[taken]))
            if biasing and biasing.glances is not None and scores.glance is not None:
                seen = scores.glance.attention[taken]
                biasing.glances.append(scores.glance._replace(begin=window.first, attention=seen))
        plain = [[one.plain for one in of_one] for of_one in rows]
        kinds = [
            [[one.biased for one in of_one], own] if biasing else [own]
            for of_one, own in zip(rows, plain)
        ]
        return [
            Part(span.frame, [torch.cat(kind) for kind in of_span])
            for span, of_span in zip(spans, kinds)
        ]

    def _joined(self, parts: Sequence[Part], recording: Recording, whole: bool) -> list[Tensor]:
        """The scores of a recording, of those of its pieces, or of the one that is the whole."""
        if whole:
            return list(parts[0].scores)
        frames = int(len(recording.samples) / (self.frame_seconds * self.sampling_rate))
        if not parts:
            none = torch.zeros((0, self.tokenizer.vocabulary.size), device=self.device)
            parts = [Part(0, [none])]
        return joined(parts, frames, self.tokenizer.vocabulary)

    def _last(self, window: Window) -> int | None:
        """Of the rows of a window's scores that are taken, where they end."""
        if window.last is not None:
            return window.last - window.offset
        samples = window.end - window.begin
        if samples >= self._least:
            return None
        return math.ceil(round(samples / (self.frame_seconds * self.sampling_rate), 3))

    @property
    def _least(self) -> int:
        """Samples that the model is given at least, with silence behind those of a recording."""
        return round(self.scorer.shortest_seconds * self.sampling_rate)

    def _scored(
        self,
        recordings: Sequence[Recording],
        windows: Sequence[Window],
        biasing: _Biasing | None,
    ) -> list[_Scores]:
        """The scores of windows, similar lengths together."""
        done: dict[int, _Scores] = {}
        order = sorted(range(len(windows)), key=lambda i: windows[i].begin - windows[i].end)
        while len(done) < len(order):
            begin = len(done)
            longest = windows[order[begin]].end - windows[order[begin]].begin
            room = int(_BATCH_SECONDS * self.sampling_rate / max(1, longest))
            batch = order[begin : begin + (max(1, room) if self.scorer.batches else 1)]
            done.update(zip(batch, self._at_once(recordings, [windows[i] for i in batch], biasing)))
        return [done[i] for i in range(len(windows))]

    def _at_once(
        self, recordings: Sequence[Recording], windows: Sequence[Window], biasing: _Biasing | None
    ) -> list[_Scores]:
        """The scores of a batch; of each alone, if something goes wrong with all together."""
        waves = [self._wave(recordings[one.recording], one) for one in windows]
        names = [recordings[one.recording].id for one in windows]
        try:
            return self._both(names, waves, windows, biasing)
        except (ConfigError, MissingDependencyError):
            raise
        except Exception as error:  # whatever somebody's model raises
            if len(windows) == 1:
                raise self._of_one(names[0], windows[0], error) from error
            failed = cause_of(error)
        alone = [one for window in windows for one in self._at_once(recordings, [window], biasing)]
        warn_caller(
            f"{self.family}: failed on {len(windows)} recordings at once, and on none alone: "
            f"{failed}"
        )
        return alone

    def _of_one(self, name: str, window: Window, error: Exception) -> CtcbiasError:
        """What a window failed by, with the name of its recording."""
        place = f"{name}{self._place(window)}"
        if not isinstance(error, CtcbiasError):
            return AudioError(f"{place}: {self.family} failed: {cause_of(error)}")
        kind = next(one for one in _KINDS if isinstance(error, one))
        return kind(str(error) if str(error).startswith(f"{name}:") else f"{place}: {error}")

    def _both(
        self,
        names: Sequence[str],
        waves: Sequence[Samples],
        windows: Sequence[Window],
        biasing: _Biasing | None,
    ) -> list[_Scores]:
        """The scores of windows, with the adapter and without it."""
        lists = [biasing.lists[one.recording] for one in windows] if biasing else []
        if self.adapted is None or biasing is None or not any(one is not None for one in lists):
            return [_Scores(one, one) for one in self._checked(names, self.scorer.scores(waves))]
        found = self.adapted.scores(waves, lists, biasing.config)
        plain = self._checked(names, [one.plain for one in found])
        asked = biasing.glances is not None
        return [
            _Scores(one.biased, own, one.glance if asked else None)
            for own, one in zip(plain, found)
        ]

    def _place(self, window: Window) -> str:
        """Where a window begins, for messages."""
        begin = window.begin / self.sampling_rate
        return f" from {begin:.2f} s on" if begin else ""

    def _wave(self, recording: Recording, window: Window) -> Samples:
        """The samples of a window, with silence behind them where there are too few."""
        wave = np.asarray(recording.samples[window.begin : window.end], dtype=np.float32)
        return np.pad(wave, (0, max(0, self._least - len(wave))))

    def _checked(self, names: Sequence[str], scores: Sequence[Tensor]) -> list[Tensor]:
        if len(scores) != len(names):
            raise ModelError(
                f"{self.family}: gave scores of {len(scores)} recordings for {len(names)}"
            )
        columns = self.tokenizer.vocabulary.size
        for name, one in zip(names, scores):
            if one.ndim != 2 or one.shape[1] != columns:
                raise ModelError(
                    f"{name}: the model gave scores of the shape {tuple(one.shape)}; (frames, "
                    f"{columns} tokens) is wanted: use the tokens of this model"
                )
        return [one.detach().to(self.device, torch.float32) for one in scores]

    def _check_frames(self, name: str, window: Window, frames: int) -> None:
        """Refuse a frame length that the audio contradicts, and a model that leaves audio out:
        times would be wrong, and prices."""
        seconds = max(window.end - window.begin, self._least) / self.sampling_rate
        slack = _SLACK_SECONDS + _SLACK_FRAMES * self.frame_seconds
        far = abs(frames * self.frame_seconds - seconds) > slack
        taken = 0 if window.last is None else window.last - window.offset
        if far or frames < taken:
            raise ModelError(
                f"{name}: the model gave {frames} frames for {seconds:.2f} s of audio"
                f"{self._place(window)}{wrong_frames(self.scorer, frames, seconds, far=far)}"
            )


def tapped(
    model: SpeechModel,
    module: nn.Module | None = None,
    *,
    head: str | None = None,
    taps: Sequence[str] = (),
) -> TappedModel:
    """A torch model with its states at hand, to train an adapter on.

    Args:
        model: a `ScoredModel`.
        module: the torch module that its function calls; of a model of Hugging Face it is known.
        head, taps: see `TappedModel`.

    Raises:
        ModelError: it is none of torch, or has no such layers.
    """
    return TappedModel(*_torch_of(model, module), head, taps)


def _torch_of(model: SpeechModel, module: nn.Module | None) -> tuple[Scorer, nn.Module]:
    """The scorer of a model, and the module that it calls."""
    scorer = getattr(model, "scorer", None)
    module = getattr(scorer, "module", None) if module is None else module
    if scorer is None or module is None:
        remedy = "adapt a model of Hugging Face or torch"
        if scorer is None:
            remedy = "ctcbias adapt trains that of a model of ours"
        elif is_function(scorer):
            remedy = "pass the module that the function calls"
        raise ModelError(
            f"{model.family}: an adapter reads the states of a torch module, and here is none: "
            f"{remedy} (docs/your-model.md)"
        )
    return scorer, module
