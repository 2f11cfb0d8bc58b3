"""A drop-in for pyctcdecode: the same calls and results, found by this package's decoder.

``from ctcbias_fst.pyctcdecode import build_ctcdecoder`` takes the place of pyctcdecode's import.
How its arguments act:

- ``hotwords`` are names of a list: looked for as phrases and with spelling variants, written as
  they are listed. ``hotword_weight`` / 10 is their weight: pyctcdecode's default is ours. A mapping
  gives each hotword a ``hotword_weight`` of its own.
- ``alpha``, ``beta`` and ``unk_score_offset`` mean what they mean there, in the same units: a word
  adds ``alpha`` times its natural log-prob and ``beta``; one that neither the language model nor
  the hotwords know, ``alpha`` times the offset (in log10) besides.
- ``beam_width``: ten times as many states are kept, at most, and so many beams are returned.
- ``beam_prune_logp``: beams that score less than the best one by more are not returned; below -12
  the search gets wider, too.
- ``token_min_logp``: all tokens are tried that pyctcdecode tries, and some that are less probable.

A beam's logit score is that of its best alignment, not the sum over the alignments that were kept;
its language model state is its text, which no call can go on from. ``prune_history``, ``unigrams``,
a ``pool``, ``lm_start_state`` and ``lm_score_boundary=False`` have no effect, and are warned of.
"""

from ctcbias_fst.pyctcdecode.alphabet import Alphabet
from ctcbias_fst.pyctcdecode.beam_decoder import BeamSearchDecoderCTC, build_ctcdecoder
from ctcbias_fst.pyctcdecode.language_model import LanguageModel

__all__ = ["Alphabet", "BeamSearchDecoderCTC", "LanguageModel", "build_ctcdecoder"]
