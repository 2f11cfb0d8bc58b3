"""Lattices on disk: saved while decoding, read again with other scales, shown to other programs.

A file per utterance (and per piece of a long one), safetensors, in one folder. What is saved is
the lattice of the first pass, before a language model acts: so any model and any scales can be
tried later, without the acoustic model and without a search over frames.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ctcbias_fst.decode.decoder import Decoder
from ctcbias_fst.decode.evidence import FrameEvidence, with_heard_words
from ctcbias_fst.decode.segments import Segment, join_segments
from ctcbias_fst.decode.times import with_placed_words, written_frames
from ctcbias_fst.errors import InputError
from ctcbias_fst.files import atomic_path, file_name, sort_metadata
from ctcbias_fst.fst.columns import Block, Columns
from ctcbias_fst.fst.decoding import DecodingGraph
from ctcbias_fst.fst.word_rules import STARTS_WORD
from ctcbias_fst.k2_import import k2
from ctcbias_fst.records import LogProbs, Transcript
from ctcbias_fst.search.intersect import FRAME
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.text.entities import Entity
from ctcbias_fst.text.printable import one_token
from ctcbias_fst.text.vocabulary import Vocabulary, WordBoundary

__all__ = [
    "LatticeWriter",
    "SavedLattice",
    "read_lattices",
    "rescore_lattices",
    "symbol_table",
    "to_text",
    "write_lattice_texts",
]

_FORMAT = "ctcbias lattice 3"
_SUFFIX = ".lattice.safetensors"
_LONGEST_END = f".999999{_SUFFIX}"
_ATTRIBUTES = (FRAME, STARTS_WORD)


@dataclass(frozen=True, eq=False)
class SavedLattice:
    """One lattice and what it takes to read it.

    Attributes:
      id: of the utterance.
      piece: 0, or which piece of a long utterance it is.
      frames: of the model, this piece only.
      frame_seconds: how long one is.
      vocabulary: of the model.
      lattice: a batch of one.
      evidence: of the frames.
      written: int64, the frames at which the model writes something.
      lag: of the model, in seconds.
    """

    id: str
    piece: int
    frames: int
    frame_seconds: float
    vocabulary: Vocabulary
    lattice: Lattice
    evidence: FrameEvidence
    written: torch.Tensor
    lag: float


class LatticeWriter:
    """Writes the lattices of a decoder (its ``listener``) into a folder.

    An utterance that the search lost has none. Pieces that an utterance had in a former run, and
    has no more, are removed.

    Args:
      folder: may be missing.
      ids: all utterances that are going to be written.
      report: told about files of other utterances, which stay, and about ids that are too long
        for a file name.
    """

    def __init__(
        self,
        folder: Path,
        ids: Iterable[str] = (),
        report: Callable[[str], None] = lambda message: None,
    ) -> None:
        self._folder = folder
        self._before: dict[str, set[int]] = {}
        for path in folder.glob(f"[!.]*{_SUFFIX}"):
            name, piece = _name_and_piece(path)
            self._before.setdefault(name, set()).add(piece)
        ours = {_stem(one): one for one in ids}
        others = len(self._before.keys() - ours.keys())
        if others:
            report(
                f"{folder}: has lattices of {others} other utterances, which ctcbias rescore reads "
                "too; remove them if they are not wanted"
            )
        for stem, one in ours.items():
            if stem != file_name(one, ""):
                report(f"{one[:40]}…: too long for a file name; its lattices are {stem}.*{_SUFFIX}")

    def __call__(self, log_probs: LogProbs, lattice: Lattice) -> None:
        pieces: dict[str, int] = {}
        kept: dict[str, set[int]] = {}
        found = lattice.found.tolist()
        written = written_frames(log_probs)
        for row, name in enumerate(log_probs.ids):
            piece = pieces.setdefault(name, 0)
            pieces[name] += 1
            if found[row]:
                self._write(log_probs, lattice, row, piece, written[row])
                kept.setdefault(name, set()).add(piece)
        for name in pieces:
            self.keep(name, kept.get(name, set()))

    def keep(self, name: str, pieces: AbstractSet[int]) -> None:
        """Remove what the folder has of an utterance but these pieces."""
        for piece in self._before.get(_stem(name), set()) - pieces:
            (self._folder / f"{_stem(name)}.{piece}{_SUFFIX}").unlink(missing_ok=True)
        self._before[_stem(name)] = {*pieces}

    def _write(
        self, log_probs: LogProbs, lattice: Lattice, row: int, piece: int, written: Sequence[int]
    ) -> None:
        size, fsa = lattice.graph.vocabulary_size, lattice.fsa
        of_row = lattice.utterance == row
        aux = lattice.aux[of_row]
        # Entities are numbered anew: only those that occur are kept.
        entity, number = torch.unique(aux[aux >= size] - size, return_inverse=True)
        aux = aux.clone()
        aux[aux >= size] = size + number
        first = int(lattice.first_state[row])
        blocks = lattice.graph.columns.blocks
        frames = log_probs.log_probs[row, : int(log_probs.lengths[row])]
        evidence = FrameEvidence.of(frames, log_probs.vocabulary, log_probs.frame_seconds)
        tensors = {
            "source": (lattice.source[of_row] - first).int(),
            "target": (lattice.target[of_row] - first).int(),
            "label": fsa.labels[of_row],
            "score": fsa.scores.detach()[of_row],
            "aux": aux.int(),
            "original": lattice.original[row].int(),
            "owed": lattice.owed[row : row + 1],
            "columns": lattice.scores[row],
            "block_tokens": torch.cat([block.tokens for block in blocks]).int(),
            "entropy": evidence.entropy,
            "best": evidence.token.int(),
            "best_log_prob": evidence.log_prob,
            "written": torch.tensor(written, dtype=torch.int32),
        }
        for name in _ATTRIBUTES:
            if hasattr(fsa, name):
                tensors[name] = getattr(fsa, name)[of_row].int()
        vocabulary = log_probs.vocabulary
        header = {
            "id": log_probs.ids[row],
            "piece": piece,
            "frames": int(log_probs.lengths[row]),
            "frame_seconds": log_probs.frame_seconds,
            "lag": log_probs.lag,
            "tokens": vocabulary.tokens,
            "blank_id": vocabulary.blank_id,
            "boundary": vocabulary.boundary.value,
            "unk_id": vocabulary.unk_id,
            "separator": vocabulary.separator,
            "blocks": [[b.kind, b.weight, b.first, len(b.tokens)] for b in blocks],
            "entities": [lattice.graph.entities[i]._asdict() for i in entity.tolist()],
        }
        path = self._folder / f"{_stem(log_probs.ids[row])}.{piece}{_SUFFIX}"
        with atomic_path(path) as temporary:
            save_file(
                {name: tensor.cpu().contiguous() for name, tensor in tensors.items()},
                temporary,
                {"format": _FORMAT, "lattice": json.dumps(header)},
            )
            sort_metadata(temporary)


def read_lattices(folder: Path, device: torch.device | str = "cpu") -> Iterator[list[SavedLattice]]:
    """Yield the lattices of each utterance, by name; several are the pieces of a long one.

    Raises:
      InputError: there are none, or a file is damaged.
    """
    # Not those with a dot in front: files that a run which was killed had not finished.
    paths = sorted(folder.glob(f"[!.]*{_SUFFIX}"), key=_name_and_piece)
    if not paths:
        raise InputError(f"{folder}: has no lattices; make some with ctcbias decode --lattice-dir")
    for _, several in groupby(paths, key=lambda path: _name_and_piece(path)[0]):
        yield [_read(path, device) for path in several]


def _stem(name: str) -> str:
    """What the files of an utterance are called, the number of the piece and the ending left out.

    So that these fit after it, it is cut earlier than need be.
    """
    return file_name(name, _LONGEST_END).removesuffix(_LONGEST_END)


def _name_and_piece(path: Path) -> tuple[str, int]:
    """The utterance and the number of the piece that a file's name says."""
    name, _, piece = path.name[: -len(_SUFFIX)].rpartition(".")
    if not (piece.isascii() and piece.isdecimal()):
        raise InputError(f"{path}: not named as the lattice of an utterance; remove it")
    return name, int(piece)


