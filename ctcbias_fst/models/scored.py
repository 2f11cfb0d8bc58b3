"""A model made of a `Scorer`: batches, long audio in pieces, and a look at what came out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from copy import copy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.errors import CtcbiasError, ModelError
from ctcbias_fst.models.adapted import AdaptedModel, load_adapter
from ctcbias_fst.models.attended import Attended, Glance, check_length, gathered
from ctcbias_fst.models.features import LogMel, framed
from ctcbias_fst.models.joined import Part, joined
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.model_config import AttentionConfig
from ctcbias_fst.models.pieces import PiecesConfig
from ctcbias_fst.models.plug import Scorer, SpeechModel, Steps, require_any
from ctcbias_fst.models.scored_windows import Biasing, ScoredWindows, WindowScores
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.models.tapped import TappedModel
from ctcbias_fst.models.windows import Span, finer_spans, spans_of, windows_of
from ctcbias_fst.records import LogProbs
from ctcbias_fst.text.encoded_entities import EncodedEntities
from ctcbias_fst.text.tokens import Tokenizer


class ScoredModel:
    """A model of another family, as a recogniser needs it. It hears no phones.

    Args:
        scorer: what its family is like.
        blank_known: whether the model's own files say which column is the blank.
        adapted: the same with its adapter, if it has one.
        lag: seconds by which it writes tokens after their sounds, if that is known.
        steps: how it goes through streams, if it keeps states.
        lm: the language model's file, if it has one.
    """

    hears_phones = False
    lm_beside: Path | None = None
    """The file of a language model that its makers put in its folder, and that is not used."""

    def __init__(
        self,
        scorer: Scorer,
        *,
        blank_known: bool = False,
        adapted: AdaptedModel | None = None,
        lag: float | None = None,
        steps: Steps | None = None,
        lm: Path | None = None,
    ) -> None:
        self.scorer, self.blank_known, self.adapted = scorer, blank_known, adapted
        self.lag, self.steps, self.lm = lag, steps, lm
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
        other.adapted = load_adapter(path, *_torch_of(self, module))
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
        return self._log_probs(recordings, self._biasing(names, config), pieces)

    def log_probs_of_each(
        self,
        recordings: Sequence[Recording],
        names: Sequence[ListedNames | None] = (),
        config: AttentionConfig = AttentionConfig(),  # noqa: B008  (frozen)
        pieces: PiecesConfig = PiecesConfig(),  # noqa: B008
    ) -> list[LogProbs | CtcbiasError]:
        """Score recordings as :meth:`log_probs` does, each a batch of one; of those that cannot be
        scored the error. None is scored again as another one fails."""
        biasing = self._biasing(names, config)
        found = self._kinds(recordings, self._windows(biasing, raises=False), pieces)
        return [
            one if isinstance(one, CtcbiasError) else self._record([recording], [one], biasing)
            for recording, one in zip(recordings, found)
        ]

    def _biasing(
        self, names: Sequence[ListedNames | None], config: AttentionConfig
    ) -> Biasing | None:
        lists = list(names) if self.adapted is not None and config.scale else []
        return Biasing(lists, config) if any(one is not None for one in lists) else None

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
        found = self._log_probs([recording], Biasing([names], config, glances), pieces)
        extract = LogMel(sampling_rate=self.sampling_rate).to(self.device)
        (picture,), _ = extract([framed(recording, self.device)])
        return gathered(glances, int(found.lengths[0]), picture, self.frame_seconds)

    def _log_probs(
        self, recordings: Sequence[Recording], biasing: Biasing | None, pieces: PiecesConfig
    ) -> LogProbs:
        kinds = []
        windows = self._windows(biasing, raises=True)
        for one in self._kinds(recordings, windows, pieces):
            if isinstance(one, CtcbiasError):
                raise one
            kinds.append(one)
        return self._record(recordings, kinds, biasing)

    def _windows(self, biasing: Biasing | None, *, raises: bool) -> ScoredWindows:
        size = self.tokenizer.vocabulary.size
        return ScoredWindows(self.scorer, self.adapted, size, biasing, raises=raises)

    def _record(
        self,
        recordings: Sequence[Recording],
        kinds: Sequence[Sequence[Tensor]],
        biasing: Biasing | None,
    ) -> LogProbs:
        """The log-probs of recordings as one batch, each with the adapter, if it acts, and
        without."""
        whole, plain = ([of_one[at] for of_one in kinds] for at in (0, -1))
        return LogProbs(
            log_probs=pad_sequence(whole, batch_first=True),
            lengths=torch.tensor([len(one) for one in whole], dtype=torch.int64),
            frame_seconds=self.frame_seconds,
            ids=tuple(one.id for one in recordings),
            vocabulary=self.tokenizer.vocabulary,
            unbiased=pad_sequence(plain, batch_first=True) if biasing else None,
            lag=self.lag,
        )

    def _kinds(
        self, recordings: Sequence[Recording], windows: ScoredWindows, pieces: PiecesConfig
    ) -> list[list[Tensor] | CtcbiasError]:
        """The scores of recordings with the adapter, if it acts, and without; or why there are
        none."""
        spans = [
            span
            for at, one in enumerate(recordings)
            for span in spans_of(at, one, self.scorer, pieces)
        ]
        parts: list[list[Part]] = [[] for _ in recordings]
        whole_at = [False] * len(recordings)
        failed: dict[int, CtcbiasError] = {}
        for span, part in zip(spans, self._finer(recordings, spans, windows, pieces)):
            if isinstance(part, CtcbiasError):
                failed.setdefault(span.recording, part)
                continue
            parts[span.recording].append(part)
            samples = len(recordings[span.recording].samples)
            whole_at[span.recording] = not span.frame and span.end == samples
        return [
            failed[at] if at in failed else self._joined(*of_one)
            for at, of_one in enumerate(zip(parts, recordings, whole_at))
        ]

    def _finer(
        self,
        recordings: Sequence[Recording],
        spans: Sequence[Span],
        windows: ScoredWindows,
        pieces: PiecesConfig,
    ) -> list[Part | CtcbiasError]:
        """The scores of spans, those that are too long in pieces between what was read first."""
        parts = self._parts(recordings, spans, windows)
        finer = [
            list(finer_spans(span, part.scores[-1], self.scorer, pieces))
            if isinstance(part, Part)
            else []
            for span, part in zip(spans, parts)
        ]
        todo = [one for of_span in finer for one in of_span]
        again = iter(self._parts(recordings, todo, windows))
        return [
            self._put_together(part, [next(again) for _ in of_span])
            for part, of_span in zip(parts, finer)
        ]

    def _put_together(
        self, whole: Part | CtcbiasError, finer: Sequence[Part | CtcbiasError]
    ) -> Part | CtcbiasError:
        """The scores of a span, with those of its pieces, if it has any."""
        good = [one for one in finer if isinstance(one, Part)]
        if isinstance(whole, CtcbiasError) or not finer:
            return whole
        if len(good) < len(finer):
            return next(one for one in finer if isinstance(one, CtcbiasError))
        begin, scores = whole
        inside = [Part(part.begin - begin, part.scores) for part in good]
        return Part(begin, joined(inside, len(scores[0]), self.tokenizer.vocabulary, scores))

    def _parts(
        self, recordings: Sequence[Recording], spans: Sequence[Span], windows: ScoredWindows
    ) -> list[Part | CtcbiasError]:
        """The scores of spans: with the adapter, if it acts, and without; or why there are none."""
        todo = [w for at, span in enumerate(spans) for w in windows_of(at, span, self.scorer)]
        rows: list[list[WindowScores | CtcbiasError]] = [[] for _ in spans]
        for window, scores in zip(todo, windows.scores(recordings, todo)):
            rows[window.span].append(scores)
        biased = windows.biasing is not None
        return [_part(span.frame, of_one, biased=biased) for span, of_one in zip(spans, rows)]

    def _joined(self, parts: Sequence[Part], recording: Recording, whole: bool) -> list[Tensor]:
        """The scores of a recording, of those of its pieces, or of the one that is the whole."""
        if whole:
            return list(parts[0].scores)
        frames = int(len(recording.samples) / (self.frame_seconds * self.sampling_rate))
        if not parts:
            none = torch.zeros((0, self.tokenizer.vocabulary.size), device=self.device)
            parts = [Part(0, [none])]
        return joined(parts, frames, self.tokenizer.vocabulary)


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
        elif scorer.is_function:
            remedy = "pass the module that the function calls"
        raise ModelError(
            f"{model.family}: an adapter reads the states of a torch module, and here is none: "
            f"{remedy} (docs/your-model.md)"
        )
    return scorer, module


def _part(
    frame: int, scores: Sequence[WindowScores | CtcbiasError], *, biased: bool
) -> Part | CtcbiasError:
    """The scores of a span of those of its windows."""
    good = []
    for one in scores:
        if isinstance(one, CtcbiasError):
            return one
        good.append(one)
    plain = torch.cat([one.plain for one in good])
    return Part(frame, [torch.cat([one.biased for one in good]), plain] if biased else [plain])
