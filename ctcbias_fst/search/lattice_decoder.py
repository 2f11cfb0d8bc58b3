"""Log-probs in, transcripts out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import torch

from ctcbias_fst.devices import checked_device, with_versions
from ctcbias_fst.errors import ConfigError, GraphError, ModelError
from ctcbias_fst.graph.decoding_graph import decoding_graph
from ctcbias_fst.graph.entity_tree import BoostGraph
from ctcbias_fst.graph.token_letters import token_letters
from ctcbias_fst.graph.word_rules import WordRules
from ctcbias_fst.records import Hypothesis, LogProbs, Transcript, require_log_probs
from ctcbias_fst.search.blank_check import BlankCheck
from ctcbias_fst.search.boosting import (
    blank_frames,
    check_log_probs,
    find_candidates,
    last_reachable_frame,
    plain_reading,
    reward,
    score_columns,
)
from ctcbias_fst.search.compose import LmComposer
from ctcbias_fst.search.decode_config import DecodeConfig
from ctcbias_fst.search.frames import Frames, without_idle_frames
from ctcbias_fst.search.graph_lists import BoostGraphs, per_utterance
from ctcbias_fst.search.heard import heard_names
from ctcbias_fst.search.hypotheses import distinct, greedy_hypothesis, hypotheses
from ctcbias_fst.search.intersect import search
from ctcbias_fst.search.lattice import Lattice, best_paths
from ctcbias_fst.search.lexicon_search import LexiconSearch
from ctcbias_fst.search.nbest import TextHashes, n_best_paths
from ctcbias_fst.search.spelling import spell_names
from ctcbias_fst.search.units import Contexts
from ctcbias_fst.text.vocabulary import Vocabulary

Listener = Callable[
    [LogProbs, Lattice, Sequence[BoostGraph | None], Sequence[int], str | None], None
]
"""Is given a batch, a lattice before a language model acts, and of each of its utterances the list
and the number in the batch; at last a warning for all of them."""

_NO_FRAMES = "has no frames, so there is nothing to read"
_NO_WORDS = "the search was lost: no words of the lexicon sound like this"
_FLAT = "the model's scores are flat in places: few tokens were tried there"
_ROUNDING = 0.05
"""How much less than the best plain reading a path may score before that one counts as lost: k2
adds float32 scores."""


class LatticeDecoder:
    """Decodes log-probs of one model.

    Args:
        vocabulary: of the model; its blank may be any column.
        config: see :class:`DecodeConfig`.
        device: where to search; log-probs are moved there.
        lm: a language model that is composed with every lattice.
        lexicon: what makes words of the model's tokens, where these are phones.
        listener: is given every batch and its lattice without the language model, and again the
            lattice of each utterance that was lost and searched again.
        check_blank: warn if another column is where the blank of a model would be.

    Raises:
        ConfigError: there is no such device.
    """

    @with_versions
    def __init__(
        self,
        vocabulary: Vocabulary,
        config: DecodeConfig = DecodeConfig(),  # noqa: B008  (frozen)
        device: torch.device | str = "cpu",
        lm: LmComposer | None = None,
        listener: Listener | None = None,
        *,
        lexicon: LexiconSearch | None = None,
        check_blank: bool = True,
    ) -> None:
        if not isinstance(vocabulary, Vocabulary):
            raise ModelError(f"a decoder needs a Vocabulary, not {vocabulary!r:.60}")
        if vocabulary.size < 2:
            raise ModelError("a decoder needs a token besides the blank, which writes nothing")
        if not isinstance(config, DecodeConfig):
            raise ConfigError(f"config must be a DecodeConfig, found {config!r:.60}")
        self.vocabulary = vocabulary
        self.config = config
        self.device = checked_device(device)
        self.lm, self.lexicon = lm, lexicon
        self.listener = listener
        self._blank_check = BlankCheck(vocabulary) if check_blank else None
        self._blank_first = blank_first = vocabulary.blank_first()
        order = torch.from_numpy(vocabulary.blank_first_order.copy()).to(self.device)
        self._columns = None if vocabulary.blank_id == 0 else order
        self._token_order = torch.empty_like(order)
        self._token_order[order] = torch.arange(len(order), device=self.device)
        self._letters = torch.tensor(token_letters(blank_first), device=self.device)
        self._rules = WordRules.of(blank_first, self.device)
        written = blank_first if lexicon is None else lexicon.words
        self._hashes = TextHashes.of(written, self.device)

    @with_versions
    def decode(
        self,
        log_probs: LogProbs,
        graphs: BoostGraphs = None,
        rows: Sequence[int] | None = None,
        nbest: int | None = None,
        checked: bool = False,
    ) -> list[Transcript]:
        """Transcribe a batch; one transcript per utterance, in their order.

        An utterance that the search loses is searched again with wider beams, then without names,
        and at last read greedily; the transcript's ``warning`` says so. One of which it finds
        nothing but names that were not heard is searched again, too.

        Args:
            log_probs: of this model.
            graphs: the names to boost: one list for all, one per utterance, or none.
            rows: the utterances to transcribe, by default all; ``graphs`` and what is returned are
                theirs.
            nbest: hypotheses per utterance, at least as many as the settings say.
            checked: whether :func:`check_log_probs` was asked before.

        Raises:
            LogProbsError: another vocabulary, NaN or +inf.
            GraphError: a list was compiled for another model, or there are not as many lists
                as utterances.
        """
        require_log_probs(log_probs)
        batch = log_probs if rows is None else log_probs.select(rows)
        if not batch.size:
            return []
        lists = per_utterance(graphs, batch.size, self.vocabulary)
        if self.lexicon is not None and len({id(tree) for tree in lists}) > 1:
            return self._list_by_list(log_probs, lists, rows, nbest, checked)
        lattice = self.lattice(log_probs, graphs, rows, checked)
        most = max(self.config.nbest, nbest or 1)
        transcripts = dict(self.read(lattice, batch.ids, batch.frame_seconds, nbest=most))
        for i, row in enumerate(range(batch.size) if rows is None else rows):
            if i not in transcripts:
                pruned = lattice.pruned is not None and bool(lattice.pruned[i])
                transcripts[i] = self._rescue(log_probs, row, lists[i], most, pruned=pruned)
        for i, length in enumerate(batch.lengths.tolist()):
            if not length:
                transcripts[i] = replace(transcripts[i], warning=_NO_FRAMES)
        if self._blank_check is not None:
            self._blank_check.look_at(batch)
        return [spell_names(transcripts[i], graph) for i, graph in enumerate(lists)]

    def _list_by_list(
        self,
        log_probs: LogProbs,
        trees: Sequence[BoostGraph | None],
        rows: Sequence[int] | None,
        nbest: int | None,
        checked: bool,
    ) -> list[Transcript]:
        """The same as `decode`, where utterances of one list share a graph."""
        places = range(len(trees)) if rows is None else rows
        found: dict[int, Transcript] = {}
        for tree in {id(tree): tree for tree in trees}.values():
            which = [i for i, one in enumerate(trees) if one is tree]
            some = self.decode(log_probs, tree, [places[i] for i in which], nbest, checked)
            found.update(zip(which, some))
        return [found[i] for i in range(len(trees))]

    @with_versions
    def lattice(
        self,
        log_probs: LogProbs,
        graphs: BoostGraphs = None,
        rows: Sequence[int] | None = None,
        checked: bool = False,
        goes_on: bool = False,
    ) -> Lattice:
        """Search a batch of one utterance or more; ``Lattice.found`` says which were found.

        An utterance whose best path scores less than its best plain reading, which is in every
        graph, was lost. Where there is a language model, its say counts in both. With ``goes_on``
        the lattice has the names, too, that what follows the last frame may complete.

        The other arguments and errors are those of :meth:`decode`.
        """
        config = self.config
        require_log_probs(log_probs)
        whole, places = log_probs, range(log_probs.size) if rows is None else rows
        log_probs = log_probs if rows is None else log_probs.select(rows)
        if not checked:
            check_log_probs(log_probs, self.vocabulary)
        values = log_probs.log_probs.to(self.device)
        if self._columns is not None:
            values = values[:, :, self._columns]
        lengths = log_probs.lengths.to(self.device)
        trees = per_utterance(graphs, log_probs.size, self.vocabulary)
        if self.lexicon is not None:
            lattice = self._search_lexicon(values, lengths, trees, log_probs.ids)
            if self.listener is not None:
                self.listener(whole, lattice, trees, places, None)
            return self.with_language_model(lattice, log_probs.context)
        idle = blank_frames(values, lengths, config.blank_threshold)
        inside = torch.arange(values.shape[1], device=self.device) < lengths[:, None]
        candidates = find_candidates(values, inside & ~idle, config)
        frames = without_idle_frames(candidates, values[:, :, 0], lengths, idle)
        labels, plain = plain_reading(frames.blank, frames.lengths, frames.candidates)
        lattice = self._search(frames, trees, log_probs.ids, goes_on)
        lost = _lost(lattice, plain)
        lattice = heard_names(lattice, self._rules, self._blank_first, config.boost)
        if lattice.pruned is not None:
            lattice = replace(lattice, pruned=lattice.pruned & ~lost)
            lost = lost | _lost(lattice, plain)
        lattice = replace(lattice, lost=lost)
        context = log_probs.context
        composed = self.with_language_model(lattice, context)
        if self.lm is not None:
            share = self.lm.share(_written(labels), config.lm, context)
            lost = lost | _lost(composed, plain + share)
            lattice, composed = replace(lattice, lost=lost), replace(composed, lost=lost)
        if self.listener is not None:
            self.listener(whole, lattice, trees, places, None)
        return composed

    def _search_lexicon(
        self,
        values: torch.Tensor,
        lengths: torch.Tensor,
        trees: Sequence[BoostGraph | None],
        ids: Sequence[str],
    ) -> Lattice:
        """Search the graph of a lexicon and one list; what of it is found is not lost."""
        assert self.lexicon is not None
        if len({id(tree) for tree in trees}) > 1:
            raise GraphError("with a lexicon, all utterances of a lattice have one list of names")
        return self.lexicon.lattice(
            values,
            lengths,
            trees[0],
            self._token_order,
            config=self.config,
            output_beam=self._lattice_beam,
            ids=ids,
        )

    @property
    def _lattice_beam(self) -> float:
        """Nats below the best path that the lattice of the first pass keeps."""
        return self.config.output_beam if self.lm is None else self.config.lm.lattice_beam

    def _search(
        self,
        frames: Frames,
        trees: Sequence[BoostGraph | None],
        ids: Sequence[str],
        goes_on: bool,
    ) -> Lattice:
        """Search the graphs of topology and names."""
        config = self.config
        reach = last_reachable_frame(frames.blank, frames.candidates, self._letters, config)
        last = torch.searchsorted(reach, frames.lengths[:, None] - 1).flatten()
        graph = decoding_graph(
            frames.candidates,
            trees,
            self._token_order,
            self._rules,
            reach=reach,
            waits_from=last if goes_on else None,
            reward=lambda letters, weight: reward(letters, weight, config.boost),
        )
        scores = score_columns(
            frames.blank, frames.candidates, graph.columns, self._letters, config
        )
        fsa = search(
            scores,
            frames.lengths.cpu(),
            graph.fsa,
            search_beam=config.search_beam,
            output_beam=self._lattice_beam,
            max_active=config.max_active,
            ids=ids,
        )
        return Lattice(fsa, graph, frames.original, frames.skipped_frame_score, scores)

    def wider(self, listener: Listener | None = None) -> LatticeDecoder:
        """The same with the beams for what the search lost.

        Args:
            listener: of the new one.
        """
        return LatticeDecoder(
            self.vocabulary,
            self.config.wider(),
            self.device,
            self.lm,
            listener,
            lexicon=self.lexicon,
            check_blank=False,
        )

    @with_versions
    def with_language_model(self, lattice: Lattice, context: Contexts = None) -> Lattice:
        """Compose a lattice of the first pass with the language model, if there is one."""
        if self.lm is None:
            return lattice
        return self.lm.compose(lattice, self.config.lm, self.config.output_beam, context)

    def read(
        self,
        lattice: Lattice,
        ids: Sequence[str],
        frame_seconds: float,
        warning: str | None = None,
        nbest: int | None = None,
    ) -> Iterator[tuple[int, Transcript]]:
        """Yield the number and the transcript of every utterance that was found.

        Args:
            lattice: of this decoder's vocabulary.
            ids: of its utterances.
            frame_seconds: of the model.
            warning: for the transcripts.
            nbest: hypotheses per utterance, by default as the settings say.
        """
        n = nbest or self.config.nbest
        paths = best_paths(lattice) if n == 1 else n_best_paths(lattice, n, self._hashes)
        found: dict[int, list[Hypothesis]] = {}
        words = None if self.lexicon is None else self.lexicon.words
        read = hypotheses(lattice, paths, self.vocabulary, frame_seconds, words=words)
        for utterance, hypothesis in zip(paths.utterance.tolist(), read):
            found.setdefault(utterance, []).append(hypothesis)
        for utterance, several in found.items():
            # Distinct texts may still be the same words: separators at the ends.
            best = distinct(several)
            flat = lattice.flat is not None and bool(lattice.flat[utterance])
            told = "; ".join(filter(None, (warning, _FLAT if flat else None))) or None
            yield utterance, Transcript(ids[utterance], best[0], best, told)

    def _rescue(
        self,
        batch: LogProbs,
        number: int,
        graph: BoostGraph | None,
        nbest: int,
        *,
        pruned: bool,
    ) -> Transcript:
        """Transcribe an utterance that the search lost.

        Nothing is amiss if names were ``pruned``: what was said was too far below them.
        """
        one = batch.select([number])
        searched: list[Lattice] = []

        def keep(_: LogProbs, lattice: Lattice, *__: object) -> None:
            searched.append(lattice)

        for tree, warning in (
            (graph, None if pruned else "the search was lost and repeated with wider beams"),
            (None, "the search was lost and repeated without names"),
        ):
            decoder = self.wider(keep)
            lattice = decoder.lattice(one, tree, checked=True)
            if self.listener is not None:  # names are spelled as the list says in any case
                self.listener(batch, searched[-1], [graph], [number], warning)
            found = decoder.read(lattice, one.ids, one.frame_seconds, warning, nbest)
            for _, transcript in found:
                return transcript
        if self.lexicon is not None:
            nothing = Hypothesis((), 0.0, ())
            return Transcript(one.ids[0], nothing, (nothing,), _NO_WORDS)
        best = greedy_hypothesis(one)
        return Transcript(
            one.ids[0], best, (best,), "the search was lost; this is a greedy reading"
        )


def _lost(lattice: Lattice, plain: torch.Tensor) -> torch.Tensor:
    """bool (N,): whether the best path scores less than the plain reading, (N,)."""
    best = lattice.fsa.get_tot_scores(use_double_scores=True, log_semiring=False)
    return torch.lt(best, plain - _ROUNDING)


def _written(labels: torch.Tensor) -> list[list[int]]:
    """The tokens that labels of frames write: runs are one, blanks (0) none."""
    begins = labels > 0
    begins[:, 1:] &= labels[:, 1:] != labels[:, :-1]
    return [row[first].tolist() for row, first in zip(labels.cpu(), begins.cpu())]
