"""How far the times of words are from where they sound.

    python benchmarks/word_times.py DATA

DATA is what recipes/synthetic makes. The program festival speaks sentences of its development set
and says when every word begins and ends. Words that are read right are compared.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
import kaldialign
import numpy as np

from ctcbias_fst.config import load_config, merge, parse_overrides
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.models.embedded import AcousticModel
from ctcbias_fst.recognizer import Recognizer
from ctcbias_fst.settings import PipelineConfig, settings_of

VOICES = "cmu_us_slt_arctic_hts,kal_diphone,ked_diphone"
Times = list[tuple[str, float, float]]
_SCRIPT = """
(let ((utt (utt.synth (Utterance Text "{text}"))))
  (format t "begin\\n")
  (utt.save.wave utt "{file}" 'riff)
  (mapcar
    (lambda (w)
      (format t "%s %f %f\\n" (item.name w) (item.feat w "word_start") (item.feat w "word_end")))
    (utt.relation.items utt 'Word)))
"""


@click.command()
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--voices", default=VOICES, show_default=True, help="Of festival.")
@click.option("--sentences", default=60, show_default=True, help="For each voice.")
@click.option("--set", "settings", multiple=True, help="decode.times.lag=0.2, for example.")
def main(data: Path, voices: str, sentences: int, settings: tuple[str, ...]) -> None:
    """Print the mean error of the starts and ends of words, for each voice and in all."""
    if shutil.which("festival") is None:
        raise click.ClickException("festival is not installed: apt-get install festival")
    config = merge(settings_of(), parse_overrides(settings))
    recognizer = Recognizer(AcousticModel.load(), load_config(PipelineConfig, config))
    texts = [cut.supervisions[0].text for cut in read_cuts(data / "cuts_dev_general.jsonl.gz")]
    errors: dict[str, list[tuple[float, float]]] = {}
    print("| voice | words | start | end | start, mean | end, mean |")
    print("| --- | --- | --- | --- | --- | --- |")
    for voice in voices.split(","):
        errors[voice] = []
        for path, spoken in _speak(voice, texts[:sentences]):
            found = recognizer.transcribe(path)
            heard = [(word.word, word.start, word.end) for word in found.best.words]
            errors[voice] += _errors(spoken, heard)
        _print(voice, errors[voice])
    _print("all", [error for found in errors.values() for error in found])


def _print(name: str, errors: list[tuple[float, float]]) -> None:
    values = np.array(errors)
    far, signed = np.abs(values).mean(0), values.mean(0)
    print(
        f"| {name} | {len(values)} | {far[0]:.3f} s | {far[1]:.3f} s "
        f"| {signed[0]:+.3f} s | {signed[1]:+.3f} s |",
        flush=True,
    )


def _speak(voice: str, texts: list[str]) -> Iterator[tuple[Path, Times]]:
    """Sentences in files, and when their words sound, in seconds."""
    with tempfile.TemporaryDirectory(prefix="festival-") as folder:
        script = [f"(voice_{voice})"]
        for number, text in enumerate(texts):
            script.append(_SCRIPT.format(text=text.replace('"', ""), file=f"{folder}/{number}.wav"))
        done = subprocess.run(
            ["festival", "--pipe"],
            input="\n".join(script),
            capture_output=True,
            text=True,
            check=False,
        )
        blocks = done.stdout.split("begin\n")[1:]
        if len(blocks) != len(texts):
            raise click.ClickException(f"festival: {(done.stderr or done.stdout).strip()[-200:]}")
        for number, block in enumerate(blocks):
            words: Times = []
            for line in block.splitlines():
                word, begin, end = line.split()
                if word.startswith("'") and words:  # "president's" is two words to festival
                    words[-1] = (words[-1][0] + word, words[-1][1], words[-1][2])
                else:
                    words.append((word, float(begin), float(end)))
            yield Path(folder) / f"{number}.wav", words


def _errors(spoken: Times, heard: Times) -> list[tuple[float, float]]:
    """By how much words that were read right begin and end too late."""
    pairs = kaldialign.align([w for w, _, _ in spoken], [w for w, _, _ in heard], "*")
    one, other = iter(spoken), iter(heard)
    errors = []
    for left, right in pairs:
        said = next(one) if left != "*" else None
        read = next(other) if right != "*" else None
        if said and read and said[0] == read[0]:
            errors.append((read[1] - said[1], read[2] - said[2]))
    return errors


if __name__ == "__main__":
    main()
