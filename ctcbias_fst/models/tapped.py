"""Any torch model with a CTC head, as a contextual adapter needs it.

An adapter reads the states of some layers, adds to those that the head reads, and has the head
score them again. Hooks on the model's own layers are all that takes: whoever calls the model (a
scorer of Hugging Face, a function of the user's) calls it as ever.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.errors import ModelError
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.model_config import AdapterShape
from ctcbias_fst.models.plug import Scorer
from ctcbias_fst.text.blank_first import BlankFirstTokenizer
from ctcbias_fst.text.text_files import first_few, quoted
from ctcbias_fst.text.vocabulary import Vocabulary

_PROBE_SECONDS = 1.0
_SAME = 1e-3
"""By how much log-probs may differ from those of the head alone, and count as the same."""

_TAPS = (0.43, 0.86)
"""Which layers of a stack are read by default, by their place in it."""

_SAMPLED = 64
"""Of each tensor of a model, so many values are in its digest."""


class TappedModel:
    """A torch model that is not trained, its states at hand.

    Args:
        scorer: makes log-probs of waves by calling the module.
        module: the model behind it. It is put into evaluation mode, for good.
        head: name of the layer that makes logits of states, a ``Linear`` or a ``Conv1d`` of kernel
            size 1; by default the one whose output the log-probs are.
        taps: names of layers below it, of its width and frame rate; by default two of the longest
            stack of layers.

    Attributes:
        shape: what an adapter of it sits on.
        tokenizer: of its tokens, the blank first.

    Raises:
        ModelError: there is no such layer, or it is of another kind, width or frame rate.
    """

    def __init__(
        self, scorer: Scorer, module: nn.Module, head: str | None = None, taps: Sequence[str] = ()
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(f"a {type(module).__name__} is no torch.nn.Module: pass the model's")
        self.scorer, self.module = scorer, module.eval().requires_grad_(False)
        self.device = scorer.device
        self.sampling_rate = scorer.sampling_rate
        self.tokenizer = BlankFirstTokenizer(scorer.tokenizer)
        order = scorer.tokenizer.vocabulary.blank_first_order
        self._order = torch.from_numpy(order.copy()).to(self.device)
        self.columns = torch.from_numpy(self.tokenizer.columns).to(self.device)
        """``(token,)``: where each column of the model is when the blank is first."""
        self._ears = _Ears()
        layers = dict(module.named_modules())
        scores, heard = self._probe(layers)
        self.head = self._head_of(layers, heard, scores, head)
        self._head = layers[self.head]
        states = _states(self._head, heard[self.head].inputs)
        self.taps = self._taps_of(module, heard, states, taps)
        self._ears.listen_to(layers, self.head, self.taps)
        self.shape = AdapterShape(states.shape[-1], len(self.taps), len(order))

    @property
    def head_weights(self) -> Tensor:
        """``(token, width)``, the blank first."""
        weight = self._head.weight.detach()
        assert isinstance(weight, Tensor)
        return weight.flatten(1).float()[self._order]

    def outputs(self, waves: Sequence[Samples]) -> EncoderOutput:
        """Score waves, and keep the states.

        Args:
            waves: as :meth:`ctcbias_fst.models.plug.Scorer.scores` takes them.

        Raises:
            ModelError: a layer did not run once for each wave, or its frames are not the head's.
        """
        with torch.autocast(self.device.type, enabled=False):
            return self._outputs(waves, self.scorer.batches)  # which may run the model to find out

    def _outputs(self, waves: Sequence[Samples], together: bool) -> EncoderOutput:
        with self._ears.open() as heard:
            if together:
                scores = self.scorer.scores(waves)
            else:
                scores = [row for wave in waves for row in self.scorer.scores([wave])]
        lengths = [len(row) for row in scores]
        states = _rows(self.head, heard, lengths)
        widths = [len(row) for row in states]
        taps = [_rows(name, heard, lengths, widths) for name in self.taps]
        return EncoderOutput(
            log_probs=_padded(scores, lengths)[:, :, self._order].float(),
            lengths=torch.tensor(lengths, dtype=torch.int64),
            states=_padded(states, lengths),
            tap_states=tuple(_padded(rows, lengths) for rows in taps),
        )

    def token_log_probs(self, states: Tensor) -> Tensor:
        """The head: ``(batch, frame, width)`` to ``(batch, frame, token)``, the blank first."""
        with torch.autocast(states.device.type, enabled=False):
            return _scored(self._head, states.float())[:, :, self._order]

    def _probe(self, layers: Mapping[str, nn.Module]) -> tuple[Tensor, dict[str, _Heard]]:
        """Log-probs of noise, and what went into and out of every layer meanwhile."""
        seconds = max(_PROBE_SECONDS, self.scorer.shortest_seconds)
        noise = np.random.default_rng(0).normal(0.0, 0.05, int(seconds * self.sampling_rate))
        heard: dict[str, _Heard] = {}

        def note(name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
            heard[name] = _Heard(inputs, output)

        hooks = [layer.register_forward_hook(partial(note, name)) for name, layer in layers.items()]
        try:
            (scores,) = self.scorer.scores([noise.astype(np.float32)])
        finally:
            for hook in hooks:
                hook.remove()
        return scores.detach(), heard

    def _head_of(
        self,
        layers: Mapping[str, nn.Module],
        heard: Mapping[str, _Heard],
        scores: Tensor,
        name: str | None,
    ) -> str:
        """The name of the layer that makes the log-probs."""
        if name:
            _check_name(name, layers, "head")
            candidates = [name]
        else:
            candidates = list(layers)
        fitting = [
            one
            for one in candidates
            if one in heard and _makes(layers[one], heard[one].inputs, scores)
        ]
        if fitting:
            return fitting[-1]
        which = f"the output of {quoted(name)} is not" if name else "no layer's output is"
        raise ModelError(
            f"{self.scorer.family}: {which} what the log-probs are made of: an adapter needs a "
            "Linear or a Conv1d of kernel size 1 whose logits they are, frame by frame"
        )

    def _taps_of(
        self,
        module: nn.Module,
        heard: Mapping[str, _Heard],
        states: Tensor,
        names: Sequence[str],
    ) -> tuple[str, ...]:
        """The names of layers to read, looked at."""
        if not names:
            return _usual_taps(module, heard, states)
        for name in names:
            _check_name(name, dict(module.named_modules()), "taps")
            output = _first(heard[name].output) if name in heard else None
            if output is None or output.shape != states.shape:
                found = "does not run" if output is None else f"gives {tuple(output.shape)}"
                raise ModelError(
                    f"taps: {quoted(name)} {found} where the head takes {tuple(states.shape)} "
                    "(batch, frames, width): name layers of the same frames and width"
                )
        return tuple(names)


def digest_of_model(module: nn.Module, vocabulary: Vocabulary) -> str:
    """Tells a model from others by its tokens and weights; the same on every machine.

    Of each tensor some values count, so that it takes no time however large the model is.
    """
    told = hashlib.sha256(vocabulary.digest.encode("ascii"))
    for name, tensor in sorted(module.state_dict().items()):
        flat = tensor.detach().flatten()
        step = max(1, len(flat) // _SAMPLED)
        told.update(f"{name} {tuple(tensor.shape)}".encode())
        told.update(flat[::step].cpu().float().numpy().astype("<f4").tobytes())
    return told.hexdigest()


class _Heard:
    """What went into and out of a layer."""

    def __init__(self, inputs: Any, output: Any) -> None:
        self.inputs, self.output = inputs, output


class _Ears(threading.local):
    """Hooks that keep what a thread asks for while its model runs."""

    kept: dict[str, list[Tensor]] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()

    def listen_to(self, layers: Mapping[str, nn.Module], head: str, taps: Sequence[str]) -> None:
        """Put hooks on a head, and on layers below it."""
        layers[head].register_forward_pre_hook(partial(self._into, head))
        for name in taps:
            layers[name].register_forward_hook(partial(self._out_of, name))

    @contextmanager
    def open(self) -> Iterator[dict[str, list[Tensor]]]:
        """Yield what fills with states, by the names of layers."""
        self.kept = {}
        try:
            yield self.kept
        finally:
            self.kept = None

    def _into(self, name: str, layer: nn.Module, inputs: Any) -> None:
        if self.kept is not None:
            self.kept.setdefault(name, []).append(_states(layer, inputs))

    def _out_of(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        found = _first(output)
        if self.kept is not None and found is not None:
            self.kept.setdefault(name, []).append(found)


def _rows(
    name: str,
    heard: Mapping[str, list[Tensor]],
    lengths: list[int],
    widths: list[int] | None = None,
) -> list[Tensor]:
    """The states of each wave, ``(frame, width)``, padding included."""
    rows = [row for batch in heard.get(name, ()) for row in batch]
    if len(rows) != len(lengths):
        raise ModelError(
            f"{quoted(name)} ran for {len(rows)} recordings of {len(lengths)}: an adapter needs "
            "layers that run once for each"
        )
    short = [(row, n) for row, n in zip(rows, lengths) if len(row) < n]
    if short or (widths is not None and [len(row) for row in rows] != widths):
        row, count = short[0] if short else (rows[0], lengths[0])
        raise ModelError(
            f"{quoted(name)} has {len(row)} frames where there are log-probs of {count}: name "
            "layers at the frame rate of the head"
        )
    return rows


def _padded(rows: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
    """``(batch, frame, …)``; not made in inference mode, so that a gradient can go through."""
    taken = [row[:length].clone() for row, length in zip(rows, lengths)]
    return pad_sequence(taken, batch_first=True)


def _states(layer: nn.Module, inputs: Any) -> Tensor:
    """What goes into a head, ``(batch, frame, width)``."""
    states: Tensor = inputs[0]
    states = states if states.dim() == 3 else states[None]
    return states.transpose(1, 2) if isinstance(layer, nn.Conv1d) else states


def _scored(layer: nn.Module, states: Tensor) -> Tensor:
    """Log-probs that a head makes of ``(batch, frame, width)``."""
    if isinstance(layer, nn.Conv1d):
        logits: Tensor = layer(states.transpose(1, 2)).transpose(1, 2)
    else:
        logits = layer(states)
    return logits.float().log_softmax(-1)


def _makes(layer: nn.Module, inputs: Any, scores: Tensor) -> bool:
    """Whether log-probs ``(frame, token)`` are a layer's own of what went into it."""
    linear = isinstance(layer, nn.Linear)
    pointwise = isinstance(layer, nn.Conv1d) and layer.kernel_size == (1,) and layer.groups == 1
    if not (linear or pointwise) or len(layer.weight) != scores.shape[1]:  # type: ignore[arg-type]
        return False
    if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].dim() not in (2, 3):
        return False
    with torch.inference_mode():
        found = _scored(layer, _states(layer, inputs))
    frames = len(scores)
    if len(found) != 1 or found.shape[1] < frames:
        return False
    return bool((found[0, :frames] - scores.to(found)).abs().max() < _SAME)


