"""Any torch model with a CTC head, as a contextual adapter needs it.

An adapter reads the states of some layers, adds to those that the head reads, and has the head
score them again. Hooks on the model's own layers, for the time of a call, are all that takes:
whoever calls the model (a scorer of Hugging Face, a function of the user's) calls it as ever, and
nothing of it changes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from ctcbias_fst.audio.audio import Samples
from ctcbias_fst.errors import CtcbiasError, ModelError, cause_of
from ctcbias_fst.models.encoder_output import EncoderOutput
from ctcbias_fst.models.layer_calls import LayerCall, recorded_calls
from ctcbias_fst.models.model_config import AdapterShape
from ctcbias_fst.models.model_identity import digests_of_model
from ctcbias_fst.models.plug import Scorer
from ctcbias_fst.text.blank_first import BlankFirstTokenizer
from ctcbias_fst.text.text_files import first_few, quoted

_PROBE_SECONDS = 1.0
_SAME = 1e-3
"""By how much log-probs may differ from those of the head alone, and count as the same."""

_ROUNDED = 4.0
"""The same for a head in half precision, in units of its last place."""

_TAPS = (0.43, 0.86)
"""Which layers of a stack are read by default, by their place in it."""


class TappedModel:
    """A torch model that is not trained, its states at hand.

    Args:
        scorer: makes log-probs of waves by calling the module.
        module: the model behind it, in evaluation mode. Nothing of it is changed: hooks are on its
            layers while it is called by this, and no longer.
        head: name of the layer that makes logits of states, a ``Linear`` or a ``Conv1d`` of kernel
            size 1; by default the one whose output the log-probs are.
        taps: names of layers below it, of its width and frame rate; by default two of the longest
            stack of layers.

    Attributes:
        shape: what an adapter of it sits on.
        tokenizer: of its tokens, the blank first.

    Raises:
        ModelError: there is no such layer, or it is of another kind, width or frame rate; or the
            module is in training mode.
    """

    def __init__(
        self, scorer: Scorer, module: nn.Module, head: str | None = None, taps: Sequence[str] = ()
    ) -> None:
        if not isinstance(module, nn.Module):
            raise ModelError(f"a {type(module).__name__} is no torch.nn.Module: pass the model's")
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{scorer.family}: the module is TorchScript, whose layers cannot be read: pass "
                "the module of Python that it was made of"
            )
        self.scorer, self.module = scorer, module
        self.device = scorer.device
        self.sampling_rate = scorer.sampling_rate
        self.tokenizer = BlankFirstTokenizer(scorer.tokenizer)
        order = scorer.tokenizer.vocabulary.blank_first_order
        self._order = torch.from_numpy(order.copy()).to(self.device)
        self.columns = torch.from_numpy(self.tokenizer.columns).to(self.device)
        """``(token,)``: where each column of the model is when the blank is first."""
        layers = {
            name: layer
            for name, layer in module.named_modules()
            if not isinstance(layer, torch.jit.ScriptModule)
        }
        scores, heard = self._probe(layers)
        self.head = self._head_of(layers, heard, scores, head)
        self._head = layers[self.head]
        states = _states(self._head, heard[self.head])
        self.taps = self._taps_of(module, heard, states, taps)
        self._read = {name: layers[name] for name in (self.head, *self.taps)}
        self.shape = AdapterShape(states.shape[-1], len(self.taps), len(order))

    @property
    def digests(self) -> dict[str, str]:
        """What tells the model from others."""
        return digests_of_model(self.module, self.scorer.tokenizer.vocabulary)

    @property
    def head_weights(self) -> Tensor:
        """``(token, width)``, the blank first, float32."""
        return _weights(self._head).to(self.device)[self._order]

    def outputs(self, waves: Sequence[Samples]) -> EncoderOutput:
        """Score waves, and keep the states, in float32 and without a gradient.

        Args:
            waves: as :meth:`ctcbias_fst.models.plug.Scorer.scores` takes them.

        Raises:
            ModelError: a layer did not run once for each wave, or its frames are not the head's;
                or the module is in training mode.
        """
        self._check_mode()
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False):
            return self._outputs(waves, self.scorer.batches)  # which may run the model to find out

    def _outputs(self, waves: Sequence[Samples], together: bool) -> EncoderOutput:
        with recorded_calls(self._read) as calls:
            if together:
                scores = self.scorer.scores(waves)
            else:
                scores = [row for wave in waves for row in self.scorer.scores([wave])]
        lengths = [len(row) for row in scores]
        into_head = [_states(self._head, call) for call in calls.get(self.head, ())]
        states = _rows(self.head, into_head, lengths)
        widths = [len(row) for row in states]
        taps = [
            _rows(name, [_first(call.output) for call in calls.get(name, ())], lengths, widths)
            for name in self.taps
        ]
        return EncoderOutput(
            log_probs=self._padded(scores, lengths)[:, :, self._order],
            lengths=torch.tensor(lengths, dtype=torch.int64),
            states=self._padded(states, lengths),
            tap_states=tuple(self._padded(rows, lengths) for rows in taps),
        )

    def _padded(self, rows: Sequence[Tensor], lengths: Sequence[int]) -> Tensor:
        """``(batch, frame, …)``; not made in inference mode, so that a gradient can go through."""
        taken = [row[:length].to(self.device, copy=True) for row, length in zip(rows, lengths)]
        return pad_sequence(taken, batch_first=True).float()

    def token_log_probs(self, states: Tensor) -> Tensor:
        """The head: ``(batch, frame, width)`` to ``(batch, frame, token)``, the blank first."""
        with torch.autocast(states.device.type, enabled=False):
            return _logits(self._head, states).log_softmax(-1)[:, :, self._order]

    def _check_mode(self) -> None:
        """Refuse a module that drops states at random, or takes statistics of batches."""
        for name, layer in self.module.named_modules():
            if layer.training:
                which = f"layer {quoted(name)}" if name else f"the {type(layer).__name__}"
                raise ModelError(
                    f"{self.scorer.family}: {which} is in training mode: call eval() on the "
                    "module before an adapter is trained on it or used"
                )

    def _probe(self, layers: Mapping[str, nn.Module]) -> tuple[Tensor, dict[str, LayerCall]]:
        """Log-probs of noise, and what went into and out of every layer meanwhile, at last."""
        self._check_mode()
        seconds = max(_PROBE_SECONDS, self.scorer.shortest_seconds)
        noise = np.random.default_rng(0).normal(0.0, 0.05, int(seconds * self.sampling_rate))
        with torch.no_grad(), recorded_calls(layers) as calls:
            try:
                (scores,) = self.scorer.scores([noise.astype(np.float32)])
            except CtcbiasError:
                raise
            except Exception as error:  # whatever somebody's model raises
                raise ModelError(
                    f"{self.scorer.family}: failed on noise: {cause_of(error)}"
                ) from error
        return scores.detach(), {name: of_one[-1] for name, of_one in calls.items()}

    def _head_of(
        self,
        layers: Mapping[str, nn.Module],
        heard: Mapping[str, LayerCall],
        scores: Tensor,
        name: str | None,
    ) -> str:
        """The name of the layer that makes the log-probs."""
        if name:
            _check_name(name, layers, "head")
            candidates = [name]
        else:
            candidates = list(layers)
        apart = {one: _apart(layers[one], heard[one], scores) for one in candidates if one in heard}
        nearest = min(reversed(list(apart)), key=lambda one: apart[one], default=None)
        if nearest is not None and apart[nearest] <= 1.0:
            return nearest
        which = f"the output of {quoted(name)} is not" if name else "no layer's output is"
        raise ModelError(
            f"{self.scorer.family}: {which} what the log-probs are made of: an adapter needs a "
            "Linear or a Conv1d of kernel size 1 whose logits they are, frame by frame"
        )

    def _taps_of(
        self,
        module: nn.Module,
        heard: Mapping[str, LayerCall],
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


def _rows(
    name: str,
    batches: Sequence[Tensor | None],
    lengths: list[int],
    widths: list[int] | None = None,
) -> list[Tensor]:
    """The states of each wave, ``(frame, width)``, padding included."""
    rows = [row for batch in batches if batch is not None for row in batch]
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


def _states(layer: nn.Module, call: LayerCall) -> Tensor:
    """What goes into a head, ``(batch, frame, width)``."""
    states: Tensor = call.inputs[0]
    states = states if states.dim() == 3 else states[None]
    return states.transpose(1, 2) if isinstance(layer, nn.Conv1d) else states


def _weights(layer: nn.Module) -> Tensor:
    """``(token, width)`` of a head, float32, without a gradient."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight.detach().flatten(1).float()


