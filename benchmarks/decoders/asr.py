"""asr-decoder: WeNet's prefix beam search with a context graph, in Python."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import torch
from asr_decoder import CTCDecoder

from decoders import Setting, Speech

_FIRST = 0xF0000
"""Names are given as characters of a private plane, one for each token: its own tokenization
writes in capitals, which most models cannot."""


class AsrDecoder:
    """The knob is ``context_score``, per token."""

    weights = (6.0, 1.0, 2.0, 3.0, 10.0, 15.0)
    batches = False
    version = version("asr-decoder")
    _beam = 10

    def __init__(self, setting: Setting) -> None:
        self._tokenizer = setting.tokenizer
        size = setting.tokenizer.vocabulary.size
        self._symbols = {chr(_FIRST + token): token for token in range(size)}
        self._decoder = CTCDecoder()

    def use(self, names: Sequence[str], weight: float) -> None:
        contexts = [
            "".join(chr(_FIRST + token) for token in tokens)
            for tokens in self._tokenizer.encode_batch(names)
        ]
        self._decoder = CTCDecoder(contexts or None, self._symbols, context_score=weight)

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = []
        for one in speech:
            self._decoder.reset()
            frames = torch.from_numpy(one.log_probs)
            found = self._decoder.ctc_prefix_beam_search(frames, self._beam)
            words = self._tokenizer.vocabulary.ids_to_words(found["tokens"][0])
            texts.append(" ".join(words))
        return texts