def _first(output: Any) -> Tensor | None:
    """The states among what a layer gives, ``(batch, frame, width)``."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor) or output.dim() not in (2, 3):
        return None
    return output if output.dim() == 3 else output[None]


def _usual_taps(module: nn.Module, heard: Mapping[str, _Heard], states: Tensor) -> tuple[str, ...]:
    """Two layers of the longest stack whose layers give states like those of the head."""
    stacks: list[list[str]] = []
    for name, layers in module.named_modules():
        if isinstance(layers, (nn.ModuleList, nn.Sequential)):
            prefix = f"{name}." if name else ""
            inside = [f"{prefix}{i}" for i in range(len(layers))]
            outputs = [_first(heard[one].output) if one in heard else None for one in inside]
            if all(one is not None and one.shape == states.shape for one in outputs):
                stacks.append(inside)
    stack = max(stacks, key=len, default=[])
    places = sorted({int(share * len(stack)) for share in _TAPS})
    return tuple(stack[place - 1] for place in places if 0 < place < len(stack))


def _check_name(name: str, layers: Mapping[str, nn.Module], key: str) -> None:
    if name not in layers:
        known = [one for one in layers if one]
        last = name.rpartition(".")[2]
        near = [one for one in known if one.rpartition(".")[2] == last] or known
        shown = first_few(list(map(quoted, near)), 3)
        raise ModelError(f"{key}: the model has no layer {quoted(name)}; it has {shown}")
