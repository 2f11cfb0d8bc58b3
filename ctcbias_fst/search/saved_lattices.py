"""Lattices on disk: saved while decoding, and what is read from there.

A file per utterance (and per piece of a long one), safetensors, in one folder, and one for each
list of names, which says how these are written. What is saved is the lattice of the first pass,
before a language model acts: so any model and any scales can be tried later, without the acoustic
model and without a search over frames. With the settings that they were decoded with, what is read
is what was decoded, warnings included (but for phonetic rescoring and lookup: they need the audio).
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

from ctcbias_fst.errors import InputError
from ctcbias_fst.files import digest_of, file_name, write_text
from ctcbias_fst.graph.decoding_graph import DecodingGraph
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.labels import Block, LabelTable
from ctcbias_fst.graph.word_rules import STARTS_WORD
from ctcbias_fst.k2_import import k2
from ctcbias_fst.recent import Recent
from ctcbias_fst.records import LogProbs
from ctcbias_fst.search.evidence import FrameEvidence
from ctcbias_fst.search.intersect import FRAME
from ctcbias_fst.search.lattice import Lattice
from ctcbias_fst.search.lattice_files import (
    DIGEST_DIGITS,
    LATTICE_SUFFIX,
    NAMES_SUFFIX,
    damaged,
    file_stem,
    load_lattice,
    name_and_piece,
    read_spellings,
    save_lattice,
)
from ctcbias_fst.search.spelling import Spellings
from ctcbias_fst.search.times import written_frames
from ctcbias_fst.text.entity import entity_of
from ctcbias_fst.text.token_marks import WordBoundary
from ctcbias_fst.text.vocabulary import Vocabulary

_KEPT = 8
"""Lists of names whose spellings are at hand."""

_ATTRIBUTES = (FRAME, STARTS_WORD)


@dataclass(frozen=True, eq=False)
class SavedLattice:
    """One lattice and what it takes to read it.

    Attributes:
        id: of the utterance.
        piece: 0, or which piece of a long utterance it is.
        pieces: how many the utterance has.
        begin: the frame of the utterance at which the piece begins.
        frames: of the model, this piece only.
        all_frames: of the utterance.
        frame_seconds: how long one is.
        vocabulary: of the model.
        lattice: a batch of one.
        evidence: of the frames.
        written: int64, the frames at which the model writes something.
        lag: of the model, in seconds, if it is known.
        spellings: of the names of its list.
        warning: of the search for this piece.
        told: of the whole utterance, if anything was.
    """

    id: str
    piece: int
    pieces: int
    begin: int
    frames: int
    all_frames: int
    frame_seconds: float
    vocabulary: Vocabulary
    lattice: Lattice
    evidence: FrameEvidence
    written: torch.Tensor
    lag: float | None
    spellings: Spellings | None
    warning: str | None
    told: str | None


class LatticeWriter:
    """Writes the lattices of a decoder (its ``listener``) into a folder.

    What the search lost has the lattice of a wider search, or of one without names. Pieces that an
    utterance had in a former run, and has no more, are removed.

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
        self._lists: Recent[int, tuple[BoostGraph, str]] = Recent(_KEPT)
        self._written: set[str] = set()
        self._before: dict[str, set[int]] = {}
        for path in folder.glob(f"[!.]*{LATTICE_SUFFIX}"):
            name, piece = name_and_piece(path)
            self._before.setdefault(name, set()).add(piece)
        ours = {file_stem(one): one for one in ids}
        others = len(self._before.keys() - ours.keys())
        if others:
            report(
                f"{folder}: has lattices of {others} other utterances, which ctcbias rescore reads "
                "too; remove them if they are not wanted"
            )
        for stem, one in ours.items():
            if stem != file_name(one, ""):
                report(
                    f"{one[:40]}…: too long for a file name; its lattices are "
                    f"{stem}.*{LATTICE_SUFFIX}"
                )

    @property
    def resumes(self) -> bool:
        """Whether the folder had lattices before."""
        return bool(self._before)

    def __call__(
        self,
        log_probs: LogProbs,
        lattice: Lattice,
        graphs: Sequence[BoostGraph | None],
        rows: Sequence[int],
        warning: str | None,
    ) -> None:
        """Write the lattices of some rows of a batch; see `Listener`."""
        places = _places(log_probs)
        found = lattice.found.tolist()
        kept: dict[str, set[int]] = {log_probs.ids[row]: set() for row in rows}
        for at, row in enumerate(rows):
            if found[at]:
                header = {**places[row], "warning": warning, "names": self._names(graphs[at])}
                self._write(log_probs, lattice, at, row, header)
                kept[log_probs.ids[row]].add(places[row]["piece"])
        for name, pieces in kept.items():
            whole = len(rows) == log_probs.size
            self.keep(name, pieces if whole else pieces | self._before.get(file_stem(name), set()))

    def tell(self, name: str, warning: str | None) -> bool:
        """Save what was told of an utterance, all of it; returns whether it has a lattice."""
        pieces = self._before.get(file_stem(name))
        if not pieces:
            return False
        if not warning:
            return True
        path = self._path(name, min(pieces))
        header, tensors = load_lattice(path)
        save_lattice(path, tensors, {**header, "told": warning})
        return True

    def close(self) -> None:
        """Remove the lists of names of former runs that no lattice is of any more."""
        pattern = "[0-9a-f]" * DIGEST_DIGITS + NAMES_SUFFIX
        others = [p for p in self._folder.glob(pattern) if p.name not in self._written]
        if not others:
            return
        wanted = set()
        for path in self._folder.glob(f"[!.]*{LATTICE_SUFFIX}"):
            try:
                with safe_open(path, framework="pt") as file:
                    wanted.add(json.loads(file.metadata()["lattice"])["names"])
            except (SafetensorError, OSError, KeyError, ValueError, TypeError, RecursionError):
                return  # whoever reads it says what is wrong; what it needs is not known
        for path in others:
            if path.name not in wanted:
                path.unlink(missing_ok=True)

    def _path(self, name: str, piece: int) -> Path:
        return self._folder / f"{file_stem(name)}.{piece}{LATTICE_SUFFIX}"

    def _names(self, graph: BoostGraph | None) -> str | None:
        """Write the names of a list, once; returns what the file is called."""
        if graph is None or not graph.by_text:
            return None
        known = self._lists.get(id(graph))
        if known is not None:
            return known[1]
        entities = {id(entity): entity for entity in graph.by_text.values()}
        places = {key: place for place, key in enumerate(entities)}
        texts = [[text, places[id(entity)]] for text, entity in graph.by_text.items()]
        rows = {"entities": [entity.to_json() for entity in entities.values()], "texts": texts}
        content = json.dumps(rows)
        name = f"{digest_of(rows)[:DIGEST_DIGITS]}{NAMES_SUFFIX}"
        self._written.add(name)
        path = self._folder / name
        if not path.exists():
            write_text(path, content)
        self._lists.put(id(graph), (graph, name))  # holds the graph: its id stays its own
        return name

    def keep(self, name: str, pieces: AbstractSet[int]) -> None:
        """Remove what the folder has of an utterance but these pieces."""
        for piece in self._before.get(file_stem(name), set()) - pieces:
            self._path(name, piece).unlink(missing_ok=True)
        self._before[file_stem(name)] = {*pieces}

    def _write(
        self, log_probs: LogProbs, lattice: Lattice, at: int, row: int, place: dict[str, Any]
    ) -> None:
        """Write number ``at`` of the lattice, which is number ``row`` of the batch."""
        size, fsa = lattice.graph.vocabulary_size, lattice.fsa
        of_row = lattice.utterance == at
        aux = lattice.aux[of_row]
        # Entities are numbered anew: only those that occur are kept.
        entity, number = torch.unique(aux[aux >= size] - size, return_inverse=True)
        aux = aux.clone()
        aux[aux >= size] = size + number
        first = int(lattice.first_state[at])
        blocks = lattice.graph.columns.blocks
        frames = log_probs.log_probs[row, : int(log_probs.lengths[row])]
        evidence = FrameEvidence.of(frames, log_probs.vocabulary, log_probs.frame_seconds)
        tensors = {
            "source": (lattice.source[of_row] - first).int(),
            "target": (lattice.target[of_row] - first).int(),
            "label": fsa.labels[of_row],
            "score": fsa.scores.detach()[of_row],
            "aux": aux.int(),
            "original": lattice.original[at].int(),
            "skipped_frame_score": lattice.skipped_frame_score[at : at + 1],
            "columns": lattice.scores[at],
            "block_tokens": torch.cat([block.tokens for block in blocks]).int(),
            "entropy": evidence.entropy,
            "best": evidence.token.int(),
            "best_log_prob": evidence.log_prob,
            "written": torch.tensor(written_frames(log_probs.select([row]))[0], dtype=torch.int32),
        }
        for name in _ATTRIBUTES:
            if hasattr(fsa, name):
                tensors[name] = getattr(fsa, name)[of_row].int()
        vocabulary = log_probs.vocabulary
        header = {
            "id": log_probs.ids[row],
            **place,
            "frames": int(log_probs.lengths[row]),
            "frame_seconds": log_probs.frame_seconds,
            "lag": log_probs.lag,
            "tokens": vocabulary.tokens,
            "blank_id": vocabulary.blank_id,
            "boundary": vocabulary.boundary.value,
            "unk_id": vocabulary.unk_id,
            "separator": vocabulary.separator,
            "blocks": [[b.kind, b.weight, b.first, len(b.tokens)] for b in blocks],
            "entities": [lattice.graph.entities[i].to_json() for i in entity.tolist()],
        }
        save_lattice(self._path(log_probs.ids[row], place["piece"]), tensors, header)


