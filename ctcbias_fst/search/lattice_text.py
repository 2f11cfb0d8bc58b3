"""Saved lattices as text, for other programs: Kaldi's and OpenFst's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from ctcbias_fst.files import file_name, write_text
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.rescore_lattices import DecoderOfEach
from ctcbias_fst.search.saved_lattices import read_lattices
from ctcbias_fst.text.printable import one_token_each
from ctcbias_fst.text.vocabulary import Vocabulary


def write_lattice_texts(
    folder: Path,
    decoder_of: Callable[[Vocabulary], LatticeDecoder],
    target: Path,
    kaldi: bool,
    device: torch.device | str = "cpu",
) -> None:
    """Write saved lattices as text, with the language model's scores: see `to_text`.

    Kaldi's go to one file, ``lattices.txt``, OpenFst's to one each; symbol tables beside them.
    """
    decoders = DecoderOfEach(decoder_of)
    together: list[tuple[str, str]] = []
    for pieces in read_lattices(folder, device):
        for saved in pieces:
            lattice = decoders.of(saved).with_language_model(saved.lattice)
            name = saved.id if len(pieces) == 1 else f"{saved.id}.{saved.piece}"
            text = to_text(lattice, kaldi)
            symbols = target / file_name(name, ".symbols.txt")
            _write_text(symbols, symbol_table(lattice, saved.vocabulary))
            if kaldi:
                together.append((name, text))
            else:
                _write_text(target / file_name(name, ".fst.txt"), text)
    if kaldi:
        keys = one_token_each([name for name, _ in together], "lattices.txt")
        entries = (f"{keys[name]}\n{text}\n" for name, text in together)
        _write_text(target / "lattices.txt", "".join(entries))


def _write_text(path: Path, text: str) -> None:
    write_text(path, text)


def symbol_table(lattice: Lattice, vocabulary: Vocabulary) -> str:
    """The symbols of `to_text` as OpenFst has them: tokens of the blank-first vocabulary from 1,
    then the names of the lattice; 0 is epsilon."""
    names = [entity.display for entity in lattice.graph.entities]
    symbols = ["<eps>", *vocabulary.blank_first().tokens, *names]
    written = one_token_each([symbol or "<empty>" for symbol in symbols], "the table of symbols")
    return "".join(f"{written[symbol or '<empty>']} {i}\n" for i, symbol in enumerate(symbols))


def to_text(lattice: Lattice, kaldi: bool) -> str:
    """Write the lattice of one utterance as text.

    Relation: frames' tokens (blank included, one per frame) to tokens and names. Costs are
    negative natural logs.

    Args:
        lattice: a batch of one, with a language model's scores or without.
        kaldi: Kaldi's lattice text, two costs per arc: the graph's (boost and language model)
            and the acoustic model's. If not, OpenFst's, their sum.
    """
    boost = lattice.boost
    if lattice.lm is not None:
        boost = boost + lattice.lm.share.double()
    acoustic = lattice.score - boost
    rows = zip(
        lattice.source.tolist(),
        lattice.target.tolist(),
        lattice.token.tolist(),
        lattice.aux.tolist(),
        boost.tolist(),
        acoustic.tolist(),
    )
    lines = []
    for source, target, token, aux, graph, frame in rows:
        cost = f"{-graph:.5f},{-frame:.5f}" if kaldi else f"{-graph - frame:.5f}"
        if aux < 0:
            lines.append(f"{source} {cost}")
        else:
            olabel = aux + 1 if aux else 0
            lines.append(f"{source} {target} {token + 1} {olabel} {cost}")
    return "".join(line + "\n" for line in lines)