def rescore_lattices(
    folder: Path,
    decoder_of: Callable[[Vocabulary], Decoder],
    device: torch.device | str = "cpu",
) -> Iterator[Transcript]:
    """Read saved lattices with a language model, or without.

    Args:
      folder: of the lattices.
      decoder_of: makes the decoder for a vocabulary; called once per vocabulary.
      device: where to compute.

    Raises:
      InputError: as `read_lattices`.
    """
    decoders = _Decoders(decoder_of)
    for pieces in read_lattices(folder, device):
        transcripts, segments, written, begin = [], [], list[int](), 0
        for saved in pieces:
            decoder = decoders.of(saved.vocabulary)
            config = decoder.config
            lattice = decoder.with_language_model(saved.lattice)
            for _, transcript in decoder.read(lattice, [saved.id], saved.frame_seconds):
                transcripts.append(with_heard_words(transcript, saved.evidence, config.evidence))
                segments.append(Segment(0, begin, begin + saved.frames))
            written += (saved.written + begin).tolist()
            begin += saved.frames
        frame_seconds = pieces[0].frame_seconds
        lag = pieces[0].lag if config.times.lag is None else config.times.lag
        for transcript in join_segments(transcripts, segments, frame_seconds, config.nbest):
            yield with_placed_words(
                transcript, written, begin, frame_seconds, lag=lag, widen=config.times.widen
            )


