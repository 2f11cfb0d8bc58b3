"""Captions while somebody speaks: a line of words as soon as none of them can change any more.

    python examples/captions.py talk.flac --entities names.txt

The recording is cut into chunks of half a second, as they come from a microphone
(`ctcbias stream --mic` listens to one).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from ctcbias_fst import Recognizer, Word
from ctcbias_fst.audio.audio import read_audio


def main() -> None:
    """Print lines of at most --width letters, each with the time at which it begins."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("audio", type=Path)
    parser.add_argument("--entities", type=Path, help="a list of names")
    parser.add_argument("--width", type=int, default=40)
    options = parser.parse_args()
    line: list[Word] = []
    for word in words_of(options.audio, options.entities):
        if line and len(" ".join(one.word for one in [*line, word])) > options.width:
            show(line)
            line = []
        line.append(word)
    if line:
        show(line)


def words_of(audio: Path, entities: Path | None) -> Iterator[Word]:
    """The words of a recording, each as soon as it is committed."""
    recognizer = Recognizer.from_pretrained()
    rate = recognizer.model.sampling_rate
    samples = read_audio(audio, rate).samples
    stream = recognizer.stream(entities)
    for begin in range(0, len(samples), rate // 2):
        yield from stream.accept(samples[begin : begin + rate // 2]).words
    yield from stream.finish().words


def show(line: Sequence[Word]) -> None:
    """Print a line, with the second at which it begins."""
    print(f"{line[0].start:6.2f}  {' '.join(word.word for word in line)}", flush=True)


if __name__ == "__main__":
    main()