def _logits(layer: nn.Module, states: Tensor) -> Tensor:
    """What a head makes of ``(batch, frame, width)``, in float32; no gradient is left in it."""
    bias = layer.bias.detach().to(states.device).float() if isinstance(layer.bias, Tensor) else None
    return F.linear(states.float(), _weights(layer).to(states.device), bias)


def _apart(layer: nn.Module, call: LayerCall, scores: Tensor) -> float:
    """How far log-probs ``(frame, token)`` are from a layer's own of what went into it, as a share
    of what rounding may do; infinite if it can make none of these."""
    linear = isinstance(layer, nn.Linear)
    pointwise = (
        isinstance(layer, nn.Conv1d)
        and (layer.kernel_size, layer.stride, layer.groups) == ((1,), (1,), 1)
        and layer.padding in ((0,), "same", "valid")
    )
    if not (linear or pointwise) or len(layer.weight) != scores.shape[1]:  # type: ignore[arg-type]
        return math.inf
    inputs, output = call.inputs, _first(call.output)
    if not inputs or not isinstance(inputs[0], Tensor) or inputs[0].dim() not in (2, 3):
        return math.inf
    with torch.inference_mode():
        logits = _logits(layer, _states(layer, call))
        frames = len(scores)
        if len(logits) != 1 or logits.shape[1] < frames or output is None:
            return math.inf
        own = logits[0, :frames]
        size = own.abs().amax(-1, keepdim=True) + scores.to(own).abs()
        halved = output.dtype in (torch.float16, torch.bfloat16)
        slack = _SAME + (_ROUNDED * torch.finfo(output.dtype).eps * size if halved else 0.0)
        apart = float(((own.log_softmax(-1) - scores.to(own)).abs() / slack).max())
    return math.inf if math.isnan(apart) else apart


def _first(output: Any) -> Tensor | None:
    """The states among what a layer gives, ``(batch, frame, width)``."""
    if isinstance(output, (tuple, list)) and output:
        output = output[0]
    if not isinstance(output, Tensor) or output.dim() not in (2, 3):
        return None
    return output if output.dim() == 3 else output[None]


def _usual_taps(
    module: nn.Module, heard: Mapping[str, LayerCall], states: Tensor
) -> tuple[str, ...]:
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