def write_lattice_texts(
    folder: Path,
    decoder_of: Callable[[Vocabulary], Decoder],
    target: Path,
    kaldi: bool,
    device: torch.device | str = "cpu",
) -> None:
    """Write saved lattices as text, with the language model's scores: see `to_text`.

    Kaldi's go to one file, ``lattices.txt``, OpenFst's to one each; symbol tables beside them.
    """
    decoders = _Decoders(decoder_of)
    together: list[str] = []
    for pieces in read_lattices(folder, device):
        for saved in pieces:
            lattice = decoders.of(saved.vocabulary).with_language_model(saved.lattice)
            name = saved.id if len(pieces) == 1 else f"{saved.id}.{saved.piece}"
            text = to_text(lattice, kaldi)
            symbols = target / file_name(name, ".symbols.txt")
            _write_text(symbols, symbol_table(lattice, saved.vocabulary))
            if kaldi:
                together.append(f"{one_token(name)}\n{text}\n")
            else:
                _write_text(target / file_name(name, ".fst.txt"), text)
    if kaldi:
        _write_text(target / "lattices.txt", "".join(together))


def _write_text(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


class _Decoders:
    """The decoder of each vocabulary, made once."""

    def __init__(self, decoder_of: Callable[[Vocabulary], Decoder]) -> None:
        self._decoder_of = decoder_of
        self._made: dict[str, Decoder] = {}

    def of(self, vocabulary: Vocabulary) -> Decoder:
        if vocabulary.digest not in self._made:
            self._made[vocabulary.digest] = self._decoder_of(vocabulary)
        return self._made[vocabulary.digest]


def _read(path: Path, device: torch.device | str) -> SavedLattice:
    try:
        with safe_open(path, framework="pt", device=str(device)) as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise InputError(
                    f"{path}: format {metadata.get('format')!r}, expected {_FORMAT!r}: make the "
                    "lattices anew"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(metadata["lattice"])
        return _restored(header, tensors)
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path}: damaged: {error!r}; make the lattices anew") from error


def _restored(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> SavedLattice:
    vocabulary = Vocabulary(
        tuple(header["tokens"]),
        header["blank_id"],
        WordBoundary(header["boundary"]),
        header["unk_id"],
        header.get("separator"),
    )
    arcs = torch.stack(
        [
            tensors["source"],
            tensors["target"],
            tensors["label"],
            tensors["score"].view(torch.int32),
        ],
        dim=1,
    )
    fsa = k2.create_fsa_vec([k2.Fsa(arcs, aux_labels=tensors["aux"])])
    for name in _ATTRIBUTES:
        if name in tensors:
            setattr(fsa, name, tensors[name])
    tokens = tensors["block_tokens"].long()
    blocks, begin = [], 0
    for kind, weight, first, count in header["blocks"]:
        blocks.append(Block(kind, weight, first, tokens[begin : begin + count]))
        begin += count
    graph = DecodingGraph(
        fsa=fsa,
        columns=Columns(tuple(blocks)),
        vocabulary_size=vocabulary.size,
        entities=[_entity(fields) for fields in header["entities"]],
        separator=vocabulary.blank_first().separator_id,
    )
    lattice = Lattice(
        fsa,
        graph,
        tensors["original"].long().unsqueeze(0),
        tensors["owed"],
        tensors["columns"].unsqueeze(0),
    )
    return SavedLattice(
        header["id"],
        header["piece"],
        header["frames"],
        header["frame_seconds"],
        vocabulary,
        lattice,
        FrameEvidence(
            tensors["entropy"],
            tensors["best"].long(),
            tensors["best_log_prob"],
            vocabulary,
            header["frame_seconds"],
        ),
        tensors["written"].long(),
        header["lag"],
    )


def _entity(fields: dict[str, Any]) -> Entity:
    entity = Entity(**fields)
    return entity._replace(
        sounds_like=tuple(entity.sounds_like),
        pronunciations=tuple(tuple(phones) for phones in entity.pronunciations),
        spoken=tuple((str(text), float(cost)) for text, cost in entity.spoken),
    )


def symbol_table(lattice: Lattice, vocabulary: Vocabulary) -> str:
    """The symbols of `to_text` as OpenFst has them: tokens of the blank-first vocabulary from 1,
    then the names of the lattice; 0 is epsilon."""
    names = [entity.display for entity in lattice.graph.entities]
    symbols = ["<eps>", *vocabulary.blank_first().tokens, *names]
    return "".join(f"{one_token(symbol or '<empty>')} {i}\n" for i, symbol in enumerate(symbols))


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
