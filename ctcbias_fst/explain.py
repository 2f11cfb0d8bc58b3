"""Which names the model heard in a recording, when, and what that changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ctcbias_fst.audio.audio import Recording, to_recording
from ctcbias_fst.compiled import CompiledEntities
from ctcbias_fst.errors import AudioError, ConfigError, EntityListError, ModelError
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.models.plug import SpeechModel
from ctcbias_fst.models.scored import ScoredModel
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.records import Word
from ctcbias_fst.text.phrases import PhraseMatcher
from ctcbias_fst.variants.phone_models import has_phones

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class NameAttention:
    """How much attention a name got.

    Attributes:
        name: as it is displayed.
        weights: ``(frame,)``, 0 to 1.
        written: whether the transcript has it.
    """

    name: str
    weights: Floats
    written: bool

    @property
    def peak(self) -> float:
        """The most attention at any frame."""
        return float(self.weights.max(initial=0.0))


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was heard in one recording.

    Attributes:
        id: of the recording.
        log_mel: ``(frame of 10 ms, mel)``.
        frame_seconds: of a frame of the attention.
        plain, biased: the words without and with the list.
        names: every name that could be attended to, most attention first.
        none: ``(frame,)``: the attention on no name at all.
        listed: how many names the list has.
    """

    id: str
    log_mel: Floats
    frame_seconds: float
    plain: tuple[Word, ...]
    biased: tuple[Word, ...]
    names: tuple[NameAttention, ...]
    none: Floats
    listed: int

    @property
    def seconds(self) -> float:
        """Duration of what was heard."""
        return len(self.none) * self.frame_seconds


def cut(recording: Recording, start: float, seconds: float | None) -> Recording:
    """A part of a recording.

    Args:
        start: its first second.
        seconds: its length; ``None``: to the end.

    Raises:
        AudioError: it starts behind the recording's end.
    """
    first = round(start * recording.sampling_rate)
    if first >= len(recording.samples):
        raise AudioError(
            f"{recording.id}: nothing starts at {start} s: the recording has "
            f"{recording.seconds:.1f} s"
        )
    last = None if seconds is None else first + round(seconds * recording.sampling_rate)
    return replace(recording, samples=recording.samples[first:last])


def explain(
    recognizer: Recognizer,
    recording: Recording,
    names: CompiledEntities,
    words: tuple[Sequence[Word], Sequence[Word]] | None = None,
) -> Explanation:
    """Transcribe a recording with and without a list, and keep where the adapter looked.

    Args:
        recognizer: with an adapter, and the part ``adapter`` switched on.
        recording: at most 32 s.
        names: the list.
        words: without and with the list, where they are known already.

    Raises:
        AudioError: the recording is too long, or cannot be used.
        ModelError: the model has no adapter.
        EntityListError: the list has no name that the model can write.
        ConfigError: the part ``adapter`` is switched off.
    """
    if "adapter" not in recognizer.config.parts:
        raise ConfigError("the part adapter is switched off, so there is no attention to show")
    model = recognizer.model
    if not isinstance(model, (AcousticModel, ScoredModel)) or not model.attends:
        raise ModelError(
            f"the model has no adapter, so there is no attention to show: {_remedy(model)}"
        )
    if names.listed is None:
        raise EntityListError(
            "no name on the list is one that the model can write, so there is no attention to show"
        )
    recording = to_recording(recording, model.sampling_rate)
    config = recognizer.config
    heard = model.attend(recording, names.listed, config.adapter, config.pieces)
    plain, biased = words or (
        recognizer.transcribe_recordings([recording], [one])[0].best.words for one in (None, names)
    )
    weights = heard.weights.cpu().numpy()
    entities = names.entities.entities
    matcher = PhraseMatcher([entity.display for entity in entities])
    written = {found.name for found in matcher.occurrences([word.word for word in biased])}
    attended = [
        NameAttention(
            entities[position].display,
            weights[:, column],
            entities[position].display in written,
        )
        for column, position in enumerate(heard.names.tolist())
    ]
    return Explanation(
        id=recording.id,
        log_mel=heard.log_mel.cpu().numpy(),
        frame_seconds=heard.frame_seconds,
        plain=tuple(plain),
        biased=tuple(biased),
        names=tuple(sorted(attended, key=lambda one: (-one.peak, one.name))),
        none=heard.none.cpu().numpy(),
        listed=len(entities),
    )


def _remedy(model: SpeechModel) -> str:
    """How a model comes to an adapter, or why it cannot."""
    if has_phones(model.tokenizer.vocabulary):
        return "it can have none, as its tokens are phones"
    scorer = getattr(model, "scorer", None)
    if scorer is not None and not hasattr(scorer, "module"):
        return "one reads the states of a torch model (docs/your-model.md)"
    return "train one with ctcbias adapt"