def _places(log_probs: LogProbs) -> list[dict[str, int]]:
    """Of each utterance of a batch which piece it is of its id's, and where that begins."""
    lengths = log_probs.lengths.tolist()
    places: list[dict[str, int]] = []
    pieces: dict[str, int] = {}
    frames: dict[str, int] = {}
    for name, length in zip(log_probs.ids, lengths):
        places.append({"piece": pieces.get(name, 0), "begin": frames.get(name, 0)})
        pieces[name] = pieces.get(name, 0) + 1
        frames[name] = frames.get(name, 0) + length
    for place, name in zip(places, log_probs.ids):
        place.update(pieces=pieces[name], all_frames=frames[name])
    return places


def read_lattices(folder: Path, device: torch.device | str = "cpu") -> Iterator[list[SavedLattice]]:
    """Yield the lattices of each utterance, by name; several are the pieces of a long one.

    Raises:
        InputError: there are none, or a file is damaged.
    """
    # Not those with a dot in front: files that a run which was killed had not finished.
    paths = sorted(folder.glob(f"[!.]*{LATTICE_SUFFIX}"), key=name_and_piece)
    if not paths:
        raise InputError(f"{folder}: has no lattices; make some with ctcbias decode --lattice-dir")
    lists: Recent[str, Spellings] = Recent(_KEPT)
    for _, several in groupby(paths, key=lambda path: name_and_piece(path)[0]):
        yield [_read(path, device, lists) for path in several]


