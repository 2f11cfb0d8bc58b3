"""Decoding saved lattices once more: other settings, another language model, no audio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ctcbias_fst.config import flat, to_mapping
from ctcbias_fst.corpus.transcript_files import record_of, write_records
from ctcbias_fst.decoder_inputs import language_model
from ctcbias_fst.devices import checked_device
from ctcbias_fst.files import atomic_path
from ctcbias_fst.models.package import DEFAULT
from ctcbias_fst.output import notes
from ctcbias_fst.search.lattice_decoder import LatticeDecoder
from ctcbias_fst.search.lattice_text import write_lattice_texts
from ctcbias_fst.search.rescore_lattices import rescore_lattices
from ctcbias_fst.search.saved_lattices import read_lattices
from ctcbias_fst.settings import LM_PARTS, PipelineConfig
from ctcbias_fst.text.vocabulary import Vocabulary

_ACTING = (
    "lm",
    "decode.nbest",
    "decode.output_beam",
    "decode.evidence.",
    "decode.times.",
    "decode.lm.",
)
"""Settings that act on a saved lattice; what ends with a dot stands for all below it."""

_SEARCHED = "decode.lm.lattice_beam"
"""Of these, what only the search heeds."""

_HEARD_PARTS = frozenset({"rescore", "lookup"})
"""Parts that need the phones that were heard."""


def without_effect(config: PipelineConfig, saved: PipelineConfig) -> list[str]:
    """The dotted keys of settings that are not as when the lattices were made, and cannot act.

    Args:
        saved: that the lattices were made with.
    """
    before, after = flat(to_mapping(saved)), flat(to_mapping(config))
    changed = [key for key in (before | after) if before.get(key) != after.get(key)]
    dead = [key for key in changed if not key.startswith(_ACTING) or key == _SEARCHED]
    if set(config.parts) ^ set(saved.parts) <= LM_PARTS:
        dead = [key for key in dead if key != "parts"]
    return dead


def missing_parts(saved: PipelineConfig) -> str:
    """Tell which parts of the decoding cannot act again; empty if all can."""
    heard = [part for part in saved.parts if part in _HEARD_PARTS]
    if not heard:
        return ""
    adapter = "; what the adapter did is in the lattices" if "adapter" in saved.parts else ""
    return (
        f"{' and '.join(heard)} acted when this was decoded, and cannot act again without the "
        f"audio: texts may differ from those of ctcbias decode{adapter}"
    )


def rescore_corpus(
    folder: Path,
    config: PipelineConfig,
    out: Path | None,
    *,
    use_lm: bool = True,
    text_dir: Path | None = None,
    kaldi: bool = True,
    device: str = "cpu",
    report: Callable[[str], None] = lambda message: None,
) -> int:
    """Read saved lattices with other settings; returns how many utterances there are.

    Args:
        config: names the language model (by default the one inside the package) and its settings.
        out: where transcripts are written, if at all.
        use_lm: whether a language model acts at all.
        text_dir: where lattices are written as text, if at all.
        kaldi: as Kaldi's lattices, or as OpenFst's.
        report: told the warnings of transcripts, and words that were left out.

    Raises:
        InputError: there are no lattices, or one is damaged.
    """
    checked_device(device)
    default = DEFAULT / "lm.safetensors"

    def decoder_of(vocabulary: Vocabulary) -> LatticeDecoder:
        lm = None
        if use_lm:
            fallback = default if default.is_file() else None
            lm = language_model(config, vocabulary, device, fallback)
        return LatticeDecoder(vocabulary, config.decode, device, lm)

    if text_dir is not None:
        write_lattice_texts(folder, decoder_of, text_dir, kaldi, device)
    if out is None:
        return sum(1 for _ in read_lattices(folder, device))
    records = {}
    for transcript in rescore_lattices(folder, decoder_of, device):
        for line in notes(transcript):
            report(line)
        records[transcript.id] = record_of(transcript)
    with atomic_path(out) as temporary:
        write_records(records.values(), temporary)
    return len(records)
