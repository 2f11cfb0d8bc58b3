"""What a model hears in manifests: log-probs of its tokens and of phones.

    python benchmarks/save_log_probs.py CUTS... OUT.safetensors --model PATH

Writes OUT.safetensors and OUT.phones.safetensors, arrays by the ids of the cuts, for peers.py. A
model that hears no phones has the phone head inside the package listen beside it.
"""

from __future__ import annotations

from pathlib import Path

import click
import torch
from lhotse import CutSet
from safetensors.torch import save_file

from ctcbias_fst.corpus.backends import recording_batches
from ctcbias_fst.corpus.cuts import read_cuts
from ctcbias_fst.files import atomic_path
from ctcbias_fst.recognizer import Recognizer

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("cuts", type=FILE, nargs=-1, required=True)
@click.argument("out", type=FILE)
@click.option("--model", "path", type=FILE, help="Of any family [the embedded one].")
def main(cuts: tuple[Path, ...], out: Path, path: Path | None) -> None:
    """Save what the model hears in CUTS."""
    torch.set_num_threads(1)
    recognizer = Recognizer.from_pretrained(path)
    tokens: dict[str, torch.Tensor] = {}
    phones: dict[str, torch.Tensor] = {}
    phone_seconds = seconds = recognizer.model.frame_seconds
    spoken = CutSet.from_cuts(cut for manifest in cuts for cut in read_cuts(manifest))
    for batch in recording_batches(spoken, recognizer.model.sampling_rate):
        heard = recognizer.log_probs(batch)
        seconds = heard.frame_seconds
        for row, (name, length) in enumerate(zip(heard.ids, heard.lengths.tolist())):
            tokens[name] = heard.log_probs[row, :length].contiguous()
            if heard.phones is not None:
                frames = int(heard.phones.lengths[row])
                phones[name] = heard.phones.log_probs[row, :frames].contiguous()
                phone_seconds = heard.phones.frame_seconds
    of_phones = out.with_suffix(".phones.safetensors")
    for file, arrays, frame in ((out, tokens, seconds), (of_phones, phones, phone_seconds)):
        if arrays:
            with atomic_path(file) as temporary:
                save_file(arrays, temporary, metadata={"frame_seconds": str(frame)})
    click.echo(f"{out}: {len(tokens)} utterances, {seconds:g} s a frame")


if __name__ == "__main__":
    main()
