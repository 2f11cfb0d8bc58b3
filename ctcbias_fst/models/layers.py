"""The parts of Conformer blocks, for whole utterances and for chunks of a stream."""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ctcbias_fst.models.masks import BlockCache, padding_mask
from ctcbias_fst.models.model_config import EncoderConfig


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
        self.mels = config.mels
        self.stages = {2: 1, 4: 2, 8: 3}[config.subsampling]
        channels = [1] + [config.subsampling_channels] * self.stages
        self.convolutions = nn.ModuleList(
            nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=2, padding=1)
            for fan_in, fan_out in itertools.pairwise(channels)
        )
        bins = config.mels
        for _ in range(self.stages):
            bins = (bins + 1) // 2
        self.project = nn.Linear(channels[-1] * bins, config.width)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """``(batch, frame, mel)`` to ``(batch, frame / subsampling, width)`` and lengths."""
        states = features.unsqueeze(1)
        for convolution in self.convolutions:
            states = F.silu(convolution(states))
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            mask = padding_mask(lengths, states.shape[2], states.device)
            states = states * mask[:, None, :, None]
        return self._joined(states), lengths

    def start(self, batch: int) -> tuple[Tensor, ...]:
        """What :meth:`step` is given with the first chunk of ``batch`` streams."""
        caches, bins = [], self.mels
        for convolution in self.convolutions:
            assert isinstance(convolution, nn.Conv2d)
            caches.append(convolution.weight.new_zeros(batch, convolution.in_channels, 1, bins))
            bins = (bins + 1) // 2
        return tuple(caches)

    def step(
        self,
        features: Tensor,
        lengths: Tensor,
        caches: tuple[Tensor, ...],
        final: int | None = None,
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One chunk, as :meth:`forward` has it, and the last frame that each stage read.

        No frame of the output looks beyond the ``subsampling`` input frames that it stands for.

        Args:
            final: output frames that the next chunk is behind; None: all.
        """
        states = features.unsqueeze(1)
        kept = []
        for stage, (convolution, before) in enumerate(zip(self.convolutions, caches)):
            assert isinstance(convolution, nn.Conv2d)
            states = F.pad(states, (0, 0, 0, states.shape[2] % 2))
            end = states.shape[2]
            if final is not None:
                end = min(end, final << (self.stages - stage))
            kept.append(states[:, :, end - 1 : end])
            states = torch.cat((before, states), dim=2)
            states = F.silu(
                F.conv2d(states, convolution.weight, convolution.bias, stride=2, padding=(0, 1))
            )
            lengths = torch.div(lengths + 1, 2, rounding_mode="floor")
            mask = padding_mask(lengths, states.shape[2], states.device)
            states = states * mask[:, None, :, None]
        return self._joined(states), lengths, tuple(kept)

    def _joined(self, states: Tensor) -> Tensor:
        """``(batch, channel, frame, bin)`` to ``(batch, frame, width)``."""
        batch, channels, frames, bins = states.shape
        states = states.transpose(1, 2).reshape(batch, frames, channels * bins)
        projected: Tensor = self.project(states).float()
        return projected


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
        twice = states[:, :, None].expand(-1, -1, 2, -1).flatten(1, 2)
        repeated = twice[:, : full.shape[1]]
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

    def forward(
        self,
        states: Tensor,
        mask: Tensor,
        tables: tuple[Tensor, Tensor],
        seen: Tensor | None = None,
    ) -> Tensor:
        queries, keys, values = self._parts(states)
        visible = mask[:, None, None, :]
        if seen is not None:
            visible = visible & seen
        return self._attend(_rotate(queries, tables), _rotate(keys, tables), values, visible)

    def step(
        self,
        states: Tensor,
        visible: Tensor,
        tables: tuple[Tensor, Tensor],
        cache: BlockCache,
        *,
        final: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A chunk that sees ``cache``, too; also the keys and values to keep.

        Args:
            visible: ``(batch, left + frame)``: of the cache and of the chunk.
            tables: for so many positions.
            final: frames of the chunk that the next one is behind.
        """
        queries, keys, values = self._parts(states)
        left = cache.keys.shape[2]
        kept = slice(final, final + left)
        keys = torch.cat((cache.keys, keys), dim=2)
        values = torch.cat((cache.values, values), dim=2)
        ends = (tables[0][left:], tables[1][left:])
        context = self._attend(
            _rotate(queries, ends), _rotate(keys, tables), values, visible[:, None, None, :]
        )
        return context, keys[:, :, kept], values[:, :, kept]

    def _parts(self, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, ``(batch, heads, frame, size)`` each."""
        batch, frames, width = states.shape
        normed = self.norm(states)
        queries, keys, values = (
            part(normed).view(batch, frames, self.heads, width // self.heads).transpose(1, 2)
            for part in (self.queries, self.keys, self.values)
        )
        return queries, keys, values

    def _attend(self, queries: Tensor, keys: Tensor, values: Tensor, visible: Tensor) -> Tensor:
        batch, heads, frames, size = queries.shape
        scores = (queries * size**-0.5) @ keys.transpose(-1, -2)
        scores = scores.float().masked_fill(~visible, -1e9)
        context = scores.softmax(dim=-1).to(values.dtype) @ values
        context = context.transpose(1, 2).reshape(batch, frames, heads * size)
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

    def forward(self, states: Tensor, mask: Tensor, chunk: int = 0) -> Tensor:
        gated = self._gated(states, mask)
        return self._finish(_convolve(self.depthwise, gated, chunk))

    def step(
        self, states: Tensor, mask: Tensor, before: Tensor, final: int
    ) -> tuple[Tensor, Tensor]:
        """A chunk after the gated input ``before`` it; also what to keep of that input."""
        reach = before.shape[1]
        gated = torch.cat((before, self._gated(states, mask)), dim=1)
        mixed = _depthwise(self.depthwise, F.pad(gated, (0, 0, 0, reach)).transpose(1, 2))
        return self._finish(mixed.transpose(1, 2)), gated[:, final : final + reach]

    def _gated(self, states: Tensor, mask: Tensor) -> Tensor:
        gated = F.glu(self.gate(self.norm(states)), dim=-1)
        return gated.masked_fill(~mask[:, :, None], 0.0)

    def _finish(self, mixed: Tensor) -> Tensor:
        projected: Tensor = self.project(F.silu(self.inner_norm(mixed)))
        return projected


def _convolve(convolution: nn.Conv1d, states: Tensor, chunk: int) -> Tensor:
    """``(batch, frame, width)`` to the same, with zeros behind each chunk unless it is 0."""
    if not chunk:
        mixed: Tensor = convolution(states.transpose(1, 2)).transpose(1, 2)
        return mixed
    batch, frames, width = states.shape
    reach = convolution.kernel_size[0] // 2
    count = -(-frames // chunk)
    padded = F.pad(states, (0, 0, reach, count * chunk - frames))
    windows = F.pad(padded.unfold(1, reach + chunk, chunk), (0, reach))
    windows = windows.reshape(batch * count, width, chunk + 2 * reach)
    mixed = _depthwise(convolution, windows).view(batch, count, width, chunk).transpose(2, 3)
    return mixed.reshape(batch, count * chunk, width)[:, :frames]


if hasattr(torch, "compiler"):
    # torch.compile would fix the number of frames at this call, and compile anew for each
    _convolve = torch.compiler.disable(_convolve)


def _depthwise(convolution: nn.Conv1d, states: Tensor) -> Tensor:
    """Without padding: ``(batch, width, frame)`` to ``kernel - 1`` frames less."""
    return F.conv1d(states, convolution.weight, convolution.bias, groups=convolution.groups)
