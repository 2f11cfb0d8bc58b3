"""Two recognisers of another kind than the embedded model, to try the decoder on.

    python benchmarks/strangers.py CUTS... --out FOLDER

Heads on the frozen encoder of the embedded model, trained on CUTS: ``char``, characters at frames
of 20 ms, the blank first; ``bpe``, 128 BPE pieces at frames of 80 ms, the blank last. Each is
exported as icefall exports a zipformer2 CTC model: an ONNX file that takes Kaldi's log-mels, and
tokens.txt.
Resumes: what the encoder makes of CUTS is kept in FOLDER/states.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import sentencepiece
import torch
import torch.nn.functional as F
from lhotse import CutSet
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.corpus.backends import recording_batches
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.files import atomic_path
from ctcbias_fst.models.acoustic_model import CtcModel
from ctcbias_fst.models.features import LogMel
from ctcbias_fst.models.package import load_package

FILE = click.Path(path_type=Path)
CHARACTERS = ("<blk>", "|", *"abcdefghijklmnopqrstuvwxyz'")
PIECES = 128
DEVELOPMENT = 8
"""Batches that are not trained on: their loss is printed."""


class Head(nn.Module):
    """The encoder's states at 40 ms to log-probs at twice or half that rate.

    Args:
        width: of the states.
        tokens: columns of the log-probs.
        twice: frames of 20 ms, else of 80.
    """

    def __init__(self, width: int, tokens: int, twice: bool) -> None:
        super().__init__()
        inner, kernel = (160, 5) if twice else (256, 3)
        self.twice = twice
        self.rate: nn.Module = (
            nn.ConvTranspose1d(width, inner, 4, 2, 1) if twice else nn.Conv1d(width, inner, 3, 2, 1)
        )
        self.mix = nn.ModuleList(
            nn.Conv1d(inner, inner, kernel, padding=kernel // 2) for _ in range(2)
        )
        self.project = nn.Linear(inner, tokens)

    def forward(self, states: Tensor) -> Tensor:
        """``(batch, frame, width)`` to ``(batch, frame, token)``."""
        mixed = F.silu(self.rate(states.transpose(1, 2)))
        for convolution in self.mix:
            mixed = mixed + F.silu(convolution(mixed))
        projected: Tensor = self.project(mixed.transpose(1, 2))
        return projected.log_softmax(dim=-1)

    def lengths(self, lengths: Tensor) -> Tensor:
        """Frames of the log-probs of so many frames of the states."""
        if self.twice:
            return 2 * lengths
        return torch.div(lengths + 1, 2, rounding_mode="floor")


class Exported(nn.Module):
    """Log-mels to log-probs: the encoder and a head, as one graph."""

    def __init__(self, model: CtcModel, head: Head) -> None:
        super().__init__()
        self.model, self.head = model, head

    def forward(self, x: Tensor, x_lens: Tensor) -> tuple[Tensor, Tensor]:
        output = self.model(self.model.normalise(x, x_lens), x_lens)
        mask = torch.arange(output.states.shape[1])[None, :] < output.lengths[:, None]
        return self.head(output.states * mask[:, :, None]), self.head.lengths(output.lengths)


@dataclass(frozen=True)
class Stranger:
    """A recogniser to be trained.

    Attributes:
        name: of its folder.
        tokens: what its columns are.
        blank: the column of the blank.
        encode: text to columns.
        twice: see `Head`.
    """

    name: str
    tokens: tuple[str, ...]
    blank: int
    encode: Callable[[str], list[int]]
    twice: bool


Batch = list[tuple[str, Tensor]]
"""Texts and the encoder's states ``(frame, width)``, float16."""


def states_of(cuts: Sequence[Path], folder: Path) -> list[Path]:
    """What the frozen encoder makes of cuts, a file for each batch."""
    package = load_package(None)
    extract = LogMel(package.model.config.encoder.mels)
    spoken = CutSet.from_cuts(cut for path in cuts for cut in read_cuts(path))
    texts = {cut.id: cut.supervisions[0].text or "" for cut in spoken}
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    batches = recording_batches(spoken, package.model.config.sampling_rate)
    for number, batch in enumerate(batches):
        path = folder / f"{number:05d}.pt"
        files.append(path)
        if path.exists():
            continue
        features, lengths = extract([torch.from_numpy(one.samples) for one in batch])
        with torch.inference_mode():
            output = package.model(package.model.normalise(features, lengths), lengths)
        found = [
            (texts[one.id], output.states[i, : int(output.lengths[i])].half().clone())
            for i, one in enumerate(batch)
        ]
        with atomic_path(path) as temporary:
            torch.save(found, temporary)
    return files


