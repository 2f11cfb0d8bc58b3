"""Ask a server for transcripts, with the names of a file: OpenAI's client, names as `keywords`.

    ctcbias serve &
    python examples/server_client.py talk.flac --entities names.txt

It needs the package openai. Names that have no effect are told on standard error.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from openai import OpenAI


def main() -> None:
    """Print the text of a recording, and where its names are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("audio", type=Path)
    parser.add_argument("--entities", type=Path, help="a file with a name in each line")
    parser.add_argument("--url", default="http://localhost:8000/v1")
    parser.add_argument("--key", default="-")
    options = parser.parse_args()
    names = options.entities.read_text(encoding="utf-8").splitlines() if options.entities else []
    client = OpenAI(base_url=options.url, api_key=options.key)
    with options.audio.open("rb") as file:
        found = client.audio.transcriptions.create(
            file=file,
            model="ctcbias",
            response_format="verbose_json",
            extra_body={"keywords": [name for name in names if name.strip()]},
        )
    print(found.text)
    for name in found.model_dump().get("entities", ()):
        print(f"{name['start']:6.2f}  {name['display']}")
    for warning in found.model_dump().get("warnings", ()):
        print(warning, file=sys.stderr)


if __name__ == "__main__":
    main()
