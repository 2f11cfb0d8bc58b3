"""The numbers of the recipe: one frozen dataclass per table of ``config.toml``."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DOMAINS",
    "Audio",
    "Dev",
    "LanguageModel",
    "Lists",
    "Mix",
    "Noise",
    "Real",
    "Settings",
    "Test",
    "Text",
    "Train",
    "Voices",
]

DOMAINS = ("general", "medical", "parliament")


@dataclass(frozen=True)
class Text:
    """Which sentences are taken, and how they are split."""

    min_words: int
    max_words: int
    rare_zipf: float
    train_years: tuple[int, int]
    test_years: tuple[int, int]
    dev_percent: int
    test_percent: int
    dev_templates_percent: int
    test_templates_percent: int
    chars_per_second: float
    lm_template_lines: int


@dataclass(frozen=True)
class Mix:
    """Shares of the domains and of the kinds of text within the two domains with names."""

    general: float
    medical: float
    parliament: float
    phrase_share: float
    frame_share: float
    full_name_share: float
    opening_share: float
    general_template_share: float


@dataclass(frozen=True)
class Train:
    """Hours of training speech per engine."""

    hibari: float
    flite: float
    festival: float
    kokoro: float
    kokoro_alone: float
    blend_share: float


@dataclass(frozen=True)
class Dev:
    """Counts of the tuning sets."""

    kokoro_per_domain: int
    kokoro_blends: int
    other_per_domain: int


@dataclass(frozen=True)
class Test:
    """Counts of the test sets."""

    kokoro_per_domain: int
    piper_per_domain: int


@dataclass(frozen=True)
class Lists:
    """The entity lists.

    Attributes:
        sizes: distractors beside the names spoken.
        common_zipf: of real recordings words below it are listed, as their rare words.
        min_letters: of these words.
    """

    sizes: tuple[int, ...]
    common_zipf: float
    min_letters: int


@dataclass(frozen=True)
class Audio:
    """What a clip must look like. Seconds unless said otherwise; amplitudes of full scale."""

    rate: int
    max_silence: float
    silence_below: float
    peak: float
    min_phone_seconds: float
    max_phone_seconds: float
    min_rms: float


@dataclass(frozen=True)
class Noise:
    """Counts of noise clips (of ``clip_seconds`` each) and of simulated rooms."""

    clip_seconds: float
    stationary: int
    babble: int
    music: int
    rooms: int
    babble_sources: int


@dataclass(frozen=True)
class Voices:
    """Voices per engine, and the ranges in which speed and resampling vary."""

    train_speed: tuple[float, float]
    test_speed: tuple[float, float]
    warp: tuple[float, float]
    hibari_warp: tuple[float, float]
    flite: tuple[str, ...]
    festival: tuple[str, ...]
    kokoro_train: tuple[str, ...]
    kokoro_test: tuple[str, ...]
    npm_package: str

    def __post_init__(self) -> None:
        both = set(self.kokoro_train) & set(self.kokoro_test)
        if both:
            raise ValueError(f"voices {sorted(both)} are in both kokoro_train and kokoro_test")


@dataclass(frozen=True)
class LanguageModel:
    """The n-gram of the LM text; see :class:`ctcbias_fst.ngram.train.TrainLmConfig`."""

    order: int
    min_count: int
    prune: float


@dataclass(frozen=True)
class Real:
    """Real recordings: which, how well two sources of a text must agree, and their split."""

    sources: tuple[str, ...]
    max_seconds: float
    text_letters: float
    recogniser_words: float
    dev_percent: int
    test_percent: int
    dev_speakers: tuple[str, ...]
    test_speakers: tuple[str, ...]

    def __post_init__(self) -> None:
        both = set(self.dev_speakers) & set(self.test_speakers)
        if both:
            raise ValueError(f"speakers {sorted(both)} are in both dev_speakers and test_speakers")


@dataclass(frozen=True)
class Settings:
    """Everything; ``seed`` decides all random choices."""

    seed: int
    text: Text
    mix: Mix
    train: Train
    dev: Dev
    test: Test
    lists: Lists
    audio: Audio
    noise: Noise
    voices: Voices
    lm: LanguageModel
    real: Real