def strangers(texts: Sequence[str], folder: Path) -> Iterator[Stranger]:
    """Both, with a tokenizer of the second one trained on the texts."""
    column = {token: i for i, token in enumerate(CHARACTERS)}
    yield Stranger(
        "char",
        CHARACTERS,
        0,
        lambda text: [column[c] for c in text.replace(" ", "|") if c in column],
        twice=True,
    )
    model = folder / "bpe.model"
    if not model.exists():
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_prefix=str(model.with_suffix("")),
            vocab_size=PIECES,
            model_type="bpe",
            bos_id=-1,
            eos_id=-1,
            unk_id=0,
            normalization_rule_name="identity",
            minloglevel=2,
        )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model))
    tokens = [pieces.id_to_piece(i) for i in range(pieces.get_piece_size())]
    yield Stranger("bpe", (*tokens, "<blk>"), len(tokens), pieces.encode, twice=False)


def train(stranger: Stranger, batches: list[Batch], epochs: int) -> Head:
    """Train a head; the epoch that is best on batches that it is not trained on counts."""
    torch.manual_seed(0)
    chance = random.Random(0)
    batches = chance.sample(batches, len(batches))
    held, own = batches[:DEVELOPMENT], batches[DEVELOPMENT:]
    head = Head(batches[0][0][1].shape[1], len(stranger.tokens), stranger.twice)
    optimiser = torch.optim.AdamW(head.parameters(), 1e-3, weight_decay=0.01)
    steps = epochs * len(own)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, step / 100) * max(0.02, 1 - step / steps)
    )
    begin = time.perf_counter()
    lowest, best = math.inf, head.state_dict()
    for epoch in range(1, epochs + 1):
        head.train()
        for batch in chance.sample(own, len(own)):
            loss = _loss(head, stranger, batch, noise=0.05)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        head.eval()
        with torch.no_grad():
            loss = sum(float(_loss(head, stranger, batch)) for batch in held) / len(held)
        if loss < lowest:
            lowest, best = loss, {name: one.clone() for name, one in head.state_dict().items()}
        spent = time.perf_counter() - begin
        click.echo(f"{stranger.name} epoch {epoch}: {loss:.3f} nats a token, {spent:.0f} s")
    head.load_state_dict(best)
    return head


def _loss(head: Head, stranger: Stranger, batch: Batch, noise: float = 0.0) -> Tensor:
    states = pad_sequence([one.float() for _, one in batch], batch_first=True)
    if noise:
        states = states + noise * float(states.std()) * torch.randn_like(states)
    targets = [torch.tensor(stranger.encode(text), dtype=torch.int64) for text, _ in batch]
    counts = torch.tensor([len(one) for one in targets])
    loss = F.ctc_loss(
        head(states).transpose(0, 1),
        torch.cat(targets),
        head.lengths(torch.tensor([len(one) for _, one in batch])),
        counts,
        blank=stranger.blank,
        reduction="sum",
        zero_infinity=True,
    )
    return loss / counts.sum()


def export(stranger: Stranger, head: Head, folder: Path) -> None:
    """Write ``model.onnx`` and ``tokens.txt``."""
    import onnx  # noqa: PLC0415  (the metadata needs it)

    folder.mkdir(parents=True, exist_ok=True)
    whole = Exported(load_package(None).model, head).eval()
    with atomic_path(folder / "model.onnx") as temporary:
        torch.onnx.export(
            whole,
            (torch.zeros(1, 300, 80), torch.tensor([300])),
            str(temporary),
            input_names=["x", "x_lens"],
            output_names=["log_probs", "log_probs_len"],
            dynamic_axes={
                "x": {0: "N", 1: "T"},
                "x_lens": {0: "N"},
                "log_probs": {0: "N", 1: "T_out"},
                "log_probs_len": {0: "N"},
            },
            opset_version=17,
        )
        exported = onnx.load(str(temporary))
        values = {
            "model_type": "zipformer2_ctc",
            "version": "1",
            "comment": f"a head of {len(stranger.tokens)} {stranger.name} on another encoder",
            "subsampling_factor": str(2 if stranger.twice else 8),
        }
        onnx.helper.set_model_props(exported, values)
        onnx.save(exported, str(temporary))
    lines = [f"{token} {column}\n" for column, token in enumerate(stranger.tokens)]
    (folder / "tokens.txt").write_text("".join(lines), encoding="utf-8")


@click.command()
@click.argument("cuts", type=FILE, nargs=-1, required=True)
@click.option("--out", type=FILE, required=True, help="Folder of states and models.")
@click.option("--epochs", type=click.IntRange(1), default=8, show_default=True)
def main(cuts: tuple[Path, ...], out: Path, epochs: int) -> None:
    """Train both on CUTS and export them to OUT/char and OUT/bpe."""
    batches: list[Batch] = [torch.load(path) for path in states_of(cuts, out / "states")]
    texts = [text for batch in batches for text, _ in batch]
    for stranger in strangers(texts, out):
        head = train(stranger, batches, epochs)
        export(stranger, head, out / stranger.name)
        frames = math.prod((0.04, 0.5 if stranger.twice else 2.0))
        click.echo(f"{out / stranger.name}: {len(stranger.tokens)} tokens, {frames:g} s a frame")


if __name__ == "__main__":
    main()
