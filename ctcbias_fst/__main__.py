"""``python -m ctcbias_fst`` is ``ctcbias``."""

import sys


def run() -> None:
    """Run the command line; Ctrl-C is one line while it is still being imported, too."""
    try:
        from ctcbias_fst.cli import main  # noqa: PLC0415

        main(prog_name="ctcbias")
    except KeyboardInterrupt:
        print("Stopped: the same command begins anew", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    run()
