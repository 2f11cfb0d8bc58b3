"""flashlight-text: its lexicon decoder. It has no hot words: names join the lexicon."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
from flashlight.lib.text.decoder import (
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    SmearingMode,
    Trie,
    ZeroLM,
)

from decoders import Setting, Speech

_NEVER = -100.0
"""Log-prob of all else where a word must end."""


class FlashlightText:
    """The knob is ``word_score``. Only the words of the lexicon can be written."""

    weights = (0.0, 1.0, 2.0, -1.0, -2.0, -4.0, -6.0, -8.0)
    batches = False
    version = version("flashlight-text")

    def __init__(self, setting: Setting) -> None:
        if not setting.words:
            raise ImportError("a list of the training text's words (words) is needed")
        self._tokenizer, self._common = setting.tokenizer, setting.words
        separator = setting.tokenizer.vocabulary.separator_id
        self._end = [] if separator is None else [separator]
        self._words: list[str] = []
        self.use((), 0.0)

    def use(self, names: Sequence[str], weight: float) -> None:
        parts = [word for name in names for word in name.split()]
        self._words = list(dict.fromkeys([*self._common, *parts]))
        trie = Trie(self._tokenizer.vocabulary.size, -1)
        for label, tokens in enumerate(self._tokenizer.encode_batch(self._words)):
            trie.insert(tokens + self._end, label, 0.0)
        trie.smear(SmearingMode.MAX)
        options = LexiconDecoderOptions(
            beam_size=100,
            beam_size_token=20,
            beam_threshold=15.0,
            lm_weight=0.0,
            word_score=weight,
            unk_score=-np.inf,
            sil_score=0.0,
            log_add=False,
            criterion_type=CriterionType.CTC,
        )
        # It keeps only a reference to the model.
        self._model = ZeroLM()
        silence = self._end[0] if self._end else -1
        self._decoder = LexiconDecoder(options, trie, self._model, silence, 0, -1, [], False)

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = []
        for one in speech:
            frames = np.ascontiguousarray(self._ended(one.log_probs), dtype=np.float32)
            results = self._decoder.decode(frames.ctypes.data, *frames.shape)
            labels = [label for label in results[0].words if label >= 0] if results else []
            texts.append(" ".join(self._words[label] for label in labels))
        return texts

    def _ended(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The same with a frame that ends the last word, where a token does."""
        if not self._end:
            return array
        last = np.full_like(array[:1], _NEVER)
        last[:, self._end] = 0.0
        return np.concatenate([array, last])
