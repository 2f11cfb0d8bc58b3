"""An n-gram model on a device: exact scores of many words in many contexts at once.

A state is a context that the model knows something about: one that an n-gram continues, or that
has a back-off weight. State 0 is the empty context. As in an automaton with failure arcs, a word
that a state does not list is looked up in the state of the context without its first word, at the
back-off weight; so a score is the model's own, never that of a path that backs off although it
need not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from ctcbias_fst.errors import LanguageModelError
from ctcbias_fst.ngram.ngram import BEGIN, END, Order
from ctcbias_fst.ngram.ngram_lm import LanguageModel


@dataclass(frozen=True, eq=False)
class NgramTables:
    """The arcs of the automaton, sorted by (state, symbol).

    Attributes:
        key: int64 (R + 1,): ``state * num_symbols + symbol``; the last is larger than any.
        log_probability: float32 (R,), natural log.
        target: int64 (R,): the state after the symbol.
        backoff: float32 (S,): the back-off weight of each state, natural log; 0 of state 0.
        shorter: int64 (S,): the state that backing off leads to.
        begin: the state at the beginning of a sentence.
        num_symbols: of the model.
        unknown: the symbol that stands for unknown words, or None.
        unknown_log_probability: of unknown words in state 0, for models without that symbol.
        order: symbols of the longest n-gram.
    """

    key: torch.Tensor
    log_probability: torch.Tensor
    target: torch.Tensor
    backoff: torch.Tensor
    shorter: torch.Tensor
    begin: int
    num_symbols: int
    unknown: int | None
    unknown_log_probability: float
    order: int

    @classmethod
    def of(cls, model: LanguageModel, device: torch.device | str) -> NgramTables:
        """Number the states and sort the arcs of a model.

        Raises:
            LanguageModelError: its tables are not sorted.
        """
        orders, n_symbols = model.ngram.orders, model.num_symbols
        keys: list[npt.NDArray[np.int64]] = []
        targets: list[npt.NDArray[np.int64]] = []
        backoffs: list[npt.NDArray[np.float64]] = [np.zeros(1)]
        shorters: list[npt.NDArray[np.int64]] = [np.zeros(1, dtype=np.int64)]
        states = 1
        own = np.zeros(1, dtype=np.int64)  # row of the order below to its state
        longest_suffix = np.zeros(1, dtype=np.int64)  # row of it to the state it leads to
        for order, longer in zip(orders, [*orders[1:], None]):
            is_state = _continued(order, longer)
            state = np.where(is_state, states - 1 + np.cumsum(is_state), -1)
            if order is orders[0]:
                begin = int(state[order.symbol == BEGIN].max(initial=0))
            states += int(is_state.sum())
            suffix_state = longest_suffix[order.suffix]
            target = np.where(is_state, state, suffix_state)
            listed = order.symbol != BEGIN
            keys.append((own[order.context] * n_symbols + order.symbol)[listed])
            targets.append(target[listed])
            backoffs.append(order.log_backoff[is_state])
            shorters.append(suffix_state[is_state])
            own, longest_suffix = state, target
        sentinel = np.full(1, np.iinfo(np.int64).max)
        # Contexts of an order are numbered in the order of its rows, by which the next one is
        # sorted: the keys ascend already.
        key = np.concatenate([*keys, sentinel])
        if not bool((key[1:] > key[:-1]).all()):
            raise LanguageModelError(
                f"{model.source}: its n-grams are not sorted, or have symbols that it does not "
                "name: convert the model that it was made of anew"
            )
        log_probability = np.concatenate([o.log_probability[o.symbol != BEGIN] for o in orders])
        return cls(
            key=torch.from_numpy(key).to(device),
            log_probability=torch.from_numpy(log_probability).float().to(device),
            target=torch.from_numpy(np.concatenate(targets)).to(device),
            backoff=torch.from_numpy(np.concatenate(backoffs)).float().to(device),
            shorter=torch.from_numpy(np.concatenate(shorters)).to(device),
            begin=begin,
            num_symbols=n_symbols,
            unknown=model.unknown,
            unknown_log_probability=model.least_log_probability,
            order=len(orders),
        )

    def advance(
        self, state: torch.Tensor, symbol: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Score a symbol in each state.

        Args:
            state: int64 (K,).
            symbol: int64 (K,); -1 is an unknown word.

        Returns:
            The states after it, int64 (K,), and natural log-probs, float32 (K,).
        """
        if self.unknown is not None:
            symbol = torch.where(symbol < 0, self.unknown, symbol)
        # All contexts are asked at once, each a word shorter than the one before: most words are
        # few, and their number matters less than that of the steps. State 0 may be asked again.
        several = [state]
        for _ in range(self.order - 1):
            several.append(self.shorter[several[-1]])
        contexts = torch.stack(several)
        wanted = contexts * self.num_symbols + symbol
        at = torch.searchsorted(self.key, wanted)
        failed = (self.key[at] != wanted) | (symbol < 0)
        failed = failed.long().cumprod(0)
        level = failed.sum(0)
        known = level < self.order
        arc = torch.where(known, at.gather(0, level.clamp(max=self.order - 1)[None])[0], 0)
        score = torch.where(known, self.log_probability[arc], self.unknown_log_probability)
        score += torch.where(failed > 0, self.backoff[contexts], 0.0).sum(0)
        return torch.where(known, self.target[arc], 0), score

    def unknown_score(self) -> float:
        """Natural log-prob of an unknown word without a context."""
        nothing = torch.zeros(1, dtype=torch.int64, device=self.key.device)
        return float(self.advance(nothing, nothing - 1)[1])

    def end(self, state: torch.Tensor) -> torch.Tensor:
        """Natural log-probs, float32 (K,), of a sentence's end in each state."""
        return self.advance(state, torch.full_like(state, END))[1]


def _continued(order: Order, longer: Order | None) -> npt.NDArray[np.bool_]:
    """Which n-grams are states of their own."""
    continued: npt.NDArray[np.bool_] = order.log_backoff != 0
    if longer is not None:
        continued[longer.context] = True
    continued[order.symbol == END] = False
    return continued
