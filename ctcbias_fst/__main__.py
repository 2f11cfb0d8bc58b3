"""``python -m ctcbias_fst`` is ``ctcbias``."""

from ctcbias_fst.cli import main

main(prog_name="ctcbias")
