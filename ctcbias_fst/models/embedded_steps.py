"""The embedded model on streams: step by step, with what lies before in caches.

Its weights were trained on whole utterances, so that a frame wants to hear what lies behind it. A
step is therefore given more frames than it scores: those behind are heard ahead, and come again
with the next step. What lies before is not heard again: the caches of a frame are made when it is
scored, and have heard as much ahead as its scores have.

The first step is longer or shorter than the others, so that what each needs ends just before a
multiple of their length: with chunks of that length no frame waits for a chunk of which it needs
only the beginning, not even where a change of the sampling rate holds some samples back. Much
shorter it is not: words that begin with the stream are heard badly in little audio.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.acoustic_model import CtcModel, ModelOutput, StreamState
from ctcbias_fst.models.features import FRAME_SECONDS, LogMel
from ctcbias_fst.models.listed import ListedNames
from ctcbias_fst.models.long_audio import LAG_SECONDS
from ctcbias_fst.models.plug import Step, Stepped
from ctcbias_fst.models.stream_windows import WindowConfig
from ctcbias_fst.text.phones import PHONES

_HELD_BACK = 2
"""Output frames: longer than what a change of the sampling rate holds back of a chunk, 40 ms at
most."""


class EmbeddedSteps:
    """The embedded model as :class:`ctcbias_fst.models.plug.Steps`.

    Args:
        model: in evaluation mode, on its device.
        extract: the features that it is given.
        biased: log-probs with the adapter, of the lists of streams and the output of the model;
            None where none of the lists is attended to.
        window: how much is scored at a time, and heard before and ahead; all are rounded to two
            frames.

    Attributes:
        seconds, phones, lag: see :class:`ctcbias_fst.models.plug.Steps`.
    """

    lag = LAG_SECONDS

    def __init__(
        self,
        model: CtcModel,
        extract: LogMel,
        biased: Callable[[Sequence[ListedNames | None], ModelOutput], Tensor | None],
        window: WindowConfig,
    ) -> None:
        self._model, self._extract, self._biased = model, extract, biased
        self._rate = model.config.encoder.subsampling
        self._hop = round(FRAME_SECONDS * model.config.sampling_rate)
        frame = self._rate * FRAME_SECONDS
        self._step = max(2, _even(window.step / frame))
        self._ahead = max(2, _even(window.right / frame))
        self._left = _even(window.left / frame)
        self._first = self._step - (self._ahead + _HELD_BACK) % self._step
        if self._first < self._step / 2:
            self._first += self._step
        self.seconds = self._step * frame
        self.phones = 1 + len(PHONES) if model.config.phones == PHONES else 0

    @property
    def latest_seconds(self) -> float:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        return (max(self._first, self._step) + self._ahead) * self._rate * FRAME_SECONDS

    def frames(self, number: int) -> tuple[int, int]:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        last = self._first + number * self._step
        return (last - self._step if number else 0), last

    def samples(self, number: int) -> tuple[int, int]:
        """See :class:`ctcbias_fst.models.plug.Steps`; with a feature frame before."""
        first, last = self.frames(number)
        frame = self._rate * self._hop
        return max(0, first * frame - self._hop), (last + self._ahead) * frame

    def count(self, samples: int) -> int:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        return -(-self._features_of(samples) // self._rate)

    def _features_of(self, samples: int) -> int:
        return max(min(samples, 1), (samples + self._hop // 2) // self._hop)

    @torch.inference_mode()
    def score(self, steps: Sequence[Step]) -> list[Stepped]:
        """See :class:`ctcbias_fst.models.plug.Steps`."""
        found: dict[int, Stepped] = {}
        for first in (True, False):
            rows = [i for i, step in enumerate(steps) if (step.number == 0) is first]
            if rows:
                found |= zip(rows, self._scored([steps[i] for i in rows]))
        return [found[i] for i in range(len(steps))]

    def _scored(self, steps: Sequence[Step]) -> list[Stepped]:
        """Score steps of one length."""
        model = self._model
        features, lengths = self._features(steps)
        state = StreamState.join([step.states or model.start_stream(self._left) for step in steps])
        first, last = self.frames(steps[0].number)
        final = last - first
        output, state = model.step(model.normalise(features, lengths), state, lengths, final=final)
        biased = self._biased([step.names for step in steps], output)
        if not bool(state.is_finite.all()):
            raise ModelError("the embedded model keeps NaN or infinity in its caches")
        counts = output.lengths.clamp(max=final).tolist()
        stepped = []
        for row, (step, count) in enumerate(zip(steps, counts)):
            plain = output.log_probs[row, :count]
            listed = biased is not None and step.names is not None
            stepped.append(
                Stepped(
                    biased[row, :count] if biased is not None and listed else plain,
                    state.select([row]),
                    output.phone_log_probs[row, :count] if self.phones else None,
                    plain if listed else None,
                )
            )
        return stepped

    def _features(self, steps: Sequence[Step]) -> tuple[Tensor, Tensor]:
        """Log-mel frames of steps, padded, and how many each has."""
        rows = []
        for step in steps:
            begin, end = self.samples(step.number)
            ended = step.length < end - begin
            samples = torch.from_numpy(step.samples[: max(step.length, self._hop)])
            padded, _ = self._extract([samples.to(self._extract.bank.device)])
            known = padded[0, : self._features_of(step.length)]
            # What lies at the edge of a cut has heard a mirror image in the place of what follows.
            rows.append(known[1 if begin else 0 : None if ended else -1])
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return pad_sequence(rows, batch_first=True), lengths


def _even(frames: float) -> int:
    """The nearest even number of frames: layers at half the rate take two at a time."""
    return 2 * round(frames / 2)
