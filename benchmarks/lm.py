"""Decoding with a language model and a list of names: ours beside pyctcdecode with kenlm.

    python benchmarks/lm.py LOG_PROBS REFERENCES --tokenizer MODEL --lm FILE.arpa --entities LIST

Both read the same log-probs, the same ARPA file and the same list; one process, one thread, CPU
seconds, loading not counted. pyctcdecode's weights of the language model and of the list can be
given; it is slow with long lists, so ``--limit`` stops it (it is timed and scored on what it has
done, and so are we on the same utterances).

Needs: pip install pyctcdecode==0.5.0 kenlm
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import click
import torch
from kenlm import Model  # noqa: F401  (pyctcdecode goes without silently if it is missing)
from pyctcdecode import build_ctcdecoder

from ctcbias_fst.config import load_config
from ctcbias_fst.decoder import Decoder
from ctcbias_fst.ngram.ngram_lm import load_lm
from ctcbias_fst.scoring.score import score_transcripts, total
from ctcbias_fst.search.evidence import EvidenceConfig
from ctcbias_fst.search.saved_log_probs import SavedLogProbs
from ctcbias_fst.settings import PipelineConfig
from ctcbias_fst.text.checked_entities import check_entities
from ctcbias_fst.text.entities import read_entities
from ctcbias_fst.text.tokens import SentencePieceTokenizer
from ctcbias_fst.text.transcripts import read_transcripts

FILE = click.Path(path_type=Path)
_BATCH = 24


@click.command()
@click.argument("log_probs", type=FILE)
@click.argument("references", type=FILE)
@click.option(
    "--tokenizer", "tokenizer_path", type=FILE, required=True, help="SentencePiece model."
)
@click.option("--lm", type=FILE, required=True, help="ARPA file.")
@click.option("--entities", type=FILE, help="List of names.")
@click.option("--alpha", default=0.5, show_default=True, help="pyctcdecode: of the LM.")
@click.option("--beta", default=1.5, show_default=True, help="pyctcdecode: per word.")
@click.option("--unknown", default=-10.0, show_default=True, help="pyctcdecode: unknown words.")
@click.option("--hotword", default=10.0, show_default=True, help="pyctcdecode: of the list.")
@click.option("--beam", default=100, show_default=True, help="pyctcdecode: beams.")
@click.option("--config", type=FILE, help="Settings of ours, as of a model [the defaults].")
@click.option("--limit", default=120.0, show_default=True, help="CPU seconds for pyctcdecode.")
def main(  # noqa: PLR0917  (options)
    log_probs: Path,
    references: Path,
    tokenizer_path: Path,
    lm: Path,
    entities: Path | None,
    alpha: float,
    beta: float,
    unknown: float,
    hotword: float,
    beam: int,
    config: Path | None,
    limit: float,
) -> None:
    """Print a line per decoder: utterances, word error rate, entity F1, times real time."""
    torch.set_num_threads(1)
    saved = SavedLogProbs(log_probs)
    tokenizer = SentencePieceTokenizer(tokenizer_path)
    vocabulary = tokenizer.vocabulary
    model = load_lm(lm)
    said = read_transcripts(references)
    names = check_entities(read_entities(entities), tokenizer) if entities else None
    arrays = {name: saved.read(name, vocabulary) for name in saved.frames if name in said}
    frame_seconds = saved.frame_seconds or 0.04

    def report(who: str, texts: dict[str, str], seconds: float) -> None:
        score = total(score_transcripts({i: said[i] for i in texts}, texts, names))
        audio = sum(len(arrays[i]) for i in texts) * frame_seconds
        print(
            f"{who}: {len(texts)} utterances, WER {score.words.rate:.1%}, F1 "
            f"{score.entities.f1:.1%}, {audio / seconds:.1f} x real time",
            flush=True,
        )

    theirs = build_ctcdecoder(
        ["", *vocabulary.tokens[1:]],
        str(lm),
        unigrams=list(model.ngram.symbols),
        alpha=alpha,
        beta=beta,
        unk_score_offset=unknown,
    )
    hotwords = [entity.name for entity in names] if names else None
    texts: dict[str, str] = {}
    begin = time.process_time()
    for name, array in arrays.items():
        texts[name] = theirs.decode(
            array.numpy(), beam_width=beam, hotwords=hotwords, hotword_weight=hotword
        )
        if time.process_time() - begin > limit:
            break
    seconds = time.process_time() - begin
    report("pyctcdecode + kenlm", texts, seconds)

    settings = PipelineConfig() if config is None else load_config(PipelineConfig, config)
    all_words = EvidenceConfig(max_entropy=1.0, min_name_confidence=0.0)
    decode = replace(settings.decode, evidence=all_words)
    settings = replace(settings, decode=decode, parts=("boost", "lm", "boost-class"), lm=lm)
    decoder = Decoder(tokenizer, settings, frame_seconds=frame_seconds)
    compiled = None if names is None else decoder.compile(names, warn=False)
    for some in (list(texts), list(arrays)):
        by_length = sorted(some, key=lambda name: -len(arrays[name]))
        ours: dict[str, str] = {}
        begin = time.process_time()
        for first in range(0, len(by_length), _BATCH):
            ids = by_length[first : first + _BATCH]
            batch = [arrays[name] for name in ids]
            ours.update(
                {t.id: t.best.text for t in decoder.decode(batch, ids=ids, entities=compiled)}
            )
        seconds = time.process_time() - begin
        report("ctcbias_fst", ours, seconds)


if __name__ == "__main__":
    main()
