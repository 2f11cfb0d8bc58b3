"""What a model hears in manifests: log-probs of its subwords and of its phones.

    python benchmarks/save_log_probs.py CUTS... OUT.safetensors --model DIR

Writes OUT.safetensors and OUT.phones.safetensors, arrays by the ids of the cuts, for peers.py.
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
from ctcbias_fst.models.embedded import AcousticModel

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("cuts", type=FILE, nargs=-1, required=True)
@click.argument("out", type=FILE)
@click.option("--model", "directory", type=FILE, help="Model directory [the embedded one].")
def main(cuts: tuple[Path, ...], out: Path, directory: Path | None) -> None:
    """Save what the model hears in CUTS."""
    model = AcousticModel.load(directory)
    subwords: dict[str, torch.Tensor] = {}
    phones: dict[str, torch.Tensor] = {}
    phone_seconds = model.frame_seconds
    spoken = CutSet.from_cuts(cut for path in cuts for cut in read_cuts(path))
    for batch in recording_batches(spoken, model.sampling_rate):
        heard = model.log_probs(batch)
        for row, (name, length) in enumerate(zip(heard.ids, heard.lengths.tolist())):
            subwords[name] = heard.log_probs[row, :length].contiguous()
            if heard.phones is not None:
                frames = int(heard.phones.lengths[row])
                phones[name] = heard.phones.log_probs[row, :frames].contiguous()
                phone_seconds = heard.phones.frame_seconds
    of_phones = out.with_suffix(".phones.safetensors")
    for path, arrays, seconds in (
        (out, subwords, model.frame_seconds),
        (of_phones, phones, phone_seconds),
    ):
        if arrays:
            with atomic_path(path) as temporary:
                save_file(arrays, temporary, metadata={"frame_seconds": str(seconds)})
    click.echo(f"{out}: {len(subwords)} utterances")


if __name__ == "__main__":
    main()
