"""The CTC model: encoder, subword heads on several layers, phone head on one.

Intermediate CTC: Lee and Watanabe, ICASSP 2021. Self-conditioning: Nozaki and Komatsu,
Interspeech 2021. Phone head on an intermediate layer: Dingliwal et al., SLT 2022, section 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ctcbias_fst.acoustic.config import ModelConfig
from ctcbias_fst.acoustic.encoder import (
    ConformerBlock,
    HalfRate,
    Norm,
    Subsampling,
    padding_mask,
    rotary_tables,
)

__all__ = ["CtcModel", "ModelOutput"]


@dataclass(frozen=True)
class ModelOutput:
    """What the encoder says of a batch.

    Attributes:
        log_probs: subword log-probs of the last layer, ``(batch, frame, token)``, float32.
        tap_log_probs: the same after every layer of ``subword_taps``, in order.
        phone_log_probs: ``(batch, frame, 1 + phones)``; column 0 is the blank.
        lengths: frames of every utterance, ``(batch,)`` int64 on the CPU.
        states: the last layer's output, ``(batch, frame, width)``.
        tap_states: the output of every layer of ``subword_taps``, in order.
    """

    log_probs: Tensor
    tap_log_probs: tuple[Tensor, ...]
    phone_log_probs: Tensor
    lengths: Tensor
    states: Tensor
    tap_states: tuple[Tensor, ...]

    def select(self, which: list[int]) -> ModelOutput:
        """Some utterances of the batch; padding is kept."""
        if which == list(range(len(self.states))):
            return self
        return ModelOutput(
            log_probs=self.log_probs[which],
            tap_log_probs=tuple(tap[which] for tap in self.tap_log_probs),
            phone_log_probs=self.phone_log_probs[which],
            lengths=self.lengths[which],
            states=self.states[which],
            tap_states=tuple(tap[which] for tap in self.tap_states),
        )


class CtcModel(nn.Module):
    """Log-mel features in, log-probs of subwords and phones out."""

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        encoder = config.encoder
        self.config = config
        self.register_buffer("feature_mean", torch.zeros(encoder.mels))
        self.register_buffer("feature_scale", torch.ones(encoder.mels))
        self.subsampling = Subsampling(encoder)
        self.blocks = nn.ModuleList(
            ConformerBlock(encoder, layer) for layer in range(1, encoder.layers + 1)
        )
        self.subword_head = nn.Linear(encoder.width, config.tokens)
        self.phone_head = nn.Linear(encoder.width, 1 + len(config.phones))
        self.tap_norm = Norm(encoder.width)
        self.subword_feedback = nn.Linear(config.tokens, encoder.width, bias=False)
        self.phone_feedback = nn.Linear(1 + len(config.phones), encoder.width, bias=False)
        if not encoder.self_condition:
            del self.subword_feedback, self.phone_feedback
        self.rate = HalfRate(encoder.width) if encoder.half_rate[0] else None

    def token_log_probs(self, states: Tensor) -> Tensor:
        """The subword head: ``(batch, frame, width)`` to log-probs ``(batch, frame, token)``."""
        return _log_softmax(self.subword_head(self.tap_norm(states)))

    def normalise(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Scale log-mel features by the training data's mean and deviation; padding is 0."""
        scaled = (features - self.feature_mean) * self.feature_scale
        mask = padding_mask(lengths, features.shape[1], features.device)
        return scaled.masked_fill(~mask[:, :, None], 0.0)

    def forward(self, features: Tensor, lengths: Tensor) -> ModelOutput:
        """Run the whole model.

        Args:
            features: normalised log-mel frames ``(batch, frame, mel)``, zero behind the end.
            lengths: input frames per utterance, ``(batch,)``, int64.
        """
        encoder = self.config.encoder
        states, lengths = self.subsampling(features, lengths)
        walk = _Walk(states, lengths, encoder.width // encoder.heads, self.rate)
        tap_log_probs, tap_states = [], []
        phone_log_probs = None
        for layer, block in enumerate(self.blocks, start=1):
            if layer == encoder.half_rate[0]:
                walk.go_down()
            walk.states = block(walk.states, walk.mask, walk.tables)
            feedback = None
            if layer in encoder.subword_taps:
                tap_states.append(walk.at_full_rate())
                log_probs = self.token_log_probs(tap_states[-1])
                tap_log_probs.append(log_probs)
                if encoder.self_condition:
                    feedback = self.subword_feedback(log_probs.exp())
            if layer == encoder.phone_tap:
                heard = walk.at_full_rate()
                phone_log_probs = _log_softmax(self.phone_head(self.tap_norm(heard)))
                if encoder.self_condition and layer < encoder.layers:
                    phones = self.phone_feedback(phone_log_probs.exp())
                    feedback = phones if feedback is None else feedback + phones
            if feedback is not None:
                walk.add(feedback)
            if layer == encoder.half_rate[1]:
                walk.go_up()
        states = walk.states
        assert phone_log_probs is not None
        return ModelOutput(
            log_probs=self.token_log_probs(states),
            tap_log_probs=tuple(tap_log_probs),
            phone_log_probs=phone_log_probs,
            lengths=lengths.cpu(),
            states=states,
            tap_states=tuple(tap_states),
        )


class _Walk:
    """Where a forward pass is: its states, and their mask and positions at the present rate."""

    def __init__(
        self, states: Tensor, lengths: Tensor, head_size: int, rate: HalfRate | None
    ) -> None:
        self.states = states
        self.lengths = lengths
        self.head_size = head_size
        self.rate = rate
        self.full: tuple[Tensor, Tensor] | None = None
        self._measure(lengths)

    def _measure(self, lengths: Tensor) -> None:
        frames, device = self.states.shape[1], self.states.device
        self.mask = padding_mask(lengths, frames, device)
        self.tables = rotary_tables(frames, self.head_size, device)

    def go_down(self) -> None:
        """Continue at half the rate."""
        assert self.rate is not None
        self.full = (self.states, self.mask)
        self.states = self.rate.down(self.states, self.mask)
        self._measure(torch.div(self.lengths + 1, 2, rounding_mode="floor"))

    def at_full_rate(self) -> Tensor:
        """The states as a head sees them."""
        if self.full is None or self.rate is None:
            return self.states
        return self.rate.up(self.states, self.full[0])

    def add(self, feedback: Tensor) -> None:
        """Add what is given at the full rate to the states."""
        if self.full is not None and self.rate is not None:
            feedback = self.rate.down(feedback, self.full[1])
        self.states = self.states + feedback

    def go_up(self) -> None:
        """Continue at the full rate."""
        self.states = self.at_full_rate()
        self.full = None
        self._measure(self.lengths)


def _log_softmax(logits: Tensor) -> Tensor:
    return logits.float().log_softmax(dim=-1)
