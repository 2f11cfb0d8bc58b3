"""Saved lattices read again, with another language model and other scales."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from ctcbias_fst.errors import InputError
from ctcbias_fst.records import Transcript
from ctcbias_fst.search.evidence import with_heard_words
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.saved_lattices import SavedLattice, read_lattices
from ctcbias_fst.search.segments import Segment, join_segments
from ctcbias_fst.search.spelling import spell_names
from ctcbias_fst.search.times import with_placed_words
from ctcbias_fst.text.vocabulary import Vocabulary


def rescore_lattices(
    folder: Path,
    decoder_of: Callable[[Vocabulary], LatticeDecoder],
    device: torch.device | str = "cpu",
) -> Iterator[Transcript]:
    """Read saved lattices with a language model, or without.

    Where a piece of an utterance is missing, the transcript has a ``warning``.

    Args:
        folder: of the lattices.
        decoder_of: makes the decoder for a vocabulary; called once per vocabulary.
        device: where to compute.

    Raises:
        InputError: as `read_lattices`.
    """
    decoders = DecoderOfEach(decoder_of)
    for pieces in read_lattices(folder, device):
        transcripts, segments, written = [], [], list[int]()
        told = next((saved.told for saved in pieces if saved.told), None)
        warnings: list[str | None]
        # What was told of the whole has the warnings of its pieces.
        warnings = [told] if told else [saved.warning for saved in pieces]
        missing = sorted(set(range(pieces[0].pieces)) - {saved.piece for saved in pieces})
        if missing:
            numbers = ", ".join(str(piece + 1) for piece in missing)
            warnings.append(
                f"of its {pieces[0].pieces} pieces, number {numbers} has no lattice: its words are "
                "missing; decode it again"
            )
        for saved in pieces:
            decoder = decoders.of(saved)
            config = decoder.config
            transcript, warning = _read_piece(decoder, saved)
            transcripts.append(with_heard_words(transcript, saved.evidence, config.evidence))
            segments.append(Segment(0, saved.begin, saved.begin + saved.frames))
            written += (saved.written + saved.begin).tolist()
            warnings.append(warning)
        first = pieces[0]
        lag = config.times.lag_of(first.lag)
        for joined in join_segments(transcripts, segments, first.frame_seconds, config.nbest):
            placed = with_placed_words(
                joined,
                written,
                first.all_frames,
                first.frame_seconds,
                lag=lag,
                widen=config.times.widen,
                burst=config.times.burst,
            )
            distinct = dict.fromkeys(warning for warning in warnings if warning)
            yield replace(placed, warning="; ".join(distinct) or None)


def _read_piece(decoder: LatticeDecoder, saved: SavedLattice) -> tuple[Transcript, str | None]:
    """The transcript of a lattice; without the language model if that loses it."""
    for lattice, warning in (
        (decoder.with_language_model(saved.lattice), None),
        (saved.lattice, "the language model's search was lost; this is a reading without it"),
    ):
        for _, transcript in decoder.read(lattice, [saved.id], saved.frame_seconds):
            return spell_names(transcript, saved.spellings), warning
    raise InputError(f"{saved.id}: its lattice has no path; make the lattices anew")


class DecoderOfEach:
    """The decoder of each vocabulary, made once, and the wider one for what its search lost."""

    def __init__(self, decoder_of: Callable[[Vocabulary], LatticeDecoder]) -> None:
        self._decoder_of = decoder_of
        self._made: dict[str, tuple[LatticeDecoder, LatticeDecoder]] = {}

    def of(self, saved: SavedLattice) -> LatticeDecoder:
        vocabulary = saved.vocabulary
        if vocabulary.digest not in self._made:
            decoder = self._decoder_of(vocabulary)
            self._made[vocabulary.digest] = decoder, decoder.wider()
        decoder, wider = self._made[vocabulary.digest]
        return wider if saved.warning else decoder