def _read(path: Path, device: torch.device | str, lists: Recent[str, Spellings]) -> SavedLattice:
    header, tensors = load_lattice(path)
    name = header["names"]
    spellings = None if name is None else lists.get(name)
    if name is not None and spellings is None:
        spellings = lists.put(name, read_spellings(path.parent / name))
    on_device = {key: tensor.to(device) for key, tensor in tensors.items()}
    try:
        return _restored(header, on_device, spellings)
    except (KeyError, ValueError, TypeError) as error:
        raise damaged(path, error) from error


def _restored(
    header: dict[str, Any], tensors: dict[str, torch.Tensor], spellings: Spellings | None
) -> SavedLattice:
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
    if bool((tensors["aux"] >= vocabulary.size + len(header["entities"])).any()):
        raise ValueError("it has words of a lexicon, or names that are not with it")
    graph = DecodingGraph(
        fsa=fsa,
        columns=LabelTable(tuple(blocks)),
        vocabulary_size=vocabulary.size,
        entities=[entity_of(fields) for fields in header["entities"]],
        separator=vocabulary.blank_first().separator_id,
    )
    lattice = Lattice(
        fsa,
        graph,
        tensors["original"].long().unsqueeze(0),
        tensors["skipped_frame_score"],
        tensors["columns"].unsqueeze(0),
    )
    return SavedLattice(
        header["id"],
        header["piece"],
        header["pieces"],
        header["begin"],
        header["frames"],
        header["all_frames"],
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
        spellings,
        header["warning"],
        header.get("told"),
    )
