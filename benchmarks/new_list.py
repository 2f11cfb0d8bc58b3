"""A new list of names in the first pass of a decoder whose language model knows many words.

    python benchmarks/new_list.py LIST --words 200000

The language model is made for this: the words of a pronouncing dictionary, then made-up ones of
the tokenizer's pieces, in random sentences in which frequent words are much more frequent than
others. Its graph is compiled and loaded again, as a second run does; then the list is taken in as
it is when it changes: its tree is built from the names, and is written behind the graph. Prints
milliseconds of one core, the median of several times.
"""

from __future__ import annotations

import dataclasses
import os
import random
import resource
import statistics
import tempfile
import time
from pathlib import Path

import click
import numpy as np
import torch

from ctcbias_fst.acoustic.package import DEFAULT
from ctcbias_fst.cache import VARIABLE
from ctcbias_fst.compiled import compile_graph
from ctcbias_fst.decode.config import DecodeConfig
from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.lm.compose import LmComposer
from ctcbias_fst.lm.config import FirstPassConfig
from ctcbias_fst.lm.model import LanguageModel
from ctcbias_fst.lm.train import TrainLmConfig, train_lm
from ctcbias_fst.records import LogProbs
from ctcbias_fst.settings import PARTS, PipelineConfig
from ctcbias_fst.sound.lexicon import read_lexicon
from ctcbias_fst.sound.package import DEFAULT as DEFAULT_SOUNDS
from ctcbias_fst.sound.package import LEXICON
from ctcbias_fst.text.encoded_entities import check_entities
from ctcbias_fst.text.entities import EntityList, read_entities
from ctcbias_fst.text.tokens import SentencePieceTokenizer

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("entities", type=FILE)
@click.option("--tokenizer", type=FILE, default=DEFAULT / "tokenizer.model", help="SentencePiece.")
@click.option("--words", default=200_000, show_default=True, help="Of the language model.")
@click.option("--sentences", default=200_000, show_default=True, help="To train it on.")
@click.option("--names", default=1000, show_default=True, help="The first ones of the list.")
@click.option("--repeat", default=9, show_default=True, help="Times to measure.")
def main(  # noqa: PLR0917  (options)
    entities: Path, tokenizer: Path, words: int, sentences: int, names: int, repeat: int
) -> None:
    """Say how long a new list takes, with its spelling variants and without."""
    torch.set_num_threads(1)
    writer = SentencePieceTokenizer(tokenizer)
    listed = check_entities(read_entities(entities), writer)
    listed = dataclasses.replace(listed, entities=listed.entities[:names])
    model = _language_model(writer, words, sentences)
    n_grams = " + ".join(f"{len(order.symbol):,}" for order in model.ngram.orders)
    print(f"language model: {words:,} words, n-grams {n_grams}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        first = FirstPassConfig(on=True)
        for what in ("compiled", "loaded"):
            composer = LmComposer(model, writer.vocabulary).with_tokenizer(writer)
            begin = time.process_time()
            static = composer.first_pass(first).static
            print(f"graph {what} in {time.process_time() - begin:.2f} s")
            print(
                f"graph: {static.num_states:,} states, {len(static.arcs):,} arcs, "
                f"{(static.arcs.nbytes + static.kind.nbytes) / 1e6:.0f} MB"
            )
        _lists(composer, writer, listed, first, repeat)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"memory of this program at most: {most:.2f} GB")


def _lists(
    composer: LmComposer,
    writer: SentencePieceTokenizer,
    listed: EntityList,
    first: FirstPassConfig,
    repeat: int,
) -> None:
    config = DecodeConfig()
    config = dataclasses.replace(config, lm=dataclasses.replace(config.lm, first_pass=first))
    decoder = Decoder(writer.vocabulary, config, "cpu", composer)
    silence = LogProbs(
        torch.log_softmax(torch.zeros(1, 1, writer.vocabulary.size), dim=-1),
        torch.ones(1, dtype=torch.int64),
        0.04,
        ("silence",),
        writer.vocabulary,
    )
    nothing = []
    for _ in range(repeat):
        begin = time.process_time()
        decoder.lattice(silence)
        nothing.append(time.process_time() - begin)
    for parts in (tuple(part for part in PARTS if part != "g2g"), PARTS):
        settings = PipelineConfig(parts=parts)
        build, attach = [], []
        for _ in range(repeat):
            begin = time.process_time()
            tree = compile_graph(listed, writer, settings)
            assert tree is not None
            built = time.process_time()
            # One frame is searched too, which takes as long without a list.
            decoder.lattice(silence, tree)
            build.append(built - begin)
            attach.append(time.process_time() - built - min(nothing))
        variants = "with" if "g2g" in parts else "without"
        print(
            f"{len(listed)} names {variants} spelling variants ({tree.num_nodes:,} nodes): tree "
            f"{1e3 * statistics.median(build):.0f} ms, into the graph "
            f"{1e3 * statistics.median(attach):.0f} ms"
        )


def _language_model(writer: SentencePieceTokenizer, words: int, sentences: int) -> LanguageModel:
    """A trigram model of random sentences."""
    chance = random.Random(1)
    known = dict.fromkeys(list(read_lexicon(DEFAULT_SOUNDS / LEXICON))[:words])
    vocabulary = writer.vocabulary
    pieces = [s for s, special in zip(vocabulary.surfaces, vocabulary.special) if s and not special]
    while len(known) < words:
        known["".join(chance.choices(pieces, k=chance.randint(2, 5)))] = None
    ranked = list(known)
    chance.shuffle(ranked)
    draws = np.random.default_rng(1).zipf(1.2, size=(sentences, 12)) % words
    text = [[ranked[i] for i in row] for row in draws.tolist()]
    text += [ranked[i : i + 12] for i in range(0, words, 12)]
    return train_lm(text, TrainLmConfig(order=3, min_count=1))


if __name__ == "__main__":
    main()
