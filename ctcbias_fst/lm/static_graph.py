"""The part of the first pass that no list of names changes: compiled once, kept on disk.

It is the token graph of a language model (:mod:`ctcbias_fst.lm.token_graph`) with the CTC topology
before it, so that it reads frames. Labels are columns of the log-probs, 0 is the blank; there are
no epsilons. A state of the token graph is where a token may begin, or blank be taken, at the next
frame. A token of several frames goes through one more state, which its last frame leaves; these
states are shared by all arcs with the same token and target. (So equal tokens may follow each
other without a blank between, as in k2's modified topology. What must not be read so is taken out
of the lattice, :mod:`ctcbias_fst.lm.first_pass`.)

The start state's arcs read blank, at a frame of their own before the audio. The empty history is
the last state, and arcs are sorted by state and label: so arcs and states for a list of names can
be written behind them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ctcbias_fst.cache import Arrays, kept
from ctcbias_fst.errors import ConfigError
from ctcbias_fst.files import digest_of
from ctcbias_fst.lm.config import FirstPassConfig
from ctcbias_fst.lm.model import LanguageModel
from ctcbias_fst.lm.token_graph import Segmented, TokenGraph, token_graph
from ctcbias_fst.text.tokens import Tokenizer
from ctcbias_fst.text.vocabulary import WordBoundary

__all__ = ["BEGINS", "WORD_START", "StaticGraph", "compile_static", "made_of", "static_graph"]

BEGINS, WORD_START = 8, 16
"""More kinds of arcs: a token begins there; a blank where, with separators, a word has yet to."""

_KIND = "first-pass"
_VERSION = 1
_LARGEST_KEY = 1 << 61


@dataclass(frozen=True, eq=False)
class StaticGraph:
    """The graph; the last state is the empty history.

    Attributes:
      arcs: int32 (A, 4): source, target, label, and the bits of a float32: natural log-prob. The
        arcs to the final state, label -1, have target -1.
      kind: uint8 (A,): sums of ``WORD``, ``UNKNOWN``, ``LETTERS``, ``BEGINS``, ``WORD_START``.
      num_states: without the final state.
      end: log-prob of a sentence's end in the empty history, whose final arc is not among ``arcs``.
      after_name, unknown: see :class:`ctcbias_fst.lm.token_graph.TokenGraph`.
    """

    arcs: npt.NDArray[np.int32]
    kind: npt.NDArray[np.uint8]
    num_states: int
    end: float
    after_name: tuple[tuple[int, float], ...]
    unknown: float

    def to_arrays(self) -> Arrays:
        """All of it."""
        states, weights = zip(*self.after_name)
        return {
            "arcs": self.arcs,
            "kind": self.kind,
            "states": np.array([self.num_states, *states], dtype=np.int64),
            "scores": np.array([self.end, self.unknown, *weights], dtype=np.float64),
        }

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> StaticGraph:
        """The inverse.

        Raises:
          KeyError, ValueError: they are of something else.
        """
        num_states, *states = arrays["states"].tolist()
        end, unknown, *weights = arrays["scores"].tolist()
        graph = cls(
            np.asarray(arrays["arcs"], dtype=np.int32),
            np.asarray(arrays["kind"], dtype=np.uint8),
            num_states,
            end,
            tuple(zip(states, weights)),
            unknown,
        )
        if graph.arcs.shape != (len(graph.kind), 4) or len(states) != len(weights):
            raise ValueError("its arrays do not fit together")
        source, target, label = graph.arcs[:, 0], graph.arcs[:, 1], graph.arcs[:, 2]
        if (
            not len(source)
            or (source[0], source[-1]) < (0, 0)
            or (np.diff(source) < 0).any()
            or max(source[-1], target.max(), *states) >= num_states
            or min(target.min(), label.min()) < -1
            or ((target < 0) != (label < 0)).any()
            or min(states, default=0) < 0
        ):
            raise ValueError("its arcs lead nowhere")  # k2 would not look
        return graph


def static_graph(
    model: LanguageModel, tokenizer: Tokenizer, config: FirstPassConfig
) -> StaticGraph:
    """Compile the graph of a language model and a vocabulary, or take what was kept.

    Raises:
      ConfigError: the model cannot be compiled for this vocabulary.
    """
    return kept(
        _KIND,
        made_of(model, tokenizer, config),
        lambda: compile_static(model, tokenizer, config),
        StaticGraph.to_arrays,
        StaticGraph.from_arrays,
    )


def compile_static(
    model: LanguageModel, tokenizer: Tokenizer, config: FirstPassConfig
) -> StaticGraph:
    """Compile the graph of a language model and a vocabulary.

    Raises:
      ConfigError: the model is of tokens, and the vocabulary has separators.
    """
    vocabulary = tokenizer.vocabulary.blank_first()
    if model.unit == "token" and vocabulary.boundary is WordBoundary.SEPARATOR:
        raise ConfigError(
            f"{model.source}: a model of tokens cannot act in the first pass if words are marked "
            "by separators; use a model of words, or decode.lm.first_pass.on = false"
        )
    tokens = token_graph(
        model,
        Segmented.of(model, tokenizer),
        vocabulary,
        order=config.order,
        max_histories=config.max_histories,
    )
    return _with_topology(tokens)


def made_of(model: LanguageModel, tokenizer: Tokenizer, config: FirstPassConfig) -> list[object]:
    """All that a graph depends on, as plain values."""
    digest = hashlib.sha256()
    tables: list[Mapping[str, npt.NDArray[np.generic]]] = [
        {name: array for name, array in vars(order).items() if name != "count"}
        for order in model.ngram.orders[: config.order]
    ]
    # How the tokenizer writes every word: another one of the same pieces may cut them otherwise.
    tables.append(vars(Segmented.of(model, tokenizer)))
    for table in tables:
        for name, array in sorted(table.items()):
            digest.update(f"{name} {array.dtype} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data)
    vocabulary = tokenizer.vocabulary
    return [
        _VERSION,
        digest.hexdigest(),
        digest_of(model.ngram.symbols),
        model.unit,
        model.unknown,
        vocabulary.digest,
        vocabulary.unk_id,
        config.order,
        config.max_histories,
    ]


def _with_topology(tokens: TokenGraph) -> StaticGraph:
    """Put the CTC topology before a token graph."""
    reading = tokens.token > 0
    source, target, token = (a[reading] for a in (tokens.source, tokens.target, tokens.token))
    score, kind = tokens.log_probability[reading], tokens.kind[reading] | np.uint8(BEGINS)
    size = int(tokens.token.max(initial=0)) + 1
    place, run = np.unique(target * size + token, return_inverse=True)
    run = run + tokens.num_states - 1  # the empty history makes way for these
    runs = np.arange(len(place)) + tokens.num_states - 1
    num_states = tokens.num_states + len(place)
    number = np.arange(tokens.num_states)
    number[-1] = num_states - 1
    run_target, run_token = number[place // size], place % size
    blanks = np.arange(1, tokens.num_states)
    at_start = np.where(tokens.starts_word[1:], WORD_START, 0)
    starts = ~reading
    final = tokens.final != tokens.num_states - 1
    parts: list[tuple[npt.NDArray[np.generic] | int | float, ...]] = [
        (number[source], number[target], token, score, kind),
        (number[source], run, token, score, kind),
        (runs, runs, run_token, 0.0, 0),
        (runs, run_target, run_token, 0.0, 0),
        (number[blanks], number[blanks], 0, 0.0, at_start),
        (
            number[tokens.source[starts]],
            number[tokens.target[starts]],
            0,
            tokens.log_probability[starts],
            tokens.kind[starts],
        ),
        (number[tokens.final[final]], -1, -1, tokens.final_log_probability[final], 0),
    ]
    types = (np.int32, np.int32, np.int32, np.float32, np.uint8)
    columns = [
        np.concatenate(
            [np.broadcast_to(p[i], len(p[0])).astype(t) for p in parts]  # type: ignore[arg-type]
        )
        for i, t in enumerate(types)
    ]
    # k2 sorts labels as if they were unsigned: -1 comes last.
    rank = np.where(columns[2] < 0, size, columns[2])
    label_key = columns[0].astype(np.int64) * (size + 1) + rank
    if num_states**2 * (size + 1) < _LARGEST_KEY:
        order = np.argsort(label_key * (num_states + 1) + columns[1], kind="stable")
    else:
        order = np.lexsort((columns[1], label_key))
    arcs = np.stack([*columns[:3], columns[3].view(np.int32)], axis=1)[order]
    return StaticGraph(
        arcs=np.ascontiguousarray(arcs),
        kind=columns[4][order],
        num_states=num_states,
        end=float(tokens.final_log_probability[~final][0]),
        after_name=tuple((int(number[at]), weight) for at, weight in tokens.after_name),
        unknown=tokens.unknown,
    )
