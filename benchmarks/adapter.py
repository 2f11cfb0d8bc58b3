"""What a contextual adapter does on another model: F1 of names and WER, with it and without.

    python benchmarks/adapter.py MODEL DATA --adapter FOLDER [--config adapt.toml]

MODEL is a folder of Hugging Face, or one of strangers.py, whose torch module is put together again
from its ONNX file. DATA is what recipes/synthetic makes. With --config an adapter is trained first,
or its training goes on (in FOLDER/run), and written into FOLDER. No language model and no phones:
boosting, spelling variants, and the adapter.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
import torch.nn.functional as F
from lhotse import CutSet
from strangers import Head
from torch import Tensor, nn

from ctcbias_fst import Recognizer
from ctcbias_fst.audio.audio import Recording
from ctcbias_fst.config import load_config, merge, parse_overrides, read_toml
from ctcbias_fst.corpus.backends import recording_batches
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.features import LogMel
from ctcbias_fst.models.find import kind_of, load_model
from ctcbias_fst.models.function import function_model
from ctcbias_fst.models.package import load_package
from ctcbias_fst.models.scored import ScoredModel, tapped
from ctcbias_fst.scoring.score import rates, score_transcripts, total
from ctcbias_fst.text.entities import read_entities
from ctcbias_fst.training.own_model import train_adapter
from ctcbias_fst.training.training_config import AdaptConfig

FILE = click.Path(path_type=Path)
PARTS = ((), ("adapter",), ("boost", "g2g"), ("boost", "g2g", "adapter"))
DOMAINS = ("medical", "parliament")
PATHS = ("train", "validation")


@dataclass(frozen=True)
class Speech:
    """Recordings, what is said in them, and a file of names."""

    batches: Sequence[Sequence[Recording]]
    texts: Mapping[str, str]
    names: Path


class Layer(nn.Module):
    """A convolution of a head, ``(batch, frame, width)`` in and out."""

    def __init__(self, convolution: nn.Module, added: bool) -> None:
        super().__init__()
        self.convolution, self.added = convolution, added

    def forward(self, states: Tensor) -> Tensor:
        mixed = F.silu(self.convolution(states.transpose(1, 2))).transpose(1, 2)
        return states + mixed if self.added else mixed


class Layered(nn.Module):
    """What strangers.py exports, in layers that an adapter can read."""

    def __init__(self, model: CtcModel, head: Head) -> None:
        super().__init__()
        self.model = model
        self.layers = nn.ModuleList([Layer(head.rate, False), *(Layer(m, True) for m in head.mix)])
        self.project = head.project

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """``(batch, frame, mel)`` to log-probs ``(batch, frame, token)``."""
        states = self.model(self.model.normalise(features, lengths), lengths).states
        for layer in self.layers:
            states = layer(states)
        logits: Tensor = self.project(states)
        return logits.log_softmax(-1)


@click.command()
@click.argument("path", metavar="MODEL", type=FILE)
@click.argument("data", type=FILE)
@click.option("--adapter", type=FILE, required=True, help="Folder of the adapter's file.")
@click.option("--config", type=FILE, help="Train it first; paths start at DATA.")
@click.option("--splits", default="dev,test", show_default=True, help="Which speech of DATA.")
@click.option("--list", "size", default="1000", show_default=True, help="Which of DATA's lists.")
@click.option("--limit", type=int, help="Sentences of each set [all].")
@click.option("--set", "settings", multiple=True, help="adapter.coverage_margin=0.1, for example.")
def main(  # noqa: PLR0917
    path: Path,
    data: Path,
    adapter: Path,
    config: Path | None,
    splits: str,
    size: str,
    limit: int | None,
    settings: tuple[str, ...],
) -> None:
    """Print a row for each choice of parts: F1 of both domains, and WER where no name is spoken."""
    model, module = model_at(path)
    if config is not None:
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
        told = anchored(read_toml(config), data)
        run = adapter / "run"
        train_adapter(tapped(model, module), load_config(AdaptConfig, told), run, adapter)
    model = model.with_adapter(adapter, module)
    rate, chosen = model.sampling_rate, splits.split(",")
    named = {
        f"{split} {domain}": speech_of(data, split, domain, f"{domain}.{split}.{size}", rate, limit)
        for split in chosen
        for domain in DOMAINS
    }
    plain = {
        f"{split} WER": speech_of(data, split, "general", f"medical.{split}.{size}", rate, limit)
        for split in chosen
    }
    print(f"| parts | {' | '.join([*named, *plain])} |")
    print(f"| --- |{' --- |' * (len(named) + len(plain))}")
    for parts in PARTS:
        changes = merge(parse_overrides(settings), {"parts": list(parts)})
        recognizer = Recognizer(model, settings=changes, phones=None)
        cells = [f"{100 * heard(recognizer, one, bool(parts))['F1']:.1f}" for one in named.values()]
        for one in plain.values():
            both = [heard(recognizer, one, listed)["WER"] for listed in (False, bool(parts))]
            cells.append(" → ".join(f"{100 * value:.1f}" for value in both))
        print(f"| {', '.join(parts) or 'none'} | {' | '.join(cells)} |", flush=True)


def model_at(path: Path) -> tuple[ScoredModel, nn.Module | None]:
    """A model of Hugging Face, or a function on the torch module of one of strangers.py, and the
    module."""
    if kind_of(path) == "hf":
        loaded = load_model(path)
        assert isinstance(loaded, ScoredModel)
        return loaded, None
    module = module_of(path)
    extract = LogMel(module.model.config.encoder.mels)

    @torch.inference_mode()
    def log_probs(samples: np.ndarray) -> Tensor:
        features, lengths = extract([torch.from_numpy(samples)])
        return module(features, lengths)[0]  # type: ignore[no-any-return]

    pieces = path.with_suffix(".model")  # of SentencePiece, where it is none of characters
    cut_by = pieces if pieces.exists() else None
    seconds = load_model(path).frame_seconds
    tokens = path / "tokens.txt"
    return function_model(log_probs, tokens, tokenizer=cut_by, frame_seconds=seconds), module


def module_of(path: Path) -> Layered:
    """What strangers.py exported to ``path``/model.onnx, with the weights that are there."""
    import onnx  # noqa: PLC0415  (of Hugging Face it is not needed)
    from onnx.numpy_helper import to_array  # noqa: PLC0415

    graph = onnx.load(str(path / "model.onnx")).graph
    tensors = {one.name: torch.from_numpy(to_array(one).copy()) for one in graph.initializer}
    weights = {
        name.removeprefix("head."): tensor
        for name, tensor in tensors.items()
        if name.startswith("head.")
    }
    (added,) = [one for one in graph.node if "head.project.bias" in one.input]
    (product,) = [one for one in graph.node if set(one.output) & set(added.input)]
    (matrix,) = [tensors[name] for name in product.input if name in tensors]
    weights["project.weight"] = matrix.T
    model = load_package(None).model
    twice = weights["rate.weight"].shape[0] != weights["mix.0.weight"].shape[0]
    head = Head(model.config.encoder.width, len(weights["project.bias"]), twice)
    head.load_state_dict(weights)
    return Layered(model, head).eval()


def anchored(told: dict[str, Any], data: Path) -> dict[str, Any]:
    """A configuration whose files are in DATA, unless their paths are absolute."""
    found = {key: [str(data / one) for one in told[key]] for key in PATHS if key in told}
    return {**told, **found}


def speech_of(  # noqa: PLR0917
    data: Path, split: str, domain: str, names: str, rate: int, limit: int | None
) -> Speech:
    """Sentences of DATA: of test speech, of all its voices."""
    files = sorted(data.glob(f"cuts_{split}_{domain}*.jsonl.gz"))
    cuts = CutSet.from_cuts([cut for file in files for cut in list(read_cuts(file))[:limit]])
    texts = {cut.id: cut.supervisions[0].text for cut in cuts}
    return Speech(recording_batches(cuts, rate), texts, data / "lists" / f"{names}.txt")


def heard(recognizer: Recognizer, speech: Speech, listed: bool) -> dict[str, float]:
    """Figures of what is read, with the list of names or without."""
    names = recognizer.compile(speech.names, warn=False) if listed else None
    found = {
        one.id: transcript.best.text
        for batch in speech.batches
        for one, transcript in zip(
            batch, recognizer.transcribe_recordings(batch, [names] * len(batch))
        )
    }
    return rates(total(score_transcripts(speech.texts, found, read_entities(speech.names))))


if __name__ == "__main__":
    main()
