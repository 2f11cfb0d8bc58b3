"""Transcribe recordings, each with a list of names of its own: who is expected in that call.

    python examples/a_list_for_each_call.py CALLS > transcripts.tsv

CALLS is a folder. Beside monday.flac may lie monday.txt, with a name in each line. A recording or
a list that cannot be read does not cost the others.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

from ctcbias_fst import CtcbiasError, Recognizer

AUDIO = {".flac", ".m4a", ".mp3", ".ogg", ".opus", ".wav"}


def main() -> int:
    """Write a table of the calls; the status is 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("calls", type=Path, help="a folder of recordings and lists")
    folder = parser.parse_args().calls
    recognizer = Recognizer.from_pretrained()
    table = csv.writer(sys.stdout, "excel-tab", lineterminator="\n")
    table.writerow(("call", "text", "names"))
    failed = 0
    for call in sorted(path for path in folder.iterdir() if path.suffix in AUDIO):
        names = call.with_suffix(".txt")
        try:
            found = recognizer.transcribe(call, entities=names if names.is_file() else None)
        except CtcbiasError as error:  # it says which file, and what is wrong
            print(error, file=sys.stderr)
            failed = 1
            continue
        spoken = [one.mention.entity.display for one in found.best.mentions]
        table.writerow((call.name, found.best.text, "; ".join(spoken)))
    return failed


if __name__ == "__main__":
    sys.exit(main())
