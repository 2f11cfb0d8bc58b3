"""The encoder: strided convolutions, then Conformer blocks with rotary attention.

Conformer: Gulati et al., Interspeech 2020. Rotary embedding: Su et al., 2021. There is no
batch normalisation and every convolution sees zeros behind an utterance's end, so that an
utterance comes out of a batch as it comes out alone.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctcbias_fst.acoustic.config import EncoderConfig

__all__ = ["ConformerBlock", "HalfRate", "Subsampling", "padding_mask", "rotary_tables"]


def padding_mask(lengths: Tensor, frames: int, device: torch.device) -> Tensor:
    """True where a frame belongs to its utterance: ``(batch, frames)`` from ``(batch,)``."""
    return torch.arange(frames, device=device)[None, :] < lengths.to(device)[:, None]


def rotary_tables(frames: int, size: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary embedding, ``(frames, size / 2)`` each."""
    rates = 10000.0 ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angles = torch.arange(frames, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos(), angles.sin()


def _rotate(states: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
    cosines, sines = tables
    first, second = states.float().chunk(2, dim=-1)
    rotated = torch.cat(
        (first * cosines - second * sines, first * sines + second * cosines), dim=-1
    )
    return rotated.to(states.dtype)


class Norm(nn.LayerNorm):
    """Layer normalisation in float32, whatever autocast made of the input."""

    def forward(self, states: Tensor) -> Tensor:
        return F.layer_norm(states.float(), self.normalized_shape, self.weight, self.bias, self.eps)


class Subsampling(nn.Module):
    """Log-mel frames to the encoder's rate and width, by convolutions of stride 2."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.stages = {2: 1, 4: 2, 8: 3}[config.subsampling]
        channels = [1] + [config.subsampling_channels] * self.stages
        self.convolutions = nn.ModuleList(
            nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=2, padding=1)
            for fan_in, fan_out in zip(channels, channels[1:])
        )
        bins = config.mels
        for _ in range(self.stages):
            bins = (bins + 1) // 2
        self.project = nn.Linear(channels[-1] * bins, config.width)

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Lengths after subsampling; each stage rounds up."""
        for _ in range(self.stages):
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
        return lengths

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, frame, mel)`` to ``(batch, frame / subsampling, width)`` and lengths."""
        states = features.unsqueeze(1)
        for convolution in self.convolutions:
            states = F.silu(convolution(states))
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            mask = padding_mask(lengths, states.shape[2], states.device)
            states = states * mask[:, None, :, None]
        batch, channels, frames, bins = states.shape
        states = states.transpose(1, 2).reshape(batch, frames, channels * bins)
        return self.project(states).float(), lengths


class HalfRate(nn.Module):
    """Half the frame rate for the layers in the middle (Zipformer: Yao et al., ICLR 2024).

    Going down, pairs of frames are averaged with learned weights; going up, every frame is
    repeated and joined, channel by channel, with the full-rate states that went down.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pair = nn.Parameter(torch.zeros(2))
        self.share = nn.Parameter(torch.full((width,), 0.5))

    def down(self, states: Tensor, mask: Tensor) -> Tensor:
        """``(batch, frame, width)`` to ``(batch, frame / 2 rounded up, width)``."""
        batch, frames, width = states.shape
        states = F.pad(states * mask[:, :, None], (0, 0, 0, frames % 2))
        pairs = states.view(batch, (frames + 1) // 2, 2, width)
        weights = self.pair.softmax(dim=0)
        halved: Tensor = pairs[:, :, 0] * weights[0] + pairs[:, :, 1] * weights[1]
        return halved

    def up(self, states: Tensor, full: Tensor) -> Tensor:
        """Half-rate ``states`` at the rate of ``full``, joined with it."""
        repeated = states.repeat_interleave(2, dim=1)[:, : full.shape[1]]
        return full + self.share * (repeated - full)


class BranchDrop(nn.Module):
    """Stochastic depth (Huang et al. 2016): drop a residual branch for whole utterances."""

    keep: Tensor

    def __init__(self, probability: float) -> None:
        super().__init__()
        # a tensor, as a number would have torch.compile compile every layer for itself
        self.register_buffer("keep", torch.tensor(1.0 - probability), persistent=False)

    def forward(self, branch: Tensor) -> Tensor:
        if not self.training:
            return branch
        kept = torch.rand(branch.shape[0], 1, 1, device=branch.device) < self.keep
        return branch * (kept / self.keep).to(branch.dtype)


class FeedForward(nn.Module):
    """Norm, expansion, SiLU, projection."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.norm = Norm(width)
        self.expand = nn.Linear(width, inner)
        self.project = nn.Linear(inner, width)

    def forward(self, states: Tensor) -> Tensor:
        projected: Tensor = self.project(F.silu(self.expand(self.norm(states))))
        return projected


class SelfAttention(nn.Module):
    """Multi-head self-attention with rotary positions over the frames of one utterance."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = Norm(width)
        self.queries = nn.Linear(width, width)
        self.keys = nn.Linear(width, width, bias=False)
        self.values = nn.Linear(width, width)
        self.project = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        batch, frames, width = states.shape
        size = width // self.heads
        normed = self.norm(states)
        queries, keys, values = (
            part(normed).view(batch, frames, self.heads, size).transpose(1, 2)
            for part in (self.queries, self.keys, self.values)
        )
        queries = _rotate(queries, tables) * size**-0.5
        scores = queries @ _rotate(keys, tables).transpose(-1, -2)
        scores = scores.float().masked_fill(~mask[:, None, None, :], -1e9)
        context = scores.softmax(dim=-1).to(values.dtype) @ values
        context = context.transpose(1, 2).reshape(batch, frames, width)
        projected: Tensor = self.project(context)
        return projected


class ConvolutionModule(nn.Module):
    """Gated pointwise, depthwise and pointwise convolution over time."""

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.norm = Norm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner_norm = Norm(width)
        self.project = nn.Linear(width, width)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        gated = F.glu(self.gate(self.norm(states)), dim=-1)
        gated = gated.masked_fill(~mask[:, :, None], 0.0)
        mixed = _convolve(self.depthwise, gated)
        projected: Tensor = self.project(F.silu(self.inner_norm(mixed)))
        return projected


def _convolve(convolution: nn.Conv1d, states: Tensor) -> Tensor:
    mixed: Tensor = convolution(states.transpose(1, 2)).transpose(1, 2)
    return mixed


if hasattr(torch, "compiler"):
    # torch.compile would fix the number of frames at this call, and compile anew for each
    _convolve = torch.compiler.disable(_convolve)


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm."""

    def __init__(self, config: EncoderConfig, layer: int) -> None:
        super().__init__()
        width = config.width
        self.before = FeedForward(width, config.feedforward)
        self.attention = SelfAttention(width, config.heads)
        self.convolution = ConvolutionModule(width, config.kernel)
        self.after = FeedForward(width, config.feedforward)
        self.norm = Norm(width)
        self.drop = BranchDrop(config.branch_drop * layer / config.layers)

    def forward(self, states: Tensor, mask: Tensor, tables: tuple[Tensor, Tensor]) -> Tensor:
        """``(batch, frame, width)`` to the same; ``mask`` as from :func:`padding_mask`."""
        states = states + self.drop(0.5 * self.before(states))
        states = states + self.drop(self.attention(states, mask, tables))
        states = states + self.drop(self.convolution(states, mask))
        states = states + self.drop(0.5 * self.after(states))
        normed: Tensor = self.norm(states)
        return normed
