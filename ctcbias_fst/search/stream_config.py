"""What a stream may be told."""

from __future__ import annotations

from dataclasses import dataclass, field

from ctcbias_fst.bounds import finite, not_negative, positive


@dataclass(frozen=True)
class EndpointConfig:
    """When an utterance of a stream has ended; the three rules of the field. 0 turns one off.

    Attributes:
        silence: seconds of silence, whether something was said before or not.
        silence_after_words: seconds of silence after words.
        length: seconds of an utterance with words, from its first sound on.
    """

    silence: float = 2.4
    silence_after_words: float = 1.2
    length: float = 20.0

    def __post_init__(self) -> None:
        finite(self)
        not_negative(self, "silence", "silence_after_words", "length")


@dataclass(frozen=True)
class StreamConfig:
    """How a stream is decoded.

    Attributes:
        step: seconds between decisions, counted from the stream's beginning, whatever the chunks
            are that it comes in.
        wait: seconds after its end from which a word that no later frame can change is committed,
            and all such words after it.
        hold: seconds after its end from which the last word of all is shown: until then it may go
            on.
        pause: seconds of silence after which all that was said is committed.
        name_pause: the same where a name may have been begun.
        max_window: seconds that may be open: then something is committed where words are furthest
            apart.
        endpoints: see :class:`EndpointConfig`.
    """

    step: float = 0.64
    wait: float = 0.4
    hold: float = 0.3
    pause: float = 0.5
    name_pause: float = 1.0
    max_window: float = 10.0
    endpoints: EndpointConfig = field(default_factory=EndpointConfig)

    def __post_init__(self) -> None:
        finite(self)
        positive(self, "step", "pause", "name_pause", "max_window")
        not_negative(self, "wait", "hold")
        if self.name_pause < self.pause:
            raise ValueError(
                f"name_pause must be at least pause, found {self.name_pause:g} and {self.pause:g}"
            )
        if self.max_window < 2 * self.step:
            raise ValueError(
                f"max_window must be at least two steps, found {self.max_window:g} and "
                f"{self.step:g}"
            )
