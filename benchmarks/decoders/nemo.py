"""NeMo's word spotter and its phrase boosting, from the files of ``nemo_toolkit``.

Importing NeMo imports hundreds of packages of which these decoders use none. So its packages are
entered without running their ``__init__``, and the few names that the decoders take from elsewhere
are set here. What decodes is NeMo's own code, unchanged.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ctcbias_fst.models.greedy import greedy_tokens
from decoders import Setting, Speech

__all__ = ["PhraseBoosting", "WordSpotter"]

_ASR = "nemo.collections.asr.parts"
_WHOLE = (f"{_ASR}.context_biasing", f"{_ASR}.submodules.ngram_lm")
"""Packages whose ``__init__`` is run."""


class _Bare(importlib.abc.MetaPathFinder):
    """Finds packages of NeMo, as if they had no ``__init__``."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: object = None, target: object = None
    ) -> importlib.machinery.ModuleSpec | None:
        parts = fullname.split(".")
        folder = self._root.joinpath(*parts)
        if parts[0] != "nemo" or fullname in _WHOLE or not folder.is_dir():
            return None
        spec = importlib.machinery.ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec


class _Model(nn.Module):
    """As much of ``ModelPT`` as a boosting tree needs."""

    def __init__(self, cfg: Any, trainer: object = None) -> None:
        super().__init__()
        self.cfg = cfg


def _enter(package: str, **names: object) -> None:
    """Enter a package of NeMo, and set what its ``__init__`` would have imported."""
    vars(importlib.import_module(package)).update(names)


def _replace(module: str, **names: object) -> None:
    """Put a module with a few names in the place of one that is not wanted."""
    made = ModuleType(module)
    vars(made).update(names)
    sys.modules.setdefault(module, made)


def _as_it_is(function: Any) -> Any:
    return function


def _prepare() -> str:
    """Make NeMo's files importable; returns its version."""
    try:
        package = distribution("nemo_toolkit")
    except PackageNotFoundError as error:
        raise ImportError(str(error)) from error
    if not any(isinstance(finder, _Bare) for finder in sys.meta_path):
        if not hasattr(nn, "Buffer"):  # torch before 2.5
            nn.Buffer = _as_it_is
        sys.meta_path.insert(0, _Bare(Path(str(package.locate_file("")))))
        log = logging.getLogger("nemo")
        log.setLevel(logging.ERROR)
        _enter("nemo.utils", logging=log)
        _enter("nemo.core", ModelPT=_Model, PretrainedModelInfo=object)
        _enter("nemo.collections.common.parts", NEG_INF=-1e10)
        _enter("nemo.collections.common.tokenizers", AggregateTokenizer=(), TokenizerSpec=object)
        _enter(f"{_ASR}.submodules.transducer_decoding", BatchedHyps=object)
        libraries = ("kenlm", "triton", "cuda_python")
        _replace(
            "nemo.core.utils.optional_libs",
            **{f"{name.upper()}_AVAILABLE": False for name in libraries},
            **{f"{name}_required": _as_it_is for name in libraries},
        )
        _replace("nemo.collections.common.tokenizers.tokenizer_spec", TokenizerSpec=object)
        _replace(f"{_ASR}.utils.manifest_utils", read_manifest=None)
        _replace(
            f"{_ASR}.context_biasing.biasing_multi_model",
            BiasingRequestItemConfig=object,
            GPUBiasingMultiModelBase=object,
        )
        _replace("lightning")
        _replace("lightning.pytorch", Trainer=object)
    return package.version


def _import(name: str) -> Any:
    return importlib.import_module(f"{_ASR}.{name}")


