"""How long the sounds of a list of names take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from ctcbias_fst.pronunciation.g2p import G2P
from ctcbias_fst.pronunciation.lexicon import Lexicon
from ctcbias_fst.pronunciation.pronounce import Pronouncer
from ctcbias_fst.variants.shipped import G2P_FILE, load_variants

__all__ = ["measure"]


def measure(folder: Path, names: Sequence[str], n: int = 20) -> str:
    """Return a line on the seconds of one core for names that no lexicon lists.

    Time of the processor, so that other programs on the machine do not count.
    """
    begin = time.process_time()
    pronouncer = Pronouncer(Lexicon({}), G2P.load(folder / G2P_FILE))
    variants = load_variants(folder, pronouncer=pronouncer)
    loaded = time.process_time()
    pronouncer.pronounce_all(names)
    pronounced = time.process_time()
    variants.spelling_variants(names, n)
    done = time.process_time()
    return (
        f"loading {loaded - begin:.1f} s; {len(names)} names: pronunciations "
        f"{pronounced - loaded:.1f} s, {n} variants of each {done - pronounced:.1f} s"
    )