class WordSpotter:
    """CTC-WS (Andrusenko et al. 2024): spots names beside greedy decoding, and puts them in.

    The knob is ``cb_weight``, per token. A possessive is not found: its words end with the name.
    It knows pieces that begin words. Where a token stands between words instead, names begin with
    that one, and the first letters of words have columns of their own (`_marked`).
    """

    weights = (3.0, 1.0, 2.0, 4.0, 5.0, 7.0, 9.0)
    batches = False

    def __init__(self, setting: Setting) -> None:
        self.version = _prepare()
        self._spotter, self._merge = (
            _import("context_biasing.ctc_based_word_spotter"),
            _import("context_biasing.context_biasing_utils"),
        )
        self._graph = _import("context_biasing.context_graph_ctc").ContextGraphCTC
        self._tokenizer = setting.tokenizer
        vocabulary = setting.tokenizer.vocabulary
        self._size, self._separator = vocabulary.size, vocabulary.separator_id
        tokens = list(vocabulary.tokens)
        if self._separator is not None:
            tokens[self._separator] = ""
            tokens += [f"\u2581{token}" for token in tokens]
        pieces = SimpleNamespace(ids_to_tokens=lambda ids: [tokens[i] for i in ids])
        self._model = SimpleNamespace(tokenizer=pieces)
        self._names: Any = None
        self._weight = self.weights[0]

    def use(self, names: Sequence[str], weight: float) -> None:
        self._weight, self._names = weight, None
        if names:
            self._names = self._graph(blank_id=0)
            begin = [] if self._separator is None else [self._separator]
            rows = [begin + row for row in self._tokenizer.encode_batch(names)]
            self._names.add_to_graph([(name, [row]) for name, row in zip(names, rows)])

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        texts = []
        for one in speech:
            array, found = self._marked(one.log_probs), []
            if self._names is not None:
                found = self._spotter.run_word_spotter(
                    array, self._names, self._model, blank_idx=0, cb_weight=self._weight
                )
            if found:
                best = array.argmax(axis=1)
                best[best == self._separator] = 0
                text, _ = self._merge.merge_alignment_with_ws_hyps(
                    best, self._model, found, decoder_type="ctc", blank_idx=0
                )
            else:
                frames = torch.from_numpy(one.log_probs)
                (tokens,) = greedy_tokens(frames[None], torch.tensor([len(frames)]))
                text = " ".join(self._tokenizer.vocabulary.ids_to_words(tokens))
            texts.append(text)
        return texts

    def _marked(self, array: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Log-probs with a separator before the first word, and columns of words' first letters.

        In these, a letter is a hair better where it is the best token and begins a word.
        """
        if self._separator is None:
            return array
        marked = np.full((len(array) + 1, 2 * self._size), -np.inf, dtype=np.float32)
        marked[1:, : self._size] = array
        marked[0, self._separator] = 0.0
        begins, previous = True, 0
        for frame, token in enumerate(array.argmax(axis=1).tolist()):
            if token == self._separator:
                begins = True
            elif token:
                if token != previous:
                    first, begins = begins, False
                if first:
                    best = marked[frame + 1, token]
                    marked[frame + 1, self._size + token] = np.nextafter(best, np.float32(1))
            previous = token
        return marked


class PhraseBoosting:
    """GPU-PB (Andrusenko et al. 2025) with NeMo's batched beam search.

    The knob is ``boosting_tree_alpha``. Tokens are numbered as NeMo's, blank last.
    """

    weights = (1.0, 0.5, 1.5, 2.0, 3.0)
    batches = True
    _beam = 10
    _batch = 16

    def __init__(self, setting: Setting) -> None:
        self.version = _prepare()
        tree = _import("context_biasing.boosting_graph_batched")
        self._tree, self._config = tree.GPUBoostingTreeModel, tree.BoostingTreeModelConfig
        self._computer = _import("submodules.ctc_batched_beam_decoding").BatchedBeamCTCComputer
        self._vocabulary = setting.tokenizer.vocabulary
        self._blank = self._vocabulary.size - 1
        self._pieces = SimpleNamespace(
            vocab_size=self._blank,
            text_to_ids=lambda text: [token - 1 for token in setting.tokenizer.encode(text)],
        )
        self._search: Any = None
        self.use((), self.weights[0])

    def use(self, names: Sequence[str], weight: float) -> None:
        trees = None
        if names:
            wanted = self._config(key_phrases_list=list(names), use_triton=False)
            trees = [self._tree.from_config(wanted, tokenizer=self._pieces)]
        self._search = self._computer(
            blank_index=self._blank,
            beam_size=self._beam,
            fusion_models=trees,
            fusion_models_alpha=None if trees is None else [weight],
            allow_cuda_graphs=False,
        )

    def decode(self, speech: Sequence[Speech]) -> list[str]:
        order = sorted(range(len(speech)), key=lambda i: len(speech[i].log_probs))
        texts = [""] * len(speech)
        for begin in range(0, len(order), self._batch):
            some = order[begin : begin + self._batch]
            rows = [torch.from_numpy(speech[i].log_probs).roll(-1, dims=1) for i in some]
            lengths = torch.tensor([len(row) for row in rows])
            padded = nn.utils.rnn.pad_sequence(rows, batch_first=True)
            with torch.inference_mode():
                found = self._search(padded, lengths).to_hyps_list(score_norm=False)
            for i, one in zip(some, found):
                words = self._vocabulary.ids_to_words([token + 1 for token in one.y_sequence])
                texts[i] = " ".join(words)
        return texts
